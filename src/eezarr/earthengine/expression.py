"""Expressions: computations as the REST API takes them, as canonical JSON text.

An Expression is `{"values": {key: node}, "result": key}`, and each node has exactly one kind. Canonical text renumbers
the keys in the order in which the result reaches them, sorts objects and drops what is not reached: the same graph
has the same text, whoever wrote it, so that a plan's fingerprint does not change with the client that made it.

Source: https://developers.google.com/earth-engine/reference/rest/v1/Expression
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NewType, Protocol

from eezarr.earthengine.names import asset_id, asset_name
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Expression", "Serializable", "load_expression", "parse_expression", "select"]

Expression = NewType("Expression", str)
"""Canonical JSON text of an Expression; made by the functions of this module only."""


class Serializable(Protocol):
    """What `ee` objects are to us: nothing of `ee` itself is imported, asked or changed."""

    def serialize(self) -> str:
        """Return the object's Expression as JSON text."""
        ...


_KINDS = frozenset(
    {
        "argumentReference",
        "arrayValue",
        "bytesValue",
        "constantValue",
        "dictionaryValue",
        "functionDefinitionValue",
        "functionInvocationValue",
        "integerValue",
        "valueReference",
    }
)

_REFERENCES = {
    "valueReference": "valueReference",
    "functionInvocationValue": "functionReference",
    "functionDefinitionValue": "body",
}
"""Kind -> where it names another key: the first is the value itself, the others are fields of it."""

_MAX_DEPTH = 200
"""Nodes within nodes; the service takes 100. Source: ee/serializer.py."""

_HINT = "Give an `ee.Image`, what its `serialize()` returns, or the JSON that `ee.serializer.encode` makes of it."


def load_expression(asset: str) -> Expression:
    """Return the expression that loads an asset's image.

    Raises:
        InvalidInput: If it is no asset id or name.
    """
    name = {"constantValue": asset_id(asset_name(asset))}
    return _text({"0": _call("Image.load", {"id": name})}, "0")


def select(expression: Expression, bands: Sequence[str]) -> Expression:
    """Return the expression that takes bands of an image, in this order."""
    document = json.loads(expression)
    arguments = {
        "bandSelectors": {"constantValue": list(bands)},
        "input": {"valueReference": document["result"]},
    }
    values = document["values"] | {"selected": _call("Image.select", arguments)}
    return _canonical(values, "selected")


def parse_expression(source: object, *, kind: str | None = "Image") -> Expression:
    """Return the canonical text of an expression in any form that people have.

    Args:
        source: An `ee.Image`; JSON text or an object `{"values", "result"}`; either one under the key `expression`.
        kind: The class that an ee object must be of; None for any.

    Raises:
        InvalidInput: If it is none of these, or not a graph that the service could read.
    """
    document = _document(source, kind)
    if isinstance(document, dict) and "expression" in document and "values" not in document:
        document = _document(document["expression"], kind)
    if not isinstance(document, dict):
        raise _invalid(f"is {type(document).__name__}, not an object")
    if document.get("type") == "CompoundValue":
        raise _invalid("is in the old form that only the retired API reads", hint="Serialize it for the cloud API.")
    values, result = document.get("values"), document.get("result")
    if not isinstance(values, dict) or not isinstance(result, str) or document.keys() - {"values", "result"}:
        raise _invalid("has not exactly `values` (an object) and `result` (a key of it)")
    return _canonical(values, result)


def _document(source: object, kind: str | None) -> object:
    """Return the parsed form of an ee object or of JSON text; anything else as it is."""
    serialize = getattr(source, "serialize", None)
    if callable(serialize) and not isinstance(source, dict | str | type):
        # By name: importing ee to know its classes takes a second.
        if kind is not None and kind not in (base.__name__ for base in type(source).__mro__):
            raise InvalidInput(
                f"This is a {type(source).__name__}, not an `ee.{kind}`.",
                hint="Make an image of it, as `mosaic()` does.",
            )
        source = serialize()
    if not isinstance(source, str | bytes):
        return source
    try:
        document: object = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"is not JSON: {str(error)[:100]}") from error
    return document


