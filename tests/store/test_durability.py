"""A power cut at any instant: no mark outlives its pixels, and what was flushed is there."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from eezarr.errors import StoreError
from eezarr.store import disk, open_store
from powercuts import PowerCuts

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a descriptor is of"),
]

LAYOUTS = [
    {"kind": "bands"},
    {"kind": "stacked", "bands_per_tile": 2},
    {"kind": "bands", "sharded": True},
    {"kind": "bands", "zarr_format": 2},
]


@pytest.fixture(params=[True, False], ids=["syncfs", "fsync"])
def cuts(request, monkeypatch, tmp_path):
    return PowerCuts(monkeypatch, tmp_path / "s.zarr", has_syncfs=request.param)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("has_overviews", [False, True])
def test_no_mark_outlives_its_pixels(bench, tmp_path, cuts, layout, has_overviews):
    """The worst disk: marks are written back at once, pixels not before they are synced."""
    plan = bench.plan(shape=(700, 520), tile=(256, 128), **layout)
    image = bench.pixels(plan)
    sink = bench.sink(plan, cuts.root)
    if has_overviews:
        sink.begin_overviews({band.name: "nearest" for band in plan.bands})
    waiting = list(sink.missing())
    seen = []

    def write():
        if waiting:
            tile = plan.tile(waiting.pop())
            sink.write(tile, bench.cut(image, tile))

    def look():
        job = open_store(cuts.remains(tmp_path / "remains", keeps_own=True))
        assert list(job.verify()) == []
        seen.append(job.stored_count)

    # A tile that is stored while a sync runs waits for the next flush.
    cuts.while_syncing, cuts.after_mark = write, look
    while waiting:
        write()
        write()
        sink.flush()
    cuts.while_syncing = lambda: None
    sink.finish(bench.now, overviews={band.name: "nearest" for band in plan.bands} if has_overviews else None)
    assert seen[0] < seen[-1] == plan.tile_count
    whole = open_store(cuts.remains(tmp_path / "remains"))
    assert whole.is_complete
    assert list(whole.verify()) == []


def test_what_was_flushed_survives_and_the_same_job_goes_on(bench, tmp_path, cuts):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, cuts.root)
    for index in (0, 3):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    sink.flush()
    sink.write(plan.tile(1), bench.cut(image, plan.tile(1)))
    left = cuts.remains(tmp_path / "remains")
    resumed = bench.sink(plan, left)
    assert [index for index in range(plan.tile_count) if resumed.is_stored(index)] == [0, 3]
    bench.store_all(plan, left, image)
    assert list(open_store(left).verify()) == []


def test_a_store_that_says_ready_has_all_its_documents(bench, tmp_path, cuts):
    """After any sync of its creation: what the record calls ready can be opened, and else is laid out again."""
    plan = bench.plan(steps=2, step_starts=(0,))
    states = []

    def look():
        cuts.while_syncing = lambda: None
        left = cuts.remains(tmp_path / "remains", keeps_own=True)
        left.mkdir(exist_ok=True)
        states.append((left / ".eezarr/job.json").exists())
        bench.sink(plan, left)
        cuts.while_syncing = look

    cuts.while_syncing = look
    bench.sink(plan, cuts.root)
    cuts.while_syncing = lambda: None
    assert len(states) >= 2
    assert states[-1]
    assert open_store(cuts.remains(tmp_path / "remains")).stored_count == 0


def test_what_replaces_an_object_is_whole_before_it_has_its_name(tmp_path, monkeypatch):
    store = disk.DiskStore(tmp_path)
    store.write("a/b", b"old")
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("sync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("rename"), replace(*paths)))
    store.write("a/b", b"new", is_replacing=True)
    assert order == ["sync", "rename"]
    assert (tmp_path / "a/b").read_bytes() == b"new"


@pytest.mark.parametrize("has_syncfs", [True, False])
def test_what_could_not_be_made_durable_once_is_never_marked(bench, tmp_path, monkeypatch, has_syncfs):
    """The kernel reports a page that it lost once: the next sync succeeds, and the page is lost all the same."""
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, tmp_path / "s.zarr")
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    failing = iter([True])

    def lose(*_):
        if next(failing, False):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk, "_syncfs", lambda: lose if has_syncfs else None)
    if not has_syncfs:
        sink._location.store._note("B1/c/0/0")
        monkeypatch.setattr(os, "fsync", lose)
    for _ in range(2):
        with pytest.raises(StoreError, match="durable") as caught:
            sink.flush()
        assert not caught.value.is_transient
    assert caught.value.exit_code == 5
    assert open_store(tmp_path / "s.zarr").stored_count == 0


def test_the_system_can_sync_what_is_written(tmp_path):
    """The real call, on the real system."""
    store = disk.DiskStore(tmp_path)
    store.write("c/0/1", np.arange(10).data)
    store.settle()
    store.settle_each(["c/0/1"])
    assert np.frombuffer((tmp_path / "c/0/1").read_bytes(), np.int64).tolist() == list(range(10))
