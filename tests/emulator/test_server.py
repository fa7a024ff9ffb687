"""The REST surface: assets, lists, pixels, values, limits, transfer and controls."""

from __future__ import annotations

import gzip
import io
import json
import logging
import signal
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import requests
from PIL import Image

from eezarr.emulator.filters import compiled
from eezarr.emulator.server import Emulator
from eezarr.emulator.settings import EmulatorSettings, MethodLimits, merged
from eezarr.emulator.thread import EmulatorThread

PUBLIC = "/projects/earthengine-public/assets/"
NATIVE = {"scaleX": 10, "scaleY": -10, "translateX": 500000, "translateY": 4200000}
LOAD = {
    "result": "0",
    "values": {
        "0": {
            "functionInvocationValue": {"functionName": "Image.load", "arguments": {"id": {"constantValue": "TEST/A"}}}
        }
    },
}


@pytest.fixture
def api(emulator):
    with requests.Session() as session:
        yield Api(emulator, session)


class Api:
    def __init__(self, emulator, session):
        self.emulator, self.session = emulator, session

    def get(self, path: str, **query: str):
        return self.session.get(self.emulator.url + path, params=query, timeout=10)

    def post(self, path: str, body, **headers: str):
        return self.session.post(self.emulator.url + path, json=body, headers=headers, timeout=10)

    def pixels(self, **body):
        return self.post(f"/v1{PUBLIC}TEST/A:getPixels", {"fileFormat": "NPY", "bandIds": ["B1"], **body})

    def array(self, **body) -> np.ndarray:
        reply = self.pixels(**body)
        assert reply.status_code == 200, reply.text
        return np.load(io.BytesIO(reply.content))

    def refusal(self, **body) -> str:
        reply = self.pixels(**body)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
        return error["message"]

    def grid(self) -> tuple:
        last = self.emulator.stats().recent[-1]
        return last.crs, last.transform, last.width, last.height


def origin(column: int, row: int, width: int, height: int) -> dict:
    transform = {**NATIVE, "translateX": 500000 + 10 * column, "translateY": 4200000 - 10 * row}
    return {"affineTransform": transform, "dimensions": {"width": width, "height": height}}


@pytest.mark.parametrize("version", ["v1", "v1alpha", "v1beta"])
def test_an_asset_in_each_version(api, version):
    asset = api.get(f"/{version}{PUBLIC}TEST/A").json()
    assert (asset["id"], asset["type"]) == ("TEST/A", "IMAGE")


