"""One store of each kind, opened by xarray, rioxarray and GDAL: CRS, transform, nodata, times and values as stored.

And the traps that readers were measured to fall into: each has a test, so that an attribute that looks idle stays.
"""

from __future__ import annotations

import base64
import json
import math
import struct

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 -- the accessor
import xarray as xr
import zarr
from affine import Affine

from eezarr.plan import StoreLayout

pytestmark = [
    # rioxarray multiplies transforms with `*`, which affine 3 is about to deprecate
    pytest.mark.filterwarnings("ignore:Use `@` matmul instead of `\\*`:PendingDeprecationWarning"),
]

GDAL = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))
NAMES, STEPS, FILL = ("B1", "B2", "B3"), 3, 9
MASKS = {"fill": {"fills": dict.fromkeys(NAMES, FILL)}, "shared": {"masks": "shared"}, "each": {"masks": "each"},
         "none": {}}  # fmt: skip


@pytest.fixture(params=[3, 2], ids=["format3", "format2"])
def zarr_format(request):
    return request.param


@pytest.fixture(params=["bands", "stacked"])
def kind(request):
    return request.param


@pytest.fixture(params=[None, STEPS], ids=["image", "cube"])
def steps(request):
    return request.param


@pytest.fixture(params=list(MASKS))
def mask(request):
    return request.param


@pytest.fixture
def stored(bench, tmp_path, kind, steps, mask, zarr_format):
    """A store of its kind, with a tenth of its pixels at the fill and under a mask: the plan, and each plane of it."""
    plan = bench.plan(shape=(70, 90), kind=kind, zarr_format=zarr_format, steps=steps, **MASKS[mask])
    image = bench.pixels(plan)
    is_masked = np.arange(70 * 90).reshape(70, 90) % 10 == 0
    for name in image.dtype.names:
        image[name] = np.where(is_masked, 0 if name[0] == "m" else FILL, 1 if name[0] == "m" else image[name] | 16)
    bench.store_all(plan, tmp_path / "s.zarr", image)
    return tmp_path / "s.zarr", plan, image


def planes(plan, image):
    """What was stored: (time, band, y, x), and of the masks (time, y, x) or (time, band, y, x)."""
    times, is_plain = range(plan.step_count), plan.tile(0).selection.is_plain
    wire = (lambda _, band: NAMES[band]) if is_plain else (lambda step, band: f"p{step}_{band}")
    pixels = np.array([[image[wire(step, band)] for band in range(3)] for step in times])
    if plan.masking.mode != "band":
        return pixels, None
    if plan.masking.is_shared:
        return pixels, np.array([image[f"m{step}"] for step in times])
    return pixels, np.array([[image[f"m{step}_{band}"] for band in range(3)] for step in times])


def by_array(plan, image):
    """Each stored array's values, without a time axis where there is none."""
    pixels, masks = planes(plan, image)
    found = (
        {"pixels": pixels} if plan.layout.kind == "stacked" else {name: pixels[:, n] for n, name in enumerate(NAMES)}
    )
    if masks is not None:
        found["mask"] = masks
    return found if plan.steps is not None else {name: values[0] for name, values in found.items()}


def open_xarray(path, **options):
    return xr.open_dataset(path, engine="zarr", decode_coords="all", **options)


def test_xarray_and_rioxarray_find_everything(stored):
    path, plan, image = stored
    with open_xarray(path) as dataset, open_xarray(path, mask_and_scale=False) as raw:
        arrays = by_array(plan, image)
        assert set(dataset.data_vars) == set(arrays)
        for name, expected in arrays.items():
            found = dataset[name]
            leading = (("time",) if plan.steps else ()) + (("band",) if expected.ndim - bool(plan.steps) == 3 else ())
            assert found.dims == (*leading, "y", "x")
            np.testing.assert_array_equal(raw[name], expected)
            assert raw[name].dtype == expected.dtype
            assert found.rio.crs.to_epsg() == 32610
            assert found.rio.transform() == plan.grid.transform
            if plan.masking.mode == "fill":
                assert found.rio.encoded_nodata == FILL
                np.testing.assert_array_equal(found, np.where(expected == FILL, np.nan, expected))
            else:
                assert found.rio.nodata is None
                assert found.rio.encoded_nodata is None
                assert found.dtype == expected.dtype
        if any("band" in found.dims for found in dataset.values()):
            assert tuple(dataset.band.values) == NAMES
        if plan.steps is None:
            assert "time" not in dataset.coords
            return
        expected_times = [np.datetime64(step.time.replace(tzinfo=None), "ns") for step in plan.steps]
        np.testing.assert_array_equal(dataset.time.values.astype("datetime64[ns]"), expected_times)
        assert dataset.time.attrs["axis"] == "T"
        assert list(dataset.image_ids.values) == ["\n".join(step.images) for step in plan.steps]


