"""Each reader finds CRS, transform, type, values, nodata and names: compared with what the grid says."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 -- the accessor
import xarray as xr
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from eezarr.store.location import locate

pytestmark = [
    # rioxarray and odc-geo multiply transforms with `*`, which affine 3 is about to deprecate
    pytest.mark.filterwarnings("ignore:Use `@` matmul instead of `\\*`:PendingDeprecationWarning"),
    # GDAL before 3.13 has no transform for a rotated grid
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform:rasterio.errors.NotGeoreferencedWarning"),
]

GDAL = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))
GRIDS = {
    "utm": ("EPSG:32610", Affine(10, 0, 499980, 0, -10, 4200000)),
    "degrees": ("EPSG:4326", Affine(0.001, 0, -122.6, 0, -0.001, 37.8)),
    "south-up": ("EPSG:32710", Affine(20, 0, 300000, 0, 20, 4000000)),
    "sinusoidal": (
        rasterio.crs.CRS.from_proj4("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m").to_wkt(),
        Affine(463.3127165279165, 0, -20015109.354, 0, -463.3127165279165, 10007554.677),
    ),
}


@pytest.fixture(params=[3, 2], ids=["format3", "format2"])
def zarr_format(request):
    return request.param


@pytest.fixture(params=list(GRIDS))
def place(request):
    return GRIDS[request.param]


@pytest.fixture
def stored(bench, tmp_path, place, zarr_format):
    """A store with three types in one array a band."""
    plan = bench.plan(
        dtypes=("uint16", "uint8", "float32"),
        names=["B4", "QA", "ndvi"],
        crs=place[0],
        transform=place[1],
        zarr_format=zarr_format,
    )
    image = bench.pixels(plan)
    image["ndvi"] = np.linspace(-1, 1, image.size, dtype="f4").reshape(image.shape)
    bench.store_all(plan, tmp_path / "s.zarr", image)
    return tmp_path / "s.zarr", plan, image


def has_odc_accessor():
    """odc-geo's xarray accessor imports dask, which is an extra."""
    if find_spec("dask") is None:
        return False
    import odc.geo.xr  # noqa: F401

    return True


def open_xarray(path):
    return xr.open_dataset(path, engine="zarr", decode_coords="all")


def test_xarray_has_bands_types_values_and_centres(stored):
    path, plan, image = stored
    with open_xarray(path) as dataset:
        assert set(dataset.data_vars) == {"B4", "QA", "ndvi"}
        assert set(dataset.coords) == {"x", "y", "spatial_ref"}
        for name, found in dataset.data_vars.items():
            assert found.dims == ("y", "x")
            assert found.dtype == image[name].dtype
            np.testing.assert_array_equal(found.values, image[name])
        a, _, c, _, e, f = plan.grid.transform[:6]
        np.testing.assert_array_equal(dataset.x, [c + (i + 0.5) * a for i in range(plan.grid.width)])
        np.testing.assert_array_equal(dataset.y, [f + (i + 0.5) * e for i in range(plan.grid.height)])
        assert dataset.attrs["Conventions"] == "CF-1.11"
        assert dataset.x.attrs["standard_name"] in {"projection_x_coordinate", "longitude"}
        assert dataset.y.attrs["standard_name"] in {"projection_y_coordinate", "latitude"}


def test_rioxarray_has_crs_transform_and_no_nodata(stored):
    path, plan, _ = stored
    with open_xarray(path) as dataset:
        for found in (dataset, dataset["B4"], dataset["ndvi"]):
            assert found.rio.crs == rasterio.crs.CRS.from_user_input(plan.grid.crs)
            assert found.rio.transform().almost_equals(plan.grid.transform, precision=1e-9)
        assert dataset["B4"].rio.nodata is None
        assert dataset["B4"].rio.encoded_nodata is None
        part = dataset["B4"].isel(x=slice(100, 200), y=slice(50, 60))
        a, _, c, _, e, f = plan.grid.transform[:6]
        moved = Affine(a, 0, c + 100 * a, 0, e, f + 50 * e)
        assert part.rio.transform(recalc=True).almost_equals(moved, precision=1e-6)


@pytest.mark.skipif(find_spec("dask") is None, reason="odc-geo's xarray accessor imports dask")
def test_odc_geo_has_the_geobox(stored):
    assert has_odc_accessor()
    path, plan, _ = stored
    with open_xarray(path) as dataset:
        expected = GeoBox((plan.grid.height, plan.grid.width), plan.grid.transform, plan.grid.crs)
        for found in (dataset.odc.geobox, dataset["QA"].odc.geobox):
            assert found.crs == expected.crs
            assert found.shape == expected.shape
            assert found.transform.almost_equals(expected.transform, precision=1e-9)


def test_gdal_has_crs_transform_type_and_values(stored, zarr_format):
    if zarr_format == 3 and GDAL < (3, 12):
        pytest.skip("GDAL reads format 3 from 3.12 on; rasterio's wheel for Python 3.11 has 3.10")
    path, plan, image = stored
    for name in ("B4", "QA", "ndvi"):
        with rasterio.open(f'ZARR:"{path}":/{name}') as raster:
            assert raster.crs == rasterio.crs.CRS.from_user_input(plan.grid.crs)
            assert raster.transform.almost_equals(plan.grid.transform, precision=1e-9)
            assert raster.dtypes == (image[name].dtype.name,)
            np.testing.assert_array_equal(raster.read(1), image[name])
            if zarr_format == 2:
                assert raster.nodata is None


