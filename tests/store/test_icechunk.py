"""A store with commits: readers see whole states and nothing else, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from eezarr.errors import ForeignStore, InvalidInput, StoreError
from eezarr.store import open_store, recorded_tiling
from eezarr.store.location import locate

icechunk = pytest.importorskip("icechunk", reason="Icechunk is not installed: pip install icechunk")

_HEADER_BYTES = 56
"""Of a page of marks; see `eezarr.store.pages`."""
UNSTORED = 65535
"""What pixels read as that are not stored: the least likely value of uint16."""


@pytest.fixture(params=["file", "memory"])
def output(request, tmp_path, bench):
    if request.param == "memory":
        return f"icechunk+{bench.memory()}"
    return f"icechunk+file://{tmp_path}/out.ice"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out.ice"


def foreign(folder):
    """The repository as another program has it: Icechunk's own API, none of ours."""
    return icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder)))


def write(bench, sink, image, indices):
    for index in indices:
        tile = sink.plan.tile(index)
        sink.write(tile, bench.cut(image, tile))


def messages(folder):
    return [state.message for state in foreign(folder).ancestry(branch="main")]


@pytest.mark.parametrize("layout", [{}, {"kind": "stacked", "bands_per_tile": 2}, {"sharded": True, "masks": "each"}])
@pytest.mark.parametrize("compressor", ["auto", "none"])
def test_what_is_stored_is_read_back(bench, output, layout, compressor):
    plan = bench.plan(compressor=compressor, **layout)
    image = bench.store_all(plan, output)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    for tile in plan:
        for field, part in zip(tile.wire_bands, bench.planes(job, tile), strict=False):
            np.testing.assert_array_equal(part, image[field.name][tile.window.rows, tile.window.cols])


def test_small_chunks_keep_their_own_bytes(bench, output):
    """Icechunk keeps chunks of up to 512 bytes in the session until they are committed: in whose memory?"""
    plan = bench.plan(shape=(64, 64), tile=(8, 8), chunk=(8, 8), dtypes=("uint8",), compressor="none")
    image = bench.store_all(plan, output)
    assert list(open_store(output).verify()) == []
    group = zarr.open_group(locate(output, read_only=True).store, mode="r")
    np.testing.assert_array_equal(group["B1"][...], image["B1"])


def test_other_programs_read_it(bench, folder):
    plan = bench.plan()
    image = bench.store_all(plan, f"icechunk+file://{folder}")
    store = foreign(folder).readonly_session("main").store
    group = zarr.open_group(store, mode="r")
    np.testing.assert_array_equal(group["B3"][...], image["B3"])
    assert json.loads(group.attrs["eezarr"])["complete"] is True
    xarray = pytest.importorskip("xarray")
    scene = xarray.open_zarr(store, consolidated=False, decode_coords="all")
    assert set(scene.data_vars) == {"B1", "B2", "B3"}
    assert scene.spatial_ref.attrs["GeoTransform"] == "499980.0 10.0 0.0 4200000.0 0.0 -10.0"
    assert float(scene.x[0]) == 499985.0


def test_the_guides_lines_read_it(bench, folder, capsys):
    pytest.importorskip("xarray")
    image = bench.store_all(bench.plan(), f"icechunk+file://{folder}")
    guide = (Path(__file__).parents[2] / "docs" / "stores.md").read_text()
    lines = guide.partition("```python\n")[2].partition("```")[0]
    assert "/data/out.ice" in lines
    found = {}
    exec(lines.replace("/data/out.ice", str(folder)), found)  # noqa: S102 -- ours
    np.testing.assert_array_equal(found["scene"].B1, image["B1"])
    assert capsys.readouterr().out.splitlines()[0].endswith("6 tiles, complete")


