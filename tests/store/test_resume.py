"""The same command finishes what a crash left, at whatever instant; another plan's store, or another's, is refused."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import zarr
from zarr.core.sync import sync
from zarr.storage import LocalStore

from eezarr.errors import ForeignStore, StoreError
from eezarr.grid import Shape2D
from eezarr.plan import Tiling
from eezarr.store import open_store, recorded_tiling
from eezarr.store.location import Location, locate
from eezarr.store.record import read_record


def store_half(bench, plan, output):
    image = bench.pixels(plan)
    sink = bench.sink(plan, output)
    for index in range(0, plan.tile_count, 2):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    sink.flush()
    return image


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_second_run_stores_only_what_is_missing(bench, output, kind, zarr_format):
    plan = bench.plan(kind=kind, zarr_format=zarr_format, bands_per_tile=2)
    image = store_half(bench, plan, output)
    sink = bench.sink(plan, output)
    assert list(sink.missing()) == list(range(1, plan.tile_count, 2))
    assert sink.stored_count == plan.tile_count - len(list(sink.missing()))
    assert sink.finish(bench.now) is False
    assert open_store(output).is_complete is False
    bench.store_all(plan, output, image)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    for tile in plan:
        for band, part in zip(tile.bands, bench.planes(job, tile), strict=True):
            assert part.tobytes() == image[band.name][tile.window.rows, tile.window.cols].tobytes()


def test_the_tiling_is_remembered(bench, output):
    assert recorded_tiling(output) is None
    plan = bench.plan(tile=(128, 192), bands_per_tile=2)
    store_half(bench, plan, output)
    assert recorded_tiling(output) == (plan.lineage, Tiling(tile_shape=Shape2D(128, 192), bands_per_tile=2))
    recut = bench.plan(tile=(64, 64), bands_per_tile=2)
    assert recut.fingerprint == plan.fingerprint
    with pytest.raises(ForeignStore, match="128 x 192") as caught:
        bench.sink(recut, output)
    assert "tile = [128, 192]" in caught.value.hint


def test_another_plan_is_refused_and_nothing_changes(bench, output):
    plan = bench.plan()
    image = bench.store_all(plan, output)
    with pytest.raises(ForeignStore, match="another plan") as caught:
        bench.sink(bench.plan(image_key="another"), output)
    assert caught.value.exit_code == 5
    assert "--overwrite" in caught.value.hint
    assert open_store(output).is_complete
    assert (open_store(output).read(plan.tile(0))[0] == image["B1"][:128, :128]).all()


def test_overwrite_starts_again(bench, output):
    bench.store_all(bench.plan(dtypes=("uint8",), names=["old"], zarr_format=2), output)
    plan = bench.plan()
    sink = bench.sink(plan, output, overwrite=True)
    assert sink.stored_count == 0
    assert "old" not in locate(output).names()
    assert ".zgroup" not in locate(output).names()
    image = bench.store_all(plan, output)
    assert (open_store(output).read(plan.tile(0))[1] == image["B2"][:128, :128]).all()
    assert bench.sink(plan, output, overwrite=True).stored_count == 0


def test_a_zarr_group_of_others_is_refused_and_may_be_overwritten(bench, output):
    group = zarr.create_group(locate(output).store)
    group.create_array("theirs", shape=(4,), dtype="u1")
    with pytest.raises(ForeignStore, match="did not make"):
        bench.sink(bench.plan(), output)
    with pytest.raises(ForeignStore):
        open_store(output)
    bench.sink(bench.plan(), output, overwrite=True)
    assert "theirs" not in locate(output).names()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_of_the_users_is_never_touched(bench, tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("light")
    with pytest.raises(ForeignStore):
        bench.sink(bench.plan(), tmp_path, overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["one.jpg", "photos", "thesis.tex"]


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_stranger_in_a_zarr_group_stops_the_overwrite(bench, tmp_path, is_ours):
    if is_ours:
        bench.store_all(bench.plan(), tmp_path)
    else:
        zarr.create_group(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ForeignStore, match=r"notes\.txt"):
        bench.sink(bench.plan(), tmp_path, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_directory_is_a_place(bench, tmp_path):
    bench.sink(bench.plan(), tmp_path)
    assert open_store(tmp_path).stored_count == 0


class Crash(BaseException):
    """What `kill -9` is to a process."""


class CrashingStore(LocalStore):
    """Dies at the n-th change, before it or in the middle of it."""

    remaining = 0

    async def set(self, key, value):
        self._count()
        await super().set(key, value)

    async def set_if_not_exists(self, key, value):
        self._count()
        await super().set_if_not_exists(key, value)

    async def delete(self, key):
        self._count()
        await super().delete(key)

    async def delete_dir(self, prefix):
        for path in sorted((self.root / prefix).rglob("*")) if (self.root / prefix).exists() else ():
            if path.is_file():
                self._count()
                path.unlink()
        await super().delete_dir(prefix)

    def _count(self):
        CrashingStore.remaining -= 1
        if CrashingStore.remaining < 0:
            raise Crash


async def over():
    """Wait for the changes that were under way when another one died: a dead process makes none later."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@pytest.fixture
