"""What readers see of overviews: how they are laid out, and what xarray, GDAL and the conventions say of each level."""

import json
import math

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers `.rio`
import xarray as xr
import zarr
from affine import Affine

from eezarr.store.location import locate
from store.pyramids import groups, methods, numbers, planned, require_exact, store_pyramid

GDAL = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul instead of `\\*`:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform:rasterio.errors.NotGeoreferencedWarning"),
]


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


def test_an_attribute_describes_the_levels(bench, output):
    plan = planned(bench, kind="stacked", steps=1)
    store_pyramid(bench, plan, output, numbers(plan, bench), methods(plan, "mean"))
    root = zarr.open_group(locate(output).store, mode="r")
    scales = json.loads(root.attrs["multiscales"])
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