def test_nothing_is_seen_before_it_is_committed(bench, output):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    assert open_store(output).stored_count == 0
    write(bench, sink, image, [0, 1])
    before = open_store(output)
    assert before.stored_count == 0
    assert (before.read(plan.tile(0))[0] == UNSTORED).all()
    sink.flush()
    assert open_store(output).stored_count == 2
    assert before.stored_count == 0
    assert (before.read(plan.tile(0))[0] == UNSTORED).all()
    assert list(open_store(output).verify()) == []


def test_a_flush_is_one_commit_and_an_idle_one_is_none(bench, folder):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, f"icechunk+file://{folder}")
    write(bench, sink, image, [0, 1])
    sink.flush()
    sink.flush()
    write(bench, sink, image, range(2, plan.tile_count))
    assert sink.finish(bench.now)
    assert messages(folder)[:3] == ["6 tiles, complete", "2 tiles", "open the store"]


def states(folder, plan):
    """Every state that `main` ever had: which tiles its marks name, by their bits alone, and its arrays."""
    repository = foreign(folder)
    for state in repository.ancestry(branch="main"):
        if state.parent_id is None:
            continue  # the repository's beginning, where nothing is
        group = zarr.open_group(repository.readonly_session(snapshot_id=state.id).store, mode="r")
        marked = np.zeros(plan.tile_count, np.bool_)
        if "_eezarr/marks" in group:
            page = group["_eezarr/marks"][...]
            bits = np.unpackbits(page[_HEADER_BYTES : _HEADER_BYTES + 512], bitorder="little")
            marked = bits[: plan.tile_count].astype(np.bool_)
        yield marked, {band.name: group[band.name] for band in plan.bands}


@pytest.mark.once
def test_every_state_that_readers_can_see_is_whole(bench, folder):
    """Threads write tiles of many chunks while commits follow each other without a pause, and a reader looks on."""
    output = f"icechunk+file://{folder}"
    plan = bench.plan(shape=(240, 320), tile=(48, 64), chunk=(16, 16))
    image = bench.pixels(plan)
    for band in plan.bands:
        image[band.name] &= UNSTORED >> 1  # no pixel of the image is what an empty chunk reads as
    sink = bench.sink(plan, output)
    seen, done = [], threading.Event()

    def look():
        while not done.is_set():
            job = open_store(output)
            assert list(job.verify()) == []
            seen.append(job.stored_count)

    with ThreadPoolExecutor(5) as threads:
        looking = threads.submit(look)
        try:
            writes = [threads.submit(write, bench, sink, image, [index]) for index in range(plan.tile_count)]
            while not all(one.done() for one in writes):
                sink.flush()
            for one in writes:
                one.result()
        finally:
            done.set()
        looking.result()
    assert sink.finish(bench.now)
    assert seen == sorted(seen)
    counts = []
    for marked, arrays in states(folder, plan):
        counts.append(int(marked.sum()))
        for tile in plan:
            place = tile.window.rows, tile.window.cols
            for name, array in arrays.items():
                expected = image[name][place] if marked[tile.index] else UNSTORED
                assert (array[place] == expected).all(), (name, tile, marked[tile.index])
    assert counts[0] == plan.tile_count
    assert len(counts) > 3
    assert sorted(counts, reverse=True) == counts


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import Workbench
bench = Workbench()
plan = bench.plan()
image = bench.pixels(plan)
sink = bench.sink(plan, sys.argv[2])
for index in range(6):
    if index == 4:
        sink.flush()
    sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
if sys.argv[3] == "within a commit":
    # The last thing a commit does is to move the branch: what is before it must not be seen.
    session = sink._location.store._session
    type(session).commit = lambda self, message: (self.flush(message), os.kill(os.getpid(), signal.SIGKILL))
    sink.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["between commits", "within a commit"])