def test_gdal_finds_everything(stored, zarr_format):
    if zarr_format == 3 and GDAL < (3, 12):
        pytest.skip("GDAL reads format 3 from 3.12 on; rasterio's wheel for Python 3.11 has 3.10")
    path, plan, image = stored
    for name, expected in by_array(plan, image).items():
        with rasterio.open(f'ZARR:"{path}":/{name}') as raster:
            assert raster.crs.to_epsg() == 32610
            assert raster.transform == plan.grid.transform
            assert set(raster.dtypes) == {expected.dtype.name}
            np.testing.assert_array_equal(raster.read(), expected.reshape(-1, 70, 90))  # time by time, band by band
            if plan.masking.mode == "fill":
                assert raster.nodata == FILL
            elif zarr_format == 2:
                assert raster.nodata is None
            if plan.steps is None:
                continue
            per_step = raster.count // STEPS
            for number in range(1, raster.count + 1):
                tags = raster.tags(number)
                expected_ms = plan.steps[(number - 1) // per_step].time.timestamp() * 1000
                assert (int(tags["DIM_time_VALUE"]), tags["DIM_time_UNIT"]) == (
                    expected_ms,
                    "milliseconds since 1970-01-01",
                )


# Traps


@pytest.mark.parametrize("masks", ["shared", "each"])
@pytest.mark.parametrize("steps_count", [None, 2])
def test_every_array_has_the_attributes_by_which_gdal_finds_a_crs(bench, tmp_path, kind, masks, steps_count):
    """With consolidated metadata GDAL 3.13 loses the CF grid mapping, and a group's attributes are not enough."""
    plan = bench.plan(shape=(70, 90), kind=kind, masks=masks, steps=steps_count)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    document = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text(encoding="utf-8"))
    consolidated = document["consolidated_metadata"]["metadata"]
    group = zarr.open_group(tmp_path / "s.zarr", mode="r", use_consolidated=False)
    for name in by_array(plan, image):
        for attributes in (dict(group[name].attrs), consolidated[name]["attributes"]):
            assert attributes["proj:code"] == "EPSG:32610"
            assert attributes["proj:wkt2"].startswith("PROJCRS[")
            assert attributes["spatial:transform"] == [10, 0, 499980, 0, -10, 4200000]
            assert (attributes["grid_mapping"], "spatial_ref" in attributes["coordinates"]) == ("spatial_ref", True)


@pytest.mark.skipif(GDAL < (3, 13), reason="what GDAL 3.13 changed")
def test_gdal_3_13_finds_the_crs_of_a_cube_though_metadata_is_consolidated(bench, tmp_path, kind):
    plan = bench.plan(shape=(70, 90), kind=kind, steps=2, masks="each")
    image = bench.store_all(plan, tmp_path / "s.zarr")
    for name in by_array(plan, image):
        with rasterio.open(f'ZARR:"{tmp_path / "s.zarr"}":/{name}') as raster:
            assert raster.crs.to_epsg() == 32610
            assert raster.transform == plan.grid.transform


