"""Expressions in every form that people have; the official client's serializer is the oracle."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eezarr.earthengine.expression import build, load_expression, parse_expression, select
from eezarr.earthengine.nodes import constant, listed, selectors
from eezarr.errors import InvalidInput


def call(function, **arguments):
    return {"functionInvocationValue": {"functionName": function, "arguments": arguments}}


LOAD = {"values": {"0": call("Image.load", id={"constantValue": "X"})}, "result": "0"}

SHARED = {
    "result": "9",
    "values": {
        "9": call(
            "Image.addBands", dstImg={"valueReference": "a"}, srcImg=call("Image.mask", image={"valueReference": "a"})
        ),
        "a": call(
            "Image.select",
            input=call("Image.load", id={"valueReference": "name"}),
            bandSelectors={"constantValue": ["B4"]},
        ),
        "name": {"constantValue": "X"},
        "unused": {"constantValue": {"valueReference": "just data"}},
    },
}

MAPPED = {
    "result": "0",
    "values": {
        "0": call("Collection.map", collection=call("ImageCollection.load", id={"constantValue": "C"}),
                  baseAlgorithm={"functionDefinitionValue": {"argumentNames": ["_M"], "body": "f"}}),
        "f": call("Image.add", image1={"argumentReference": "_M"},
                  image2={"functionInvocationValue": {"functionReference": "g", "arguments": {}}}),
        "g": {"functionDefinitionValue": {"argumentNames": [], "body": "c"}},
        "c": {"arrayValue": {"values": [{"integerValue": "9"}, {"valueReference": "e"}]}},
        "e": {"dictionaryValue": {"values": {"k": {"valueReference": "d"}}}},
        "d": {"bytesValue": "AA=="},
    },
}  # fmt: skip


def test_loading_is_what_the_official_client_sends():
    assert json.loads(load_expression("X")) == LOAD
    assert load_expression("projects/earthengine-public/assets/A/B") == load_expression("A/B")


@pytest.mark.parametrize(
    "form",
    [
        LOAD,
        json.dumps(LOAD),
        json.dumps(LOAD, indent=2).encode(),
        {"expression": LOAD},
        {"expression": json.dumps(LOAD)},
        json.dumps({"expression": LOAD, "fileFormat": "NPY"}),
    ],
)
def test_every_form_is_the_same_text(form):
    assert parse_expression(form) == load_expression("X")


def test_keys_order_and_unreached_values_do_not_matter():
    renamed = json.loads(json.dumps(SHARED).replace('"a"', '"zz"').replace('"9"', '"r"').replace('"name"', '"0"'))
    renamed["values"] = dict(reversed(renamed["values"].items()))
    del renamed["values"]["unused"]
    text = parse_expression(SHARED)
    assert parse_expression(renamed) == text
    assert parse_expression(text) == text
    assert json.loads(text)["result"] == "0"
    assert sorted(json.loads(text)["values"]) == ["0", "1", "2"]


def test_the_order_of_fields_does_not_matter():
    def turned(node):
        if isinstance(node, list):
            return [turned(child) for child in node]
        return {key: turned(node[key]) for key in reversed(node)} if isinstance(node, dict) else node

    assert parse_expression(turned(MAPPED)) == parse_expression(MAPPED)


@pytest.mark.parametrize("graph", [LOAD, SHARED, MAPPED])
def test_the_graph_stays_the_same(graph):
    def unfolded(document, node):
        """A graph without keys: references replaced by what they refer to."""
        if isinstance(node, list):
            return [unfolded(document, child) for child in node]
        if not isinstance(node, dict):
            return node
        if node.keys() == {"constantValue"}:
            return node
        if node.keys() == {"valueReference"}:
            return unfolded(document, document["values"][node["valueReference"]])
        return {
            key: unfolded(document, document["values"][child])
            if key in ("body", "functionReference")
            else unfolded(document, child)
            for key, child in node.items()
        }

    before = copy.deepcopy(graph)
    got = json.loads(parse_expression(graph))
    assert graph == before
    assert unfolded(got, got["values"][got["result"]]) == unfolded(graph, graph["values"][graph["result"]])


def test_selecting_wraps_the_result():
    got = json.loads(select(parse_expression(SHARED), ["B4", "mask"]))
    node = got["values"]["0"]["functionInvocationValue"]
    assert node["functionName"] == "Image.select"
    assert node["arguments"]["bandSelectors"] == {"constantValue": ["B4", "mask"]}
    assert (
        got["values"][node["arguments"]["input"]["valueReference"]]["functionInvocationValue"]["functionName"]
        == "Image.addBands"
    )


def broken(**values):
    return {"values": {"0": values}, "result": "0"}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "is NoneType, not an object"),
        (3, "is int"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is list"),
        ({}, "has not exactly"),
        ({"values": {}, "result": "0"}, "refers to the value '0'"),
        ({"values": [], "result": "0"}, "has not exactly"),
        ({"values": {}, "result": 0}, "has not exactly"),
        ({**LOAD, "extra": 1}, "has not exactly"),
        ({"type": "CompoundValue", "scope": [], "value": {}}, "old form"),
        (broken(), "no node of one known kind"),
        (broken(constantValue=1, integerValue="1"), "no node of one known kind"),
        (broken(valueRef="1"), "no node of one known kind"),
        (broken(valueReference="1"), "refers to the value '1'"),
        (broken(valueReference=1), "refers to 1, not to a key"),
        (broken(valueReference=None), "refers to None"),
        (broken(functionInvocationValue=[]), "is no object"),
        (broken(functionInvocationValue={"arguments": {}}), "without a name"),
        (broken(functionInvocationValue={"functionName": "f", "arguments": []}), "cannot be read"),
        (broken(functionDefinitionValue={"argumentNames": []}), "refers to None"),
        (broken(arrayValue={"values": {"a": 1}}), "no node of one known kind"),
        (broken(arrayValue={"values": 3}), "cannot be read"),
        (broken(dictionaryValue={"values": [1]}), "cannot be read"),
        (broken(constantValue=float("nan")), "cannot be written"),
        (broken(constantValue={1, 2}), "cannot be written"),
    ],
)
def test_what_is_none_is_said(source, says):
    with pytest.raises(InvalidInput) as caught:
        parse_expression(source)
    assert says in caught.value.message


def test_nesting_is_bounded_and_long_chains_are_not():
    node = {"constantValue": 1}
    for _ in range(300):
        node = {"arrayValue": {"values": [node]}}
    with pytest.raises(InvalidInput, match="nested deeper"):
        parse_expression({"values": {"0": node}, "result": "0"})
    chain = {str(n): {"valueReference": str(n + 1)} for n in range(20_000)} | {"20000": {"constantValue": 1}}
    assert len(json.loads(parse_expression({"values": chain, "result": "0"}))["values"]) == 20_001


KEYS = """constantValue valueReference arrayValue dictionaryValue values body arguments functionInvocationValue
    functionName functionReference functionDefinitionValue"""
nodes = st.recursive(
    st.none() | st.integers() | st.sampled_from(["0", "1", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("01"), nodes, max_size=2))
def test_any_graph_is_read_stably_or_refused(values):
    try:
        text = parse_expression({"values": values, "result": "0"})
    except InvalidInput:
        return
    assert parse_expression(text) == text


@pytest.fixture
def ee(monkeypatch):
    """The official client, initialized without a network."""
    ee = pytest.importorskip("ee")
    apitestcase = pytest.importorskip("ee.apitestcase")
    ee.Reset()
    monkeypatch.setattr(ee.data, "_install_cloud_api_resource", lambda: None)
    monkeypatch.setattr(ee.data, "getAlgorithms", apitestcase.GetAlgorithms)
    monkeypatch.setattr(ee.deprecation, "_FetchDataCatalogStac", dict)
    ee.Initialize(None, "", project="p")
    yield ee
    ee.Reset()


def test_an_ee_image_is_its_serialization(ee):
    image = ee.Image("X").addBands(ee.Image("X").mask().rename("m")).normalizedDifference(["B8", "B4"])
    text = parse_expression(image)
    assert text == parse_expression(ee.serializer.encode(image)) == parse_expression(image.serialize())
    mapped = ee.ImageCollection("C").map(lambda one: one.add(1)).median()
    assert parse_expression(mapped) == parse_expression(ee.serializer.encode(mapped))
    assert parse_expression(ee.Image("X")) == load_expression("X")


def test_an_ee_object_that_is_no_image(ee):
    with pytest.raises(InvalidInput, match=r"ImageCollection, not an `ee\.Image`") as caught:
        parse_expression(ee.ImageCollection("C"))
    assert "mosaic()" in caught.value.hint
    parse_expression(ee.Number(1).add(2), kind=None)


def test_nothing_heavy_is_imported_to_describe_an_image():
    code = (
        "import sys, eezarr.earthengine as e; e.Image.asset('X'); "
        "assert not {'ee', 'aiohttp', 'google.auth', 'requests'} & set(sys.modules), sorted(sys.modules); "
        "e.EarthEngine; assert 'aiohttp' in sys.modules and 'google.auth' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Nodes of our own


def test_what_is_held_twice_is_written_once():
    image = call("Image.load", id=constant("X"))
    names = constant(["B4", "B8"])
    first, second = (call("Image.select", input=image, bandSelectors=names) for _ in range(2))
    got = json.loads(build(call("Image.addBands", dstImg=first, srcImg=second)))
    assert len(got["values"]) == 3
    root = got["values"][got["result"]]["functionInvocationValue"]["arguments"]
    assert root["dstImg"] == root["srcImg"]
    assert json.dumps(got).count("Image.load") == json.dumps(got).count("B8") == 1


def test_numbers_are_written_where_they_stand_and_chains_do_not_explode():
    zero = constant(0)
    node = call("Image.constant", value=zero)
    for _ in range(60):
        node = call("Image.add", image1=node, image2=node, other=zero)
    got = json.loads(build(node))
    assert len(got["values"]) == 61
    assert json.dumps(got).count('"constantValue": 0') == 61


def test_building_is_parsing_what_was_built():
    whole = build(call("Image.addBands", dstImg=parse_expression(SHARED), srcImg=parse_expression(MAPPED)))
    assert parse_expression(whole) == whole
    one = parse_expression(SHARED)
    assert build(one) == one
    twice = json.loads(build(listed([one, one])))
    pair = twice["values"][twice["result"]]["arrayValue"]["values"]
    assert pair[0] == pair[1]
    assert len(twice["values"]) == 1 + len(json.loads(one)["values"])


def test_values_that_cannot_be_json_are_refused():
    with pytest.raises(InvalidInput, match="JSON"):
        build(call("Image.constant", value=constant(float("nan"))))


def test_names_are_selected_as_names():
    odd = ["B4", "a.b", "x|y", "[z]*(1+)?", "back\\slash", "^$", "{2}", "a-b", "\u00fc"]
    patterns = selectors(odd)["constantValue"]
    assert patterns[0] == "B4"
    for pattern, name in zip(patterns, odd, strict=True):
        assert [other for other in [*odd, "axb", "x", "y"] if re.fullmatch(pattern, other)] == [name]
    selected = json.loads(select(load_expression("X"), odd))["values"]["0"]["functionInvocationValue"]["arguments"]
    assert selected["bandSelectors"]["constantValue"] == patterns