def _canonical(values: Mapping[str, object], result: str) -> Expression:
    """Check the nodes that the result reaches, and number them in that order."""
    numbers: dict[str, str] = {result: "0"}
    kept: dict[str, object] = {}
    queue = [result]
    for key in queue:  # grows while it is walked
        if key not in values:
            raise _invalid(f"refers to the value {key[:40]!r}, which it has not")
        for referred in _references(values[key], 0):
            if referred not in numbers:
                numbers[referred] = str(len(numbers))
                queue.append(referred)
        kept[numbers[key]] = values[key]
    return _text({key: _renamed(node, numbers) for key, node in kept.items()}, "0")


def _kind(node: object, depth: int) -> tuple[str, object]:
    """Return a node's kind and what it holds."""
    if depth > _MAX_DEPTH:
        raise _invalid(f"is nested deeper than {_MAX_DEPTH}")
    if not isinstance(node, dict) or len(node) != 1 or not node.keys() <= _KINDS:
        raise _invalid(f"holds {str(node)[:80]!r}, which is no node of one known kind")
    ((kind, held),) = node.items()
    must_be_object = kind in {"arrayValue", "dictionaryValue", "functionDefinitionValue", "functionInvocationValue"}
    if must_be_object and not isinstance(held, dict):
        raise _invalid(f"holds a {kind} that is no object")
    if kind == "functionInvocationValue" and not {"functionName", "functionReference"} & held.keys():
        raise _invalid("calls a function without a name")
    return kind, held


def _children(kind: str, held: object) -> Mapping[str, object]:
    """Return the nodes within a node, by argument name, key or position; visited in sorted order."""
    field = {"functionInvocationValue": "arguments", "dictionaryValue": "values", "arrayValue": "values"}.get(kind)
    if field is None or not isinstance(held, dict):
        return {}
    nodes = held.get(field, {})
    if kind == "arrayValue" and isinstance(nodes, list):
        return {f"{position:09}": node for position, node in enumerate(nodes)}
    if not isinstance(nodes, dict):
        raise _invalid(f"holds a {kind} whose `{field}` cannot be read")
    return dict(sorted(nodes.items()))


def _reference(kind: str, held: object) -> str | None:
    """Return the key that a node refers to, if its kind does so."""
    field = _REFERENCES.get(kind)
    if field is None:
        return None
    fields = held if isinstance(held, dict) else {kind: held}
    if kind == "functionInvocationValue" and field not in fields:
        return None
    key = fields.get(field)
    if not isinstance(key, str):
        raise _invalid(f"holds a {kind} that refers to {str(key)[:40]}, not to a key")
    return key


def _references(node: object, depth: int) -> Iterator[str]:
    kind, held = _kind(node, depth)
    key = _reference(kind, held)
    if key is not None:
        yield key
    for child in _children(kind, held).values():
        yield from _references(child, depth + 1)


def _renamed(node: object, numbers: Mapping[str, str]) -> dict[str, object]:
    kind, held = _kind(node, 0)
    key = _reference(kind, held)
    if key is not None and not isinstance(held, dict):
        return {kind: numbers[key]}
    children = {name: _renamed(child, numbers) for name, child in _children(kind, held).items()}
    if not isinstance(held, dict) or kind == "constantValue":
        return {kind: held}
    changed: dict[str, object] = dict(held)
    if key is not None:
        changed[_REFERENCES[kind]] = numbers[key]
    if children:
        field = "arguments" if kind == "functionInvocationValue" else "values"
        changed[field] = list(children.values()) if kind == "arrayValue" else children
    return {kind: changed}


def _call(function: str, arguments: Mapping[str, object]) -> dict[str, object]:
    return {"functionInvocationValue": {"functionName": function, "arguments": arguments}}


def _text(values: Mapping[str, object], result: str) -> Expression:
    try:
        text = json.dumps({"values": values, "result": result}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid(f"cannot be written as JSON: {str(error)[:100]}") from error
    return Expression(text)


def _invalid(what: str, *, hint: str = _HINT) -> InvalidInput:
    return InvalidInput(f"The expression {what}.", hint=hint)
