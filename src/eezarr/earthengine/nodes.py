"""The nodes of an expression: their kinds, what they hold, what they refer to, and how our own are made.

A node has exactly one kind. It holds other nodes (a call's arguments, a list's or a dictionary's values) or names one
by its key.

Source: https://developers.google.com/earth-engine/reference/rest/v1/Expression
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType, TypeAlias

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "Expression",
    "Node",
    "call",
    "children",
    "constant",
    "invalid_expression",
    "listed",
    "reference",
    "references",
    "renamed",
    "selectors",
]

Expression = NewType("Expression", str)
"""Canonical JSON text of an Expression; made by the functions of `expression` only."""

Node: TypeAlias = "dict[str, object] | Expression"
"""A part of an expression: a node that holds others, or an expression whole."""

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

_PATTERN = re.compile(r"[\\^$.|?*+()\[\]{}]")
"""What means something else in a pattern."""

_MAX_DEPTH = 200
"""Nodes within nodes; the service takes 100. Source: ee/serializer.py."""

_HINT = "Give an `ee.Image`, what its `serialize()` returns, or the JSON that `ee.serializer.encode` makes of it."


def selectors(bands: Sequence[str]) -> Node:
    r"""Return what `Image.select` takes exactly these bands by: it reads names as patterns, so `a.b` is sent as `a\.b`.

    Source: the description of Image.select ("names, RE2-compatible regexes, or numeric indices").
    """
    return constant([_PATTERN.sub(r"\\\g<0>", band) for band in bands])


def constant(value: object) -> Node:
    """Return the node of a plain JSON value."""
    return {"constantValue": value}


def call(function: str, arguments: Mapping[str, Node]) -> dict[str, object]:
    """Return the node of a function's value."""
    return {"functionInvocationValue": {"functionName": function, "arguments": dict(arguments)}}


def listed(nodes: Sequence[Node]) -> Node:
    """Return the node of a list of other nodes' values."""
    return {"arrayValue": {"values": list(nodes)}}


def _kind(node: object, depth: int) -> tuple[str, object]:
    """Return a node's kind and what it holds."""
    if depth > _MAX_DEPTH:
        raise invalid_expression(f"is nested deeper than {_MAX_DEPTH}")
    if not isinstance(node, dict) or len(node) != 1 or not node.keys() <= _KINDS:
        raise invalid_expression(f"holds {str(node)[:80]!r}, which is no node of one known kind")
    ((kind, held),) = node.items()
    must_be_object = kind in {"arrayValue", "dictionaryValue", "functionDefinitionValue", "functionInvocationValue"}
    if must_be_object and not isinstance(held, dict):
        raise invalid_expression(f"holds a {kind} that is no object")
    if kind == "functionInvocationValue" and not {"functionName", "functionReference"} & held.keys():
        raise invalid_expression("calls a function without a name")
    return kind, held


def children(kind: str, held: object) -> Mapping[str, object]:
    """Return the nodes within a node, by argument name, key or position; visited in sorted order."""
    field = {"functionInvocationValue": "arguments", "dictionaryValue": "values", "arrayValue": "values"}.get(kind)
    if field is None or not isinstance(held, dict):
        return {}
    nodes = held.get(field, {})
    if kind == "arrayValue" and isinstance(nodes, list):
        return {f"{position:09}": node for position, node in enumerate(nodes)}
    if not isinstance(nodes, dict):
        raise invalid_expression(f"holds a {kind} whose `{field}` cannot be read")
    return dict(sorted(nodes.items()))


def reference(kind: str, held: object) -> str | None:
    """Return the key that a node refers to, if its kind does so."""
    field = _REFERENCES.get(kind)
    if field is None:
        return None
    fields = held if isinstance(held, dict) else {kind: held}
    if kind == "functionInvocationValue" and field not in fields:
        return None
    key = fields.get(field)
    if not isinstance(key, str):
        raise invalid_expression(f"holds a {kind} that refers to {str(key)[:40]}, not to a key")
    return key


def references(node: object, depth: int) -> Iterator[str]:
    """Yield the keys that a node and those within it refer to, in an order that does not depend on who wrote it.

    Raises:
        InvalidInput: If one of them is no node that the service could read.
    """
    kind, held = _kind(node, depth)
    key = reference(kind, held)
    if key is not None:
        yield key
    for child in children(kind, held).values():
        yield from references(child, depth + 1)


def renamed(node: object, numbers: Mapping[str, str]) -> dict[str, object]:
    """Return a node with other keys in place of those that it and the nodes within it refer to."""
    kind, held = _kind(node, 0)
    key = reference(kind, held)
    if key is not None and not isinstance(held, dict):
        return {kind: numbers[key]}
    inside = {name: renamed(child, numbers) for name, child in children(kind, held).items()}
    if not isinstance(held, dict) or kind == "constantValue":
        return {kind: held}
    changed: dict[str, object] = dict(held)
    if key is not None:
        changed[_REFERENCES[kind]] = numbers[key]
    if inside:
        field = "arguments" if kind == "functionInvocationValue" else "values"
        changed[field] = list(inside.values()) if kind == "arrayValue" else inside
    return {kind: changed}


def invalid_expression(what: str, *, hint: str = _HINT) -> InvalidInput:
    """Return the error of an expression that cannot be read."""
    return InvalidInput(f"The expression {what}.", hint=hint)
