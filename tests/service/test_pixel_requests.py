"""One request, all of it: what goes out, what is refused before it goes, and what comes back."""

import io

import numpy as np
import pytest
from PIL import Image as Picture

import eezarr
from eezarr import InvalidInput, PartialGrid, PixelGrid, PixelRequest, Visualization
from known import SCENE

ONE = eezarr.parse_expression({"result": "0", "values": {"0": {"constantValue": 1}}})
GRID = PixelGrid.of("EPSG:32610", (10, 0, 499980, 0, -10, 4200000), (64, 48))
POINT = {"type": "Point", "coordinates": [0, 0]}


def test_every_field_is_said():
    request = PixelRequest(
        file_format="GEO_TIFF",
        bands=("B4",),
        region=POINT,
        grid=PartialGrid(crs="EPSG:4326", height=3, width=2),
        visualization=Visualization(ranges=((0, 3000),), palette=("000000", "#ff0000"), gamma=1.5, opacity=0.5),
        workload_tag="tag",
    )
    assert request.body("getPixels") == {
        "fileFormat": "GEO_TIFF",
        "bandIds": ["B4"],
        "region": POINT,
        "grid": {"dimensions": {"width": 2, "height": 3}, "crsCode": "EPSG:4326"},
        "visualizationOptions": {
            "ranges": [{"min": 0, "max": 3000}],
            "paletteColors": ["000000", "#ff0000"],
            "gamma": 1.5,
            "opacity": 0.5,
        },
        "workloadTag": "tag",
    }


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("getPixels", {"file_format": "ZIPPED_GEO_TIFF"}),
        ("getPixels", {"file_format": "TF_RECORD_IMAGE"}),
        ("getPixels", {"expression": ONE}),
        ("computePixels", {}),
        ("computePixels", {"expression": ONE, "region": POINT}),
        ("computePixels", {"expression": ONE, "grid": PartialGrid(crs="EPSG:4326")}),
        ("thumbnails.create", {"file_format": "TF_RECORD_IMAGE", "expression": ONE}),
    ],
)
def test_a_method_takes_what_is_its(kind, fields):
    with pytest.raises(InvalidInput, match=kind) as caught:
        PixelRequest(**fields).body(kind)
    assert caught.value.hint


@pytest.mark.parametrize(
    "make",
    [
        lambda: PixelRequest(bands=()),
        lambda: PixelRequest(file_format="PNG", bands=("a", "b")),
        lambda: PixelRequest(region=POINT, grid=GRID),
        lambda: PixelRequest(region=POINT, grid=PartialGrid(transform=(1, 0, 0, 0, -1, 0), height=2, width=2)),
        lambda: PixelRequest(region={"type": "Feature", "geometry": POINT}),
        lambda: PixelRequest(bands=("a", "b", "c"), visualization=Visualization(palette=("000000",))),
        lambda: PixelRequest(bands=("a", "b", "c"), visualization=Visualization(ranges=((0, 1), (0, 1)))),
        lambda: PartialGrid(height=3),
        lambda: PartialGrid(transform=(1, 2, 3)),
        lambda: Visualization(ranges=((1, 1),)),
        lambda: Visualization(palette=("red",)),
        lambda: Visualization(opacity=2),
        lambda: Visualization(gamma=0),
    ],
)
def test_contradictions_are_refused_before_they_are_sent(make):
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.hint


async def test_a_partial_grid_is_completed_from_the_asset(client):
    partial = PartialGrid(transform=(10, 0, 499980, 0, -10, 4200000), height=64, width=48)
    body = await client.get_pixels(SCENE, PixelRequest(bands=("B4",), grid=partial))
    whole = await client.pixels(eezarr.Image.asset(SCENE, bands=["B4"]), GRID)
    np.testing.assert_array_equal(np.load(io.BytesIO(body))["B4"], whole[0])


async def test_a_region_is_rescaled_to_the_dimensions(client):
    asset = await client.get_asset(SCENE)
    request = PixelRequest(
        file_format="PNG",
        bands=("B4", "B3", "B2"),
        region=asset.geometry,
        grid=PartialGrid(height=256, width=256),
        visualization=Visualization(ranges=((0, 3000),)),
    )
    picture = Picture.open(io.BytesIO(await client.get_pixels(SCENE, request)))
    assert picture.size == (256, 256)
    assert np.asarray(picture).std() > 5


async def test_a_thumbnail_has_a_name_of_its_own(client):
    image = eezarr.Image.asset(SCENE, bands=["B4"])
    request = PixelRequest(file_format="ZIPPED_GEO_TIFF", expression=image.computed, grid=GRID, bands=("B4",))
    name = await client.create_thumbnail(request)
    assert name.startswith("projects/my-project/thumbnails/")
    assert (await client.get_thumbnail(name)).startswith(b"PK")
    with pytest.raises(eezarr.ServiceRefusal, match="thumbnails/none"):
        await client.get_thumbnail("projects/my-project/thumbnails/none")
    with pytest.raises(InvalidInput):
        await client.get_thumbnail("projects/my-project/../thumbnails")