def crashing(monkeypatch):
    """Make stores die after that many changes; returns whether the action ran through."""

    def run(changes, action):
        CrashingStore.remaining = changes
        with monkeypatch.context() as patch:
            patch.setattr(
                "eezarr.store.sink.locate",
                lambda output: Location(url=str(output), store=CrashingStore(output)),
            )
            try:
                action()
            except Crash:
                sync(over())
                return False
        return True

    return run


@pytest.mark.once
@pytest.mark.parametrize(("kind", "zarr_format"), [("bands", 2), ("stacked", 3)])
def test_a_crash_at_any_change_of_creation_is_repaired(bench, tmp_path, crashing, kind, zarr_format):
    plan = bench.plan(shape=(100, 100), tile=(64, 64), chunk=(64, 64), kind=kind, zarr_format=zarr_format)
    for changes in range(200):
        output = tmp_path / str(changes)
        is_done = crashing(changes, lambda output=output: bench.sink(plan, output))
        assert bench.sink(plan, output).stored_count == 0
        if changes % 5 == 0 or is_done:
            bench.store_all(plan, output)
            assert list(open_store(output).verify()) == []
            zarr.open_consolidated(LocalStore(output), zarr_format=zarr_format)
        if is_done:
            break
    assert 5 < changes < 199


@pytest.mark.once
def test_a_crash_at_any_change_of_overwriting_is_repaired_and_never_resumes_the_old(bench, tmp_path, crashing):
    old = bench.plan(shape=(100, 60), tile=(64, 64), chunk=(64, 64), dtypes=("uint8",) * 2, image_key="old")
    new = bench.plan(shape=(60, 60), tile=(64, 64), chunk=(64, 64), zarr_format=2, names=["C1"], dtypes=("int8",))
    for changes in range(200):
        output = tmp_path / str(changes)
        bench.store_all(old, output)
        is_done = crashing(changes, lambda output=output: bench.sink(new, output, overwrite=True))
        record = read_record(locate(output))
        if record.fingerprint == old.fingerprint:  # it died while it claimed the store
            assert changes < 4
            assert bench.sink(old, output).stored_count == old.tile_count
        elif changes % 2:
            assert bench.sink(new, output).stored_count == 0  # the same command, without --overwrite
        else:
            assert bench.sink(old, output, overwrite=True).stored_count == 0
        if is_done:
            break
    assert 10 < changes < 199


def test_a_crash_between_pixels_and_marks_costs_the_tile_only(bench, tmp_path):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, tmp_path)
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    sink.flush()
    sink.write(plan.tile(1), bench.cut(image, plan.tile(1)))
    assert list(bench.sink(plan, tmp_path).missing()) == list(range(1, plan.tile_count))