def test_what_is_not_there(api):
    reply = api.get(f"/v1{PUBLIC}NO")
    assert (reply.status_code, reply.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert api.post(f"/v1{PUBLIC}NO:getPixels", {}).status_code == 404
    for path in ("/", "/v2" + PUBLIC + "TEST", "/v1/projects/p/nothing", f"/v1{PUBLIC}TEST:noSuchVerb"):
        reply = api.get(path)
        assert (reply.status_code, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert api.get(f"/v1{PUBLIC}TEST:listImages").status_code == 404


def test_npy_bytes_are_the_services(api):
    content = api.pixels(bandIds=["B2", "B1"], grid=origin(2, 3, 2, 1)).content
    head = (
        b"\x93NUMPY\x01\x00\x56\x00{'descr': [('B2', '<f4'), ('B1', '<u2')], 'fortran_order': False, 'shape': (1, 2), }"
    )
    assert content.startswith(head)
    assert content[95:96] == b"\n"
    assert len(content) == 96 + 2 * 6
    record = np.dtype([("B2", "<f4"), ("B1", "<u2")])
    assert content[96:] == np.array([(3004, 3003), (3005, 3004)], record).tobytes()


def test_int64_travels_as_float64_and_one_band_is_structured_too(api):
    assert api.array(bandIds=["B3"]).dtype == np.dtype([("B3", "<f8")])


def test_compute_pixels_of_an_expression_and_its_refusals(api):
    path = "/v1/projects/p/image:computePixels"
    body = {"expression": LOAD, "fileFormat": "NPY", "bandIds": ["B1"], "grid": origin(1, 1, 3, 2)}
    pixels = np.load(io.BytesIO(api.post(path, body).content))["B1"]
    np.testing.assert_array_equal(pixels, [[1002, 1003, 1004], [2002, 2003, 2004]])
    assert "Expression is required." in api.post(path, {"fileFormat": "NPY"}).text
    bad = {"result": "0", "values": {"0": {"functionInvocationValue": {"functionName": "No.such"}}}}
    assert "Function 'No.such' not found." in api.post(path, {**body, "expression": bad}).text
    number = {"result": "0", "values": {"0": {"constantValue": 3}}}
    assert "does not evaluate to an image" in api.post(path, {**body, "expression": number}).text
    assert 'Unknown name \\"region\\"' in api.post(path, {**body, "region": {}}).text


def test_an_unbounded_image_needs_its_whole_grid(api):
    constant = {"result": "0", "values": {"0": {"functionInvocationValue": {"functionName": "Image.constant"}}}}
    path, body = "/v1/projects/p/image:computePixels", {"expression": constant, "fileFormat": "NPY"}
    assert "Unable to export unbounded image." in api.post(path, body).text
    assert api.post(path, {**body, "grid": {**origin(0, 0, 4, 4), "crsCode": "EPSG:32610"}}).status_code == 200


def test_values(api):
    path = "/v1/projects/p/value:compute"
    assert api.post(path, {"expression": LOAD}).json()["result"]["type"] == "Image"
    for value, reply in ((3, {"result": 3}), ([0], {"result": [0]}), (None, {"result": None})):
        constant = {"result": "0", "values": {"0": {"constantValue": value}}}
        assert api.post(path, {"expression": constant}).json() == reply


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"grid": {"origin": 1}}, "Unknown name \"origin\" at 'grid': Cannot find field."),
        ({"colour": 1}, 'Invalid JSON payload received. Unknown name "colour": Cannot find field.'),
        (
            {"fileFormat": "NUMPY_NDARRAY"},
            'type.googleapis.com/google.earthengine.v1.ImageFileFormat), "NUMPY_NDARRAY"',
        ),
        (
            {"grid": {"dimensions": {"width": "wide"}}},
            "Invalid value at 'grid.dimensions.width' (TYPE_INT32), \"wide\"",
        ),
        ({"grid": 3}, "Invalid value at 'grid' (type.googleapis.com/google.earthengine.v1.PixelGrid), 3"),
        ({"grid": {"crsCode": "EPSG:4326", "crsWkt": "x"}}, "oneof"),
        ({"bandIds": ["B1", "B9"]}, "Band pattern 'B9' did not match any bands. Available bands: [B1, B2, B3, B4]"),
        ({"bandIds": ["B1", "B1"]}, "Duplicate"),
        ({"grid": {"affineTransform": {"scaleX": 10}, "dimensions": {"width": 1, "height": 1}}}, "invertible"),
        ({"grid": {"dimensions": {"width": 4, "height": -1}}}, "must be positive"),
        ({"fileFormat": "TF_RECORD_IMAGE"}, "Unsupported file format"),
        ({"workloadTag": "-no-"}, "workload tag"),
    ],
)
def test_payloads_that_are_refused(api, body, text):
    assert text in api.refusal(**body)


def test_a_refused_field_is_named_in_the_details(api):
    error = api.pixels(grid={"origin": 1}).json()["error"]
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "grid", "description": error["message"]}],
        }
    ]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"constant": 1}, "Unknown name \"constant\" at 'expression.values[0].value': Cannot find field."),
        ({}, "Invalid value at 'expression.values[0].value'"),
        ({"constantValue": 1, "integerValue": "1"}, "Invalid value at 'expression.values[0].value'"),
        (
            {"functionInvocationValue": {"functionName": "F", "arguments": {"a": {"arrayValue": {"values": [3]}}}}},
            "'expression.values[0].value.function_invocation_value.arguments[0].value.array_value.values[0]'",
        ),
    ],
)
def test_nodes_that_are_none(api, node, text):
    reply = api.post("/v1/projects/p/value:compute", {"expression": {"result": "0", "values": {"0": node}}})
    assert reply.status_code == 400
    assert text in reply.json()["error"]["message"]


