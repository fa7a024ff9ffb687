"""What plain readers copy: attributes that NetCDF and GeoTIFF hold, and no valid pixel for nodata."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 -- the accessor
import xarray as xr
import zarr

from eezarr.store import open_store
from eezarr.store.location import locate
from known import netcdf_of_texts

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings(
        "ignore:Object at .eezarr:UserWarning", "ignore:Consolidated metadata:UserWarning", "ignore:Use `@`"
    ),
]

GDAL = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))

LAYOUTS = {
    "bands": {},
    "stacked": {"kind": "stacked"},
    "masked": {"masks": "each"},
    "filled": {"fills": {"B1": 7, "B2": 7, "B3": 7}},
    "cube": {"steps": 2},
    "stacked cube": {"kind": "stacked", "steps": 2},
    "format 2": {"zarr_format": 2},
    "stacked cube of format 2": {"kind": "stacked", "steps": 2, "zarr_format": 2},
    "floats": {"dtypes": ("float32", "float64", "int16")},
    "NaN": {"dtypes": ("float32",), "fills": {"B1": float("nan")}},
}


def stored(bench, output, *, overviews=False, **layout):
    """A store of small numbers, which every kind of NetCDF holds."""
    plan = bench.plan(**layout)
    image = bench.pixels(plan)
    for number, name in enumerate(image.dtype.names):
        image[name] = np.arange(image.size).reshape(image.shape) % (100 if name.startswith("p") else 2) + number % 2
    sink = bench.sink(plan, output)
    if overviews:
        sink.begin_overviews({band.name: "nearest" for band in plan.bands})
    for index in list(sink.missing()):
        sink.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert sink.finish(bench.now)
    return plan


def require_plain(attributes, where):
    for name, value in attributes.items():
        parts = value if isinstance(value, list) else [value]
        assert all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts) or (
            isinstance(value, str)
        ), f"{where}: {name} = {value!r}"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_attribute_is_a_number_a_text_or_numbers(bench, output, layout):
    stored(bench, output, **LAYOUTS[layout])
    group = zarr.open_group(locate(output).store, mode="r", use_consolidated=False)
    require_plain({**group.attrs}, "group")
    for name, array in group.arrays():
        attributes = {**array.attrs}
        assert attributes.pop("_ARRAY_DIMENSIONS", []) in ([], [*array.attrs.get("_ARRAY_DIMENSIONS", [])])
        require_plain(attributes, name)
    assert json.loads(group.attrs["eezarr"])["complete"] is True


@netcdf_of_texts
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
@pytest.mark.parametrize("layout", [*LAYOUTS, "overviews"])
def test_what_xarray_opens_it_writes(bench, tmp_path, layout, engine):
    if layout == "overviews":
        stored(bench, tmp_path / "s.zarr", overviews=True, shape=(700, 520), tile=(256, 256))
    else:
        stored(bench, tmp_path / "s.zarr", **LAYOUTS[layout])
    with xr.open_zarr(tmp_path / "s.zarr", decode_coords="all", chunks=None) as dataset:
        # NetCDF 3 has no integers of 64 bits.
        encoding = {"time": {"dtype": "float64"}} if engine == "scipy" and "time" in dataset else {}
        dataset.to_netcdf(tmp_path / "s.nc", engine=engine, encoding=encoding)
        with xr.open_dataset(tmp_path / "s.nc", engine=engine, decode_coords="all") as back:
            assert set(back.variables) == set(dataset.variables)
            assert back.attrs["eezarr"] == dataset.attrs["eezarr"]
            for name in dataset.variables:
                if dataset[name].dtype.kind in "fiuM":
                    np.testing.assert_array_equal(back[name].values, dataset[name].values)
            assert back.rio.crs.to_epsg() == 32610
        dataset.drop_encoding().to_zarr(tmp_path / "copy.zarr", consolidated=False)
        dataset.drop_encoding().to_zarr(tmp_path / "old.zarr", zarr_format=2)
        band = next(iter(dataset.data_vars))
        raster = dataset[band].isel({axis: 0 for axis in dataset[band].dims if axis == "time"})
        raster.rio.to_raster(tmp_path / "s.tif")


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        ("uint32", 2**32 - 1),
        ("int8", -128),
        ("int16", -32768),
        ("int32", -(2**31)),
        ("float32", "NaN"),
        ("float64", "NaN"),
    ],
)
@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_an_undeclared_fill_is_what_data_least_likely_have(bench, tmp_path, dtype, fill, kind):
    """GDAL takes it for nodata, so that a common value such as 0 would be masked; xarray masks nothing."""
    path = tmp_path / "s.zarr"
    plan = stored(bench, path, kind=kind, dtypes=(dtype,), masks="each")
    name = "pixels" if kind == "stacked" else "B1"
    document = json.loads((path / name / "zarr.json").read_text(encoding="utf-8"))
    assert document["fill_value"] == fill
    assert "_FillValue" not in document["attributes"]
    # Where nothing is stored nothing is valid.
    assert json.loads((path / "mask" / "zarr.json").read_text(encoding="utf-8"))["fill_value"] == 0
    with xr.open_zarr(path, chunks=None) as dataset:
        assert dataset[name].dtype == np.dtype(dtype)
        assert (dataset[name].values == 0).any()
        assert "_FillValue" not in dataset[name].encoding or np.isnan(dataset[name].encoding["_FillValue"])
    assert list(open_store(path).verify()) == []
    assert plan.tile_count == open_store(path).stored_count


@pytest.mark.skipif(GDAL < (3, 12), reason="GDAL reads format 3 from 3.12 on")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_gdal_shows_valid_zeros_as_valid_and_finds_the_crs(bench, tmp_path, dtype):
    path = tmp_path / "s.zarr"
    stored(bench, path, dtypes=(dtype,))
    with rasterio.open(f'ZARR:"{path}":/B1') as raster:
        assert raster.crs.to_epsg() == 32610
        values, valid = raster.read(1), raster.read_masks(1)
        assert (values == 0).any()
        assert (valid[values == 0] != 0).all()


def test_a_declared_fill_is_the_nodata_value(bench, tmp_path):
    stored(bench, tmp_path / "s.zarr", dtypes=("uint16",), fills={"B1": 7})
    document = json.loads((tmp_path / "s.zarr" / "B1" / "zarr.json").read_text(encoding="utf-8"))
    assert (document["fill_value"], document["attributes"]["_FillValue"]) == (7, 7)
