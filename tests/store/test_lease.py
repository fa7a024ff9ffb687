"""One run holds a store: who is refused, what ends a claim, and what a run that lost it may still do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from eezarr.errors import StoreError
from eezarr.store import open_store
from eezarr.store.lease import STALE_S, WriterLease, is_held
from eezarr.store.location import Location, locate
from eezarr.store.process import is_running, this_process


@pytest.fixture(params=["disk", "memory", "s3", "icechunk"])
def place(request, tmp_path, bench):
    """A location on disk, in memory, on S3, and beside an Icechunk repository."""
    if request.param == "icechunk":
        pytest.importorskip("icechunk")
        return locate(f"icechunk+file://{tmp_path}/out.ice")
    if request.param == "s3":
        return locate(f"{request.getfixturevalue('bucket')}/out.zarr")
    return locate(bench.memory() if request.param == "memory" else tmp_path / "out.zarr")


def elsewhere():
    return replace(this_process(), machine="another", host="elsewhere.example", pid=77)


def dead():
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = replace(this_process(), pid=ended.pid)
    ended.wait()
    return process


def test_a_second_run_is_refused_and_told_who_where_and_since_when(place):
    WriterLease.take(place, process=elsewhere(), clock=lambda: 1_000_000_000.0)
    with pytest.raises(StoreError) as caught:
        WriterLease.take(place, clock=lambda: 1_000_000_012.0)
    assert "process 77 on elsewhere.example since 2001-09-09 01:46:40+00:00" in caught.value.message
    assert "12 s ago" in caught.value.message
    assert "--steal" in caught.value.hint
    assert caught.value.exit_code == 5


def test_of_many_that_start_together_one_wins(place):
    together = Barrier(6)

    def run():
        together.wait()
        try:
            return WriterLease.take(place)
        except StoreError:
            return None

    with ThreadPoolExecutor(6) as pool:
        taken = [lease for lease in [task.result() for task in [pool.submit(run) for _ in range(6)]] if lease]
    assert len(taken) == 1
    taken[0].check()


def test_a_claim_is_held_as_soon_as_another_run_of_its_process_can_read_it(place, monkeypatch):
    create, seen = Location.create, []

    def create_and_be_read(own, key, body):
        is_created = create(own, key, body)
        if not seen:
            seen.append(key)
            with pytest.raises(StoreError, match="is being written by"):
                WriterLease.take(place)
        return is_created

    monkeypatch.setattr(Location, "create", create_and_be_read)
    WriterLease.take(place).check()
    assert len(seen) == 1


def test_of_many_that_steal_together_one_holds_it_in_the_end(place):
    first = WriterLease.take(place)
    together = Barrier(4)

    def run():
        together.wait()
        try:
            return WriterLease.take(place, steal=True)
        except StoreError:
            return None

    with ThreadPoolExecutor(4) as pool:
        leases = [first, *(task.result() for task in [pool.submit(run) for _ in range(4)])]
    assert sum(holds(lease) for lease in leases if lease) == 1
    assert not holds(first)


def holds(lease):
    try:
        lease.check()
    except StoreError:
        return False
    return True


def test_a_released_store_is_free_at_once(place):
    first = WriterLease.take(place)
    assert is_held(place)
    first.release()
    assert not is_held(place)
    WriterLease.take(place).check()
    with pytest.raises(StoreError, match="was taken over by process"):
        first.check()


def test_a_dead_process_of_this_machine_stands_in_nobodys_way(place):
    WriterLease.take(place, process=dead())
    assert not is_held(place)
    WriterLease.take(place).check()


def test_a_number_that_was_given_out_again_is_no_living_writer(place):
    WriterLease.take(place, process=replace(this_process(), pid=os.getppid(), started="before"))
    assert not is_held(place)


def test_a_living_process_of_this_machine_holds_it_however_long_it_is_silent(place):
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lines = {"pid": parent.pid}
        process = replace(this_process(), **lines)
        process = replace(process, started=started(parent.pid))
        WriterLease.take(place, process=process, clock=lambda: 0.0)
        with pytest.raises(StoreError):
            WriterLease.take(place)
    finally:
        parent.communicate(b"\n")
    WriterLease.take(place).check()


def started(pid):
    from eezarr.store.process import _started

    return _started(pid)


def test_a_lease_of_another_machine_ends_by_its_age(place):
    now_s = [1000.0]
    lease = WriterLease.take(place, process=elsewhere(), clock=lambda: now_s[0])
    now_s[0] += STALE_S - 1
    assert is_held(place, clock=lambda: now_s[0])
    lease.renew()
    now_s[0] += STALE_S - 1
    assert is_held(place, clock=lambda: now_s[0]), "the sign of life does not count"
    now_s[0] += 2
    WriterLease.take(place, clock=lambda: now_s[0])
    with pytest.raises(StoreError, match="taken over"):
        lease.renew()


def test_a_clock_that_is_ahead_ends_no_lease(place):
    WriterLease.take(place, process=elsewhere(), clock=lambda: 9000.0)
    assert is_held(place, clock=lambda: 1000.0)


def test_processes_are_known_by_their_start():
    me = this_process()
    assert is_running(me) is True
    assert is_running(replace(me, started="another time")) is False
    assert is_running(replace(me, machine="another")) is None
    assert is_running(dead()) is False


def test_a_displaced_run_changes_nothing_any_more(bench, output):
    plan = bench.plan()
    image = bench.pixels(plan)
    first = bench.sink(plan, output)
    first.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    first.flush()
    first.write(plan.tile(1), bench.cut(image, plan.tile(1)))
    second = bench.sink(plan, output)
    before = contents(output)
    for act in (
        first.flush,
        lambda: first.finish(bench.now),
        first.renew,
        first.unmark_altered,
        lambda: first.begin_overviews(None),
        lambda: first._location.remove_below("B1"),
        lambda: first._location.remove("zarr.json"),
        *([] if "://" in output else [lambda: first.write(plan.tile(2), bench.cut(image, plan.tile(2)))]),
    ):
        with pytest.raises(StoreError, match="taken over"):
            act()
    first.close()
    assert contents(output) == before
    for index in list(second.missing()):
        second.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert second.finish(bench.now)
    assert list(open_store(output).verify()) == []


def contents(output):
    location = locate(output)
    return {key: location.get(key) for key in location.keys("") if "/writer/" not in key}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_comes_late_does_not_arrive(bench, tmp_path, monkeypatch, overwrite):
    """A process that is stopped between its look and its rename, and goes on when another one holds the store."""
    output, plan = str(tmp_path / "s.zarr"), bench.plan()
    old, new = bench.pixels(plan, 1), bench.pixels(plan, 2)
    first = bench.sink(plan, output)
    replacing, second = os.replace, []

    def stopped(source, target):
        if "/B2/c/" in str(target) and not second:
            second.append(bench.sink(plan, output, overwrite=overwrite))
            for index in list(second[0].missing()):
                second[0].write(plan.tile(index), bench.cut(new, plan.tile(index)))
            assert second[0].finish(bench.now)
        replacing(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(StoreError):
        first.write(plan.tile(0), bench.cut(old, plan.tile(0)))
    assert second
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []


def test_marks_that_come_late_do_not_arrive(bench, tmp_path, monkeypatch):
    output, plan = str(tmp_path / "s.zarr"), bench.plan()
    image = bench.pixels(plan)
    first = bench.sink(plan, output)
    first.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    replacing, second = os.replace, []

    def stopped(source, target):
        if "/marks/" in str(target) and not second:
            second.append(None)
            bench.store_all(plan, output, image)
        replacing(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(StoreError):
        first.flush()
    assert open_store(output).is_complete


def test_marks_of_an_overwritten_store_count_for_nothing(bench, bucket):
    """In an object store a request cannot be called back: its page bears the birth of the store it was meant for."""
    output, plan = f"{bucket}/out.zarr", bench.plan()
    image = bench.pixels(plan)
    first = bench.sink(plan, output)
    first.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    first.flush()
    location = locate(output)
    late = {key: location.get(key) for key in location.keys(".eezarr/marks/")}
    second = bench.sink(plan, output, overwrite=True)
    location.put_all(late)
    assert bench.sink(plan, output).stored_count == 0
    assert second.stored_count == 0


def test_a_store_that_was_deleted_is_noticed_and_nothing_of_it_comes_back(bench, output):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    sink.flush()
    delete(output)
    sink._marks.mark(1, 1)
    if "://" in output:  # what is on its way to an object store still arrives
        sink.write(plan.tile(1), bench.cut(image, plan.tile(1)))
    with pytest.raises(StoreError, match="was deleted or moved while this run wrote to it") as caught:
        sink.flush()
    assert caught.value.exit_code == 5
    sink.close()
    location = locate(output)
    assert location.names() == ()
    bench.store_all(plan, output, image)
    assert list(open_store(output).verify()) == []


def test_a_store_that_was_deleted_and_made_again_is_another_runs(bench, output):
    plan = bench.plan()
    first = bench.sink(plan, output)
    delete(output)
    bench.sink(plan, output)
    with pytest.raises(StoreError, match="taken over"):
        first.flush()


def delete(output):
    if "://" not in output:
        shutil.rmtree(output)
        return
    location = locate(output)
    for key in location.keys(""):
        location.remove(key)


@pytest.mark.parametrize("overviews", [None, "mean"])
@pytest.mark.parametrize("place", ["disk", "s3"], indirect=True)
def test_a_run_with_nothing_to_do_changes_nothing(bench, place, overviews):
    plan = bench.plan(shape=(600, 300))
    methods = None if overviews is None else {band.name: overviews for band in plan.bands}
    image, output = bench.pixels(plan), place.url
    sink = bench.sink(plan, output, overviews=methods)
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now, overviews=methods)
    sink.close()
    before = states(place)
    again = bench.sink(plan, output, repair=False, overviews=methods)
    assert again.finish(bench.now.replace(year=2030), overviews=methods)
    again.close()
    assert states(place) == before


def states(place):
    """All that can be seen of a store's objects."""
    if "://" not in place.url:
        from pathlib import Path

        return {
            path: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes() if path.is_file() else b"")
            for path in Path(place.url).rglob("*")
        }
    return {
        item["path"]: (item["e_tag"], item["last_modified"], item["size"])
        for page in place.store.store.list()
        for item in page
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": ["B1", "B2", "B4"]}, "bands: B1, B2, B3 -> B1, B2, B4"),
        ({"dtypes": ("uint16", "uint16", "int16")}, "bands: B1 uint16, B2 uint16, B3 uint16 -> B1 uint16, B2 uint16, "),
        (
            {"shape": (100, 282)},
            "grid: 282 x 172 pixels of EPSG:32610 at (10, 0, 499980, 0, -10, 4200000) -> 282 x 100",
        ),
        ({"crs": "EPSG:32611"}, "pixels of EPSG:32611"),
        ({"fills": 7}, "mask: none -> fill, fill 7"),
        ({"masks": "each"}, "mask: none -> band, one for each band, fill 0"),
        ({"kind": "stacked"}, "layout: bands -> stacked"),
        ({"chunk": (128, 128)}, "chunk: 64 x 64 -> 128 x 128"),
        ({"sharded": True}, "shard: no -> yes"),
        ({"compressor": "zstd"}, "compressor: auto -> zstd"),
        ({"zarr_format": 2}, "format: 3 -> 2"),
        ({"image_key": "getPixels:an/other"}, "image: image -> an/other by getPixels"),
        ({"steps": 2}, "time: one image -> a series"),
    ],
)
def test_the_difference_of_two_plans_is_told_in_words(bench, tmp_path, change, told):
    output = tmp_path / "s.zarr"
    bench.store_all(bench.plan(), output)
    with pytest.raises(StoreError) as caught:
        bench.sink(bench.plan(**change), output)
    assert told in caught.value.message
    assert bench.plan().fingerprint not in caught.value.message


def test_pixels_of_another_origin_are_refused(bench, output):
    bench.store_all(bench.plan(), output)
    with pytest.raises(StoreError, match=r"origin: https://earthengine.googleapis.com -> emulator zero"):
        bench.sink(bench.plan(), output, origin="emulator zero")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_run_killed_while_it_tells_its_end_is_finished_by_the_same_command(bench, output, zarr_format, monkeypatch):
    plan = bench.plan(zarr_format=zarr_format)
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("eezarr.store.arrays.consolidate", dies)
        with pytest.raises(KeyboardInterrupt):
            sink.finish(bench.now)
    again = bench.sink(plan, output, repair=False)
    assert again.finish(bench.now)
    again.close()
    before = contents(output)
    bench.sink(plan, output, repair=False).close()
    assert contents(output) == before