def test_declared_fills_are_nodata_everywhere(bench, tmp_path, zarr_format):
    fills = {"B4": 0, "depth": -9999.0, "ndvi": math.nan}
    plan = bench.plan(
        dtypes=("uint16", "float32", "float64"), names=["B4", "depth", "ndvi"], zarr_format=zarr_format, fills=fills
    )
    # Zeros, where the service has put the fills in, and a mask where we do: NaN is no JSON.
    image = np.ones_like(bench.pixels(plan))
    for name, fill in {"p0_0": 0, "p0_1": -9999.0, "p0_2": 7, "m0_2": 0}.items():
        image[name][:10] = fill
    bench.store_all(plan, tmp_path / "s.zarr", image)
    with open_xarray(tmp_path / "s.zarr") as dataset:
        for name, fill in fills.items():
            assert dataset[name].isnull()[:10].all()
            assert not dataset[name].isnull()[10:].any()
            np.testing.assert_equal(float(dataset[name].rio.encoded_nodata), float(fill))
    if zarr_format == 3 and GDAL < (3, 12):
        return
    for name, fill in fills.items():
        with rasterio.open(f'ZARR:"{tmp_path / "s.zarr"}":/{name}') as raster:
            np.testing.assert_equal(raster.nodata, float(fill))


def test_stacked_is_a_multiband_raster(bench, tmp_path, zarr_format):
    names = ["B4", "B3", "B10"]
    plan = bench.plan(dtypes=("uint16",) * 3, names=names, kind="stacked", zarr_format=zarr_format)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    cube = np.stack([image[name] for name in names])
    with open_xarray(tmp_path / "s.zarr") as dataset:
        assert list(dataset.data_vars) == ["pixels"]
        assert list(dataset.band.values) == names
        assert dataset.pixels.dims == ("band", "y", "x")
        np.testing.assert_array_equal(dataset.pixels, cube)
        np.testing.assert_array_equal(dataset.pixels.sel(band="B10"), image["B10"])
        assert dataset.pixels.rio.crs.to_epsg() == 32610
        if has_odc_accessor():
            assert dataset.pixels.odc.geobox.transform == plan.grid.transform
    if zarr_format == 2 or GDAL >= (3, 12):
        with rasterio.open(f'ZARR:"{tmp_path / "s.zarr"}":/pixels') as raster:
            assert raster.crs.to_epsg() == 32610
            assert raster.transform == plan.grid.transform
            np.testing.assert_array_equal(raster.read(), cube)


def test_a_rotated_grid_has_a_transform_and_no_coordinates(bench, tmp_path):
    rotated = Affine.translation(500000, 4200000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    plan = bench.plan(transform=rotated)
    bench.store_all(plan, tmp_path / "s.zarr")
    with open_xarray(tmp_path / "s.zarr") as dataset:
        assert set(dataset.coords) == {"spatial_ref"}
        assert dataset["B1"].rio.crs.to_epsg() == 32610
        assert dataset["B1"].rio.transform().almost_equals(rotated, precision=1e-9)
    if GDAL >= (3, 12):
        with rasterio.open(f'ZARR:"{tmp_path / "s.zarr"}":/B1') as raster:
            assert raster.crs.to_epsg() == 32610
            if GDAL >= (3, 13):
                assert raster.transform.almost_equals(rotated, precision=1e-9)


def test_a_store_that_is_not_finished_opens_too(bench, tmp_path):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, tmp_path / "s.zarr")
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    with open_xarray(tmp_path / "s.zarr") as dataset:
        np.testing.assert_array_equal(dataset["B2"][:128, :128], image["B2"][:128, :128])
        assert dataset["B2"].rio.crs.to_epsg() == 32610
        assert json.loads(dataset.attrs["eezarr"])["complete"] is False


def test_provenance_says_what_when_and_whether_all(bench, output):
    plan = bench.plan()
    bench.store_all(plan, output)
    facts = json.loads(zarr.open_group(locate(output).store, mode="r").attrs["eezarr"])
    assert facts["image"] == {"asset": "an/asset"}
    assert facts["fingerprint"] == plan.fingerprint
    assert facts["complete"] is True
    assert facts["created"] == facts["completed"] == "2026-11-20T12:00:00+00:00"
    assert facts["plan"]["tiles"] == plan.tile_count
    assert facts["plan"]["bands"] == ["B1", "B2", "B3"]


def test_the_attributes_of_the_conventions_are_on_group_and_arrays(bench, output):
    plan = bench.plan(dtypes=("uint8",))
    bench.store_all(plan, output)
    group = zarr.open_group(locate(output).store, mode="r")
    for node in (group, group["B1"]):
        assert node.attrs["proj:code"] == "EPSG:32610"
        assert node.attrs["spatial:transform"] == [10, 0, 499980, 0, -10, 4200000]
        assert node.attrs["spatial:shape"] == [172, 282]
        assert node.attrs["spatial:bbox"] == [499980, 4198280, 502800, 4200000]
