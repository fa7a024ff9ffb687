"""Metadata as the service writes it: zeros omitted, parts missing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eezarr.earthengine.catalogue import parse_asset
from eezarr.errors import BadBody, InvalidInput

SCENE = {
    "type": "IMAGE",
    "name": "projects/earthengine-public/assets/COPERNICUS/S2/X",
    "id": "COPERNICUS/S2/X",
    "startTime": "2017-04-30T19:03:51.026Z",
    "endTime": "2017-04-30T19:03:51.026000000Z",
    "properties": {"CLOUDY_PIXEL_PERCENTAGE": 0.5},
    "geometry": {"type": "Point", "coordinates": [1, 2]},
    "bands": [
        {
            "id": "B1",
            "dataType": {"precision": "INTEGER", "range": {"max": 65535}},
            "grid": {
                "crsCode": "EPSG:32610",
                "dimensions": {"width": 1830, "height": 1830},
                "affineTransform": {"scaleX": 60, "translateX": 499980, "scaleY": -60, "translateY": 4200000},
            },
            "pyramidingPolicy": "MODE",
        }
    ],
}


def test_a_scene():
    scene = parse_asset(SCENE)
    assert (scene.id, scene.type) == ("COPERNICUS/S2/X", "IMAGE")
    assert scene.start_time == scene.end_time == datetime(2017, 4, 30, 19, 3, 51, 26000, tzinfo=UTC)
    assert scene.properties["CLOUDY_PIXEL_PERCENTAGE"] == 0.5
    assert scene.geometry["coordinates"] == [1, 2]
    (band,) = scene.bands
    assert (band.id, band.dtype, band.pyramiding) == ("B1", "uint16", "MODE")
    assert band.grid.transform == Affine(60, 0, 499980, 0, -60, 4200000)
    assert scene.band("B1") is band
    with pytest.raises(InvalidInput, match="has no band 'B2'") as caught:
        scene.band("B2")
    assert "B1" in caught.value.hint
    with pytest.raises(TypeError):
        scene.properties["x"] = 1
    hash(scene)


def dtype_of(precision, **bounds):
    data_type = {"precision": precision, "range": bounds}
    return parse_asset({"name": "n", "bands": [{"id": "b", "dataType": data_type}]}).bands[0].dtype


@pytest.mark.parametrize("precision", ["INT", "INTEGER"])
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, "uint8"),
        (0, 1, "uint8"),
        (0, 100, "uint8"),
        (0, 128, "uint8"),
        (-128, 127, "int8"),
        (-100, 100, "int16"),
        (-129, 0, "int16"),
        (-1, 128, "int16"),
        (0, 256, "uint16"),
        (0, 32_768, "uint16"),
        (-32_768, 32_767, "int16"),
        (0, 65_535, "uint16"),
        (-1, 65_535, "int32"),
        (0, 65_536, "uint32"),
        (0, 2**31, "uint32"),
        (0, 2**32 - 1, "uint32"),
        (0, 2**32, "float64"),
        (-(2**63), 2**63, "float64"),
    ],
)
def test_the_type_that_a_range_foretells(precision, low, high, dtype):
    assert dtype_of(precision, min=low, max=high) == dtype


def test_floats_and_what_metadata_does_not_tell():
    assert dtype_of("FLOAT") == "float32"
    assert dtype_of("DOUBLE", min=0, max=1) == "float64"
    assert dtype_of("STRING") is None
    assert dtype_of("INT", min="x", max=3) is None
    assert dtype_of("INT", min=3, max=-3) is None
    assert dtype_of("INT", max="65535") == "uint16"
    (bare,) = parse_asset({"name": "n", "bands": [{"id": "b", "dataType": {"precision": "INT"}}]}).bands
    assert (bare.dtype, bare.grid, bare.pyramiding) == (None, None, "MEAN")


@pytest.mark.parametrize(
    "document", [{}, {"name": ""}, {"name": 3}, {"name": "n", "bands": {}}, {"name": "n", "bands": [{}]},
                 {"name": "n", "bands": [3]}, {"name": "n", "bands": [{"id": ""}]}]
)  # fmt: skip
def test_what_is_no_asset_is_said(document):
    with pytest.raises(BadBody, match="The service answered with"):
        parse_asset(document)


KEYS = """name type bands id dataType precision range min max startTime properties geometry pyramidingPolicy
    grid crsCode dimensions width height affineTransform scaleX scaleY"""
keys = st.sampled_from(KEYS.split())
odd_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["INT", "x", "", "9" * 400]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(keys, odd_json, max_size=8))
def test_any_document_is_read_or_refused(document):
    try:
        parse_asset({"name": "n", **document})
    except BadBody as error:
        assert len(error.message) < 500  # noqa: PT017