@pytest.mark.parametrize("steps_count", [None, 2])
@pytest.mark.parametrize("fill", [math.nan, -9999.0, 0.1])
def test_a_float_fill_is_written_as_xarray_reads_it(bench, tmp_path, fill, steps_count, zarr_format):
    """As a JSON number it makes xarray refuse a store of format 3."""
    plan = bench.plan(
        shape=(70, 90), dtypes=("float32",), fills={"B1": fill}, steps=steps_count, zarr_format=zarr_format
    )
    image = np.zeros_like(bench.pixels(plan))
    for name in image.dtype.names:
        image[name] = 1
    image[image.dtype.names[0]][:10] = 0 if math.isnan(fill) else fill
    if math.isnan(fill):
        image["m0_0"][:10] = 0
    path = tmp_path / "s.zarr"
    bench.store_all(plan, path, image)
    with open_xarray(path) as dataset:
        first = dataset["B1"] if steps_count is None else dataset["B1"][0]
        np.testing.assert_equal(float(first.rio.encoded_nodata), float(np.float32(fill)))
        assert first.isnull()[:10].all()
        assert not first.isnull()[10:].any()
    array = zarr.open_group(path, mode="r", use_consolidated=False)["B1"]
    np.testing.assert_equal(float(array.fill_value), float(np.float32(fill)))
    if zarr_format == 2:
        return
    stated = array.attrs["_FillValue"]
    np.testing.assert_equal(struct.unpack("<d", base64.b64decode(stated))[0], float(np.float32(fill)))
    if math.isnan(fill):
        return
    document = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    document["consolidated_metadata"]["metadata"]["B1"]["attributes"]["_FillValue"] = fill
    (path / "zarr.json").write_text(json.dumps(document), encoding="utf-8")
    # Older xarrays assert it.
    with pytest.raises((TypeError, ValueError, AssertionError)), open_xarray(path):
        pass


def test_parts_of_a_cube_have_the_transform_of_their_own_pixels(bench, tmp_path, kind, zarr_format):
    """The GeoTransform and the conventions are of the whole; a part's is told by its coordinates."""
    plan = bench.plan(shape=(70, 90), kind=kind, steps=2, masks="each", zarr_format=zarr_format)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    with open_xarray(tmp_path / "s.zarr") as dataset:
        for name in by_array(plan, image):
            part = dataset[name].isel(time=1, x=slice(20, 60), y=slice(30, 70))
            assert part.rio.transform(recalc=True) == Affine(10, 0, 500_180, 0, -10, 4_199_700)
            coarse = dataset[name].isel(time=0, x=slice(None, None, 2), y=slice(None, None, 2))
            # Of every second pixel the centres stay: the first one's is 5 m inside, and a pixel is 20 m.
            assert coarse.rio.transform(recalc=True) == Affine(20, 0, 499_975, 0, -20, 4_200_005)
            assert part.rio.crs.to_epsg() == coarse.rio.crs.to_epsg() == 32610


def test_shards_are_asked_for_and_gdal_before_3_13_does_not_read_them(bench, tmp_path, kind):
    assert StoreLayout().is_sharded is False
    plan = bench.plan(shape=(70, 90), kind=kind, sharded=True, steps=2)
    image = bench.store_all(plan, tmp_path / "s.zarr")
    arrays = by_array(plan, image)
    with open_xarray(tmp_path / "s.zarr") as dataset:
        for name, expected in arrays.items():
            np.testing.assert_array_equal(dataset[name], expected)
    for name, expected in arrays.items():
        url = f'ZARR:"{tmp_path / "s.zarr"}":/{name}'
        if GDAL < (3, 13):
            with pytest.raises(rasterio.errors.RasterioIOError):
                rasterio.open(url).close()
            continue
        with rasterio.open(url) as raster:
            assert raster.crs.to_epsg() == 32610
            np.testing.assert_array_equal(raster.read(), expected.reshape(-1, 70, 90))


def test_undeclared_zeros_are_values_to_xarray(bench, tmp_path, zarr_format):
    """`_FillValue` without a declared fill would turn integers into floats, and zeros into holes."""
    plan = bench.plan(shape=(70, 90), steps=2, masks="shared", zarr_format=zarr_format)
    image = np.zeros_like(bench.pixels(plan))
    bench.store_all(plan, tmp_path / "s.zarr", image)
    with open_xarray(tmp_path / "s.zarr") as dataset:
        for name in (*NAMES, "mask"):
            assert dataset[name].dtype.kind == "u"
            assert not dataset[name].isnull().any()
            assert "_FillValue" not in dataset[name].encoding
