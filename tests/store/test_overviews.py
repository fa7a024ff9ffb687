"""Overviews: every level against an oracle of its own, and what is built again when."""

import dataclasses
import functools
import math
from itertools import count

import numpy as np
import pytest
import zarr

from eezarr.errors import StoreError
from eezarr.grid import Coverage
from eezarr.plan import Band
from eezarr.store import open_store, resampling_of
from eezarr.store.location import locate
from eezarr.store.stages import Halving
from store.pyramids import groups, methods, numbers, oracle, planned, require_exact, store_pyramid, watch

COARSE = {"chunk": (256, 256), "tile": (512, 512)}
"""A quarter of the chunks, which are what takes time, where nothing is counted: 3 x 2 tiles of the store."""

pytestmark = pytest.mark.once


@pytest.fixture(params=[True, False], ids=["as tiles land", "at the end"])
def store(request):
    """Fills a store; its overviews are built on the way, or all when it is complete."""
    return functools.partial(store_pyramid, is_landing=request.param)


@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize(
    ("kind", "dtypes"),
    [
        ("bands", ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")),
        ("stacked", ("int8", "int8")),
        ("stacked", ("uint32", "uint32")),
        ("stacked", ("float32", "float32")),
    ],
)
def test_every_level_is_made_of_the_one_below(bench, store, tmp_path, kind, dtypes, method):
    output = tmp_path / "s.zarr"
    plan = planned(bench, dtypes=dtypes, kind=kind, **COARSE)
    store(bench, plan, output, numbers(plan, bench), methods(plan, method))
    require_exact(plan, output, method)
    assert [group["pixels" if kind == "stacked" else "B1"].shape[-2:] for group in groups(output)] == [
        (1031, 777),
        (516, 389),
        (258, 195),
    ]


@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("float32", math.nan), ("float32", 0.5), ("float64", -9999.0), ("int16", 0), ("int8", 127)]
)
def test_declared_fills_do_not_count(bench, tmp_path, dtype, fill, method):
    output = tmp_path / "s.zarr"
    plan = planned(bench, dtypes=(dtype, dtype), fills={"B1": fill, "B2": fill}, **COARSE)
    image = numbers(plan, bench)
    generator = np.random.default_rng(1)
    for name in image.dtype.names:
        is_masked = generator.random(image.shape) < 0.4
        is_masked[200:420, 300:500] = True
        if name.startswith("m"):
            image[name] = ~is_masked
        elif not math.isnan(fill):
            image[name] %= 5
            image[name][is_masked] = fill
    store_pyramid(bench, plan, output, image, methods(plan, method), is_landing=True)
    require_exact(plan, output, method)
    level = groups(output)[1]["B1"][:]
    assert (np.isnan(level) if math.isnan(fill) else level == fill).any()


@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("masks", ["shared", "each"])
@pytest.mark.parametrize("bands_per_tile", [1, 3])
def test_masked_pixels_do_not_count(bench, store, tmp_path, masks, kind, bands_per_tile):
    plan = planned(bench, dtypes=("float32",) * 3, kind=kind, masks=masks, bands_per_tile=bands_per_tile, **COARSE)
    image = numbers(plan, bench)
    how = {"B1": "mean", "B2": "nearest", "B3": "mean"}
    image["p0_0"][400:500, 100:300] = image["p0_1"][400:500, 100:300] = np.nan
    store(bench, plan, tmp_path / "s.zarr", image, how)
    require_exact(plan, tmp_path / "s.zarr", how)
    level = groups(tmp_path / "s.zarr")[1]
    for number, name in enumerate(("B1", "B2")):
        plane = level[name][:] if kind == "bands" else level["pixels"][number]
        assert np.isnan(plane).any()
        assert (plane[60:140, 30:190] == 0).all()


