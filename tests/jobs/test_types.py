"""Types are what the service answers: a small service of documents, whose bodies need not be what metadata foretells.

It shares nothing with the emulator: documents go out as they are, and every pixel is 1 in the type that a test says.
"""

import asyncio
import json
import types

import aiohttp.web
import numpy as np
import pytest
import zarr
from aiohttp.test_utils import TestServer

import eezarr as package
from eezarr.errors import BadBody, EezarrError, InvalidInput, ServiceRefusal

NAME = "projects/earthengine-public/assets/A/B"
GRID = package.PixelGrid.of("EPSG:32610", (10, 0, 500000, 0, -10, 4200000), (40, 30))
NATIVE = {
    "crsCode": "EPSG:32610",
    "dimensions": {"width": 1000, "height": 1000},
    "affineTransform": {"scaleX": 10, "translateX": 499000, "scaleY": -10, "translateY": 4201000},
}


def band(name, **data_type):
    return {"id": name, "dataType": data_type, "grid": NATIVE}


def whole(*bands, **more):
    return {"type": "IMAGE", "name": NAME, "id": "A/B", "bands": list(bands), **more}


NARROW = whole(band("b", precision="INT", range={"max": 100}))


class Documents:
    """A service: assets as documents, an expression's description, and the type of each band's bodies."""

    def __init__(self, document, described=None, **dtypes):
        self.document, self.described, self.dtypes = document, described, dtypes
        self.descriptions, self.probes, self.tiles, self.bodies = 0, 0, 0, []
        self.failures = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def answer(self, request):
        body = await request.json() if request.can_read_body else {}
        method = request.path.rpartition(":")[2]
        if method in ("getPixels", "computePixels"):
            return self.pixels(body)
        self.descriptions += 1
        self.is_asked.set()
        await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            return refused(404, f"Asset '{NAME}' not found.")
        if method == "compute":
            return aiohttp.web.json_response({"result": self.described})
        return aiohttp.web.json_response(self.document)

    def pixels(self, body):
        self.bodies.append(body)
        size, names = body["grid"]["dimensions"], body["bandIds"]
        if size["width"] * size["height"] == 1:
            self.probes += 1
        else:
            self.tiles += 1
        if len(names) > 1024:
            return refused(400, f"Number of bands ({len(names)}) must be less than or equal to 1024.")
        dtype = np.dtype([(name, self.dtypes.get(name, "|u1")) for name in names])
        pixels = np.ones((size["height"], size["width"]), dtype)
        text = f"{{'descr': {dtype.descr!r}, 'fortran_order': False, 'shape': {pixels.shape!r}, }}\n".encode()
        head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        return aiohttp.web.Response(body=head + pixels.tobytes())


def refused(code, message):
    return aiohttp.web.json_response({"error": {"code": code, "message": message}}, status=code)


@pytest.fixture
async def serve():
    servers = []

    async def start(*args, **dtypes):
        service = Documents(*args, **dtypes)
        application = aiohttp.web.Application()
        application.router.add_route("*", "/{path:.*}", service.answer)
        servers.append(TestServer(application))
        await servers[-1].start_server()
        options = package.FetchOptions(api_url=str(servers[-1].make_url("")).rstrip("/"))
        return service, package.Client(project="p", options=options)

    yield start
    for server in servers:
        await server.close()


# One pixel tells


@pytest.mark.parametrize(
    ("data_type", "dtype"),
    [
        ({"precision": "INT", "range": {"max": 100}}, "|u1"),
        ({"precision": "INT", "range": {"max": 1}}, "|i1"),
        ({"precision": "INT", "range": {"min": -100, "max": 100}}, "|i1"),
        ({"precision": "INT", "range": {"min": -100, "max": 100}}, "<i2"),
        ({"precision": "INT", "range": {"max": 255}}, "<u2"),
        ({"precision": "INT"}, "<u4"),
        ({"precision": "FLOAT"}, "<f8"),
    ],
)
async def test_an_asset_has_the_type_that_one_pixel_has(serve, tmp_path, data_type, dtype):
    service, client = await serve(whole(band("b", **data_type)), b=dtype)
    async with client:
        pixels = await client.pixels(package.Image.asset("A/B"), GRID)
        report = await client.fetch(package.Image.asset("A/B"), GRID, str(tmp_path / "out.zarr"))
    assert pixels.dtype == zarr.open_group(tmp_path / "out.zarr", mode="r")["b"].dtype == np.dtype(dtype)
    assert (pixels == 1).all()
    assert report.requests_retried == 0
    assert (service.descriptions, service.tiles) == (1, 2)
    # One that contradicts metadata has to come twice: the first may have been garbled.
    assert service.probes <= 2
    assert service.probes == 1 or data_type != {"precision": "INT", "range": {"max": 100}}