@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(api, data):
    reply = api.session.post(f"{api.emulator.url}/v1{PUBLIC}TEST/A:getPixels", data=data, timeout=10)
    assert reply.status_code == 400


def test_names_and_numbers_in_their_other_spellings(api):
    dimensions = {"width": "2", "height": {"value": 1}}
    grid = {"affine_transform": {**NATIVE, "shear_x": 0}, "dimensions": dimensions, "crsWkt": None}
    reply = api.post(f"/v1{PUBLIC}TEST/A:getPixels", {"file_format": "NPY", "band_ids": ["B1"], "grid": grid})
    assert np.load(io.BytesIO(reply.content)).shape == (1, 2)


def test_limits_are_inclusive_and_each_method_has_its_own(api):
    # B1 is uint16: 2 + 1 bytes a pixel.
    exact = {"get_pixels": {"max_bytes": 3 * 40 * 10, "max_side": 40}, "compute_pixels": {"max_bytes": 3 * 40 * 10 - 1}}
    api.emulator.configure({"limits": exact})
    assert api.array(grid=origin(0, 0, 40, 10)).shape == (10, 40)
    text = "Total request size (1320 bytes) must be less than or equal to 1200 bytes."
    assert api.refusal(grid=origin(0, 0, 40, 11)) == text
    text = "Pixel grid dimensions (41x1) must be less than or equal to 40."
    assert api.refusal(grid=origin(0, 0, 41, 1)) == text
    body = {"expression": LOAD, "fileFormat": "PNG", "bandIds": ["B1"], "grid": origin(0, 0, 40, 10)}
    assert "must be less than or equal to 1199 bytes." in api.post("/v1/projects/p/image:computePixels", body).text
    api.emulator.configure({"limits": {"get_pixels": {"max_bands": 3}}})
    assert api.refusal(bandIds=[]) == "Number of bands (4) must be less than or equal to 3."


def test_size_is_summed_over_bands_and_int64_counts_as_float64(api):
    api.pixels(bandIds=["B1", "B2", "B3", "B4"], grid=origin(0, 0, 5, 2))
    assert api.emulator.stats().recent[-1].accounted_bytes == 10 * (3 + 5 + 9 + 2)


def test_documented_limits_are_the_default():
    limits = EmulatorSettings().limits
    assert limits.get_pixels == MethodLimits(max_bytes=33_554_432, max_side=10_000, max_bands=1024)
    assert limits.compute_pixels == MethodLimits(max_bytes=50_331_648, max_side=32_768, max_bands=1024)


def test_a_payload_may_have_ten_mebibytes(api):
    url = f"{api.emulator.url}/v1/projects/p/value:compute"
    body = b'{"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}}'
    assert api.session.post(url, data=body.ljust(10 * 2**20), timeout=10).json() == {"result": 1}
    reply = api.session.post(url, data=body.ljust(10 * 2**20 + 1), timeout=10)
    assert reply.json()["error"]["message"] == "Request payload size exceeds the limit: 10485760 bytes."
    assert reply.status_code == 400


def test_a_grid_that_is_left_out_is_native(api):
    assert api.array().shape == (48, 64)
    assert api.grid() == ("EPSG:32610", (10, 0, 500000, 0, -10, 4200000), 64, 48)
    api.array(grid={"dimensions": {"width": 5, "height": 6}})
    assert api.grid() == ("EPSG:32610", (10, 0, 500000, 0, -10, 4200000), 5, 6)
    api.array(grid={"affineTransform": {**NATIVE, "translateX": 500005, "scaleX": 20, "scaleY": -20}})
    assert api.grid() == ("EPSG:32610", (20, 0, 499985, 0, -20, 4200000), 33, 24)


def region_of(west: float, south: float, east: float, north: float) -> dict:
    from pyproj import Transformer

    ring = [(west, north), (east, north), (east, south), (west, south), (west, north)]
    back = Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True)
    return {"type": "Polygon", "coordinates": [[list(back.transform(x, y)) for x, y in ring]]}