def test_a_damaged_record_is_refused_and_may_be_overwritten(bench, output):
    bench.store_all(bench.plan(), output)
    location = locate(output)
    body = location.get(".eezarr/job.json")
    newer = json.dumps({**json.loads(body), "version": 99}).encode()
    for damaged in (b"", body[:-40], b"[]", b'{"version": 1}', body.replace(b"uint16", b"uint99"), newer):
        location.put(".eezarr/job.json", damaged)
        for attempt in (
            lambda: bench.sink(bench.plan(), output),
            lambda: open_store(output),
            lambda: recorded_tiling(output),
        ):
            with pytest.raises(ForeignStore):
                attempt()
    assert bench.sink(bench.plan(), output, overwrite=True).stored_count == 0


def test_an_altered_or_lost_array_is_noticed(bench, output):
    plan = bench.plan()
    bench.store_all(plan, output)
    location = locate(output)
    zarr.create_array(location.store, name="B2", shape=(172, 282), chunks=(50, 50), dtype="u2", overwrite=True)
    location.remove("zarr.json")
    zarr.create_group(location.store)
    with pytest.raises(StoreError, match="B2"):
        bench.sink(plan, output, repair=False)
    location.remove_below("B2")
    with pytest.raises(StoreError, match="B2"):
        bench.sink(plan, output, repair=False)


def test_verify_names_exactly_the_altered_tiles(bench, tmp_path):
    plan = bench.plan(shape=(256, 256), tile=(64, 64), chunk=(64, 64))
    image = bench.store_all(plan, tmp_path)
    other = zarr.open_group(tmp_path, mode="r+")["B2"]
    other[70, 70] ^= 1  # a bit of tile 5
    (tmp_path / "B1" / "c" / "0" / "2").unlink()  # tile 2
    cut = tmp_path / "B3" / "c" / "3" / "3"  # tile 15
    cut.write_bytes(cut.read_bytes()[:-20])
    bad = [tile.index for tile in open_store(tmp_path).verify()]
    assert bad == [2, 5, 15]
    assert [tile.index for tile in open_store(tmp_path).verify([1, 5])] == [5]
    sink = bench.sink(plan, tmp_path)
    for index in bad:
        sink._marks.unmark(index)
    sink.flush()
    assert list(bench.sink(plan, tmp_path).missing()) == bad
    bench.store_all(plan, tmp_path, image)
    assert list(open_store(tmp_path).verify()) == []


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("max_side", [1, 7, 64, 100, 281, 282, 5000])
def test_an_overview_is_every_nth_pixel_and_says_what_is_stored(bench, output, kind, max_side):
    plan = bench.plan(kind=kind, bands_per_tile=2, sharded=True)
    image = store_half(bench, plan, output)
    found = open_store(output).read_overview(["B3", "B1"], max_side)
    step = -(-282 // max_side)
    assert found.stride == step
    rows = range(min(step // 2, 171 // 2), 172, step)
    cols = range(min(step // 2, 281 // 2), 282, step)
    assert found.pixels.shape == found.is_stored.shape == (2, len(rows), len(cols))
    assert max(found.pixels.shape) <= max(max_side, 2)
    for layer, name in enumerate(["B3", "B1"]):
        for i, row in enumerate(rows):
            for j, col in enumerate(cols[:40]):
                index = ((row // 128) * plan.cols + col // 128) * plan.band_groups + (1 if name == "B3" else 0)
                assert found.is_stored[layer, i, j] == (index % 2 == 0)
                expected = image[name][row, col] if index % 2 == 0 else 0
                assert found.pixels[layer, i, j] == expected


def test_stored_facts_are_the_plans(bench, output):
    plan = bench.plan(dtypes=("float32", "float32"), kind="stacked", compressor="zstd", crs="EPSG:4326")
    bench.store_all(plan, output)
    job = open_store(output)
    assert job.plan == plan
    assert job.fingerprint == plan.fingerprint
    assert job.image == {"asset": "an/asset"}
    assert job.created == bench.now
    assert list(job.stored()) == list(range(plan.tile_count))
    assert np.dtype(job.plan.bands[0].dtype) == np.float32
