"""Collections: loading, choosing, mapping, columns of properties.

Elements are computed when a function is mapped over them, pixels only when they are read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eezarr.emulator.functions.reducers import reduced_column
from eezarr.emulator.geometry import EVERYWHERE, Geometry, box
from eezarr.emulator.images import Image
from eezarr.emulator.raster import EvaluationError, Json
from eezarr.emulator.values import Closure, Collection, Element, Feature, Reducer, Value, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function


def load(arguments: Arguments) -> Value:
    """Answer an image collection asset."""
    name = arguments.text("id")
    collection = arguments.library.load_collection(name)
    if collection is None:
        arguments.fail(f"ImageCollection asset '{name}' not found (does not exist or caller does not have access).")
    return collection


def from_images(arguments: Arguments) -> Value:
    """Answer a collection of images; those without an index get their place as one."""
    elements: list[Element] = []
    for place, image in enumerate(images_of(arguments, arguments.collection("images"))):
        index: dict[str, Json] = {"system:index": str(place)}
        elements.append(replace(image, properties=index | dict(image.properties)))
    return Collection(elements=tuple(elements))


def images_of(arguments: Arguments, collection: Collection) -> list[Image]:
    """Answer the elements of a collection that holds nothing but images."""
    images = [element for element in collection.elements if isinstance(element, Image)]
    if len(images) != len(collection.elements):
        arguments.fail("The collection must contain only images.")
    return images


def chosen_elements(arguments: Arguments) -> Value:
    """Answer the elements that pass a filter, in order."""
    collection, test = arguments.collection("collection"), arguments.filter("filter")
    return replace(collection, elements=tuple(element for element in collection.elements if test.passes(element)))


def limit(arguments: Arguments) -> Value:
    """Sort by a property if one is named (elements without it last), and keep the first so many."""
    collection = arguments.collection("collection")
    elements = list(collection.elements)
    if arguments.has("key"):
        key = arguments.text("key")
        having = [element for element in elements if element.properties.get(key) is not None]
        lacking = [element for element in elements if element.properties.get(key) is None]
        having.sort(key=lambda element: _rank(element.properties[key]), reverse=not arguments.flag("ascending", True))
        elements = having + lacking
    if arguments.has("limit"):
        elements = elements[: int(arguments.number("limit"))]
    return replace(collection, elements=tuple(elements))


def _rank(value: Json) -> tuple[int, float, str]:
    """Numbers before text, each in their order."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _mapped(arguments: Arguments, closure: Closure, element: Element) -> Value:
    """A function's answer for one element, under the element's index."""
    index = element.properties.get("system:index")
    try:
        value = closure.call([element])
    except EvaluationError as error:
        raise EvaluationError(f"{arguments.function}: Error in map(ID={index}):\n{error}") from None
    if isinstance(value, int | float | list) and not isinstance(value, bool):
        value = replace(arguments, values={"value": value}).image("value")
    if isinstance(value, Image | Feature) and index is not None:
        return replace(value, properties={**value.properties, "system:index": index})
    return value


def map_elements(arguments: Arguments) -> Value:
    """Answer the collection of what a function makes of each element; nulls may be dropped."""
    collection, closure = arguments.collection("collection"), arguments.closure("baseAlgorithm")
    drop = arguments.flag("dropNulls", False)
    answer: list[Element] = []
    for element in collection.elements:
        value = _mapped(arguments, closure, element)
        if value is None and drop:
            continue
        if not isinstance(value, Image | Feature):
            arguments.fail("A mapped function's result must be an Image or a Feature.")
        answer.append(value)
    return replace(collection, elements=tuple(answer), is_of_images=all(isinstance(item, Image) for item in answer))


def iterate(arguments: Arguments) -> Value:
    """Answer what a function of (element, result so far) makes of all elements in turn."""
    closure = arguments.closure("function")
    result = arguments.values.get("first")
    for element in arguments.collection("collection").elements:
        result = closure.call([element, result])
    return result


def to_list(arguments: Arguments) -> Value:
    """Answer elements as a list, from an offset, at most so many."""
    offset = int(arguments.number("offset", 0))
    count = int(arguments.number("count")) if arguments.has("count") else None
    elements = arguments.collection("collection").elements[offset:]
    return list(elements if count is None else elements[:count])


def _column(collection: Collection, name: str) -> list[Value]:
    return [decode(element.properties.get(name)) for element in collection.elements]


