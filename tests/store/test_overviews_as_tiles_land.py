"""Overviews while the store is filled: which tiles are made when, by whom, and what a run that ends midway leaves."""

import dataclasses
import itertools
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from eezarr.errors import StoreError
from eezarr.grid import Coverage
from eezarr.store import open_store
from eezarr.store.location import locate
from eezarr.store.pyramid import Pyramid
from eezarr.store.stages import Halving
from store.pyramids import methods, numbers, planned, require_exact, watch

pytestmark = pytest.mark.once

LEVELS = {516: 2, 258: 4}
"""Height of a level, and the store's rows for one of its: of `planned`."""

PLANS = {
    "one request a place": {"dtypes": ("uint8", "int16")},
    "a request a band": {"dtypes": ("uint8", "int16", "float32"), "bands_per_tile": 1},
    "one mask for bands of several requests": {"dtypes": ("uint8",) * 3, "bands_per_tile": 1, "masks": "shared"},
    "a mask a band": {"dtypes": ("uint8",) * 3, "bands_per_tile": 2, "masks": "each", "kind": "stacked"},
    "time": {"dtypes": ("uint8",), "steps": 3, "step_starts": (0, 2)},
    "shards, time and a mask": {"dtypes": ("uint8",), "steps": 2, "step_starts": (0, 1), "masks": "shared",
                                "sharded": True},
}  # fmt: skip


def is_source(tile, made):
    """Whether any pixel or mask of a level's tile is made of a tile of the store."""
    factor = LEVELS[made.region.height]
    spans = ((tile.window.row, tile.window.height, made.window.row, made.window.height),
             (tile.window.col, tile.window.width, made.window.col, made.window.width))  # fmt: skip
    is_shared = tile.selection.masking.mode == "band" and tile.selection.masking.is_shared
    return (
        all(first < (start + size) * factor and start * factor < first + side for first, side, start, size in spans)
        and tile.steps == made.steps
        and (tile.first_band == made.first_band or (is_shared and tile.first_band == 0))
    )


def name(tile):
    return tile.region.height, tile.index


def write(bench, sink, image, index):
    tile = sink.plan.tile(index)
    sink.write(tile, bench.cut(image, tile))


def begun(bench, plan, output, method="mean"):
    sink = bench.sink(plan, output)
    sink.begin_overviews(methods(plan, method))
    return sink


def all_made(bench, plan, tmp_path, monkeypatch):
    """Every tile that the levels of a plan have, as they are made at the end."""
    with monkeypatch.context() as patch:
        made = watch(patch)
        bench.store_all(plan, tmp_path / "all")
        assert bench.sink(plan, tmp_path / "all").finish(bench.now, overviews=methods(plan, "mean"))
    return made


@pytest.mark.parametrize("kind", PLANS)
def test_a_tile_is_made_when_the_last_of_its_sources_lands(bench, tmp_path, monkeypatch, kind):
    plan = planned(bench, **PLANS[kind])
    every = all_made(bench, plan, tmp_path, monkeypatch)
    assert len(every) == (3 * 2 + 2 * 1) * plan.band_groups * len(plan.step_starts)
    image = numbers(plan, bench)
    order = random.Random(len(kind)).sample(range(plan.tile_count), plan.tile_count)  # noqa: S311
    sink = begun(bench, plan, tmp_path / "s.zarr")
    made = watch(monkeypatch)
    landed = []
    for index in order:
        write(bench, sink, image, index)
        landed.append(index)
        there = {
            name(level)
            for level in every
            if all(tile.index in landed for tile in plan if is_source(tile, level))
        }  # fmt: skip
        assert {name(tile) for tile in made} == there
    assert len(made) == len(every)
    assert "multiscales" not in zarr.open_group(tmp_path / "s.zarr", mode="r").attrs
    assert sink.finish(bench.now, overviews=methods(plan, "mean"))
    assert len(made) == len(every)
    require_exact(plan, tmp_path / "s.zarr", "mean")