def test_a_region_whose_edges_are_pixels_edges_adds_no_pixel(api):
    corners = region_of(500100, 4199800, 500200, 4199900)["coordinates"][0]
    # Points, as an edge that is straight in degrees is a bow in metres.
    points = [{"type": "Point", "coordinates": corner} for corner in corners]
    api.array(region={"type": "GeometryCollection", "geometries": points})
    assert api.grid() == ("EPSG:32610", (10, 0, 500100, 0, -10, 4199900), 10, 10)


def test_a_region_is_its_bounding_box_on_the_lattice_or_rescaled(api):
    region = region_of(500101, 4199801, 500199, 4199899)
    pixels = api.array(region=region)["B1"]
    assert api.grid() == ("EPSG:32610", (10, 0, 500100, 0, -10, 4199900), 10, 10)
    assert pixels[0, 0] == 10_011
    api.array(region=region, grid={"dimensions": {"width": 49, "height": 7}})
    crs, transform, width, height = api.grid()
    assert (crs, width, height) == ("EPSG:32610", 49, 7)
    np.testing.assert_allclose(transform, (2, 0, 500101, 0, -14, 4199899), atol=1e-4)
    assert "region" in api.refusal(region={"type": "Polygon", "coordinates": []})


def test_pixels_outside_the_footprint_are_masked_not_refused(api):
    assert (api.array(grid=origin(-5, -5, 3, 3))["B1"] == 77).all()


def test_what_lies_under_the_mask_can_be_chosen(api):
    grid = origin(-50, -50, 100, 60)
    stored = api.array(grid=grid)["B1"]
    masked = np.ones((60, 100), bool)
    masked[50:, 50:] = False
    assert (stored[masked] == 77).all()
    api.emulator.configure({"under_mask": "zero"})
    assert (api.array(grid=grid)["B1"][masked] == 0).all()
    api.emulator.configure({"under_mask": "noise"})
    noisy = api.array(grid=grid)["B1"]
    assert len(np.unique(noisy[masked])) > 50
    np.testing.assert_array_equal(noisy[~masked], stored[~masked])
    # A tile of it holds the same noise.
    np.testing.assert_array_equal(api.array(grid=origin(-43, -45, 20, 9))["B1"], noisy[5:14, 7:27])


def test_pictures(api):
    options = {"ranges": [{"min": 0, "max": 255}], "paletteColors": ["000000", "#FF0000"], "opacity": 0.5}
    content = api.pixels(fileFormat="PNG", grid=origin(-1, 0, 4, 1), visualizationOptions=options).content
    picture = Image.open(io.BytesIO(content))
    assert (picture.size, picture.mode) == ((4, 1), "RGBA")
    assert [picture.getpixel((x, 0)) for x in range(4)] == [
        (0, 0, 0, 0),
        (1, 0, 0, 128),
        (2, 0, 0, 128),
        (3, 0, 0, 128),
    ]
    reply = api.pixels(fileFormat="AUTO_JPEG_PNG", visualizationOptions={"ranges": [{"max": 47000}], "gamma": 2})
    assert reply.headers["Content-Type"] == "image/jpeg"
    rgb = api.array(bandIds=["B1", "B2", "B4"], visualizationOptions={"ranges": [{"max": 1}]})
    assert rgb.dtype == np.dtype([("vis-red", "u1"), ("vis-green", "u1"), ("vis-blue", "u1")])
    assert "visualization options" in api.refusal(fileFormat="PNG")
    assert "1 or 3 bands" in api.refusal(fileFormat="PNG", bandIds=["B1", "B2"])
    assert "palette" in api.refusal(fileFormat="PNG", visualizationOptions={"paletteColors": ["red"]})


def test_geotiff(api):
    rasterio = pytest.importorskip("rasterio")
    reply = api.pixels(fileFormat="GEO_TIFF", bandIds=["B4", "B1"], grid=origin(2, 1, 3, 2))
    assert reply.headers["Content-Type"] == "image/tiff"
    with rasterio.MemoryFile(reply.content) as memory, memory.open() as file:
        assert file.crs.to_epsg() == 32610
        assert file.transform[:6] == (10, 0, 500020, 0, -10, 4199990)
        assert file.descriptions == ("B4", "B1")
        np.testing.assert_array_equal(file.read(2), [[1003, 1004, 1005], [2003, 2004, 2005]])


