"""The same questions to eezarr and to Google's own client have the same answers."""

import io

import numpy as np
import pytest

import eezarr
from known import SCENE, SCENE_NAME

ee = pytest.importorskip("ee")
service_account = pytest.importorskip("google.oauth2.service_account")

GRID = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 510_000, 0, -10, 4_190_000), (40, 30))
POINT = (-122.085, 37.422)


@pytest.fixture
def official(emulator, tmp_path, monkeypatch):
    key = emulator.write_service_account_key(tmp_path / "key.json", project="my-project")
    credentials = service_account.Credentials.from_service_account_file(str(key), scopes=ee.oauth.SCOPES)
    monkeypatch.setattr(ee.deprecation, "_FetchDataCatalogStac", dict)
    ee.Initialize(credentials, url=emulator.url, project="my-project")
    yield key
    ee.Reset()


@pytest.fixture
async def ours(emulator, official):
    async with eezarr.Client(project="my-project", credentials=official, api_url=emulator.url) as opened:
        yield opened


async def test_listings(ours):
    where = {"start": "2017-04-01", "end": "2017-05-01", "filter": "properties.CLOUDY_PIXEL_PERCENTAGE < 10"}
    got = [image.name async for image in ours.list_images("COPERNICUS/S2", region=POINT, **where)]
    theirs = ee.data.listImages(
        {
            "parent": "COPERNICUS/S2",
            "startTime": "2017-04-01T00:00:00.000Z",
            "endTime": "2017-05-01T00:00:00.000Z",
            "region": {"type": "Point", "coordinates": list(POINT)},
            "filter": where["filter"],
        }
    )
    assert got == [image["name"] for image in theirs["images"]]
    assert got
    roots = [asset.name async for asset in ours.list_assets("projects/earthengine-public")]
    assert roots == [asset["name"] for asset in ee.data.listAssets("projects/earthengine-public/assets/")["assets"]]


async def test_an_asset_and_its_pixels(ours):
    theirs = ee.data.getAsset(SCENE_NAME)
    mine = await ours.get_asset(SCENE)
    assert [band.id for band in mine.bands] == [band["id"] for band in theirs["bands"]]
    assert dict(mine.properties) == theirs["properties"]
    request = eezarr.PixelRequest(bands=("B8", "B4"), grid=GRID)
    body = ee.data.getPixels({"assetId": SCENE} | request.body("getPixels"))
    assert await ours.get_pixels(SCENE, request) == body


async def test_an_ee_image_is_taken_wherever_an_image_is(ours, tmp_path):
    image = ee.Image(SCENE).normalizedDifference(["B8", "B4"]).rename("ndvi")
    theirs = ee.data.computePixels({"expression": image, "fileFormat": "NPY", "grid": GRID.to_request()})
    values = np.load(io.BytesIO(theirs))["ndvi"]
    np.testing.assert_array_equal((await ours.pixels(image, GRID))[0], values)
    request = eezarr.PixelRequest(expression=image, grid=GRID)
    assert await ours.compute_pixels(request) == theirs
    async for fetched in ours.stream(image, GRID):
        np.testing.assert_array_equal(fetched.pixels[0], values)
    assert await ours.compute_value(image.bandNames()) == image.bandNames().getInfo() == ["ndvi"]
    stretch = eezarr.Visualization(ranges=((-1, 1),))
    await eezarr.write_thumbnail(ours, image, GRID, tmp_path / "ndvi.png", visualization=stretch)
    assert (tmp_path / "ndvi.png").read_bytes().startswith(b"\x89PNG")


async def test_an_export_that_the_other_client_sees(ours):
    target = eezarr.FileExport(destination=eezarr.CloudStorage(bucket="my-bucket", prefix="p"))
    request = eezarr.ExportRequest(expression=ee.Image(SCENE).select("B4"), grid=GRID, target=target, description="d")
    started = await ours.export_image(request)
    await ours.wait_operation(started.name)
    seen = ee.data.getOperation(started.name)
    assert (seen["metadata"]["description"], seen["metadata"]["state"]) == ("d", "SUCCEEDED")
    theirs = ee.batch.Export.image.toCloudStorage(
        image=ee.Image(SCENE).select("B4"),
        description="theirs",
        bucket="my-bucket",
        fileNamePrefix="q",
        crs="EPSG:32610",
        crsTransform=[10, 0, 510_000, 0, -10, 4_190_000],
        dimensions="30x40",
    )
    theirs.start()
    ended = await ours.wait_operation(theirs.id)
    assert (ended.description, ended.state) == ("theirs", "SUCCEEDED")
