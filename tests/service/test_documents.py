"""Documents of the shapes that the live service was seen to answer with are read, listed and shown."""

import contextlib
import json
from pathlib import Path

import pytest
from aiohttp import web

import eezarr
from eezarr.cli import exporting
from eezarr.earthengine.catalogue import parse_asset
from eezarr.earthengine.collection import group_images
from eezarr.earthengine.listing import ImageQuery
from eezarr.earthengine.operations import parse_operation

DOCUMENTS = json.loads((Path(__file__).parent / "data" / "documents.json").read_text(encoding="utf-8"))
UNBOUNDED, SINUSOIDAL = DOCUMENTS["unbounded image"], DOCUMENTS["image on the sinusoidal grid"]
ROUTES = {
    "/v1/projects/earthengine-public/assets/LIVE/UNBOUNDED:listAssets": {"assets": [UNBOUNDED]},
    "/v1alpha/projects/earthengine-public/assets/LIVE/UNBOUNDED:listImages": DOCUMENTS["listed by listImages"],
    "/v1/projects/my-project/operations": {
        "operations": [
            DOCUMENTS["fresh operation"],
            DOCUMENTS["failed operation"],
            DOCUMENTS["operation without a state"],
        ]
    },
} | {f"/v1/{document['name']}": document for document in (UNBOUNDED, SINUSOIDAL)}


@contextlib.asynccontextmanager
async def a_service():
    async def answer(request):
        return web.json_response(ROUTES[request.path])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with eezarr.Service(project="my-project", credentials="anonymous", api_url=url) as service:
            yield service
    finally:
        await runner.cleanup()


async def test_an_asset_without_times_and_with_no_end_in_any_direction():
    async with a_service() as service:
        asset = await service.get_asset("LIVE/UNBOUNDED/20200101")
    assert (asset.type, asset.start_time, asset.end_time) == ("IMAGE", None, None)
    assert asset.geometry["coordinates"][0][0] == ["-Infinity", "-Infinity"]
    assert asset.properties["ratio"] == "NaN"
    [band] = asset.bands
    assert (band.grid.height, band.grid.width) == (721, 1440)
    assert json.dumps(dict(asset.geometry))


async def test_an_asset_whose_grid_is_wkt():
    async with a_service() as service:
        [band] = (await service.get_asset("LIVE/SINUSOIDAL/2020_01_01")).bands
    assert band.dtype == "int16"
    assert (band.grid.height, band.grid.width) == (43200, 86400)
    assert band.grid.transform.c == -20015109.354


async def test_what_listImages_lists_is_an_image():  # noqa: N802 - the method's name
    async with a_service() as service:
        found = service.list_images("LIVE/UNBOUNDED", method="listImages")
        assert [(image.id, image.type) async for image in found] == [("LIVE/UNBOUNDED/20200101", "IMAGE")]


@pytest.mark.parametrize("corners", [4, 200])
async def test_an_image_without_end_meets_every_region(corners):
    grid = eezarr.PixelGrid.of("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), (1000, 1000))
    region = (14.0, 44.0, 15.0, 45.0) if corners == 4 else grid.footprint()
    assert (ImageQuery(region=region).chooser() is None) == (corners == 4)
    async with a_service() as service:
        found = service.list_images("LIVE/UNBOUNDED", region=region)
        assert [image.id async for image in found] == ["LIVE/UNBOUNDED/20200101"]


def test_the_solar_day_of_what_has_no_end_is_asked_for_not_made_up():
    image = parse_asset(UNBOUNDED | {"startTime": "2020-01-01T00:00:00Z"})
    with pytest.raises(eezarr.InvalidInput, match="no footprint"):
        group_images([image], "solar_day")
    [step] = group_images([image], "day")
    assert step.images == (image.name,)


async def test_operations_say_what_they_say():
    async with a_service() as service:
        fresh, failed, unstated = [operation async for operation in service.list_operations()]
    assert (fresh.state, fresh.is_done) == ("PENDING", False)
    assert (failed.state, failed.description, failed.error_code) == ("FAILED", "", 3)
    with pytest.raises(eezarr.ServiceRefusal, match="unbounded image") as caught:
        failed.require_success()
    assert "grid" in caught.value.hint
    assert (unstated.state, unstated.description) == ("SUCCEEDED", "")
    assert json.dumps([operation.to_json() for operation in (fresh, failed, unstated)])
    assert parse_operation(DOCUMENTS["failed operation"]).progress is None


@pytest.mark.parametrize("name", ["fresh operation", "failed operation", "operation without a state"])
def test_lists_of_operations_without_descriptions_are_shown(name):
    operation = parse_operation(DOCUMENTS[name])
    assert operation.state in exporting._line(operation)
    assert operation.name in exporting._result(operation)
