"""Reading a request's JSON as a protocol-buffer server does: unknown names and wrong types are refused.

Names are accepted in camelCase and snake_case, 64-bit integers as strings or numbers, any number as `n` or, as the
Python client writes wrapped ones, as `{"value": n}`; null is the same as absent. What comes out has camelCase names and
plain numbers.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from eezarr.emulator.errors import ApiError, bad_fields
from eezarr.emulator.schemas import API, VALUE_NODE, Enum, MapOf, Message, Repeated, Scalar, Type

if TYPE_CHECKING:
    from collections.abc import Collection

    from eezarr.emulator.raster import Json

_WORKLOAD_TAG = re.compile(r"[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?", re.IGNORECASE)


def parsed(body: bytes, schema: Message) -> dict[str, Json]:
    """Answer the request that `body` states.

    Raises:
        ApiError: It is no JSON, or has fields or values that the schema does not know; all of them are named.
    """
    try:
        document: Json = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        text = f"Invalid JSON payload received. {error}"
        raise bad_fields([("", text)]) from error
    violations: list[tuple[str, str]] = []
    message = _message(document, schema, "", violations)
    _check_expression(message.get("expression"), violations)
    if violations:
        raise bad_fields(violations)
    require_workload_tag(message.get("workloadTag"))
    return message


def _check_expression(expression: Json, violations: list[tuple[str, str]]) -> None:
    """Check the nodes and write their fields in camelCase; they nest deeper than calls, so those to come are listed."""
    values = expression.get("values") if isinstance(expression, dict) else None
    to_come = _entries(values, "expression.values")
    while to_come:
        path, node = to_come.pop()
        if not isinstance(node, dict) or len(node) != 1:
            violations.append((path, f"Invalid value at '{path}' ({API}.ValueNode), {_shown(node)}"))
            continue
        _rename(node, VALUE_NODE)
        [(name, value)] = node.items()
        inner = f"{path}.{_snake(name)}"
        if name not in VALUE_NODE:
            violations.append((path, _unknown(name, path)))
        elif name == "integerValue":
            node[name] = _text_of_long(value, inner, violations)
        elif VALUE_NODE[name] and not isinstance(value, dict):
            violations.append((inner, f"Invalid value at '{inner}' ({API}.ValueNode), {_shown(value)}"))
        elif isinstance(value, dict) and VALUE_NODE[name]:
            _rename(value, VALUE_NODE[name])
            violations += [(inner, _unknown(field, inner)) for field in value.keys() - VALUE_NODE[name]]
            if {"functionName", "functionReference"} <= value.keys():
                violations.append((inner, _second_of(inner, "function", "functionReference")))
            children = value.get("arguments" if name == "functionInvocationValue" else "values")
            if isinstance(children, list):
                to_come += [(f"{inner}.values[{index}]", item) for index, item in enumerate(children)]
            else:
                field = "arguments" if name == "functionInvocationValue" else "values"
                to_come += _entries(children, f"{inner}.{field}")


def _rename(node: dict[str, Json], known: Collection[str]) -> None:
    for name in [name for name in node if name not in known and _camel(name) in known]:
        node[_camel(name)] = node.pop(name)


def _text_of_long(value: Json, path: str, violations: list[tuple[str, str]]) -> Json:
    number = _long(value)
    if number is None:
        violations.append((path, f"Invalid value at '{path}' (TYPE_INT64), {_shown(value)}"))
    return str(number)


def _entries(values: Json, path: str) -> list[tuple[str, Json]]:
    """Answer the entries of a map field, with the paths by which the service calls them."""
    items = values.values() if isinstance(values, dict) else ()
    return [(f"{path}[{index}].value", item) for index, item in enumerate(items)]


def require_workload_tag(tag: Json) -> None:
    """Check a tag, wherever it was given.

    Raises:
        ApiError: It cannot be.
    """
    if tag and not (isinstance(tag, str) and _WORKLOAD_TAG.fullmatch(tag)):
        raise ApiError(code=400, message=f"Invalid workload tag: '{tag}'.")


def _message(value: Json, schema: Message, path: str, violations: list[tuple[str, str]]) -> dict[str, Json]:
    if not isinstance(value, dict):
        violations.append((path, f"Invalid value at '{path}' ({schema.type_name}), {_shown(value)}"))
        return {}
    result: dict[str, Json] = {}
    for name, item in value.items():
        known = name if name in schema.fields else _camel(name)
        if known not in schema.fields:
            violations.append((path, _unknown(name, path)))
        elif item is not None:
            inner = f"{path}.{_snake(known)}" if path else _snake(known)
            result[known] = _value(item, schema.fields[known], inner, violations)
    present = [name for name in schema.one_of if name in result]
    if len(present) > 1:
        violations.append((path, _second_of(path, schema.union, present[1])))
    return result


def _value(value: Json, kind: Type, path: str, violations: list[tuple[str, str]]) -> Json:
    match kind:
        case Message():
            return _message(value, kind, path, violations)
        case Repeated(item):
            items = value if isinstance(value, list) else [value]
            return [_value(each, item, f"{path}[{index}]", violations) for index, each in enumerate(items)]
        case MapOf(item):
            entries = value if isinstance(value, dict) else {"value": value}
            return {name: _value(each, item, f"{path}[{name}]", violations) for name, each in entries.items()}
        case Enum(type_name, names):
            if value not in names:
                violations.append((path, f"Invalid value at '{path}' ({type_name}), {_shown(value)}"))
            return value
        case Scalar(name):
            return _scalar(value, name, path, violations)


def _scalar(value: Json, kind: str, path: str, violations: list[tuple[str, str]]) -> Json:
    if isinstance(value, dict) and value.keys() == {"value"} and kind in ("int", "int64", "double"):
        value = value["value"]
    converted = _CONVERTERS[kind](value)
    if converted is None:
        violations.append((path, f"Invalid value at '{path}' ({_TYPE_NAMES[kind]}), {_shown(value)}"))
    return converted


def _string(value: Json) -> Json:
    return value if isinstance(value, str) else None


def _integer(value: Json) -> Json:
    number = _double(value)
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 2**31 else None


def _long(value: Json) -> Json:
    """Answer an integer of up to 64 bits without a way through floats, which would round it."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if re.fullmatch(r"-?[0-9]{1,19}", text) is None:
        number = _double(value)
        return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 2**63 else None
    return int(text) if -(2**63) <= int(text) < 2**63 else None


def _boolean(value: Json) -> Json:
    return value if isinstance(value, bool) else None


def _double(value: Json) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) or isinstance(value, str) else None


def _struct(value: Json) -> Json:
    return value if isinstance(value, dict) else None


_CONVERTERS = {
    "string": _string,
    "bool": _boolean,
    "int": _integer,
    "int64": _long,
    "double": _double,
    "struct": _struct,
}
_TYPE_NAMES = {
    "string": "TYPE_STRING",
    "bool": "TYPE_BOOL",
    "int": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "double": "TYPE_DOUBLE",
    "struct": "type.googleapis.com/google.protobuf.Struct",
}


def _unknown(name: str, path: str) -> str:
    place = f" at '{path}'" if path else ""
    return f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'


def _second_of(path: str, union: str, field: str) -> str:
    return f"Invalid value at '{path}' (oneof), oneof field '{union}' is already set. Cannot set '{field}'"


def _shown(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