def test_what_a_killed_run_had_committed_is_there_and_the_rest_is_asked_for_again(bench, folder, moment):
    output = f"icechunk+file://{folder}"
    if moment == "within a commit" and not hasattr(icechunk.Session, "flush"):
        pytest.skip("this Icechunk has no part of a commit that can be made by itself")
    here = str(Path(__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, here, output, moment], check=False, capture_output=True, text=True
    )
    assert ended.returncode == -9, ended.stderr
    assert open_store(output).stored_count == 4
    assert list(open_store(output).verify()) == []
    plan = bench.plan()
    sink = bench.sink(plan, output)
    assert list(sink.missing()) == list(range(4, plan.tile_count))
    image = bench.store_all(plan, output)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    np.testing.assert_array_equal(job.read(plan.tile(5))[1], bench.cut(image, plan.tile(5))["B2"])


def test_a_cube_grows_in_one_commit(bench, folder):
    output = f"icechunk+file://{folder}"
    short = bench.plan(steps=2, step_starts=(0, 1))
    image = bench.store_all(short, output)
    longer = bench.plan(steps=3, step_starts=(0, 1, 2))
    sink = bench.sink(longer, output)
    assert list(sink.missing()) == list(range(short.tile_count, longer.tile_count))
    grown = bench.pixels(longer, seed=1)
    write(bench, sink, grown, sink.missing())
    assert sink.finish(bench.now)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    np.testing.assert_array_equal(
        job.read(short.tile(0))[0][0], bench.cut(image, short.tile(0))[short.tile(0).wire_bands[0].name]
    )
    repository = foreign(folder)
    for state in list(repository.ancestry(branch="main"))[:-1]:
        group = zarr.open_group(repository.readonly_session(snapshot_id=state.id).store, mode="r")
        assert group["B1"].shape[0] == group["time"].shape[0] == group["image_ids"].shape[0]


def test_another_programs_commit_is_kept_and_told(bench, folder):
    output = f"icechunk+file://{folder}"
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    write(bench, sink, image, [0])
    sink.flush()
    theirs = foreign(folder).writable_session("main")
    zarr.open_group(theirs.store, mode="r+").attrs["theirs"] = "kept"
    theirs.commit("theirs")
    write(bench, sink, image, [1])
    for _ in range(2):
        with pytest.raises(StoreError, match="Another program committed") as caught:
            sink.flush()
        assert not caught.value.is_transient
    again = bench.sink(plan, output)
    assert list(again.missing()) == list(range(1, plan.tile_count))
    write(bench, again, image, again.missing())
    assert again.finish(bench.now)
    assert list(open_store(output).verify()) == []
    assert zarr.open_group(foreign(folder).readonly_session("main").store, mode="r").attrs["theirs"] == "kept"


def test_a_commit_right_after_ours_is_told_too(bench, folder):
    output = f"icechunk+file://{folder}"
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    write(bench, sink, image, [0])
    store = sink._location.store

    class Hurried:
        """Another program that commits between our commit and the session that follows it."""

        def writable_session(self, branch):
            theirs = foreign(folder).writable_session(branch)
            zarr.open_group(theirs.store, mode="r+").attrs["theirs"] = "kept"
            theirs.commit("theirs")
            return foreign(folder).writable_session(branch)

    store._repository = Hurried()
    for _ in range(2):
        with pytest.raises(StoreError, match="Another program committed"):
            sink.flush()
    assert messages(folder)[:2] == ["theirs", "1 tiles"]
    assert open_store(output).stored_count == 1


def test_a_commit_that_the_storage_refuses_is_made_by_the_next_flush(bench, folder):
    output = f"icechunk+file://{folder}"
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    write(bench, sink, image, [0])
    (folder / "snapshots").rename(folder / "away")
    (folder / "snapshots").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot commit in"):
        sink.flush()
    (folder / "snapshots").unlink()
    (folder / "away").rename(folder / "snapshots")
    assert open_store(output).stored_count == 0
    sink.flush()
    assert open_store(output).stored_count == 1
    assert list(open_store(output).verify()) == []


