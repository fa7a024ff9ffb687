"""Expressions: computations as the REST API takes them, as canonical JSON text.

An Expression is `{"values": {key: node}, "result": key}`, and each node has exactly one kind. Canonical text renumbers
the keys in the order in which the result reaches them, sorts objects and drops what is not reached: the same graph
has the same text, whoever wrote it, so that a plan's fingerprint does not change with the client that made it.

Nodes of our own hold each other (see `nodes`); `build` writes them. What is held at several places is written once, and
referred to.

Source: https://developers.google.com/earth-engine/reference/rest/v1/Expression
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from eezarr.calls import checked_call
from eezarr.documents import parse_json
from eezarr.earthengine.names import asset_id, asset_name
from eezarr.earthengine.nodes import (
    Expression,
    Node,
    call,
    children,
    constant,
    invalid_expression,
    references,
    renamed,
    selectors,
)
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Expression", "Serializable", "build", "load_expression", "parse_expression", "select"]


_MAX_DEPTH = 800
"""Of JSON; a node is three levels. Deeper than the service reads (see `nodes`)."""


class Serializable(Protocol):
    """What `ee` objects are to us: nothing of `ee` itself is imported, asked or changed."""

    def serialize(self) -> str:
        """Return the object's Expression as JSON text."""
        ...


def load_expression(asset: str) -> Expression:
    """Return the expression that loads an asset's image.

    Raises:
        InvalidInput: If it is no asset id or name.
    """
    return _text({"0": call("Image.load", {"id": constant(asset_id(asset_name(asset)))})}, "0")


def select(expression: Expression, bands: Sequence[str]) -> Expression:
    """Return the expression that takes bands of an image, in this order."""
    document = json.loads(expression)
    arguments: dict[str, Node] = {"bandSelectors": selectors(bands), "input": {"valueReference": document["result"]}}
    return _canonical(document["values"] | {"selected": call("Image.select", arguments)}, "selected")


def build(root: Node) -> Expression:
    """Return the expression of a node.

    What is held at several places is told by identity: hold the same object. Numbers, texts and booleans are written
    out at each place. Time and length grow with the number of objects, however often they are held.

    Raises:
        InvalidInput: If a value cannot be JSON, or nodes are nested deeper than the service could read.
    """
    if isinstance(root, str):
        return root
    values: dict[str, object] = {}
    values["root"] = _Writer(_uses(root), values).written(root)
    return _canonical(values, "root")


@checked_call
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
        raise invalid_expression(f"is {type(document).__name__}, not an object")
    if document.get("type") == "CompoundValue":
        raise invalid_expression(
            "is in the old form that only the retired API reads", hint="Serialize it for the cloud API."
        )
    values, result = document.get("values"), document.get("result")
    if not isinstance(values, dict) or not isinstance(result, str) or document.keys() - {"values", "result"}:
        raise invalid_expression("has not exactly `values` (an object) and `result` (a key of it)")
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
        return parse_json(source, max_depth=_MAX_DEPTH)
    except ValueError as error:
        raise invalid_expression(f"is not JSON: {error}") from error


def _canonical(values: Mapping[str, object], result: str) -> Expression:
    """Check the nodes that the result reaches, and number them in that order."""
    numbers: dict[str, str] = {result: "0"}
    kept: dict[str, object] = {}
    queue = [result]
    for key in queue:  # grows while it is walked
        if key not in values:
            raise invalid_expression(f"refers to the value {key[:40]!r}, which it has not")
        for referred in references(values[key], 0):
            if referred not in numbers:
                numbers[referred] = str(len(numbers))
                queue.append(referred)
        kept[numbers[key]] = values[key]
    return _text({key: renamed(node, numbers) for key, node in kept.items()}, "0")


def _uses(root: Node) -> Counter[int]:
    """Return how often each object is held, by id."""
    uses: Counter[int] = Counter()
    queue: list[object] = [root]
    for node in queue:  # grows while it is walked
        uses[id(node)] += 1
        if uses[id(node)] == 1 and isinstance(node, dict):
            ((kind, held),) = node.items()
            queue += children(kind, held).values()
    return uses


class _Writer:
    """Nodes that hold each other, written as nodes that refer to each other's keys."""

    __slots__ = ("_included", "_keys", "_uses", "_values")

    def __init__(self, uses: Counter[int], values: dict[str, object]) -> None:
        self._uses = uses
        self._values = values
        self._keys: dict[int, str] = {}
        self._included = 0

    def written(self, node: object) -> dict[str, object]:
        """Return a node as it stands at its place, with what it holds inside or under a key."""
        if self._uses[id(node)] == 1 or _is_plain(node):
            return self._whole(node)
        if id(node) not in self._keys:
            self._keys[id(node)] = key = f"node {len(self._keys)}"
            self._values[key] = self._whole(node)
        return {"valueReference": self._keys[id(node)]}

    def _whole(self, node: object) -> dict[str, object]:
        if not isinstance(node, dict):
            return self._result(str(node))
        ((kind, held),) = node.items()
        inside = {name: self.written(child) for name, child in children(kind, held).items()}
        if kind == "functionInvocationValue" and isinstance(held, dict):
            return {kind: held | {"arguments": inside}}
        return {kind: {"values": list(inside.values())}} if kind == "arrayValue" else node

    def _result(self, expression: str) -> dict[str, object]:
        """Take in an expression's nodes under keys of their own, and return its result's."""
        document = json.loads(expression)
        self._included += 1
        names = {key: f"expression {self._included} {key}" for key in document["values"]}
        nodes = {names[key]: renamed(node, names) for key, node in document["values"].items()}
        result = nodes.pop(names[document["result"]])
        self._values |= nodes
        return result


def _is_plain(node: object) -> bool:
    return isinstance(node, dict) and not isinstance(node.get("constantValue", []), list | dict)


def _text(values: Mapping[str, object], result: str) -> Expression:
    try:
        text = json.dumps({"values": values, "result": result}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_expression(f"cannot be written as JSON: {str(error)[:100]}") from error
    return Expression(text)
