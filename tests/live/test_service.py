"""What nobody could ask without an account: each test asks the service, and compares what is held to be so.

See `conftest.py` for how to ask the real one. Without that these run against the emulator, so that they do not rot, and
so that the emulator answers as is held. No test starts an export, writes an asset, or asks for much: a few MB in all.
"""

import io
import json
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from eezarr.earthengine.catalogue import parse_asset
from eezarr.earthengine.listing import ImageQuery
from eezarr.grid import PixelGrid
from known import SCENE, SCENE_NAME

GRID = {
    "crsCode": "EPSG:4326",
    "dimensions": {"width": 2, "height": 2},
    "affineTransform": {"scaleX": 1e-4, "translateX": -122.1, "scaleY": -1e-4, "translateY": 37.4},
}
S2 = "projects/earthengine-public/assets/COPERNICUS/S2"
INT_RANGES = {
    "0..1": (0, 1),
    "0..100": (0, 100),
    "-100..100": (-100, 100),
    "0..300": (0, 300),
    "-128..127": (-128, 127),
}


def constant(value):
    return {"constantValue": value}


def call(name, **arguments):
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


def graph(node):
    return {"result": "0", "values": {"0": node}}


def image(*bands):
    """An image of bands, each a number cast to a type."""
    made = [call("Image.rename", input=band, names=constant([f"b{n}"])) for n, band in enumerate(bands)]
    whole = made[0]
    for band in made[1:]:
        whole = call("Image.addBands", dstImg=whole, srcImg=band)
    return whole


def cast(value, name):
    return call(f"Image.to{name}", value=call("Image.constant", value=constant(value)))


def pixels_of(reply):
    assert reply.status_code == 200, reply.text[:500]
    return np.load(io.BytesIO(reply.content))


def error_of(reply):
    error = reply.json()["error"]
    return reply.status_code, error.get("status"), error["message"]


def size_grid(width, height):
    return GRID | {"dimensions": {"width": width, "height": height}}


# Types.


@pytest.mark.parametrize("span", INT_RANGES)
def test_the_type_of_a_stated_range(service, answers, span):
    low, high = INT_RANGES[span]
    kind = call("PixelType", precision=constant("int"), minValue=constant(low), maxValue=constant(high))
    types = {"dictionaryValue": {"values": {"constant": kind}}}
    node = call("Image.cast", image=call("Image.constant", value=constant(1)), bandTypes=types)
    values = pixels_of(service.compute(graph(node), GRID))["constant"]
    answers.told(f"the NumPy type of an integer band {span} of an expression", values.dtype.str)
    assert values.dtype.kind in "iu"
    assert np.iinfo(values.dtype).min <= low <= high <= np.iinfo(values.dtype).max


def test_the_types_of_an_assets_narrow_bands(service, answers):
    # At the real service: occurrence and others of 0..100, change of -100..100, extent of 0..1.
    name = "projects/earthengine-public/assets/JRC/GSW1_4/GlobalSurfaceWater"
    document = service.ask("GET", f"/v1/{name}").json()
    asset = parse_asset(document | {"name": name})
    names = [band.id for band in asset.bands][:12]
    one = {"dimensions": {"width": 1, "height": 1}}
    # The emulator has another image by this name.
    body = {"bandIds": names, "grid": GRID | one if service.is_real else one, "fileFormat": "NPY"}
    values = pixels_of(service.ask("POST", f"/v1/{name}:getPixels", body=body))
    for band in asset.bands[:12]:
        stated = next(each["dataType"] for each in document["bands"] if each["id"] == band.id)
        answers.told(f"the NumPy type of {band.id}, {json.dumps(stated)}", values.dtype[band.id].str)
        assert values.dtype[band.id].kind == np.dtype(band.dtype).kind or values.dtype[band.id].kind in "iu"


def test_64_bit_integers_are_served_as_doubles(service, answers):
    found = pixels_of(service.compute(graph(image(cast(7, "Int64"))), GRID)).dtype["b0"].str
    answers.as_held("the NumPy type of int64", found, "<f8", correct="fact sheet 5, `served_dtype`, `catalogue._dtype`")


# Sizes.


def test_the_size_of_a_request_is_the_sum_over_its_bands(service, answers):
    node = graph(image(cast(1, "Uint8"), cast(1, "Double")))
    code, _, text = error_of(service.compute(node, size_grid(5000, 5000)))
    # By the widest type it would be 5000 * 5000 * 2 * 9 = 450000000.
    answers.as_held(
        "the refusal of 5000 x 5000 pixels of a byte and a double",
        (code, text),
        (400, "Total request size (275000000 bytes) must be less than or equal to 50331648 bytes."),
        correct="fact sheet 3.2 and 11.1, `RequestLimits`, the emulator's limits",
    )