def test_overwriting_is_seen_all_at_once_and_the_old_state_stays_in_the_history(bench, folder):
    output = f"icechunk+file://{folder}"
    image = bench.store_all(bench.plan(dtypes=("uint8",), names=["old"]), output)
    old = foreign(folder).lookup_branch("main")
    plan = bench.plan()
    with pytest.raises(ForeignStore, match="another plan"):
        bench.sink(plan, output)
    assert open_store(output).is_complete
    sink = bench.sink(plan, output, overwrite=True)
    assert sink.stored_count == 0
    assert messages(folder)[0] == "open the store"
    assert "old" not in locate(output).names()
    assert open_store(output).stored_count == 0
    group = zarr.open_group(foreign(folder).readonly_session(snapshot_id=old).store, mode="r")
    np.testing.assert_array_equal(group["old"][...], image["old"])
    bench.store_all(plan, output)
    assert list(open_store(output).verify()) == []


def test_altered_pixels_are_found_and_stored_again(bench, folder):
    output = f"icechunk+file://{folder}"
    plan = bench.plan()
    image = bench.store_all(plan, output)
    theirs = foreign(folder).writable_session("main")
    zarr.open_group(theirs.store, mode="r+")["B2"][0, 0] ^= 1
    theirs.commit("theirs")
    assert [tile.index for tile in open_store(output).verify()] == [0]
    sink = bench.sink(plan, output)
    assert sink.unmark_altered() == 1
    assert open_store(output).stored_count == plan.tile_count - 1
    assert list(sink.missing()) == [0]
    bench.store_all(plan, output, image)
    assert list(open_store(output).verify()) == []


def test_overviews_are_seen_all_at_once(bench, folder):
    plan = bench.plan(shape=(1200, 1300), tile=(256, 256), chunk=(256, 256))
    image = bench.pixels(plan)
    sink = bench.sink(plan, f"icechunk+file://{folder}")
    write(bench, sink, image, sink.missing())
    assert sink.finish(bench.now, overviews=dict.fromkeys(("B1", "B2", "B3"), "nearest"))
    assert messages(folder)[0] == "overviews"
    group = zarr.open_group(foreign(folder).readonly_session("main").store, mode="r")
    levels = [name for name, node in group.groups() if name != "_eezarr"]
    assert levels
    assert group.attrs["multiscales"]
    assert bench.sink(plan, f"icechunk+file://{folder}").finish(bench.now)


def test_what_nobody_would_commit_is_refused(bench, output):
    bench.store_all(bench.plan(), output)
    location = locate(output)
    with pytest.raises(StoreError, match="keeps commits") as caught:
        location.put(".eezarr/more.json", b"{}")
    assert "plain store" in caught.value.hint
    with location.committing("more"):
        location.put(".eezarr/more.json", b"{}")
        location.put(".eezarr/more.json", b'{"longer": 1}')
        location.put_all({f".eezarr/pages/{number}": bytes([number]) * 9 for number in (2, 0)})
    with pytest.raises(StoreError, match="keeps commits"):
        location.remove(".eezarr/more.json")
    again = locate(output, read_only=True)
    assert again.get(".eezarr/more.json") == b'{"longer": 1}'
    assert set(again.keys(".eezarr/")) >= {
        ".eezarr/job.json",
        ".eezarr/more.json",
        ".eezarr/pages/0",
        ".eezarr/pages/2",
    }
    assert set(again.keys(".eezarr/pages/")) == {".eezarr/pages/0", ".eezarr/pages/2"}
    assert dict(again.get_each([".eezarr/pages/0", ".eezarr/pages/1", ".eezarr/pages/2"])) == {
        ".eezarr/pages/0": b"\0" * 9,
        ".eezarr/pages/2": b"\2" * 9,
    }
    assert again.get(".eezarr/nothing/7") is None
    with location.committing("less"):
        location.remove(".eezarr/more.json")
        location.remove(".eezarr/pages/0")
        location.remove_below(".eezarr/nothing")
    later = locate(output, read_only=True)
    assert later.get(".eezarr/more.json") is None
    assert later.keys(".eezarr/pages/") == (".eezarr/pages/2",)
    later = locate(output)
    with later.committing("least"):
        later.remove_below(".eezarr/pages")
    assert locate(output).keys(".eezarr/pages/") == ()


