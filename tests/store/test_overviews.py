"""Overviews: every level against an oracle of its own, what readers see of it, and what is built again when."""

import dataclasses
import functools
import math
from itertools import count

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers `.rio`
import xarray as xr
import zarr
from affine import Affine

from eezarr.errors import StoreError
from eezarr.grid import Coverage
from eezarr.plan import Band
from eezarr.store import open_store, resampling_of
from eezarr.store.location import locate
from eezarr.store.stages import Halving
from store.pyramids import groups, methods, numbers, oracle, planned, require_exact, store_pyramid, watch

COARSE = {"chunk": (256, 256), "tile": (512, 512)}
"""A quarter of the chunks, which are what takes time, where nothing is counted: 3 x 2 tiles of the store."""
GDAL = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul instead of `\\*`:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform:rasterio.errors.NotGeoreferencedWarning"),
]


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
def test_every_level_is_made_of_the_one_below(bench, store, output, kind, dtypes, method):
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
    plan = planned(bench, dtypes=(dtype, dtype), fills={"B1": fill, "B2": fill})
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


@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("masks", ["shared", "each"])
@pytest.mark.parametrize("bands_per_tile", [1, 3])
def test_masked_pixels_do_not_count(bench, store, tmp_path, masks, kind, method, bands_per_tile):
    plan = planned(bench, dtypes=("float32",) * 3, kind=kind, masks=masks, bands_per_tile=bands_per_tile, **COARSE)
    image = numbers(plan, bench)
    image["p0_1"][400:500, 100:300] = np.nan
    store(bench, plan, tmp_path / "s.zarr", image, methods(plan, method))
    require_exact(plan, tmp_path / "s.zarr", method)
    level = groups(tmp_path / "s.zarr")[1]
    second = level["B2"][:] if kind == "bands" else level["pixels"][1]
    assert np.isnan(second).any()
    assert (second[60:140, 30:190] == 0).all()


def test_bands_have_methods_of_their_own(bench, tmp_path):
    for kind in ("bands", "stacked"):
        plan = planned(bench, dtypes=("uint8", "uint8"), kind=kind)
        path = tmp_path / kind
        store_pyramid(bench, plan, path, numbers(plan, bench), {"B1": "mean", "B2": "nearest"})
        base, level, _ = groups(path)
        for number, (name, method) in enumerate((("B1", "mean"), ("B2", "nearest"))):
            fine, coarse = (group[name][:] if kind == "bands" else group["pixels"][number] for group in (base, level))
            np.testing.assert_array_equal(coarse, oracle(fine, method))


@pytest.mark.parametrize("chunk", [(128, 128), (100, 136), (1024, 1024)])
@pytest.mark.parametrize("layout", ["chunks", "shards", "format 2"])
def test_levels_are_laid_out_as_the_store(bench, tmp_path, layout, chunk):
    output = tmp_path / "s.zarr"
    plan = bench.plan(
        shape=(1031, 777),
        chunk=chunk,
        tile=(2 * chunk[0], 3 * chunk[1]),
        dtypes=("uint16", "float32"),
        sharded=layout == "shards",
        zarr_format=2 if layout == "format 2" else 3,
        fills={"B1": 7, "B2": -1.5},
    )
    store_pyramid(bench, plan, output, numbers(plan, bench), methods(plan, "mean"), is_landing=True)
    require_exact(plan, output, "mean")
    base, *levels = groups(output)
    for name in ("B1", "B2"):
        for level in levels:
            assert level[name].chunks == tuple(map(min, base[name].chunks, level[name].shape))
            assert (level[name].shards is None) == (layout != "shards")
            assert level[name].fill_value == base[name].fill_value
            assert level[name].compressors == base[name].compressors


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_a_cube_keeps_its_time_axis_and_grows(bench, store, tmp_path, kind, monkeypatch):
    output = tmp_path / "s.zarr"
    old = planned(bench, kind=kind, steps=3, step_starts=(0, 2), masks="shared", tile=(512, 512))
    new = planned(bench, kind=kind, steps=5, step_starts=(0, 2, 3), masks="shared", tile=(512, 512))
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