def test_a_thumbnail_is_made_and_fetched_without_a_token(api, tmp_path):
    body = {"expression": LOAD, "fileFormat": "ZIPPED_GEO_TIFF_PER_BAND", "bandIds": ["B1"], "filenamePrefix": "scene"}
    name = api.post("/v1/projects/p/thumbnails", body).json()["name"]
    assert name.startswith("projects/p/thumbnails/")
    api.emulator.write_user_credentials(tmp_path / "user.json")
    assert api.get(f"/v1{PUBLIC}TEST/A").status_code == 401
    reply = api.get(f"/v1/{name}:getPixels")
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/zip")
    assert b"scene.B1.tif" in reply.content
    assert api.get("/v1/projects/p/thumbnails/none:getPixels").status_code == 404


def test_lists_come_in_pages_and_filters_apply_to_collections(api):
    first = api.get(f"/v1{PUBLIC}TEST:listAssets", pageSize="1").json()
    assert [asset["id"] for asset in first["assets"]] == ["TEST/A"]
    second = api.get(f"/v1{PUBLIC}TEST:listAssets", pageSize="1", pageToken=first["nextPageToken"]).json()
    assert [asset["id"] for asset in second["assets"]] == ["TEST/B"]
    assert "nextPageToken" not in second
    assert api.get(f"/v1{PUBLIC}TEST:listAssets", filter="properties.CLOUDS > 999").json() == {}
    basic = api.get(f"/v1{PUBLIC}TEST:listAssets", view="BASIC").json()["assets"][0]
    assert set(basic) == {"type", "name", "id"}
    folder = api.get(f"/v1{PUBLIC}SHELF:listAssets", filter="properties.CLOUDS > 999").json()
    assert [asset["id"] for asset in folder["assets"]] == ["TEST"]
    assert len(api.get("/v1/projects/earthengine-public:listAssets").json()["assets"]) == 2
    assert api.get(f"/v1{PUBLIC}TEST:listAssets", pageToken="!").status_code == 400
    assert api.get(f"/v1{PUBLIC}NO:listAssets").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "AB"),
        ({"startTime": "2020-01-01T10:00:00Z", "endTime": "2020-01-20T10:00:00Z"}, "A"),
        ({"startTime": "2020-01-01T10:00:01Z"}, "B"),
        ({"filter": "CLOUDS < 10"}, "A"),
        ({"region": '{"type": "Point", "coordinates": [12, 1]}'}, "B"),
        ({"region": '{"type": "Point", "coordinates": [7, 1]}'}, ""),
        ({"region": '{"type": "LineString", "coordinates": [[-1, 1], [20, 1]]}'}, "AB"),
    ],
)
def test_images_by_time_region_and_property(api, query, found):
    images = api.get(f"/v1alpha{PUBLIC}TEST:listImages", **query).json().get("images", [])
    assert "".join(image["id"][-1] for image in images) == found


ASSET = {
    "id": "X/A",
    "startTime": "2020-01-01T10:00:00Z",
    "properties": {"CLOUDS": 2.5, "TILE": "T10SEG", "NOTE": 'say "hi"'},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]]},
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("CLOUDS<2.5", False),
        ("CLOUDS <= 2.5", True),
        ("properties.CLOUDS = 2.50", True),
        ("properties.TILE = T10SEG", True),
        ('TILE != "T10SEG"', False),
        (r'NOTE = "say \"hi\""', True),
        ("MISSING < 1", False),
        ("NOT MISSING < 1", True),
        ('startTime >= "2020-01-01" AND startTime < "2020-01-02T00:00:00.000Z"', True),
        # OR binds tighter than AND: false AND (true OR true).
        ("CLOUDS > 9 AND TILE = T10SEG OR CLOUDS > 1", False),
        ("(CLOUDS > 9 AND TILE = T10SEG) OR CLOUDS > 1", True),
        ("CLOUDS > 1 TILE = T10SEG", True),
        ("intersects(\"{'type': 'Point', 'coordinates': [1, 2]}\")", True),
        ('CLOUDS > 1 AND intersects(\'{"type": "Point", "coordinates": [6, 2]}\')', False),
        ("intersects(\"{'type': 'Polygon', 'coordinates': [[[4, 4], [9, 4], [9, 9], [4, 4]]]}\")", True),
        ("intersects(\"{'type': 'Polygon', 'coordinates': [[[-1, 2], [9, 2], [9, 3], [-1, 3], [-1, 2]]]}\")", True),
    ],
)
def test_filters(text, passes):
    assert compiled(text)(ASSET) is passes