def test_many_pages_of_marks(bench, output):
    """4096 tiles a page: a page that comes first in no order finds its place."""
    plan = bench.plan(shape=(96, 96), tile=(1, 1), chunk=(1, 1), dtypes=("uint8",), compressor="none")
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    some = [9000, 3, 5000]
    for index in some:
        write(bench, sink, image, [index])
        sink.flush()
    missing = set(bench.sink(plan, output).missing())
    assert missing == set(range(plan.tile_count)) - set(some)


def test_looking_makes_nothing(bench, folder):
    output = f"icechunk+file://{folder}"
    assert recorded_tiling(output) is None
    with pytest.raises(StoreError, match="no store at"):
        open_store(output)
    with pytest.raises(InvalidInput, match="format 3"):
        bench.sink(bench.plan(zarr_format=2), output)
    with pytest.raises(InvalidInput, match="is unknown"):
        bench.sink(bench.plan(crs="EPSG:1"), output)
    assert not folder.exists()
    with pytest.raises(StoreError, match="no repository"):
        open_store(f"icechunk+{bench.memory()}")


def test_a_folder_with_other_things_is_refused(bench, folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(ForeignStore, match=r"thesis\.tex"):
            bench.sink(bench.plan(), f"icechunk+file://{folder}", overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_repository_of_others_is_refused_and_may_be_overwritten(bench, folder):
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder)))
    session = repository.writable_session("main")
    zarr.create_group(session.store).create_array("theirs", shape=(4,), dtype="u1")
    session.commit("theirs")
    output = f"icechunk+file://{folder}"
    with pytest.raises(ForeignStore, match="did not make"):
        bench.sink(bench.plan(), output)
    assert messages(folder)[0] == "theirs"
    with pytest.raises(ForeignStore):
        open_store(output)
    bench.sink(bench.plan(), output, overwrite=True)
    assert "theirs" not in locate(output).names()


def test_places_that_none_can_be_at(bench, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        bench.sink(bench.plan(), f"icechunk+file://{tmp_path}/file")
    with pytest.raises(InvalidInput, match="no place in it"):
        locate("icechunk+s3://bucket")
    with pytest.raises(InvalidInput, match="no place that eezarr"):
        locate("icechunk+ftp://host/out")
    with pytest.raises(InvalidInput) as caught:
        locate("icechunk+s3://key:hunter2@bucket/out")
    assert "hunter2" not in str(caught.value)


@pytest.fixture(scope="module")
def s3():
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_repository_on_s3(bench, s3, monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
    }.items():
        monkeypatch.setenv(name, value)
    for path, method in (("moto-api/reset", "POST"), ("pixels", "PUT")):
        urllib.request.urlopen(urllib.request.Request(f"{s3}/{path}", method=method)).close()
    output = "icechunk+s3://pixels/deep/out.ice"
    plan = bench.plan()
    image = bench.pixels(plan)
    first = bench.sink(plan, output)
    write(bench, first, image, [0, 2, 3])
    first.flush()
    write(bench, first, image, [4])
    assert open_store(output).stored_count == 3
    second = bench.sink(plan, output)
    missing = list(second.missing())
    assert missing == [1, *range(4, plan.tile_count)]
    write(bench, second, image, missing)
    assert second.finish(bench.now)
    with pytest.raises(StoreError, match="was taken over by process"):
        first.flush()
    assert open_store(output).is_complete
    assert list(open_store(output).verify()) == []
    with pytest.raises(StoreError):
        bench.sink(plan, output.replace("pixels", "nothing"))
    assert os.environ["AWS_ENDPOINT_URL"] == s3