def test_the_other_limits_say_what_they_are(service, answers):
    node = graph(call("Image.constant", value=constant(1)))
    for width, height, text in (
        (40_818, 1, "Pixel grid dimensions (40818x1) must be less than or equal to 32768."),
        (1, 40_818, "Pixel grid dimensions (1x40818) must be less than or equal to 32768."),
    ):
        found = error_of(service.compute(node, size_grid(width, height)))[2]
        answers.as_held(f"{width} x {height} pixels", found, text, correct="fact sheet 3.1, the learnt limits")
    many = graph(call("Image.constant", value=constant([0] * 1025)))
    found = error_of(service.compute(many, GRID))[2]
    held = "Number of bands (1025) must be less than or equal to 1024."
    answers.as_held("1025 bands", found, held, correct="fact sheet 11.6, the learnt limits")


# Masks.


def test_values_under_a_computed_mask(service, answers):
    masked = call("Image.updateMask", image=cast(7, "Int16"), mask=call("Image.constant", value=constant(0)))
    values = pixels_of(service.compute(graph(masked), GRID))["constant"]
    answers.told("computePixels of a masked 7", np.unique(values).tolist())
    assert set(np.unique(values)) <= {0, 7, -32768}


@pytest.mark.parametrize("method", ["getPixels", "computePixels"])
def test_values_under_a_stored_mask(service, answers, method):
    name = "projects/earthengine-public/assets/USGS/SRTMGL1_003"
    sea = GRID | {"affineTransform": {"scaleX": 1e-3, "translateX": -124.0, "scaleY": -1e-3, "translateY": 37.0}}
    if method == "getPixels":
        body = {"grid": sea, "fileFormat": "NPY", "bandIds": ["elevation"]}
        values = pixels_of(service.ask("POST", f"/v1/{name}:getPixels", body=body))
    else:
        values = pixels_of(service.compute(graph(call("Image.load", id=constant("USGS/SRTMGL1_003"))), sea))
    answers.told(f"{method} of SRTM in the sea", np.unique(values["elevation"]).tolist())
    mask = call("Image.mask", image=call("Image.load", id=constant("USGS/SRTMGL1_003")))
    assert not pixels_of(service.compute(graph(mask), sea))["elevation"].any()


# How bodies travel.


def test_a_body_is_npy_as_it_is_held(service, answers):
    reply = service.compute(graph(image(cast(1, "Uint8"), cast(2, "Float"))), size_grid(3, 2))
    values = pixels_of(reply)
    body = reply.content
    header = 10 + int.from_bytes(body[8:10], "little")
    answers.as_held(
        "version, padding, shape and fields of NPY",
        (tuple(body[6:8]), header % 16, values.shape, [(name, values.dtype[name].str) for name in values.dtype.names]),
        ((1, 0), 0, (2, 3), [("b0", "|u1"), ("b1", "<f4")]),
        correct="fact sheet 5, `codec`",
    )
    assert len(body) == header + 6 * 5


@pytest.mark.parametrize("method", ["getPixels", "computePixels"])
@pytest.mark.parametrize("is_gzip", [False, True], ids=["plain", "gzip"])
def test_the_headers_of_a_body(service, answers, method, is_gzip):
    grid = GRID | {"dimensions": {"width": 256, "height": 256}}
    body = {"grid": grid, "fileFormat": "NPY", "bandIds": ["B4"]}
    path = f"/v1/{SCENE_NAME}:getPixels"
    if method == "computePixels":
        path = f"/v1/projects/{service.project}/image:computePixels"
        body["expression"] = graph(call("Image.load", id=constant(SCENE)))
    more = {"Accept_Encoding": "gzip", "User_Agent": "eezarr (gzip)"} if is_gzip else {"User_Agent": "eezarr"}
    reply = service.ask("POST", path, body=body, stream=True, **more)
    names = ("Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Vary")
    shown = {name: reply.headers[name] for name in names if name in reply.headers}
    shown |= {name: value for name, value in reply.headers.items() if name.lower().startswith("x-earth-engine")}
    answers.told(f"headers of {method}, {'gzip' if is_gzip else 'plain'}", shown)
    assert reply.status_code == 200
    assert reply.headers.get("Content-Encoding", "identity") in {"identity", "gzip" if is_gzip else "identity"}
    reply.close()