@pytest.mark.parametrize(
    "text", ["CLOUDS", "CLOUDS <", "(CLOUDS < 1", "< 1", "near(3)", "intersects('x')", "startTime > now", "a = 'b"]
)
def test_filters_that_cannot_be_read(text):
    from eezarr.emulator.errors import ApiError

    with pytest.raises(ApiError):
        compiled(text)


def test_gzip_only_for_clients_that_qualify_and_only_if_set(api):
    def encoding(agent: str, accept: str) -> tuple[str | None, bytes]:
        headers = {"User-Agent": agent, "Accept-Encoding": accept}
        body = {"fileFormat": "NPY", "bandIds": ["B1"]}
        path = f"{api.emulator.url}/v1{PUBLIC}TEST/A:getPixels"
        with api.session.post(path, json=body, headers=headers, timeout=10, stream=True) as reply:
            return reply.headers.get("Content-Encoding"), reply.raw.read(decode_content=False)

    plain = encoding("x (gzip)", "gzip")
    assert plain[0] is None
    api.emulator.configure({"transfer": {"gzip": True}})
    assert encoding("x", "gzip") == plain
    assert encoding("x (gzip)", "identity") == plain
    packed = encoding("x (gzip)", "gzip, deflate")
    assert packed[0] == "gzip"
    assert gzip.decompress(packed[1]) == plain[1]


def test_chunked_transfer_has_no_length(api):
    whole = api.pixels()
    api.emulator.configure({"transfer": {"chunked": True}})
    chunked = api.pixels()
    assert "Content-Length" in whole.headers
    assert "Content-Length" not in chunked.headers
    assert chunked.headers["Transfer-Encoding"] == "chunked"
    assert chunked.content == whole.content


def test_controls_over_http(api):
    changed = api.post("/__emulator__/settings", {"quota": {"max_concurrency": 3}, "latency": {"base_s": 0}}).json()
    assert changed["quota"]["max_concurrency"] == 3
    assert changed["quota"]["max_requests_per_second"] == 100
    assert api.get("/__emulator__/settings").json() == changed
    for wrong in ({"quotas": {}}, {"quota": {"max_concurrency": "many"}}, {"faults": {"rates": {"reset": 2}}}, [1]):
        assert api.post("/__emulator__/settings", wrong).status_code == 400
    assert api.post("/__emulator__/script", {"outcomes": ["unavailable"]}).status_code == 200
    assert api.post("/__emulator__/script", {"outcomes": ["nonsense"]}).status_code == 400
    assert api.post("/__emulator__/script", {}).status_code == 400
    assert [api.pixels().status_code for _ in range(2)] == [503, 200]
    stats = api.get("/__emulator__/stats").json()
    assert stats["requests"] == {"getPixels": {"200": 1, "503": 1}}
    assert stats["faults"] == {"unavailable": 1}
    assert stats["pixels_served"] == 64 * 48
    assert stats["bytes_sent"] == len(api.pixels().content)
    assert stats["recent"][0]["bands"] == ["B1"]
    assert api.post("/__emulator__/reset", {}).status_code == 200
    assert api.get("/__emulator__/stats").json()["requests"] == {}
    assert api.get("/__emulator__/settings").json()["quota"]["max_concurrency"] == 40


