"""Requests as both clients write them: long ones, other spellings, other verbs; and what is refused."""

import json
import math
from itertools import product

import numpy as np
import pytest
import requests

from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from known import SCENE

S2 = "/v1/projects/earthengine-public/assets/COPERNICUS/S2"
PROJECT = "/v1/projects/p"
GRID = {
    "crsCode": "EPSG:32610",
    "dimensions": {"width": 3, "height": 2},
    "affineTransform": {"scaleX": 10, "translateX": 510_000, "scaleY": -10, "translateY": 4_190_000},
}
LOAD = {"functionInvocationValue": {"functionName": "Image.load", "arguments": {"id": {"constantValue": SCENE}}}}


@pytest.fixture(scope="module")
def served():
    with EmulatorThread(world=SyntheticWorld()) as emulator:
        yield emulator


@pytest.fixture
def post(served):
    def send(path, body, **query):
        return requests.post(served.url + path, json=body, params=query, timeout=30)

    return send


def graph(node):
    return {"result": "0", "values": {"0": node}}


def call(name, **arguments):
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


def value(post, node):
    reply = post(f"{PROJECT}/value:compute", {"expression": graph(node)})
    assert reply.status_code == 200, reply.text
    return reply.json()["result"]


def refusal(reply, code=400):
    assert reply.status_code == code, reply.text
    return reply.json()["error"]["message"]


# Long queries.

QUERY = {"filter": 'MGRS_TILE = "10SEG" AND startTime < "2017-03-01"', "pageSize": "2"}


def test_a_post_may_stand_for_a_get(served):
    plain = requests.get(f"{served.url}{S2}:listAssets", params=QUERY, timeout=30)
    override = {"X-HTTP-Method-Override": "GET"}
    posted = requests.post(f"{served.url}{S2}:listAssets", data=QUERY, headers=override, timeout=30)
    assert (posted.status_code, posted.json()) == (200, plain.json())
    assert len(plain.json()["assets"]) == 2
    # Without the header it is no method of the service's, and with it a method that is one by POST is none.
    assert requests.post(f"{served.url}{S2}:listAssets", data=QUERY, timeout=30).status_code == 404
    path = f"{served.url}{PROJECT}/image:computePixels"
    assert requests.post(path, json={}, headers=override, timeout=30).status_code == 404
    deleted = requests.post(
        f"{served.url}{PROJECT}/operations/NONE", headers={"X-HTTP-Method-Override": "delete"}, timeout=30
    )
    assert "operations/NONE" in refusal(deleted, 404)


@pytest.mark.parametrize(("length", "status"), [(8190, 200), (8191, 414), (200_000, 414)])
def test_request_lines_of_8_kb_and_no_more(served, length, status):
    rest = len(f"GET {S2}:listAssets?pageSize=1&filter= HTTP/1.1")
    text = 'id:"' + "x" * (length - rest - len("id:%22%22")) + '"'
    reply = requests.get(f"{served.url}{S2}:listAssets?pageSize=1&filter={text}", timeout=30)
    assert reply.status_code == status
    assert ("too large to process" in reply.text) == (status == 414)


def test_query_parameters_that_a_method_has_not(served, post):
    reply = requests.get(f"{served.url}{S2}:listAssets?pagesize=2&prettyPrint=false", timeout=30)
    assert 'Unknown name "pagesize": Cannot bind query parameter' in refusal(reply)
    assert "startTime" in refusal(requests.get(f"{served.url}{S2}:listAssets?startTime=2017-01-01", timeout=30))
    assert "workloadTag" in refusal(post(f"{PROJECT}/image:computePixels", {}, workloadTag="t"))


# Workload tags.


@pytest.mark.parametrize("kind", ["thumbnails", "maps"])
def test_the_workload_tag_of_a_picture_is_in_the_query(post, kind):
    body = {"expression": graph(LOAD), "fileFormat": "PNG", "bandIds": ["B4"]} | (
        {"grid": GRID} if kind == "thumbnails" else {}
    )
    assert post(f"{PROJECT}/{kind}", body, workloadTag="t").status_code == 200
    assert refusal(post(f"{PROJECT}/{kind}", body, workloadTag="-")) == "Invalid workload tag: '-'."
    text = refusal(post(f"{PROJECT}/{kind}", body | {"workloadTag": "t"}))
    assert text == 'Invalid JSON payload received. Unknown name "workloadTag": Cannot find field.'


# Spellings.


def export(**more):
    files = {"cloudStorageDestination": {"bucket": "bucket", "filenamePrefix": "p"}, "fileFormat": "GEO_TIFF"}
    options = {"metadataKeys": ["a"], "pyramidOptions": {"resamplingMethod": "AVERAGE"}, "cloudOptimized": True}
    body = {"expression": graph(call("Image.select", input=LOAD, bandSelectors={"constantValue": ["B4"]}))}
    return body | {"grid": GRID, "fileExportOptions": files | {"geoTiffOptions": options | more.pop("tiff", {})}} | more