def test_bands_have_methods_of_their_own(bench, tmp_path):
    for kind in ("bands", "stacked"):
        plan = planned(bench, dtypes=("uint8", "uint8"), kind=kind)
        path = tmp_path / kind
        store_pyramid(bench, plan, path, numbers(plan, bench), {"B1": "mean", "B2": "nearest"})
        base, level, _ = groups(path)
        for number, (name, method) in enumerate((("B1", "mean"), ("B2", "nearest"))):
            fine, coarse = (group[name][:] if kind == "bands" else group["pixels"][number] for group in (base, level))
            np.testing.assert_array_equal(coarse, oracle(fine, method))


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_a_cube_keeps_its_time_axis_and_grows(bench, store, tmp_path, kind, monkeypatch):
    output = tmp_path / "s.zarr"
    old = planned(bench, kind=kind, steps=3, step_starts=(0, 2), masks="shared", **COARSE)
    new = planned(bench, kind=kind, steps=5, step_starts=(0, 2, 3), masks="shared", **COARSE)
    image = numbers(new, bench)
    store(bench, old, output, image, methods(old, "mean"))
    require_exact(old, output, "mean")
    sink = bench.sink(new, output)
    assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
    del sink
    made = watch(monkeypatch)
    store(bench, new, output, image, None)
    require_exact(new, output, "mean")
    assert {tile.steps.start for tile in made} == {3}
    assert len(made) == (2 * 1) + (1 * 1)


