"""Reading a request's JSON as a protocol-buffer server does: unknown names and wrong types are refused.

Names are accepted in camelCase and snake_case, 64-bit integers as strings, wrapped numbers as `{"value": n}`;
null is the same as absent. What comes out has camelCase names and plain numbers.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from eezarr.emulator.errors import ApiError, bad_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.raster import Json

_API = "type.googleapis.com/google.earthengine.v1"
_WORKLOAD_TAG = re.compile(r"[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value: `string`, `int`, `double`, `struct`, or `any`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a set of names."""

    type_name: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An array of one type."""

    item: Type


@dataclass(frozen=True, slots=True)
class Message:
    """An object with known fields; at most one of `one_of`."""

    type_name: str
    fields: Mapping[str, Type]
    one_of: tuple[str, ...] = ()


Type: TypeAlias = Scalar | Enum | Repeated | Message

STRING, INT, DOUBLE, STRUCT = Scalar("string"), Scalar("int"), Scalar("double"), Scalar("struct")

FILE_FORMAT = Enum(
    f"{_API}.ImageFileFormat",
    frozenset(
        {
            "IMAGE_FILE_FORMAT_UNSPECIFIED",
            "JPEG",
            "PNG",
            "AUTO_JPEG_PNG",
            "NPY",
            "GEO_TIFF",
            "TF_RECORD_IMAGE",
            "ZIPPED_GEO_TIFF",
            "ZIPPED_GEO_TIFF_PER_BAND",
            "MULTI_BAND_IMAGE_TILE",
        }
    ),
)
GRID = Message(
    f"{_API}.PixelGrid",
    {
        "dimensions": Message(f"{_API}.GridDimensions", {"width": INT, "height": INT}),
        "affineTransform": Message(
            f"{_API}.AffineTransform",
            dict.fromkeys(("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY"), DOUBLE),
        ),
        "crsCode": STRING,
        "crsWkt": STRING,
    },
    one_of=("crsCode", "crsWkt"),
)
VISUALIZATION = Message(
    f"{_API}.VisualizationOptions",
    {
        "ranges": Repeated(Message(f"{_API}.DoubleRange", {"min": DOUBLE, "max": DOUBLE})),
        "paletteColors": Repeated(STRING),
        "gamma": DOUBLE,
        "opacity": DOUBLE,
    },
)
EXPRESSION = Message(f"{_API}.Expression", {"values": STRUCT, "result": STRING})
_NODE_FIELDS = frozenset(
    {
        "constantValue",
        "integerValue",
        "bytesValue",
        "arrayValue",
        "dictionaryValue",
        "functionDefinitionValue",
        "functionInvocationValue",
        "argumentReference",
        "valueReference",
    }
)
_PIXELS: dict[str, Type] = {
    "fileFormat": FILE_FORMAT,
    "grid": GRID,
    "bandIds": Repeated(STRING),
    "visualizationOptions": VISUALIZATION,
    "workloadTag": STRING,
}
GET_PIXELS = Message(f"{_API}.GetPixelsRequest", {**_PIXELS, "region": STRUCT})
COMPUTE_PIXELS = Message(f"{_API}.ComputePixelsRequest", {**_PIXELS, "expression": EXPRESSION})
COMPUTE_VALUE = Message(f"{_API}.ComputeValueRequest", {"expression": EXPRESSION, "workloadTag": STRING})
THUMBNAIL = Message(
    f"{_API}.Thumbnail", {**_PIXELS, "name": STRING, "expression": EXPRESSION, "filenamePrefix": STRING}
)


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
    _require_workload_tag(message.get("workloadTag"))
    return message


def _check_expression(expression: Json, violations: list[tuple[str, str]]) -> None:
    """Check the nodes with a list of those to come: expressions nest deeper than Python calls may."""
    values = expression.get("values") if isinstance(expression, dict) else None
    to_come = _entries(values, "expression.values")
    while to_come:
        path, node = to_come.pop()
        if not isinstance(node, dict) or len(node) != 1:
            violations.append((path, f"Invalid value at '{path}' ({_API}.ValueNode), {_shown(node)}"))
            continue
        [(name, value)] = node.items()
        inner = f"{path}.{_snake(name)}"
        if name not in _NODE_FIELDS:
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            violations.append((path, text))
        elif name == "functionInvocationValue" and isinstance(value, dict):
            to_come += _entries(value.get("arguments"), f"{inner}.arguments")
        elif name == "dictionaryValue" and isinstance(value, dict):
            to_come += _entries(value.get("values"), f"{inner}.values")
        elif name == "arrayValue" and isinstance(value, dict):
            items = value.get("values")
            listed = items if isinstance(items, list) else []
            to_come += [(f"{inner}.values[{index}]", item) for index, item in enumerate(listed)]


def _entries(values: Json, path: str) -> list[tuple[str, Json]]:
    """Answer the entries of a map field, with the paths by which the service calls them."""
    items = values.values() if isinstance(values, dict) else ()
    return [(f"{path}[{index}].value", item) for index, item in enumerate(items)]


def _require_workload_tag(tag: Json) -> None:
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
            place = f" at '{path}'" if path else ""
            text = f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
            violations.append((path, text))
        elif item is not None:
            inner = f"{path}.{_snake(known)}" if path else _snake(known)
            result[known] = _value(item, schema.fields[known], inner, violations)
    present = [name for name in schema.one_of if name in result]
    if len(present) > 1:
        text = f"Invalid value at '{path}' (oneof), oneof field 'crs' is already set. Cannot set '{present[1]}'"
        violations.append((path, text))
    return result


def _value(value: Json, kind: Type, path: str, violations: list[tuple[str, str]]) -> Json:
    match kind:
        case Message():
            return _message(value, kind, path, violations)
        case Repeated(item):
            items = value if isinstance(value, list) else [value]
            return [_value(each, item, f"{path}[{index}]", violations) for index, each in enumerate(items)]
        case Enum(type_name, names):
            if value not in names:
                violations.append((path, f"Invalid value at '{path}' ({type_name}), {_shown(value)}"))
            return value
        case Scalar(name):
            return _scalar(value, name, path, violations)


def _scalar(value: Json, kind: str, path: str, violations: list[tuple[str, str]]) -> Json:
    if isinstance(value, dict) and value.keys() == {"value"} and kind in ("int", "double"):
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


_CONVERTERS = {"string": _string, "int": _integer, "double": _double, "struct": _struct}
_TYPE_NAMES = {
    "string": "TYPE_STRING",
    "int": "TYPE_INT32",
    "double": "TYPE_DOUBLE",
    "struct": "type.googleapis.com/google.protobuf.Struct",
}


def _shown(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