async def test_the_pixel_lies_in_the_middle_of_the_grid(serve):
    service, client = await serve(NARROW)
    async with client:
        await client.pixels(package.Image.asset("A/B"), GRID)
    assert service.bodies[0]["grid"]["affineTransform"]["translateX"] == 500000 + 15 * 10
    assert service.bodies[0]["grid"]["affineTransform"]["translateY"] == 4200000 - 20 * 10


async def test_an_expression_of_many_bands_is_probed_within_the_limit(serve):
    names = [f"b{number}" for number in range(1100)]
    bands = [{"id": name, "data_type": {"type": "PixelType", "precision": "int", "min": 0, "max": 9}} for name in names]
    service, client = await serve(None, {"type": "Image", "bands": bands}, b7="<f4", b1099="<i2")
    expression = {"values": {"0": {"constantValue": 1}}, "result": "0"}
    async with client:
        pixels = await client.pixels(package.Image.expression(expression), GRID)
    # b7 and b1099 contradict the description, so the two requests come twice.
    assert [len(body["bandIds"]) for body in service.bodies[:4]] == [1024, 76, 1024, 76]
    assert (pixels.dtype, pixels.shape, pixels.min()) == (np.float32, (1100, 40, 30), 1)


async def test_a_type_that_changes_is_said_and_not_asked_for_again_and_again(serve, tmp_path):
    service, client = await serve(NARROW)
    output = str(tmp_path / "out.zarr")
    async with client:
        await client.fetch(package.Image.asset("A/B"), GRID, output)
        (tmp_path / "out.zarr/.eezarr/marks").rename(tmp_path / "away")
        service.dtypes["b"], service.tiles = "|i1", 0
        with pytest.raises(BadBody, match="The service sends int8 where uint8 was planned, in band 'b'") as caught:
            await client.fetch(package.Image.asset("A/B"), GRID, output)
    assert "--overwrite" in caught.value.hint
    assert service.tiles <= 3


async def test_a_run_with_nothing_to_do_asks_for_no_pixel(serve, tmp_path):
    service, client = await serve(NARROW, b="<u2")
    image, output = package.Image.asset("A/B"), str(tmp_path / "out.zarr")
    async with client:
        await client.fetch(image, GRID, output)
    asked = len(service.bodies)
    async with client:
        assert (await client.fetch(image, GRID, output)).tiles_resumed == 1
        assert len(service.bodies) == asked
        # What is begun anew is probed anew.
        service.dtypes["b"] = "|i1"
        await client.fetch(image, GRID, output, overwrite=True)
    assert zarr.open_group(output, mode="r")["b"].dtype == np.int8


async def test_what_cannot_be_stored_is_said_before_that_pixel(serve, tmp_path):
    service, client = await serve(whole(band("b", precision="INT", range={"max": 255})))
    (tmp_path / "file").write_text("", encoding="utf-8")
    async with client:
        with pytest.raises(EezarrError):
            await client.fetch(package.Image.asset("A/B"), GRID, str(tmp_path / "file" / "out.zarr"))
        with pytest.raises(InvalidInput, match="-1"):
            mask = package.MaskOptions(mode="fill", fill=-1)
            await client.fetch(package.Image.asset("A/B"), GRID, str(tmp_path / "out.zarr"), mask=mask)
    assert service.bodies == []


# Arrays