def test_nothing_is_built_twice(bench, store, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    store(bench, plan, output, image, methods(plan, "mean"))
    made = watch(monkeypatch)
    for asked in (methods(plan, "mean"), None):
        store(bench, plan, output, image, asked)
    assert made == []
    require_exact(plan, output, "mean")
    store(bench, plan, output, image, methods(plan, "nearest"))
    assert len(made) == (3 * 2) + (2 * 1)
    require_exact(plan, output, "nearest")


@pytest.mark.parametrize("after", [0, 1, 5, 7])
def test_a_build_that_was_broken_off_goes_on(bench, output, monkeypatch, after):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    make, begun = Halving.make, count()

    def break_off(self, tile):
        if next(begun) >= after:
            raise StoreError("The disk is full.", hint="Free some space.")
        make(self, tile)

    with monkeypatch.context() as broken:
        broken.setattr(Halving, "make", break_off)
        with pytest.raises(StoreError, match="full"):
            store_pyramid(bench, plan, output, image, methods(plan, "mean"))
    assert open_store(output).is_complete
    assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
    again = watch(monkeypatch)
    store_pyramid(bench, plan, output, image, methods(plan, "mean"))
    # What was under way when the error came may have been stored and not marked.
    assert 8 - after <= len(again) <= min(8, 8 - after + 4)
    require_exact(plan, output, "mean")


def test_arrays_that_were_half_made_are_made_again(bench, store, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    with monkeypatch.context() as broken:
        broken.setattr("eezarr.store.pyramid.consolidate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store(bench, plan, output, image, methods(plan, "mean"))
    store(bench, plan, output, image, methods(plan, "mean"))
    require_exact(plan, output, "mean")


def test_what_is_above_a_tile_that_is_fetched_again_is_built_again(bench, store, output, monkeypatch):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    store(bench, plan, output, image, methods(plan, "mean"))
    sink = bench.sink(plan, output)
    sink._marks.unmark(10)
    sink.flush()
    made = watch(monkeypatch)
    image["B1"] ^= 0x5A
    sink = bench.sink(plan, output)
    assert "multiscales" not in zarr.open_group(locate(output).store, mode="r").attrs
    store(bench, plan, output, image, None)
    window = plan.tile(10).window
    assert [(tile.window.row, tile.window.col) for tile in made] == [
        (window.row // 512 * 256, window.col // 512 * 256),
        (window.row // 1024 * 256, window.col // 1024 * 256),
    ]
    require_exact(plan, output, "mean")


def test_a_mask_that_changed_changes_all_bands(bench, store, tmp_path):
    """The shared mask is stored with the first band, but says what counts of the second."""
    plan = planned(bench, dtypes=("uint8", "uint8"), masks="shared", bands_per_tile=1)
    image = numbers(plan, bench)
    store(bench, plan, tmp_path / "s.zarr", image, methods(plan, "mean"))
    sink = bench.sink(plan, tmp_path / "s.zarr")
    assert "shared mask" in {field.kind for field in plan.tile(0).fields}
    sink._marks.unmark(0)
    sink.flush()
    image["m0"] ^= 1
    sink = bench.sink(plan, tmp_path / "s.zarr")
    assert list(sink.missing()) == [0]
    store(bench, plan, tmp_path / "s.zarr", image, None)
    require_exact(plan, tmp_path / "s.zarr", "mean")


def test_levels_made_of_damaged_pixels_do_not_outlive_the_repair(bench, store, tmp_path):
    path = tmp_path / "s.zarr"
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    store(bench, plan, path, image, None)
    array = zarr.open_group(path, mode="r+")["B1"]
    array[64:128, 128:192] = 99
    store(bench, plan, path, image, methods(plan, "mean"))
    sink = bench.sink(plan, path)
    assert sink.unmark_altered() == 1
    store(bench, plan, path, image, None)
    np.testing.assert_array_equal(array[:], image["B1"])
    require_exact(plan, path, "mean")


def test_starting_again_begins_without_levels(bench, store, output):
    plan = planned(bench, dtypes=("uint8",))
    store(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    sink = bench.sink(plan, output, overwrite=True)
    assert sink.stored_count == 0
    bench.store_all(plan, output, numbers(plan, bench, seed=9))
    root = zarr.open_group(locate(output).store, mode="r")
    assert "multiscales" not in root.attrs
    assert list(root.groups()) == []
    store(bench, plan, output, numbers(plan, bench, seed=9), methods(plan, "mean"))
    require_exact(plan, output, "mean")


def test_a_store_that_is_not_complete_gets_none(bench, output):
    plan = planned(bench, dtypes=("uint8",))
    image = numbers(plan, bench)
    sink = bench.sink(plan, output)
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    assert not sink.finish(bench.now, overviews=methods(plan, "mean"))
    assert list(zarr.open_group(locate(output).store, mode="r").groups()) == []


def test_a_small_store_needs_none(bench, output):
    plan = bench.plan(shape=(512, 300), dtypes=("uint8",))
    store_pyramid(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    root = zarr.open_group(locate(output).store, mode="r")
    assert "multiscales" not in root.attrs
    assert list(root.groups()) == []


@pytest.mark.parametrize("shape", [(513, 1), (1, 1025), (1024, 3)])
def test_narrow_ones(bench, store, output, shape):
    plan = bench.plan(shape=shape, dtypes=("int16",))
    store(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    require_exact(plan, output, "mean", levels=math.ceil(math.log2(max(shape) / 512)))


def test_tiles_outside_of_a_polygon_are_not_made(bench, store, output, monkeypatch):
    plan = bench.plan(shape=(1100, 1300), dtypes=("float32",), crs="EPSG:32610")
    west, north = plan.grid.corner(0, 0)
    corner = {
        "type": "Polygon",
        "coordinates": [[[west, north], [west + 3000, north], [west, north - 3000], [west, north]]],
    }
    plan = dataclasses.replace(plan, coverage=Coverage.of(corner, "EPSG:32610", plan.grid))
    assert plan.wanted_count < plan.tile_count / 3
    made = watch(monkeypatch)
    store(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    require_exact(plan, output, "mean")
    assert all(tile.window.row < 300 and tile.window.col < 300 for tile in made)


BANDS = (Band("B4", "uint16"), Band("QA60", "uint16"), Band("ndvi", "float32"), Band("classes", "uint8"))


@pytest.mark.parametrize(
    ("wanted", "policies", "expected"),
    [
        (False, {}, None),
        ("mean", {"QA60": "SAMPLE"}, ["mean"] * 4),
        ("nearest", {}, ["nearest"] * 4),
        (True, {}, ["nearest", "nearest", "mean", "nearest"]),
        (True, {"B4": "MEAN", "QA60": "SAMPLE", "ndvi": "MODE"}, ["mean", "nearest", "nearest", "nearest"]),
    ],
)
def test_how_a_bands_levels_are_made(wanted, policies, expected):
    found = resampling_of(wanted, BANDS, policies)
    assert found == (expected and dict(zip(("B4", "QA60", "ndvi", "classes"), expected, strict=True)))