def test_settings_merge_deeply_and_leave_the_rest():
    settings = merged(EmulatorSettings(), {"faults": {"rates": {"cut": 0.25}, "rules": [{"max_pixels": 5}]}})
    assert (settings.faults.rates.cut, settings.faults.rules[0].max_pixels) == (0.25, 5)
    assert merged(settings, {"faults": {"seed": 1}}).faults.rates.cut == 0.25
    assert hash(settings) != hash(EmulatorSettings())
    with pytest.raises(ValueError, match="no_such"):
        merged(settings, {"no_such": 1})


def test_discovery_names_the_host_that_was_asked(api):
    document = api.get("/$discovery/rest", version="v1").json()
    assert document["rootUrl"] == document["baseUrl"] == api.emulator.url + "/"
    assert "mtlsRootUrl" not in document
    projects = document["resources"]["projects"]
    method = projects["resources"]["assets"]["methods"]["getPixels"]
    assert (method["path"], method["httpMethod"]) == ("v1/{+name}:getPixels", "POST")


def test_a_world_that_breaks_is_an_internal_error(world, monkeypatch, caplog):
    def broken(self, name):
        raise ZeroDivisionError(name)

    monkeypatch.setattr(type(world), "asset", broken)
    with EmulatorThread(world=world) as emulator:
        reply = requests.get(f"{emulator.url}/v1{PUBLIC}TEST/A", timeout=10)
    assert (reply.status_code, reply.json()["error"]["status"]) == (500, "INTERNAL")
    assert "the emulator failed on GET" in caplog.text


def test_a_thread_that_cannot_listen_says_so(emulator, world):
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match=str(port)):
        EmulatorThread(world=world, port=port).start()


async def test_in_a_running_loop_and_gone_afterwards(world):
    import aiohttp

    async with Emulator(world=world) as emulator, aiohttp.ClientSession() as session:
        async with session.get(f"{emulator.url}/v1{PUBLIC}TEST/A") as reply:
            assert reply.status == 200
        url = emulator.url
        await emulator.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}/v1{PUBLIC}TEST/A")


async def test_a_client_that_leaves_just_before_its_answer_is_no_error(world, caplog):
    import aiohttp

    server = None

    def clock():
        """Read when a request is admitted: from there to its answer nothing is waited for."""
        for connection in server.connections if server else ():
            connection.transport.abort()
        return 0.0

    async with Emulator(world=world, monotonic=clock) as emulator, aiohttp.ClientSession() as session:
        server = emulator._runner.server
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{emulator.url}/v1/projects/p/operations")
        assert emulator.stats().requests["operations.list"].keys() == {"gone"}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_connection_error_that_is_not_the_clients_is_told(world, caplog, monkeypatch):
    import aiohttp

    monkeypatch.setattr(type(world), "asset", Mock(side_effect=ConnectionResetError("the world's own")))
    async with Emulator(world=world) as emulator, aiohttp.ClientSession() as session:
        reply = await session.get(f"{emulator.url}/v1{PUBLIC}TEST/A")
        assert reply.status == 500
    assert "the world's own" in caplog.text


def test_as_a_process_that_ends_when_it_is_told(tmp_path):
    pytest.importorskip("eezarr.emulator.world")
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"quota": {"max_concurrency": 2}}))
    command = [sys.executable, "-m", "eezarr.emulator", "--latency-base", "0.01", "--settings", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        current = requests.get(f"{url}/__emulator__/settings", timeout=10).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert (current["latency"]["base_s"], current["quota"]["max_concurrency"]) == (0.01, 2)


def test_the_fixture_that_users_get(request):
    pytest.importorskip("eezarr.emulator.world")
    emulator = request.getfixturevalue("earth_engine_emulator")
    assert requests.get(f"{emulator.url}/$discovery/rest", timeout=10).status_code == 200


@pytest.mark.parametrize("content", ['{"no_such": 1}', "{"])
def test_a_command_line_that_cannot_be_read_is_refused(tmp_path, capsys, content):
    from eezarr.emulator.__main__ import main

    settings = tmp_path / "settings.json"
    settings.write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["--settings", str(settings)], program="emulate")
    assert ended.value.code == 2
    assert "emulate: error:" in capsys.readouterr().err
