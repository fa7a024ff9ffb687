"""The walk over an expression's graph.

Law: `values` holds nodes by key, `result` names the one to answer. A node that mentions no argument of a function is
evaluated once per expression; one that does, once per call. Nodes nest at most 100 deep (the service's own bound, as
the official serializer's comment gives it), and calls of functions within calls count.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from difflib import get_close_matches

from eezarr.emulator.arguments import Arguments, Library
from eezarr.emulator.functions import FUNCTIONS
from eezarr.emulator.raster import EvaluationError, Json
from eezarr.emulator.values import Closure, Value, decode

MAX_DEPTH = 100

Scope = Mapping[str, Value]


def evaluate(expression: Mapping[str, Json], library: Library) -> Value:
    """Answer the value of an `Expression`.

    Args:
        expression: {values: {key: ValueNode}, result: key}.
        library: where assets are found.

    Raises:
        EvaluationError: with the service's message, if the graph is malformed or a function fails.
    """
    values, result = expression.get("values"), expression.get("result")
    if not isinstance(values, dict) or not isinstance(result, str):
        raise EvaluationError("Invalid expression: 'values' and 'result' are required.")
    try:
        return _Walk(values, library).at(result, {}, 0)
    except RecursionError:
        raise EvaluationError("Invalid expression: nodes are nested too deeply.") from None


class _Walk:
    """One evaluation."""

    __slots__ = ("_free", "_known", "_library", "_open", "_values")

    def __init__(self, values: Mapping[str, Json], library: Library) -> None:
        self._values = values
        self._library = library
        self._known: dict[str, Value] = {}
        self._free: dict[str, bool] = {}
        self._open: set[str] = set()

    def at(self, key: str, scope: Scope, depth: int) -> Value:
        """Answer the node of a key."""
        if key in self._known:
            return self._known[key]
        node = self._values.get(key)
        if not isinstance(node, dict):
            raise EvaluationError(f"Invalid expression: no value with key '{key}'.")
        if key in self._open and not scope:
            raise EvaluationError(f"Invalid expression: value '{key}' depends on itself.")
        self._open.add(key)
        value = self._node(node, scope, depth + 1)
        self._open.discard(key)
        if not self._has_argument(key):
            self._known[key] = value
        return value

    def _has_argument(self, key: str) -> bool:
        """Whether a node mentions an argument of a function around it (definitions inside bind theirs: see below)."""
        if key not in self._free:
            self._free[key] = False
            self._free[key] = self._mentions(self._values.get(key))
        return self._free[key]

    def _mentions(self, node: Json) -> bool:
        """Whether a node or one below it has an `argumentReference`; a bound one counts too, which only costs time."""
        if isinstance(node, list):
            return any(self._mentions(item) for item in node)
        if not isinstance(node, dict):
            return False
        if "argumentReference" in node:
            return True
        if "constantValue" in node:
            return False
        for name in ("valueReference", "functionReference", "body"):
            key = node.get(name)
            if isinstance(key, str) and self._has_argument(key):
                return True
        return any(self._mentions(item) for item in node.values())

    def _node(self, node: Mapping[str, Json], scope: Scope, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise EvaluationError(f"Invalid expression: nodes are nested more than {MAX_DEPTH} deep.")
        if len(node) != 1:
            raise EvaluationError(f"Invalid expression: a node must have one kind, found {sorted(node)}.")
        kind, content = next(iter(node.items()))
        if kind == "constantValue":
            return decode(content)
        if kind in ("valueReference", "argumentReference") and isinstance(content, str):
            return self._reference(kind, content, scope, depth)
        if kind in ("integerValue", "bytesValue") and isinstance(content, str):
            return self._scalar(kind, content)
        if isinstance(content, dict):
            return self._compound(kind, content, scope, depth)
        raise EvaluationError(f"Invalid expression: bad '{kind}'.")

    def _reference(self, kind: str, name: str, scope: Scope, depth: int) -> Value:
        if kind == "valueReference":
            return self.at(name, scope, depth)
        if name not in scope:
            raise EvaluationError(f"Invalid expression: no argument named '{name}'.")
        return scope[name]

    def _scalar(self, kind: str, text: str) -> Value:
        try:
            return int(text) if kind == "integerValue" else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            raise EvaluationError(f"Invalid expression: bad {kind} '{text[:40]}'.") from None

    def _compound(self, kind: str, content: Mapping[str, Json], scope: Scope, depth: int) -> Value:
        values = content.get("values")
        if kind == "arrayValue":
            items = values if isinstance(values, list) else []
            return [self._node(_as_node(item), scope, depth + 1) for item in items]
        if kind == "dictionaryValue":
            entries = values if isinstance(values, dict) else {}
            return {key: self._node(_as_node(item), scope, depth + 1) for key, item in entries.items()}
        if kind == "functionDefinitionValue":
            return self._definition(content, scope, depth)
        if kind == "functionInvocationValue":
            return self._call(content, scope, depth)
        raise EvaluationError(f"Invalid expression: unknown kind of node '{kind}'.")

    def _definition(self, content: Mapping[str, Json], scope: Scope, depth: int) -> Value:
        names, body = content.get("argumentNames"), content.get("body")
        if not isinstance(body, str):
            raise EvaluationError("Invalid expression: a function definition needs a body.")
        parameters = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()

        def call(values: list[Value]) -> Value:
            inner = {**scope, **dict(zip(parameters, values, strict=False))}
            return self.at(body, inner, depth)

        return Closure(parameters=parameters, call=call)

    def _call(self, content: Mapping[str, Json], scope: Scope, depth: int) -> Value:
        given = content.get("arguments")
        entries = given if isinstance(given, dict) else {}
        arguments = {name: self._node(_as_node(item), scope, depth + 1) for name, item in entries.items()}
        reference, name = content.get("functionReference"), content.get("functionName")
        if isinstance(reference, str):
            closure = self.at(reference, scope, depth)
            if not isinstance(closure, Closure):
                raise EvaluationError(f"Invalid expression: value '{reference}' is not a function.")
            return closure.call([arguments.get(parameter) for parameter in closure.parameters])
        if not isinstance(name, str) or name not in FUNCTIONS:
            raise EvaluationError(f"Unknown function '{name}'. {_known(str(name))}")
        return FUNCTIONS[name](Arguments(function=name, values=arguments, library=self._library))


def _as_node(item: Json) -> Mapping[str, Json]:
    if not isinstance(item, dict):
        raise EvaluationError("Invalid expression: a node must be an object.")
    return item


def _known(name: str) -> str:
    """Name the functions that are most like one: those of its family first."""
    family = [known for known in FUNCTIONS if known.partition(".")[0] == name.partition(".")[0]]
    near = [*get_close_matches(name, family, n=8, cutoff=0.3), *get_close_matches(name, FUNCTIONS, n=8)]
    listed = ", ".join(dict.fromkeys([*near, *sorted(family)]))
    return (
        f"(This emulator computes {len(FUNCTIONS)} of Earth Engine's algorithms{', such as ' * bool(listed)}{listed}.)"
    )
