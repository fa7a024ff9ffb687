"""Storage that fills up, refuses, or fails now and then: exit 5, resumable, exact."""

import contextlib
import os
import shutil
import signal
import subprocess

import pytest

from chaos.scenes import require_exact, write_job
from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store

SIDE, TILE = 256, 64
MOUNT, UMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"
QUICK = {"quota": {"max_requests_per_second": None}, "latency": {"base_s": 0.01}}


@contextlib.contextmanager
def small_disk(place, size):
    """A file system of some kilobytes, if this user may mount one."""
    place.mkdir()
    command = [MOUNT, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([UMOUNT, "-l", str(place)], check=True)


def remount(place, options):
    subprocess.run([MOUNT, "-o", f"remount,{options}", str(place)], check=True)


@pytest.fixture
def served(service):
    with service.serve(QUICK) as emulator:
        yield emulator


def fetcher(forge, folder, emulator):
    def fetch(*arguments, **order):
        variables = {"EEZARR_API_URL": emulator.url}
        return forge.run(folder, "fetch", "job.toml", "--json", "--quiet", *arguments, variables=variables, **order)

    return fetch


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
@pytest.mark.parametrize("room", ["56k", "104k", "200k"])
def test_a_full_disk_stops_the_job_at_once_and_the_next_run_finishes_it(tmp_path, forge, service, served, room):
    # Pixels of 256 KiB, incompressible enough, in a smaller file system; once from the beginning, once in the middle.
    with small_disk(tmp_path / "disk", room) as disk:
        options = {"store": 'compressor = "none"', "fetch": "max_concurrency = 2"}
        write_job(tmp_path, side=SIDE, tile=TILE, output=str(disk / "out.zarr"), **options)
        fetch = fetcher(forge, tmp_path, served)
        ended = fetch()
        assert ended.code == 5, (ended.code, ended.err)
        assert "No space left on device" in ended.err
        assert "Free some space" in ended.err
        stored = ended.stored_s()
        assert len(served.stats().recent) <= len(stored) + 2 + 4, "it went on asking"
        full = fetch()
        assert full.code == 5, (full.code, full.err)
        remount(disk, "size=4m")
        marked = marks_of(disk / "out.zarr")
        assert len(stored) - marked <= 16
        resumed = fetch()
        assert resumed.code == 0, resumed.err
        assert resumed.summary["tiles"]["resumed"] == marked
        require_exact(service, disk / "out.zarr", side=SIDE)
        assert list(open_store(disk / "out.zarr").verify()) == []


def marks_of(path):
    """How many tiles are marked; 0 if the disk was full before there was a store."""
    try:
        return open_store(path).stored_count
    except (ForeignStore, StoreError):
        return 0


def test_files_that_may_not_grow_are_a_full_disk_too(tmp_path, forge, service, served):
    """The stand-in for who cannot mount: no file may be larger than 24 000 bytes, and a chunk has 32 768."""
    write_job(tmp_path, side=SIDE, tile=2 * TILE, store='compressor = "none"')
    fetch = fetcher(forge, tmp_path, served)
    ended = fetch(limits={"RLIMIT_FSIZE": 24_000})
    assert ended.code == 5, (ended.code, ended.err)
    assert "File too large" in ended.err
    assert ended.stored_s() == {}
    assert open_store(tmp_path / "out.zarr").stored_count == 0
    assert fetch().code == 0
    require_exact(service, tmp_path / "out.zarr", side=SIDE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system read-only")
def test_a_read_only_file_system_costs_no_pixel(tmp_path, forge, service, served):
    with small_disk(tmp_path / "disk", "4m") as disk:
        write_job(tmp_path, side=SIDE, tile=TILE, output=str(disk / "out.zarr"))
        fetch = fetcher(forge, tmp_path, served)
        remount(disk, "ro")
        require_refused(fetch(), served)
        remount(disk, "rw")
        interrupted = fetch(on_event=stop_at_the_third_tile)
        assert interrupted.code == 130, interrupted.err
        asked = asked_for(served)
        remount(disk, "ro")
        ended = fetch()
        assert ended.code == 5, (ended.code, ended.err)
        assert asked_for(served) == asked, "pixels were asked for that nobody can store"
        remount(disk, "rw")
        assert fetch().code == 0
        require_exact(service, disk / "out.zarr", side=SIDE)


@pytest.mark.parametrize("denied", [".", "out.zarr", "out.zarr/.eezarr"])
def test_a_directory_that_this_user_may_not_write_costs_no_pixel(tmp_path, forge, service, served, denied):
    write_job(tmp_path, side=SIDE, tile=TILE)
    fetch = fetcher(forge, tmp_path, served)
    if denied != ".":
        assert fetch(on_event=stop_at_the_third_tile, is_humble=True).code == 130
    asked = asked_for(served)
    place = tmp_path / denied
    place.chmod(0o555)
    try:
        ended = fetch(is_humble=True)
    finally:
        place.chmod(0o755)
    assert ended.code == 5, (ended.code, ended.err)
    assert "ermission denied" in ended.err or "not writable" in ended.err
    assert asked_for(served) == asked, "pixels were asked for that nobody can store"
    assert fetch(is_humble=True).code == 0
    require_exact(service, tmp_path / "out.zarr", side=SIDE)


@pytest.mark.parametrize("denied", ["out.zarr/.eezarr/marks", "out.zarr/B4/c"])
def test_what_shows_only_at_a_write_loses_nothing(tmp_path, forge, service, served, denied):
    write_job(tmp_path, side=SIDE, tile=TILE)
    fetch = fetcher(forge, tmp_path, served)
    assert fetch(on_event=stop_at_the_third_tile, is_humble=True).code == 130
    place = tmp_path / denied
    place.chmod(0o555)
    try:
        ended = fetch(is_humble=True)
    finally:
        place.chmod(0o755)
    assert ended.code == 5, (ended.code, ended.err)
    assert list(open_store(tmp_path / "out.zarr").verify()) == []
    assert fetch(is_humble=True).code == 0
    require_exact(service, tmp_path / "out.zarr", side=SIDE)


def asked_for(served):
    """How many requests for pixels there were, once the last is answered: one who is gone may have left some."""
    while (stats := served.stats()).in_flight:
        pass
    return len(stats.recent)


def stop_at_the_third_tile(running, event):
    if event["event"] == "TileStored" and sum(item["event"] == "TileStored" for item in running.events) == 3:
        running.send(signal.SIGINT)


def require_refused(ended, emulator):
    assert ended.code == 5, (ended.code, ended.err)
    assert emulator.stats().pixel_requests == 0
    assert len(ended.err.strip().splitlines()) == 1