def reduce_columns(arguments: Arguments) -> Value:
    """Answer a reducer's results on properties; rows that lack one are left out."""
    collection, reducer = arguments.collection("collection"), arguments.reducer("reducer")
    columns = [_column(collection, name) for name in arguments.strings("selectors")]
    rows = [row for row in zip(*columns, strict=True) if all(value is not None for value in row)]
    if len(columns) != reducer.inputs:
        arguments.fail(f"Need {reducer.inputs} input column(s) for Reducer.{reducer.name}, got {len(columns)}.")
    whole = [[row[k] for row in rows] for k in range(len(columns))]
    if reducer.name.startswith("repeat:"):
        inner = replace(reducer, name=reducer.name.removeprefix("repeat:"), inputs=1)
        parts = [reduced_column(inner, column) for column in whole]
        return {key: [part[key] for part in parts] for key in parts[0]}
    if reducer.name == "toList" and reducer.numbers and reducer.numbers[0]:
        return {"list": [list(row) for row in rows]}
    return reduced_column(reducer, whole[0])


def _aggregate(reducer: str) -> Function:
    def function(arguments: Arguments) -> Value:
        column = _column(arguments.collection("collection"), arguments.text("property"))
        present: list[Value] = [value for value in column if value is not None]
        if reducer == "array":
            return present
        if reducer == "first":
            return present[0] if present else None
        return next(iter(reduced_column(Reducer(name=reducer), present).values()))

    return function


def _merge(arguments: Arguments) -> Value:
    first, second = arguments.collection("collection1"), arguments.collection("collection2")
    elements: list[Element] = []
    for prefix, collection in (("1", first), ("2", second)):
        for element in collection.elements:
            index: dict[str, Json] = {"system:index": f"{prefix}_{element.properties.get('system:index')}"}
            elements.append(replace(element, properties={**element.properties, **index}))
    return Collection(elements=tuple(elements), is_of_images=first.is_of_images and second.is_of_images)


def _bounds(arguments: Arguments) -> Value:
    """Answer the box around all elements."""
    boxes = [shape.bounds() for shape in _shapes(arguments.collection("collection"))]
    if not boxes:
        return EVERYWHERE
    west, south, east, north = zip(*boxes, strict=True)
    return box(min(west), min(south), max(east), max(north))


def _shapes(collection: Collection) -> list[Geometry]:
    shapes = [element.footprint if isinstance(element, Image) else element.geometry for element in collection.elements]
    return [shape for shape in shapes if shape is not None]


def _union(arguments: Arguments) -> Value:
    parts = tuple(part for shape in _shapes(arguments.collection("collection")) for part in shape.parts)
    return Geometry(type="MultiPolygon", parts=parts, is_geodesic=False)


def _distinct(arguments: Arguments) -> Value:
    collection, names = arguments.collection("collection"), arguments.strings("properties")
    kept: dict[str, Element] = {}
    for element in collection.elements:
        kept.setdefault(repr([element.properties.get(name) for name in names]), element)
    return replace(collection, elements=tuple(kept.values()))


def _first(arguments: Arguments) -> Value:
    elements = arguments.collection("collection").elements
    return elements[0] if elements else None


def _collection(arguments: Arguments) -> Value:
    return replace(arguments.collection("features"), is_of_images=False)


def _set_multi(arguments: Arguments) -> Value:
    element, new = arguments.owner("object"), arguments.dictionary("properties")
    return replace(element, properties={**element.properties, **{key: encode(value) for key, value in new.items()}})


FUNCTIONS: Mapping[str, Function] = {
    "ImageCollection.load": load,
    "ImageCollection.fromImages": from_images,
    "ImageCollection.merge": _merge,
    "Collection": _collection,
    "Collection.filter": chosen_elements,
    "Collection.limit": limit,
    "Collection.map": map_elements,
    "Collection.iterate": iterate,
    "Collection.toList": to_list,
    "Collection.reduceColumns": reduce_columns,
    "Collection.merge": _merge,
    "Collection.first": _first,
    "Collection.size": lambda arguments: len(arguments.collection("collection").elements),
    "Collection.bounds": _bounds,
    "Collection.geometry": _union,
    "Collection.distinct": _distinct,
    "AggregateFeatureCollection.array": _aggregate("array"),
    "AggregateFeatureCollection.first": _aggregate("first"),
    "AggregateFeatureCollection.count": _aggregate("count"),
    "AggregateFeatureCollection.count_distinct": _aggregate("countDistinct"),
    "AggregateFeatureCollection.min": _aggregate("min"),
    "AggregateFeatureCollection.max": _aggregate("max"),
    "AggregateFeatureCollection.mean": _aggregate("mean"),
    "AggregateFeatureCollection.sum": _aggregate("sum"),
    "AggregateFeatureCollection.product": _aggregate("product"),
    "AggregateFeatureCollection.total_sd": _aggregate("stdDev"),
    "AggregateFeatureCollection.total_var": _aggregate("variance"),
    "Element.setMulti": _set_multi,
}
"""ImageCollection.load, Collection.filter, …"""