@pytest.mark.parametrize(("wrapped", "as_text"), [*product([False, True], repeat=2)])
def test_numbers_are_plain_or_wrapped_and_long_ones_text_or_not(served, post, tmp_path, wrapped, as_text):
    served.configure({"export_folder": str(tmp_path)})
    wrap = (lambda number: {"value": number}) if wrapped else (lambda number: number)
    long = str if as_text else int
    body = export(maxPixels=wrap(long(10**13)), priority=wrap(7), maxWorkers=wrap(3), tiff={"tileSize": wrap(16)})
    reply = post(f"{PROJECT}/image:export", body)
    assert reply.status_code == 200, reply.text
    shown = {"ranges": [{"min": 0, "max": 3000}], "gamma": wrap(1.5), "opacity": wrap(0.5)}
    body = {"expression": graph(LOAD), "grid": GRID, "bandIds": ["B4"], "fileFormat": "PNG"}
    assert post(f"{PROJECT}/image:computePixels", body | {"visualizationOptions": shown}).status_code == 200


def test_options_that_are_none_are_refused(post):
    text = refusal(post(f"{PROJECT}/image:export", export(tiff={"pyramidOptions": {"resamplingMethod": "BEST"}})))
    assert text.startswith("Invalid value at 'file_export_options.geo_tiff_options.pyramid_options.resampling_method'")
    assert "wait_for" in refusal(post(f"{PROJECT}/operations/X:wait", {"wait_for": "1s"}))


def snake(node):
    """The same expression, its fields in snake_case."""
    if isinstance(node, list):
        return [snake(item) for item in node]
    if not isinstance(node, dict):
        return node
    spelled = lambda name: "".join("_" + char.lower() if char.isupper() else char for char in name)  # noqa: E731
    fields = {"functionInvocationValue", "functionName", "constantValue", "arrayValue", "valueReference"}
    fields |= {"integerValue", "functionDefinitionValue", "argumentNames", "argumentReference", "dictionaryValue"}
    return {spelled(name) if name in fields else name: snake(item) for name, item in node.items()}


def test_expressions_in_snake_case(post):
    sums = call("Number.add", left={"integerValue": "40"}, right={"constantValue": 2})
    listed = {"arrayValue": {"values": [sums, {"dictionaryValue": {"values": {"aB": {"constantValue": 1}}}}]}}
    assert value(post, listed) == value(post, snake(listed)) == [42, {"aB": 1}]
    mapped = call(
        "List.map",
        list={"constantValue": [1, 2]},
        baseAlgorithm={"functionDefinitionValue": {"argumentNames": ["x"], "body": "1"}},
    )
    body = call("Number.add", left={"argumentReference": "x"}, right={"constantValue": 1})
    expression = {"result": "0", "values": {"0": mapped, "1": body}}
    reply = post(f"{PROJECT}/value:compute", {"expression": snake(expression)})
    assert reply.json()["result"] == [2, 3]


def test_integers_of_expressions_are_text_or_numbers(post):
    assert value(post, {"integerValue": 7}) == value(post, {"integerValue": "7"}) == 7
    assert "TYPE_INT64" in refusal(post(f"{PROJECT}/value:compute", {"expression": graph({"integerValue": "x"})}))


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"constantValue": 1, "integerValue": "1"}, "ValueNode"),
        ({"constant": 1}, 'Unknown name "constant"'),
        ({"functionInvocationValue": {"functionName": "Date", "args": {}}}, 'Unknown name "args"'),
        ({"functionInvocationValue": {"functionName": "Date", "functionReference": "1"}}, "oneof field 'function'"),
        ({"arrayValue": [1]}, "ValueNode"),
    ],
)
def test_nodes_that_are_none_are_refused(post, node, says):
    assert says in refusal(post(f"{PROJECT}/value:compute", {"expression": graph(node)}))


# Functions.


def test_the_scale_of_a_projection_is_positive(post):
    projection = call("Projection", crs={"constantValue": "EPSG:4326"})
    found = value(post, call("Projection.atScale", projection=projection, meters={"constantValue": 10}))
    step = 10 / (2 * math.pi * 6_378_137 / 360)
    np.testing.assert_allclose(found["transform"], [step, 0, 0, 0, step, 0], rtol=1e-12)
    image = call("Image.select", input=LOAD, bandSelectors={"constantValue": ["B4"]})
    own = call("Projection.atScale", projection=call("Image.projection", image=image), meters={"constantValue": 20})
    assert value(post, own)["transform"] == [20, 0, 499_980, 0, -20, 4_200_000]


@pytest.mark.parametrize(
    ("name", "near"), [("Image.toUint", "Image.toUint8"), ("NormalizedDifference", "Image.normalizedDifference")]
)
def test_an_unknown_function_is_told_with_those_that_are_known(post, name, near):
    text = refusal(post(f"{PROJECT}/value:compute", {"expression": graph(call(name))}))
    assert text.startswith(f"Unknown function '{name}'.")
    assert near in text
    assert len(text) < 20_000
    assert json.dumps(text)