@pytest.mark.parametrize("zarr_format", [3, 2])
@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_xarray_opens_each_level(bench, tmp_path, kind, zarr_format):
    plan = planned(bench, dtypes=("uint16",) * 2, kind=kind, steps=2, zarr_format=zarr_format)
    path = tmp_path / "s.zarr"
    store_pyramid(bench, plan, path, numbers(plan, bench), methods(plan, "mean"))
    for factor, group in ((1, None), (2, "ovr_2x"), (4, "ovr_4x")):
        with xr.open_dataset(path, engine="zarr", group=group, decode_coords="all") as dataset:
            assert dataset.sizes["time"] == 2
            height, width = dataset.sizes["y"], dataset.sizes["x"]
            assert (height, width) == (math.ceil(1031 / factor), math.ceil(777 / factor))
            side = 10 * factor
            np.testing.assert_array_equal(dataset.x, 499980 + (np.arange(width) + 0.5) * side)
            np.testing.assert_array_equal(dataset.y, 4200000 - (np.arange(height) + 0.5) * side)
            found = dataset["B2"] if kind == "bands" else dataset["pixels"].sel(band="B2")
            assert found.dtype == np.uint16
            assert dataset.rio.crs.to_epsg() == 32610
            assert found.rio.transform() == Affine(side, 0, 499980, 0, -side, 4200000)


@pytest.mark.parametrize("zarr_format", [3, 2])
def test_gdal_opens_each_level(bench, tmp_path, zarr_format):
    if zarr_format == 3 and GDAL < (3, 12):
        pytest.skip("GDAL reads format 3 from 3.12 on; rasterio's wheel for Python 3.11 has 3.10")
    plan = planned(bench, dtypes=("uint16", "float32"), zarr_format=zarr_format, fills={"B1": 7, "B2": -1.5})
    path = tmp_path / "s.zarr"
    store_pyramid(bench, plan, path, numbers(plan, bench), methods(plan, "mean"))
    for factor, group in zip((1, 2, 4), groups(path), strict=True):
        for name in ("B1", "B2"):
            place = name if factor == 1 else f"ovr_{factor}x/{name}"
            with rasterio.open(f'ZARR:"{path}":/{place}') as raster:
                assert raster.crs.to_epsg() == 32610
                assert raster.transform == Affine(10 * factor, 0, 499980, 0, -10 * factor, 4200000)
                assert raster.nodata == plan.masking.fills[int(name[1]) - 1]
                np.testing.assert_array_equal(raster.read(1), group[name][:])


def test_the_convention_describes_the_levels(bench, output):
    plan = planned(bench, kind="stacked", steps=1)
    store_pyramid(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    root = zarr.open_group(locate(output).store, mode="r")
    (convention,) = [one for one in root.attrs["zarr_conventions"] if one["name"] == "multiscales"]
    assert convention["uuid"] == "d35379db-88df-4056-af3a-620245f8e347"
    assert {one["name"] for one in root.attrs["zarr_conventions"]} == {"proj:", "spatial:", "multiscales"}
    scales = root.attrs["multiscales"]
    assert scales["resampling_method"] == "average"
    assert [entry["asset"] for entry in scales["layout"]] == ["ovr_2x", "ovr_4x"]
    assert [entry["spatial:shape"] for entry in scales["layout"]] == [[516, 389], [258, 195]]
    for entry, factor in zip(scales["layout"], (2, 4), strict=True):
        assert entry["spatial:transform"] == [10 * factor, 0, 499980, 0, -10 * factor, 4200000]
        assert entry["transform"] == {"scale": [1, 1, factor, factor], "translation": [0, 0, 0, 0]}
        node = root[entry["asset"]]
        assert node.attrs["spatial:shape"] == entry["spatial:shape"]
        assert node.attrs["spatial:transform"] == entry["spatial:transform"]
    consolidated = root.metadata.consolidated_metadata.flattened_metadata
    assert {"ovr_2x/pixels", "ovr_2x/x", "ovr_4x/time", "ovr_4x/spatial_ref"} <= set(consolidated)


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