# Long queries.


def padded(length, path):
    """A query of a listing whose request line is so long, and means the same however long it is."""
    term = 'startTime >= "2017-04-01T00:00:00Z"'
    query = {"pageSize": "2", "filter": f'{term} AND endTime < "2017-04-20T00:00:00Z"'}
    while True:
        longer = query | {"filter": f"{query['filter']} AND {term}"}
        if len(f"GET {path}?{urlencode(longer)} HTTP/1.1") > length:
            return query
        query = longer


def test_how_long_a_get_may_be_and_that_a_post_may_stand_for_it(service, answers):
    path = f"/v1/{S2}:listAssets"
    names = {}
    for length in (500, 2048, 4096, 8190, 16_384):
        query = padded(length, path)
        found = service.ask("GET", f"{path}?{urlencode(query)}")
        answers.told(f"a GET of {length} bytes", found.status_code)
        override = {"X_HTTP_Method_Override": "GET", "Content_Type": "application/x-www-form-urlencoded"}
        posted = service.ask("POST", path, data=urlencode(query), **override)
        for kind, reply in (("GET", found), ("POST", posted)):
            if reply.status_code == 200:
                names[kind, length] = [each["name"] for each in reply.json()["assets"]]
        if length <= 2048:
            held = f"GET of {length} bytes"
            answers.as_held(held, found.status_code, 200, correct="`session.MAX_REQUEST_LINE`, `MAX_QUOTED_REGION`")
        question = f"a POST that stands for a GET of {length} bytes"
        answers.as_held(question, posted.status_code, 200, correct="fact sheet 12: send the query otherwise")
    assert len({json.dumps(each) for each in names.values()}) == 1


@pytest.mark.parametrize("method", ["listAssets", "listImages"])
def test_an_outline_lists_what_its_region_does_and_more(service, answers, method):
    grid = PixelGrid.of("EPSG:32610", (80, 60, 560_000, 60, -80, 4_100_000), (700, 200))
    query = ImageQuery(start="2017-04-01", end="2017-04-11", region=grid.footprint(), is_by_start=True)
    path = f"/{'v1alpha' if method == 'listImages' else 'v1'}/{S2}:{method}"
    key = "images" if method == "listImages" else "assets"
    is_meant = query.chooser()
    sets = []
    for view in ("FULL", "BASIC"):  # an outline, and the region itself
        parameters = query.parameters(method, view) | {"pageSize": "1000"}
        headers = {"X_HTTP_Method_Override": "GET", "Content_Type": "application/x-www-form-urlencoded"}
        reply = service.ask("POST", path, data=urlencode(parameters), **headers)
        assert reply.status_code == 200, reply.text[:500]
        sets.append(reply.json()[key])
    listed, true = ({each["name"] for each in each_set} for each_set in sets)
    chosen = {each["name"] for each in sets[0] if is_meant(parse_asset({"type": "IMAGE"} | each))}
    answers.told(f"{method} by an outline, by the region, chosen", (len(listed), len(true), len(chosen)))
    assert listed >= true
    answers.as_held(
        f"images of {method} that the region means and eezarr leaves out",
        sorted(true - chosen),
        [],
        correct="`searchregion`: footprints are read otherwise",
    )
    if method == "listImages":
        has_types = any("type" in each for each in sets[0])
        answers.as_held("items of listImages have types", has_types, False, correct="fact sheet 12; E10")


# What is said when it says no.


def test_errors_of_requests(service, answers):
    pixels = f"/v1/{SCENE_NAME}:getPixels"
    good = {"fileFormat": "NPY", "bandIds": ["B4"], "grid": GRID}
    unknown = "Invalid JSON payload received. Unknown name \"origin\" at 'grid': Cannot find field."
    asked = {
        "an unknown field": (good | {"grid": GRID | {"origin": 1}}, (400, "INVALID_ARGUMENT", unknown)),
        "a bad enum": (
            good | {"fileFormat": "NUMPY_NDARRAY"},
            (
                400,
                "INVALID_ARGUMENT",
                "Invalid value at 'file_format' (type.googleapis.com/google.earthengine.v1.ImageFileFormat), "
                '"NUMPY_NDARRAY"',
            ),
        ),
    }
    for question, (body, held) in asked.items():
        found = error_of(service.ask("POST", pixels, body=body))
        answers.as_held(question, found, held, correct="fact sheet 2 and 3.4, the rejections' table")
    found = error_of(service.ask("POST", pixels, body=good | {"bandIds": ["B99"]}))
    answers.told("a band that is not there, of getPixels", found)
    assert found[0] == 400
    code, status, text = error_of(service.ask("GET", f"/v1/{S2}/NOTHING"))
    answers.told("an asset that is not there", (code, status, text))
    assert (code, "NOTHING" in text) in {(404, True), (403, True)}


