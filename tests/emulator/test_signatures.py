"""The emulator's functions ask for the arguments that the official client's list of algorithms has, and no others."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from eezarr.emulator.arguments import Arguments, constant
from eezarr.emulator.catalogue import Catalogue
from eezarr.emulator.functions import FUNCTIONS
from eezarr.emulator.geometry import Projection, box
from eezarr.emulator.images import Image
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Closure, Collection, Date, DateRange, Feature, Filter, Reducer

LISTS = Path(__file__).parents[1] / "public_lists" / "algorithms.json"
KNOWN = json.loads(LISTS.read_text(encoding="utf-8"))["functions"]
UNLISTED = {"Element.id"}
"""Elements of either kind have it, by the names `Feature.id` and `Image.id`."""

IMAGE = Image(bands=(constant(1.0, "a"), constant(2, "b")))
FEATURE = Feature(geometry=box(0, 0, 1, 1), properties={"a": 1})
SAMPLES = {
    "Algorithm": Closure(parameters=("x",), call=lambda values: values[0]),
    "Boolean": True,
    "Date": Date(milliseconds=0),
    "DateRange": DateRange(start=0, end=10**12),
    "Dictionary<Object>": {"a": 1},
    "Element": FEATURE,
    "ErrorMargin": 1,
    "FeatureCollection": Collection(elements=(FEATURE,), is_of_images=False),
    "Filter": Filter(passes=lambda _: True),
    "Float": 1.0,
    "Geometry": box(0, 0, 1, 1),
    "Image<unknown bands>": IMAGE,
    "ImageCollection": Collection(elements=(IMAGE,)),
    "Integer": 1,
    "List<Element>": [FEATURE],
    "List<Filter>": [Filter(passes=lambda _: True)],
    "List<Float>": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "List<Image<unknown bands>>": [IMAGE],
    "List<Number>": [1, 2],
    "List<Object>": [0.0, 1.0],
    "List<String>": ["a"],
    "Long": 1,
    "Number": 1,
    "Object": 1,
    "Projection": Projection(),
    "Reducer": Reducer(name="mean"),
    "String": "a",
}


class Given(dict):
    """Arguments that remember what was asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.asked.add(name)
        return super().__getitem__(name)


LIBRARY = Catalogue({}, {})


def test_every_function_is_one_of_the_services():
    assert FUNCTIONS.keys() - KNOWN.keys() == UNLISTED, f"not a function, or newer than {LISTS.parent}"


def unlisted(name, *, leaves_out):
    """The arguments that a function asks for and does not have."""
    arguments = [each for each in KNOWN[name]["arguments"] if not (leaves_out and each["optional"])]
    given = Given({each["name"]: SAMPLES[each["type"]] for each in arguments})
    # What the samples make no sense for was asked for all the same.
    with suppress(EvaluationError, ValueError):
        FUNCTIONS[name](Arguments(function=name, values=given, library=LIBRARY))
    return given.asked - {each["name"] for each in KNOWN[name]["arguments"]}


@pytest.mark.parametrize("leaves_out", [False, True], ids=["all given", "required given"])
def test_functions_ask_for_arguments_that_they_have(leaves_out):
    found = {name: unlisted(name, leaves_out=leaves_out) for name in FUNCTIONS.keys() - UNLISTED}
    assert {name: asked for name, asked in found.items() if asked} == {}


@pytest.mark.parametrize("name", ["Element.id", "Feature.id", "Image.id"])
def test_an_elements_id_is_asked_for_by_element(name):
    indexed = replace(IMAGE if name == "Image.id" else FEATURE, properties={"system:index": "0_7"})
    assert FUNCTIONS[name](Arguments(function=name, values={"element": indexed}, library=LIBRARY)) == "0_7"