def test_what_lies_outside_of_a_polygon_is_not_waited_for(bench, output, monkeypatch):
    plan = bench.plan(shape=(1100, 1300), dtypes=("float32",), crs="EPSG:32610")
    west, north = plan.grid.corner(0, 0)
    ring = [[west, north], [west + 9000, north - 3000], [west + 4000, north - 10000], [west, north]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    plan = dataclasses.replace(plan, coverage=Coverage.of(shape, "EPSG:32610", plan.grid))
    image = numbers(plan, bench)
    sink = begun(bench, plan, output)
    made = watch(monkeypatch)
    order = random.Random(5).sample(wanted := [tile.index for tile in plan], plan.wanted_count)  # noqa: S311
    assert plan.wanted_count < plan.tile_count * 0.6
    whole = [made_at(bench, sink, image, index, made) for index in order]
    assert sum(count > 0 for count in whole[:-1]) > 5
    expected = {
        (factor, row // factor, col // factor)
        for factor in (2, 4)
        for row, col in (divmod(index, plan.cols) for index in wanted)
    }
    found = [(round(1100 / tile.region.height), tile.window.row // 128, tile.window.col // 128) for tile in made]
    assert sorted(found) == sorted(expected)
    assert sink.finish(bench.now)
    assert len(made) == len(expected)
    require_exact(plan, output, "mean")


def made_at(bench, sink, image, index, made):
    """How many tiles of levels a tile's landing makes."""
    before = len(made)
    write(bench, sink, image, index)
    return len(made) - before


@pytest.mark.parametrize("kind", ["one request a place", "one mask for bands of several requests"])
def test_threads_make_each_tile_once(bench, output, monkeypatch, kind):
    plan = planned(bench, tile=(128, 128), **PLANS[kind])
    image = numbers(plan, bench)
    sink = begun(bench, plan, output)
    made = watch(monkeypatch)
    order = random.Random(7).sample(range(plan.tile_count), plan.tile_count)  # noqa: S311
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda index: write(bench, sink, image, index), order))
    finally:
        sys.setswitchinterval(interval)
    assert len(made) == len({name(tile) for tile in made}) == (5 * 4 + 3 * 2) * plan.band_groups
    assert sink.finish(bench.now)
    assert len(made) == (5 * 4 + 3 * 2) * plan.band_groups
    require_exact(plan, output, "mean")


def test_two_tiles_of_a_level_are_made_at_the_same_time(bench, output, monkeypatch):
    """The first is not done before the second is: one that kept the other out would wait for ever."""
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = begun(bench, plan, output)
    made, is_begun, is_other_made = Halving.make, threading.Event(), threading.Event()

    def make(self, tile):
        if name(tile) == (516, 0):
            is_begun.set()
            assert is_other_made.wait(30)
        made(self, tile)
        is_other_made.set()

    monkeypatch.setattr(Halving, "make", make)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: [write(bench, sink, image, index) for index in (0, 1, 4, 5)])
        assert is_begun.wait(30)
        for index in (2, 3, 6, 7):
            write(bench, sink, image, index)
        first.result()
    for index in range(8, plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    require_exact(plan, output, "mean")


class Killed(BaseException):
    """The end of a process: nothing after it is done."""


@pytest.mark.parametrize("after", [0, 3, 11, 19])
@pytest.mark.parametrize("when", ["before the flush", "between the store's marks and the levels'", "after the flush"])
def test_a_run_that_is_killed_is_gone_on_with(bench, output, monkeypatch, when, after):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    order = random.Random(2).sample(range(plan.tile_count), plan.tile_count)  # noqa: S311
    sink = begun(bench, plan, output)
    with monkeypatch.context() as patch:
        made = watch(patch)
        for index in order[: after + 1]:
            write(bench, sink, image, index)
        if when != "before the flush":
            if when != "after the flush":
                patch.setattr(Pyramid, "flush", lambda _: (_ for _ in ()).throw(Killed))
                with pytest.raises(Killed):
                    sink.flush()
            else:
                sink.flush()
    lost = [] if when == "after the flush" else made
    assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
    again = watch(monkeypatch)
    sink = begun(bench, plan, output)
    missing = list(sink.missing())
    assert len(missing) == plan.tile_count - (0 if when == "before the flush" else after + 1)
    for index in missing:
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    assert len(again) == 8 - len(made) + len(lost)
    require_exact(plan, output, "mean")


def test_a_stale_tile_loses_its_mark_before_its_pixels(bench, output, monkeypatch):
    """Its mark must be gone before its pixels: the tile below may come back as it was, with the very same signature."""
    plan = planned(bench, dtypes=("uint8",))
    image, other = numbers(plan, bench), numbers(plan, bench, seed=8)
    sink = begun(bench, plan, output)
    for index in range(plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    sink = bench.sink(plan, output)
    sink._marks.unmark(10)
    sink.flush()
    sink = begun(bench, plan, output)

    def half(self, tile):
        window = tile.window
        self.level.arrays[0][window.row : window.row + window.height, window.col : window.col + window.width] = 77
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Halving, "make", half)
        with pytest.raises(Killed):
            write(bench, sink, other, 10)
    sink = begun(bench, plan, output)
    assert list(sink.missing()) == [10]
    write(bench, sink, image, 10)
    assert sink.finish(bench.now)
    require_exact(plan, output, "mean")


def test_an_overview_that_cannot_be_stored_costs_no_tile(bench, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = begun(bench, plan, output)
    for index in (0, 1, 4):
        write(bench, sink, image, index)
    with monkeypatch.context() as broken:
        broken.setattr(Halving, "make", lambda *_: (_ for _ in ()).throw(StoreError("Full.", hint="Free some space.")))
        with pytest.raises(StoreError, match="Full"):
            write(bench, sink, image, 5)
    assert sink.is_stored(5)
    sink.flush()
    assert open_store(output).stored_count == 4
    made = watch(monkeypatch)
    write(bench, sink, image, 5)
    assert [name(tile) for tile in made] == [(516, 0)]
    sink.flush()
    sink = begun(bench, plan, output)
    assert set(sink.missing()) == set(range(plan.tile_count)) - {0, 1, 4, 5}
    for index in sink.missing():
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    assert len(made) == 8
    require_exact(plan, output, "mean")


def test_a_repair_builds_what_is_above_as_it_lands(bench, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = begun(bench, plan, path)
    for index in range(plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    zarr.open_group(path, mode="r+")["B1"][300:310, 300:310] = 99
    sink = bench.sink(plan, path)
    assert "multiscales" in zarr.open_group(path, mode="r").attrs
    assert sink.unmark_altered() == 1
    sink.begin_overviews(None)
    assert "multiscales" not in zarr.open_group(path, mode="r").attrs
    (index,) = sink.missing()
    made = watch(monkeypatch)
    write(bench, sink, image, index)
    assert len(made) == 1
    sink.flush()
    assert "multiscales" not in zarr.open_group(path, mode="r").attrs
    assert sink.finish(bench.now)
    assert len(made) == 8
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["B1"][:], image["B1"])
    require_exact(plan, path, "mean")


def test_a_repair_in_the_middle_takes_all_levels_back(bench, tmp_path):
    """What was built of altered pixels has the signature of those that were stored."""
    path = tmp_path / "s.zarr"
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = bench.sink(plan, path)
    write(bench, sink, image, 0)
    zarr.open_group(path, mode="r+")["B1"][128:256, 0:128] = 99
    sink.begin_overviews(methods(plan, "mean"))
    for index in range(1, plan.tile_count):
        write(bench, sink, image, index)
    assert sink.unmark_altered() == 1
    write(bench, sink, image, 0)
    assert sink.finish(bench.now, overviews=methods(plan, "mean"))
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["B1"][:], image["B1"])
    require_exact(plan, path, "mean")


def test_levels_of_another_method_are_no_sources(bench, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = begun(bench, plan, output, "nearest")
    for index in range(19):
        write(bench, sink, image, index)
    sink.flush()
    sink = begun(bench, plan, output, "mean")
    made = watch(monkeypatch)
    write(bench, sink, image, 19)
    assert [tile.region.height for tile in made] == [516]
    assert sink.finish(bench.now, overviews=methods(plan, "mean"))
    assert len(made) == 8
    require_exact(plan, output, "mean")


def test_a_cube_that_grows_builds_the_new_steps_as_they_land(bench, output, monkeypatch):
    old = planned(bench, dtypes=("uint8",), steps=2, step_starts=(0,))
    new = planned(bench, dtypes=("uint8",), steps=3, step_starts=(0, 2))
    image = numbers(new, bench)
    sink = begun(bench, old, output)
    for index in range(old.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    sink = bench.sink(new, output)
    sink.begin_overviews(None)
    made = watch(monkeypatch)
    for index in list(sink.missing()):
        write(bench, sink, image, index)
    assert len(made) == 8
    assert {tile.steps.start for tile in made} == {2}
    assert sink.finish(bench.now)
    assert len(made) == 8
    require_exact(new, output, "mean")


def test_a_method_that_is_asked_for_at_the_end_is_what_counts(bench, output):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = begun(bench, plan, output, "nearest")
    for index in range(plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now, overviews=methods(plan, "mean"))
    require_exact(plan, output, "mean")


def test_readers_are_told_of_no_levels_while_they_may_change(bench, output):
    plan = planned(bench, dtypes=("uint8",))
    image, other = numbers(plan, bench), numbers(plan, bench, seed=8)
    for pixels in (image, other):
        sink = begun(bench, plan, output)
        assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
        for index in range(plan.tile_count):
            write(bench, sink, pixels, index)
        assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
        assert sink.finish(bench.now)
        require_exact(plan, output, "mean")


def test_what_is_found_stale_at_the_end_is_not_told_of(bench, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image, other = numbers(plan, bench), numbers(plan, bench, seed=8)
    sink = begun(bench, plan, output)
    for index in range(plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    write(bench, sink, other, 10)
    with monkeypatch.context() as broken:
        broken.setattr(Halving, "make", lambda *_: (_ for _ in ()).throw(StoreError("Full.", hint="Free some space.")))
        with pytest.raises(StoreError, match="Full"):
            sink.finish(bench.now)
    assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
    assert sink.finish(bench.now)
    require_exact(plan, output, "mean")


def test_none_wanted_none_made(bench, output):
    plan = planned(bench, dtypes=("uint8",))
    sink = bench.sink(plan, output)
    sink.begin_overviews(None)
    image = numbers(plan, bench)
    for index in range(plan.tile_count):
        write(bench, sink, image, index)
    assert sink.finish(bench.now)
    assert list(zarr.open_group(locate(output).store, mode="r").groups()) == []


def test_commits_hold_tiles_of_levels_whole_or_not_at_all(bench, tmp_path):
    """Threads store tiles and build levels while commits follow each other; each state's levels are what is below."""
    icechunk = pytest.importorskip("icechunk", reason="Icechunk is not installed: pip install icechunk")
    plan = planned(bench, dtypes=("uint8",), tile=(128, 128))
    image = numbers(plan, bench)
    image["B1"] &= 127  # no pixel of the image is what an empty chunk reads as
    output = f"icechunk+file://{tmp_path}/out.ice"
    sink = begun(bench, plan, output, "nearest")
    landed = threading.Semaphore(0)

    def land(index):
        write(bench, sink, image, index)
        landed.release()

    def commit():
        for _ in range(plan.tile_count // 7):
            assert all(landed.acquire(timeout=60) for _ in range(7))
            sink.flush()

    with ThreadPoolExecutor(4) as pool:
        committing = pool.submit(commit)
        list(pool.map(land, range(plan.tile_count)))
        committing.result()
    assert sink.finish(bench.now)
    require_exact(plan, output, "nearest")
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "out.ice")))
    seen, told = set(), []
    for state in repository.ancestry(branch="main"):
        if state.parent_id is None or state.message == "open the store":
            continue
        group = zarr.open_group(repository.readonly_session(snapshot_id=state.id).store, mode="r")
        told.append("multiscales" in group.attrs)
        base, level = group["B1"][:], group["ovr_2x/B1"][:]
        tiles = list(itertools.product(range(0, 516, 128), range(0, 389, 128)))
        made = [(row, col) for row, col in tiles if (level[row : row + 128, col : col + 128] != 255).any()]
        for row, col in made:
            part = level[row : row + 128, col : col + 128]
            below = base[2 * row :, 2 * col :][: 2 * part.shape[0] : 2, : 2 * part.shape[1] : 2]
            np.testing.assert_array_equal(part, below)
        seen.add(len(made))
    assert told == [True] + [False] * (len(told) - 1)
    assert max(seen) == 20
    assert len(seen) > 2