def test_errors_of_computations(service, answers):
    missing = "projects/earthengine-public/assets/NO/SUCH"
    load = call("Image.load", id=constant("NO/SUCH"))
    code, status, text = error_of(service.compute(graph(load), GRID))
    answers.told("an image that is not there, computed", (code, status, text))
    assert code in {400, 404}
    assert "not found" in text or missing in text
    select = call("Image.select", input=call("Image.load", id=constant(SCENE)), bandSelectors=constant(["B99"]))
    code, status, text = error_of(service.compute(graph(select), GRID))
    answers.told("a band that is not there, computed", (code, status, text))
    assert (code, text.startswith("Image.select: ")) == (400, True)
    resampled = call("Image.resample", image=call("Image.load", id=constant(SCENE)), mode=constant("nearest"))
    held = (400, "INVALID_ARGUMENT", "Image.resample: Invalid interpolation mode: nearest")
    answers.as_held(
        "resample('nearest')", error_of(service.compute(graph(resampled), GRID)), held, correct="fact sheet 3.4"
    )
    code, status, text = error_of(service.compute(graph(call("Image.noSuchFunction")), GRID))
    answers.told("a function that is not there", (code, status, text))
    assert (code, "noSuchFunction" in text) == (400, True)


def test_a_token_that_is_none(service, answers):
    reply = service.ask("GET", f"/v1/{SCENE_NAME}", is_known=False)
    found = error_of(reply)
    answers.told("the WWW-Authenticate of a bad token", reply.headers.get("WWW-Authenticate"))
    answers.as_held("a bad token", found[:2], (401, "UNAUTHENTICATED"), correct="fact sheet 3.4, `status.classify`")
    answers.told("the text of a bad token", found[2])


# Pictures, projections, spellings.


def test_the_workload_tag_of_a_thumbnail(service, answers):
    path = f"/v1/projects/{service.project}/thumbnails"
    shown = {"ranges": [{"min": 0, "max": 2}]}
    body = {"expression": graph(cast(1, "Uint8")), "fileFormat": "PNG", "grid": GRID, "visualizationOptions": shown}
    reply = service.ask("POST", f"{path}?{urlencode({'workloadTag': 'eezarr-live'})}", body=body)
    answers.as_held("?workloadTag= of a thumbnail", reply.status_code, 200, correct="fact sheet 12, `thumbnails`")
    picture = service.ask("GET", f"/v1/{quote(reply.json()['name'])}:getPixels")
    assert picture.content.startswith(b"\x89PNG")
    code, _, text = error_of(service.ask("POST", path, body=body | {"workloadTag": "eezarr-live"}))
    held = (400, 'Invalid JSON payload received. Unknown name "workloadTag": Cannot find field.')
    answers.as_held("workloadTag in a thumbnail's body", (code, text), held, correct="fact sheet 12, `thumbnails`")


def test_the_sign_of_a_scale(service, answers):
    projection = call("Projection", crs=constant("EPSG:4326"))
    found = service.value(graph(call("Projection.atScale", projection=projection, meters=constant(10))))["transform"]
    step = 8.983152841195215e-05
    held = pytest.approx([step, 0, 0, 0, step, 0], rel=1e-9)
    answers.as_held("EPSG:4326 at 10 m", found, held, correct="fact sheet 12, the emulator's `scaled_to`")


@pytest.mark.parametrize("gamma", [1.5, {"value": 1.5}], ids=["plain", "wrapped"])
def test_numbers_as_both_clients_write_them(service, answers, gamma):
    shown = {"ranges": [{"min": 0, "max": 2}], "gamma": gamma}
    reply = service.compute(graph(cast(1, "Uint8")), GRID, fileFormat="PNG", visualizationOptions=shown)
    answers.as_held(
        f"gamma as {gamma}", reply.status_code, 200, correct="fact sheet 1.3 and 12, the emulator's payload"
    )


def test_a_query_parameter_that_a_method_has_not(service, answers):
    reply = service.ask("GET", f"/v1/{S2}:listAssets?pagesize=1")
    answers.told("an unknown query parameter", (reply.status_code, reply.json().get("error", {}).get("message")))
    assert reply.status_code == 400