async def test_bands_of_arrays_are_refused_with_what_makes_numbers_of_them(serve):
    array = band("a", precision="DOUBLE", dimensionsCount=1)
    service, client = await serve(whole(band("b", precision="INT", range={"max": 255}), array))
    async with client:
        for bands in (None, ["a"], ["b", "a"]):
            with pytest.raises(InvalidInput, match="array in each pixel of a") as caught:
                await client.pixels(package.Image.asset("A/B", bands), GRID)
            assert "arrayFlatten" in caught.value.hint
            assert "arrayGet" in caught.value.hint
        assert service.bodies == []
        assert (await client.pixels(package.Image.asset("A/B", ["b"]), GRID)).shape == (1, 40, 30)


async def test_arrays_of_an_expression_are_refused_too(serve):
    described = {"type": "PixelType", "precision": "double", "dimensions": 2}
    service, client = await serve(None, {"type": "Image", "bands": [{"id": "a", "data_type": described}]})
    async with client:
        with pytest.raises(InvalidInput, match="array in each pixel of a"):
            image = package.Image.expression({"values": {"0": {"constantValue": 1}}, "result": "0"})
            await client.pixels(image, GRID)
    assert service.bodies == []


# What was described is kept


async def test_thirty_calls_take_one_description_and_one_pixel(serve):
    service, client = await serve(NARROW)
    async with client:
        for _ in range(30):
            await client.pixels(package.Image.asset("A/B"), GRID)
        assert (service.descriptions, service.probes, service.tiles) == (1, 1, 30)
        await client.pixels(package.Image.asset("A/B"), GRID, refresh=True)
        assert (service.descriptions, service.probes) == (2, 2)
        assert (await client.get_asset("A/B")).id == "A/B"
        assert service.descriptions == 2
        await client.get_asset("A/B", refresh=True)
        assert service.descriptions == 3


async def test_ten_calls_of_an_expression_take_one_description(serve):
    described = {"id": "b", "data_type": {"type": "PixelType", "precision": "int", "min": 0, "max": 255}}
    service, client = await serve(None, {"type": "Image", "bands": [described]})
    async with client:
        for number in range(10):
            # The same computation, written in other ways.
            image = package.Image.expression({"values": {str(number): {"constantValue": 1}}, "result": str(number)})
            await client.pixels(image, GRID)
    assert (service.descriptions, service.probes, service.tiles) == (1, 1, 10)


async def test_calls_at_the_same_time_share_one_request_which_outlives_the_first_of_them(serve):
    service, client = await serve(NARROW)
    service.may_answer.clear()
    async with client:
        calls = [asyncio.create_task(client.pixels(package.Image.asset("A/B"), GRID)) for _ in range(8)]
        await service.is_asked.wait()
        calls[0].cancel()
        service.may_answer.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all((pixels == 1).all() for pixels in answers[1:])
    assert (service.descriptions, service.probes, service.tiles) == (1, 1, 7)


async def test_a_failure_is_not_kept(serve):
    service, client = await serve(NARROW)
    service.failures = 1
    async with client:
        with pytest.raises(ServiceRefusal):
            await client.get_asset("A/B")
        assert (await client.get_asset("A/B")).id == "A/B"
    async with client:
        await client.get_asset("A/B")  # a client that is opened again asks again
    assert service.descriptions == 3


# Records are the service's JSON


async def test_records_are_plain_json_and_hold_the_service_s_own_document(serve):
    document = whole(
        band("b", precision="INT", range={"max": 255}, unheardOf=[1]),
        title="As live ones have",
        properties={"list": [1, {"a": 2}]},
        geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
    )
    service, client = await serve(document)
    async with client:
        asset = await client.get_asset("A/B")
        assert json.loads(json.dumps(asset.raw)) == document
        assert json.loads(json.dumps(asset.properties)) == document["properties"]
        for region in (asset.geometry, types.MappingProxyType(document["geometry"])):
            grid = {"dimensions": {"width": 1, "height": 1}}
            await client.get_pixels("A/B", {"fileFormat": "NPY", "bandIds": ["b"], "grid": grid, "region": region})
            assert service.bodies[-1]["region"] == document["geometry"]
        with pytest.raises(TypeError, match="read only"):
            asset.properties["list"] = 3
