"""The REST methods, against a small Earth Engine on loopback whose pixels are a function of place."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from affine import Affine
from aiohttp import web

from eezarr.earthengine import EarthEngine, Image, PixelSource, body_capacity
from eezarr.engine.buffers import OwnMemory
from eezarr.errors import AccessDenied, BadBody, InvalidInput, ServiceRefusal
from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.plan import Band, Selection, Tile

DTYPES = {"B4": "<u2", "B8": "<u2", "ndvi": "<f4"}
GRID = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 500_000, 0, -10, 4_200_000), width=40, height=30)
ASSET = {
    "type": "IMAGE",
    "name": "projects/earthengine-public/assets/A/B",
    "bands": [{"id": "bare"}, {"id": "B4", "grid": GRID.to_request()}, {"id": "B8", "grid": GRID.to_request()}],
}
EXPRESSION = {
    "values": {"0": {"functionInvocationValue": {"functionName": "Image.load", "arguments": {}}}},
    "result": "0",
}


class Service:
    """Answers as the service does; `answer` replaces its bodies."""

    def __init__(self):
        self.requests = []
        self.answer = None

    async def __call__(self, request):
        asked = json.loads(await request.read() or "{}")
        self.requests.append((request.method, request.path, asked))
        if self.answer is not None:
            return web.Response(body=self.answer)
        if request.method == "GET":
            if request.path.endswith("/C"):
                return web.json_response({"type": "IMAGE_COLLECTION", "name": "projects/p/assets/C"})
            return web.json_response(ASSET)
        if request.path.endswith("value:compute"):
            return web.json_response({"result": [1, "two"]})
        return web.Response(body=self.npy(asked["grid"], asked.get("bandIds", list(DTYPES))))

    @staticmethod
    def npy(grid, bands):
        size, affine = grid["dimensions"], grid["affineTransform"]
        x = affine["translateX"] + affine["scaleX"] * (np.arange(size["width"]) + 0.5)
        y = affine["translateY"] + affine["scaleY"] * (np.arange(size["height"])[:, None] + 0.5)
        pixels = np.zeros((size["height"], size["width"]), [(band, DTYPES[band]) for band in bands])
        for place, band in enumerate(bands):
            pixels[band] = (x + 3 * y + 7 * place) % 251
        stream = io.BytesIO()
        np.lib.format.write_array(stream, pixels)
        return stream.getvalue()


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def client(serve, service):
    url = await serve(service)
    async with await EarthEngine.connect(
        project="proj", credentials="anonymous", api_url=url, workload_tag="my-job"
    ) as client:
        yield client


def tile_of(row=5, col=7, height=4, width=6, bands=("B8", "ndvi")):
    window = Window(row=row, col=col, height=height, width=width)
    named = tuple(Band(band, np.dtype(DTYPES[band]).name) for band in bands)
    return Tile(index=0, window=window, region=GRID, selection=Selection(bands=named))


@pytest.mark.parametrize(
    ("image", "path"),
    [
        (Image.asset("A/B"), "/v1/projects/earthengine-public/assets/A/B:getPixels"),
        (Image.asset("A/B", method="computePixels"), "/v1/projects/proj/image:computePixels"),
        (Image.expression(EXPRESSION), "/v1/projects/proj/image:computePixels"),
    ],
)
async def test_a_tile_is_read_into_the_buffer(client, service, image, path):
    tile = tile_of()
    memory = OwnMemory(body_capacity(tile.bands, tile.grid.shape))
    buffer = await memory.take()
    buffer[:] = 0xAA
    pixels = await PixelSource(client, image).read(tile, memory)
    assert np.shares_memory(pixels, buffer)
    whole = np.load(io.BytesIO(service.npy(GRID.to_request(), ["B8", "ndvi"])))
    assert pixels.tobytes() == whole[5:9, 7:13].tobytes()
    asked = {
        "fileFormat": "NPY",
        "workloadTag": "my-job",
        "bandIds": ["B8", "ndvi"],
        "grid": {
            "dimensions": {"width": 6, "height": 4},
            "affineTransform": {
                "scaleX": 10.0, "shearX": 0.0, "translateX": 500_070.0,
                "shearY": 0.0, "scaleY": -10.0, "translateY": 4_199_950.0,
            },
            "crsCode": "EPSG:32610",
        },
    }  # fmt: skip
    assert client.prepare(image).is_computed is (image.graph is not None)
    if image.graph is not None:
        asked["expression"] = json.loads(image.graph)
    assert service.requests == [("POST", path, asked)]


async def test_a_wrong_body_is_refused(client, service):
    source, tile = PixelSource(client, Image.asset("A/B")), tile_of()
    memory = OwnMemory(body_capacity(tile.bands, tile.grid.shape))
    for answer, says in [
        (b"<html>", "a web page"),
        (b"{}", "JSON"),
        (service.npy(tile.grid.to_request(), ["ndvi", "B8"]), "holds the bands"),
        (service.npy(GRID.to_request(), ["B8", "ndvi"]), "pixels, not 4 x 6"),
        (bytes((await memory.take()).size + 1), "are the most"),
    ]:
        service.answer = answer
        with pytest.raises(BadBody, match=says):
            await source.read(tile, memory)


async def test_an_assets_bands_are_learnt_at_its_first_pixel(client, service):
    bands = await client.probe_bands(Image.asset("A/B", ["B4", "ndvi"][:1]))
    assert bands == (Band("B4", "uint16"),)
    assert [path for _, path, _ in service.requests] == [
        "/v1/projects/earthengine-public/assets/A/B",
        "/v1/projects/earthengine-public/assets/A/B:getPixels",
    ]
    grid = service.requests[1][2]["grid"]
    assert grid["dimensions"] == {"width": 1, "height": 1}
    assert (grid["affineTransform"]["translateX"], grid["affineTransform"]["translateY"]) == (500_000, 4_200_000)


async def test_all_bands_are_learnt_when_none_are_named(client, service):
    bands = await client.probe_bands(Image.asset("A/B"))
    assert bands == (Band("B4", "uint16"), Band("B8", "uint16"), Band("ndvi", "float32"))
    assert "bandIds" not in service.requests[1][2]


async def test_an_expression_is_probed_in_the_middle_of_the_grid(client, service):
    assert len(await client.probe_bands(Image.expression(EXPRESSION), GRID)) == 3
    affine = service.requests[0][2]["grid"]["affineTransform"]
    assert (affine["translateX"], affine["translateY"]) == (500_200, 4_199_850)
    with pytest.raises(InvalidInput, match="no place of its own"):
        await client.probe_bands(Image.expression(EXPRESSION))


async def test_probes_that_cannot_be(client, service):
    with pytest.raises(InvalidInput, match="IMAGE_COLLECTION, not IMAGE"):
        await client.probe_bands(Image.asset("projects/p/assets/C"))
    with pytest.raises(InvalidInput, match="has no band 'B9'"):
        await client.probe_bands(Image.asset("A/B", ["B9"]))
    with pytest.raises(InvalidInput, match="no pixel grid"):
        await client.probe_bands(Image.asset("A/B", ["bare"]))
    service.answer = service.npy(GRID.window(Window(row=0, col=0, height=1, width=1)).to_request(), ["B8", "B4"])
    with pytest.raises(BadBody, match="One pixel of"):
        await client.probe_bands(Image.asset("A/B", ["B4", "B8"]), GRID)
    service.answer = service.npy(GRID.to_request(), ["B4"])
    with pytest.raises(BadBody):
        await client.probe_bands(Image.asset("A/B", ["B4"]), GRID)


async def test_the_low_level_calls(client, service):
    assert (await client.get_asset("A/B")).band("B4").grid == GRID
    assert await client.compute_value({"values": {"0": {"constantValue": 1}}, "result": "0"}) == [1, "two"]
    request = {"fileFormat": "PNG", "grid": GRID.to_request(), "bandIds": ["B4"]}
    assert (await client.get_pixels("A/B", request)).startswith(b"\x93NUMPY")
    assert (await client.compute_pixels({**request, "expression": EXPRESSION})).startswith(b"\x93NUMPY")
    assert [(method, path) for method, path, _ in service.requests] == [
        ("GET", "/v1/projects/earthengine-public/assets/A/B"),
        ("POST", "/v1/projects/proj/value:compute"),
        ("POST", "/v1/projects/earthengine-public/assets/A/B:getPixels"),
        ("POST", "/v1/projects/proj/image:computePixels"),
    ]
    assert service.requests[1][2]["workloadTag"] == "my-job"
    assert service.requests[2][2] == {**request, "workloadTag": "my-job"}
    with pytest.raises(BadBody, match="are the most"):
        await client.get_pixels("A/B", request, max_bytes=100)
    service.answer = b"{}"
    with pytest.raises(BadBody, match="without a result"):
        await client.compute_value(EXPRESSION)


async def test_a_refusal_is_raised(serve):
    async def refuse(_):
        return web.json_response({"error": {"code": 404, "message": "Asset 'A/B' not found."}}, status=404)

    async with await EarthEngine.connect(project="p", credentials="anonymous", api_url=await serve(refuse)) as client:
        with pytest.raises(ServiceRefusal, match="Asset 'A/B' not found"):
            await client.get_asset("A/B")


@pytest.mark.parametrize("tag", ["", "Upper", "-x", "x-", "a b", "a" * 64, "a.b"])
async def test_workload_tags(tag):
    with pytest.raises(InvalidInput, match="workload tag"):
        await EarthEngine.connect(project="p", credentials="anonymous", workload_tag=tag)


async def test_what_is_missing_is_said_before_any_request():
    with pytest.raises(AccessDenied, match="No Google Cloud project"):
        await EarthEngine.connect(credentials="anonymous")
    with pytest.raises(AccessDenied, match="No credentials"):
        await EarthEngine.connect(project="p")
    with pytest.raises(InvalidInput, match="api_url"):
        await EarthEngine.connect(project="p", api_url="nonsense")


async def test_an_expression_over_the_limit_is_refused_when_prepared(client):
    big = {"values": {"0": {"constantValue": "x" * (11 << 20)}}, "result": "0"}
    with pytest.raises(InvalidInput, match="service accepts"):
        PixelSource(client, Image.expression(big))


async def test_a_large_expression_is_shared_by_its_requests(client, service):
    big = {"values": {"0": {"constantValue": "x" * 2_000}}, "result": "0"}
    prepared = client.prepare(Image.expression(big))
    first, second = (prepared.template.body(GRID, ["B4"]) for _ in range(2))
    assert first.parts[0] is second.parts[0]
    assert json.loads(b"".join(first.parts))["expression"] == big


def test_capacity_fits_the_shape():
    assert body_capacity((Band("B4", "uint16"),), Shape2D(10, 10)) >= 200 + 128
