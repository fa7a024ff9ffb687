"""Scale and offset: told by properties, kept as attributes, applied by nobody."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine

from eezarr.earthengine.catalogue import parse_asset
from eezarr.earthengine.scaling import known_scaling, scaled_bands
from eezarr.grid import PixelGrid, Shape2D
from eezarr.plan import Band, Plan, StoreLayout
from eezarr.store.arrays import make_group
from eezarr.store.layout import array_specs
from eezarr.store.location import locate

LANDSAT = {
    "REFLECTANCE_MULT_BAND_4": 2.75e-05,
    "REFLECTANCE_ADD_BAND_4": -0.2,
    "REFLECTANCE_MULT_BAND_10": 1,
    "TEMPERATURE_MULT_BAND_ST_B10": 0.00341802,
    "TEMPERATURE_ADD_BAND_ST_B10": 149,
    "REFLECTANCE_MULT_BAND_5": "2.75e-05",
    "REFLECTANCE_ADD_BAND_5": -0.2,
}
BANDS = (Band("SR_B4", "uint16"), Band("QA_PIXEL", "uint16"), Band("ST_B10", "uint16"))


def image(**properties):
    return parse_asset({"name": "projects/p/assets/a", "type": "IMAGE", "properties": properties})


@pytest.mark.parametrize(
    ("band", "known"),
    [
        ("SR_B4", (2.75e-05, -0.2)),
        ("ST_B10", (0.00341802, 149.0)),
        ("SR_B5", None),
        ("SR_B10", None),
        ("B4", None),
        ("QA_PIXEL", None),
    ],
)
def test_properties_tell_it_or_nothing_is_said(band, known):
    assert known_scaling(LANDSAT, band) == known


def test_images_that_disagree_tell_nothing():
    same = scaled_bands(BANDS, [image(**LANDSAT), image(**LANDSAT)])
    assert [(band.scale, band.offset) for band in same] == [(2.75e-05, -0.2), (None, None), (0.00341802, 149.0)]
    other = LANDSAT | {"REFLECTANCE_ADD_BAND_4": -0.1}
    assert [band.scale for band in scaled_bands(BANDS, [image(**LANDSAT), image(**other)])] == [None, None, 0.00341802]
    assert [band.scale for band in scaled_bands(BANDS, [image(**LANDSAT), image()])] == [None, None, None]


@pytest.mark.parametrize("kind", ["bands", "stacked"])
def test_they_are_attributes_and_change_no_value(tmp_path, kind):
    plain = plan_of(BANDS, kind)
    scaled = plan_of(scaled_bands(BANDS, [image(**LANDSAT)]), kind)
    assert scaled.fingerprint == plain.fingerprint
    make_group(locate(str(tmp_path / "s.zarr")), scaled, array_specs(scaled), {})
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    if kind == "stacked":
        assert group["pixels"].attrs["scale"] == [2.75e-05, 1.0, 0.00341802]
        assert group["pixels"].attrs["offset"] == [-0.2, 0.0, 149.0]
    else:
        assert (group["SR_B4"].attrs["scale"], group["SR_B4"].attrs["offset"]) == (2.75e-05, -0.2)
        assert "scale" not in group["QA_PIXEL"].attrs
    dataset = xr.open_zarr(tmp_path / "s.zarr", consolidated=False)
    assert all(array.dtype == np.uint16 for array in dataset.data_vars.values())


def plan_of(bands, kind):
    return Plan(
        image_key="x",
        grid=PixelGrid(crs="EPSG:32610", transform=Affine(30, 0, 0, 0, -30, 0), width=4, height=4),
        bands=bands,
        layout=StoreLayout(kind=kind, chunk=Shape2D(4, 4), bands_per_chunk=3 if kind == "stacked" else 1),
        tile_shape=Shape2D(4, 4),
        bands_per_tile=3,
    )
