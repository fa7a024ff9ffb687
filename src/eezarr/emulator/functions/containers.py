"""Lists, dictionaries and strings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function
    from eezarr.emulator.values import Value


def _item(arguments: Arguments) -> Value:
    items, index = arguments.items("list"), int(arguments.number("index"))
    if not -len(items) <= index < len(items):
        arguments.fail(f"List index out of bounds: {index}.")
    return items[index]


def _slice(arguments: Arguments) -> Value:
    end = int(arguments.number("end")) if arguments.has("end") else None
    return arguments.items("list")[int(arguments.number("start")) : end : int(arguments.number("step", 1))]


def _sequence(arguments: Arguments) -> Value:
    """From start to end (inclusive) by step, or `count` values from start."""
    start, step = arguments.number("start"), arguments.number("step", 1)
    if arguments.has("count"):
        count = int(arguments.number("count"))
        if arguments.has("end") and count > 1:
            step = (arguments.number("end") - start) / (count - 1)
    else:
        count = max(0, math.floor((arguments.number("end") - start) / step + 1e-9) + 1)
    return [start + step * k for k in range(count)]


def _map_list(arguments: Arguments) -> Value:
    closure = arguments.closure("baseAlgorithm")
    answer = [closure.call([item]) for item in arguments.items("list")]
    return [item for item in answer if item is not None] if arguments.flag("dropNulls", False) else answer


def _iterate_list(arguments: Arguments) -> Value:
    closure, result = arguments.closure("function"), arguments.values.get("first")
    for item in arguments.items("list"):
        result = closure.call([item, result])
    return result


def _flatten(arguments: Arguments) -> Value:
    answer: list[Value] = []
    pending = list(reversed(arguments.items("list")))
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += reversed(item)
        else:
            answer.append(item)
    return answer


def _distinct(arguments: Arguments) -> Value:
    return list({repr(item): item for item in arguments.items("list")}.values())


def _sort(arguments: Arguments) -> Value:
    items = arguments.items("list")
    if all(isinstance(item, int | float) for item in items):
        return [*sorted(item for item in items if isinstance(item, int | float))]
    return [*sorted(items, key=str)]


def _zip(arguments: Arguments) -> Value:
    return [[one, other] for one, other in zip(arguments.items("list"), arguments.items("other"), strict=False)]


def _dictionary_get(arguments: Arguments) -> Value:
    entries, key = arguments.dictionary("dictionary"), arguments.text("key")
    if key in entries:
        return entries[key]
    if arguments.has("defaultValue"):
        return arguments.values["defaultValue"]
    return arguments.fail(f"Dictionary does not contain key: '{key}'.")


def _dictionary_set(arguments: Arguments) -> Value:
    return {**arguments.dictionary("dictionary"), arguments.text("key"): arguments.values.get("value")}


def _dictionary_values(arguments: Arguments) -> Value:
    entries = arguments.dictionary("dictionary")
    return [entries[key] for key in (arguments.strings("keys") if arguments.has("keys") else sorted(entries))]


def _combine(arguments: Arguments) -> Value:
    first, second = arguments.dictionary("first"), arguments.dictionary("second")
    return {**first, **second} if arguments.flag("overwrite", True) else {**second, **first}


def _from_lists(arguments: Arguments) -> Value:
    return dict(zip(arguments.strings("keys"), arguments.items("values"), strict=True))


def _dictionary(arguments: Arguments) -> Value:
    value = arguments.values.get("input")
    if isinstance(value, list):
        return {str(key): item for key, item in zip(value[::2], value[1::2], strict=True)}
    return arguments.dictionary("input") if value is not None else {}


def _string(arguments: Arguments) -> Value:
    value = arguments.value("input")
    return value if isinstance(value, str) else str(value)


def _string_slice(arguments: Arguments) -> Value:
    end = int(arguments.number("end")) if arguments.has("end") else None
    return arguments.text("string")[int(arguments.number("start")) : end]


def _number_format(arguments: Arguments) -> Value:
    value, pattern = arguments.number("number"), arguments.text("pattern", "%s")
    number = int(value) if pattern.endswith("d") else value
    try:
        return pattern % number
    except (TypeError, ValueError):
        arguments.fail(f"Invalid format pattern '{pattern}'.")


FUNCTIONS: Mapping[str, Function] = {
    **{f"List.{name}": _item for name in ("get", "getNumber", "getString", "getArray", "getGeometry")},
    **{f"List.{name}": (lambda arguments: len(arguments.items("list"))) for name in ("size", "length")},
    "List.slice": _slice,
    "List.sequence": _sequence,
    "List.map": _map_list,
    "List.iterate": _iterate_list,
    "List.flatten": _flatten,
    "List.distinct": _distinct,
    "List.sort": _sort,
    "List.zip": _zip,
    "List.reverse": lambda arguments: arguments.items("list")[::-1],
    "List.add": lambda arguments: [*arguments.items("list"), arguments.values.get("element")],
    "List.cat": lambda arguments: [*arguments.items("list"), *arguments.items("other")],
    "List.contains": lambda arguments: arguments.value("element") in arguments.items("list"),
    "List.indexOf": lambda arguments: (
        [*arguments.items("list"), arguments.value("element")].index(arguments.value("element"))
        if arguments.value("element") in arguments.items("list")
        else -1
    ),
    "List.repeat": lambda arguments: [arguments.values.get("value")] * int(arguments.number("count")),
    "List.join": lambda arguments: arguments.text("separator", "").join(str(item) for item in arguments.items("list")),
    "List.remove": lambda arguments: [item for item in arguments.items("list") if item != arguments.value("element")],
    "List.removeAll": lambda arguments: [
        item for item in arguments.items("list") if item not in arguments.items("other")
    ],
    "Dictionary": _dictionary,
    **{f"Dictionary.{name}": _dictionary_get for name in ("get", "getNumber", "getString", "getArray", "getGeometry")},
    "Dictionary.set": _dictionary_set,
    "Dictionary.keys": lambda arguments: [*sorted(arguments.dictionary("dictionary"))],
    "Dictionary.values": _dictionary_values,
    "Dictionary.size": lambda arguments: len(arguments.dictionary("dictionary")),
    "Dictionary.contains": lambda arguments: arguments.text("key") in arguments.dictionary("dictionary"),
    "Dictionary.combine": _combine,
    "Dictionary.fromLists": _from_lists,
    "String": _string,
    "String.cat": lambda arguments: arguments.text("string1") + arguments.text("string2"),
    "String.slice": _string_slice,
    "String.length": lambda arguments: len(arguments.text("string")),
    "String.equals": lambda arguments: arguments.text("reference") == arguments.text("target"),
    "String.toLowerCase": lambda arguments: arguments.text("string").lower(),
    "String.toUpperCase": lambda arguments: arguments.text("string").upper(),
    "Number.format": _number_format,
    "Number.parse": lambda arguments: float(arguments.text("input")),
}
"""List.slice, Dictionary.get, String.cat, …"""
