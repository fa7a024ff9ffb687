"""Elements, dates, and pixel types."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eezarr.emulator.functions.arithmetic import CASTS
from eezarr.emulator.functions.filters import calendar_unit, geometry_of
from eezarr.emulator.images import PixelType, of_dtype
from eezarr.emulator.values import Date, DateRange, Element, Feature, Value, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function
    from eezarr.emulator.raster import Json

_FOREVER_MS = 2**53


def _get(arguments: Arguments) -> Value:
    return decode(arguments.owner("object").properties.get(arguments.text("property")))


def _set(arguments: Arguments) -> Value:
    element = arguments.owner("object")
    new: dict[str, Json] = {arguments.text("key"): encode(arguments.values.get("value"))}
    return replace(element, properties={**element.properties, **new})


def _is_public(name: str) -> bool:
    return not name.startswith("system:")


def _to_dictionary(arguments: Arguments) -> Value:
    """Answer properties by name; all but the system's if no names are given."""
    properties = arguments.owner("element").properties
    if arguments.has("properties"):
        return {name: decode(properties.get(name)) for name in arguments.strings("properties")}
    return {name: decode(value) for name, value in properties.items() if _is_public(name)}


def _copy_properties(arguments: Arguments) -> Value:
    target, source = arguments.owner("destination"), arguments.owner("source")
    names = set(arguments.strings("properties")) if arguments.has("properties") else None
    left_out = set(arguments.strings("exclude")) if arguments.has("exclude") else set()
    copied = {
        name: value
        for name, value in source.properties.items()
        if name not in left_out and (name in names if names is not None else _is_public(name))
    }
    return replace(target, properties={**target.properties, **copied})


def _feature(arguments: Arguments) -> Value:
    """Answer a feature; of an element, that element with more properties."""
    given = arguments.values.get("geometry")
    metadata = arguments.dictionary("metadata") if arguments.has("metadata") else {}
    properties = {key: encode(value) for key, value in metadata.items()}
    if isinstance(given, Element):
        return replace(given, properties={**given.properties, **properties})
    shape = arguments.geometry("geometry") if arguments.has("geometry") else None
    return Feature(geometry=shape, properties=properties)


def _id(arguments: Arguments) -> Value:
    """Answer an element's index within its collection; a feature's own id where it has none."""
    element = arguments.element("element")
    index = element.properties.get("system:index")
    return decode(element.id if index is None and isinstance(element, Feature) else index)


def _date_from_parts(arguments: Arguments) -> Value:
    year, month, day = (int(arguments.number(name)) for name in ("year", "month", "day"))
    try:
        moment = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        arguments.fail(f"Bad date/time '{year}-{month}-{day}'.")
    return Date(milliseconds=int(moment.timestamp() * 1000))


_UNIT_MS: Mapping[str, int] = {
    "week": 604_800_000, "day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000,
    "month": 2_629_746_000, "year": 31_556_952_000,
}  # fmt: skip
"""Milliseconds of each unit of time; months and years are means."""


def _unit(arguments: Arguments) -> str:
    unit = arguments.text("unit").removesuffix("s")
    if unit not in _UNIT_MS:
        arguments.fail(f"Unknown unit '{unit}'.")
    return unit


def _advanced(date: Date, delta: float, unit: str) -> Date:
    """A date so many units later; whole months and years keep the day where they can."""
    if unit not in ("month", "year"):
        return Date(milliseconds=date.milliseconds + round(delta * _UNIT_MS[unit]))
    months = round(delta * (12 if unit == "year" else 1))
    moment = date.moment
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    first = moment.replace(year=year, month=month + 1, day=1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    moved = first.replace(day=min(moment.day, last.day))
    return Date(milliseconds=round(moved.timestamp() * 1000))


def _advance(arguments: Arguments) -> Value:
    return _advanced(arguments.date("date"), float(arguments.number("delta")), _unit(arguments))


def _difference(arguments: Arguments) -> Value:
    span = arguments.date("date").milliseconds - arguments.date("start").milliseconds
    return span / _UNIT_MS[_unit(arguments)]


_JODA: Mapping[str, str] = {
    "YYYY": "%Y",
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "DDD": "%j",
}


def _format(arguments: Arguments) -> Value:
    moment = arguments.date("date").moment
    if not arguments.has("format"):
        return moment.strftime("%Y-%m-%dT%H:%M:%S")
    pattern = arguments.text("format").replace("%", "%%").replace("'", "")
    for joda, own in _JODA.items():
        pattern = pattern.replace(joda, own)
    return moment.strftime(pattern)


def _date_get(arguments: Arguments) -> Value:
    units = {"day": "day_of_month", "week": "day_of_week"}
    unit = arguments.text("unit")
    return calendar_unit(arguments.date("date"), units.get(unit, unit))


def _date_range(arguments: Arguments) -> Value:
    start = arguments.date("start")
    end = arguments.date("end") if arguments.has("end") else Date(milliseconds=start.milliseconds + 1)
    if end.milliseconds <= start.milliseconds:
        arguments.fail("Empty date range not supported for the current operation.")
    return DateRange(start=start.milliseconds, end=end.milliseconds)


def _range_of(arguments: Arguments) -> Value:
    date, unit = arguments.date("date"), _unit(arguments)
    return DateRange(start=date.milliseconds, end=_advanced(date, 1, unit).milliseconds)


def _range(arguments: Arguments) -> DateRange:
    value = arguments.values.get("dateRange")
    return value if isinstance(value, DateRange) else arguments.fail("Parameter 'dateRange' is required.")


def _pixel_type(arguments: Arguments) -> Value:
    names = {"int": "int32", "float": "float32", "double": "float64"}
    precision = arguments.text("precision")
    dtype = names.get(precision) or CASTS.get(precision)
    if dtype is None:
        arguments.fail(f"Unknown precision '{precision}'.")
    whole = of_dtype(dtype)
    low = float(arguments.number("minValue")) if arguments.has("minValue") else whole.minimum
    high = float(arguments.number("maxValue")) if arguments.has("maxValue") else whole.maximum
    return PixelType(dtype=dtype, minimum=low, maximum=high)


_OTHER_NAMES = frozenset({"byte", "short", "int", "long"})
"""Of types, which casts know and `PixelType` does not."""


def _named_type(dtype: str) -> Function:
    return lambda _: of_dtype(dtype)


def _if(arguments: Arguments) -> Value:
    """Answer one of two values; both were computed. False are null, 0, NaN, and empty text, lists and dictionaries."""
    condition = arguments.values.get("condition")
    is_nan = isinstance(condition, float) and condition != condition  # noqa: PLR0124
    is_empty = condition is None or (isinstance(condition, bool | int | float | str | list | dict) and not condition)
    return arguments.values.get("falseCase" if is_nan or is_empty else "trueCase")


FUNCTIONS: Mapping[str, Function] = {
    "If": _if,
    **{f"Element.{name}": _get for name in ("get", "getNumber", "getString", "getArray")},
    "Element.toDictionary": _to_dictionary,
    "Element.set": _set,
    "Element.copyProperties": _copy_properties,
    "Element.propertyNames": lambda arguments: [*sorted(arguments.owner("element").properties)],
    "Element.geometry": lambda arguments: geometry_of(arguments.element("feature")),
    "Feature": _feature,
    "Feature.geometry": lambda arguments: geometry_of(arguments.element("feature")),
    **{f"{kind}.id": _id for kind in ("Element", "Feature")},
    "Date": lambda arguments: arguments.date("value"),
    "Date.fromYMD": _date_from_parts,
    "Date.millis": lambda arguments: arguments.date("date").milliseconds,
    "Date.advance": _advance,
    "Date.difference": _difference,
    "Date.format": _format,
    "Date.get": _date_get,
    "Date.getRange": _range_of,
    "DateRange": _date_range,
    "DateRange.start": lambda arguments: Date(milliseconds=_range(arguments).start),
    "DateRange.end": lambda arguments: Date(milliseconds=_range(arguments).end),
    "DateRange.unbounded": lambda _: DateRange(start=-_FOREVER_MS, end=_FOREVER_MS),
    "PixelType": _pixel_type,
    **{f"PixelType.{name}": _named_type(CASTS[name]) for name in CASTS.keys() - _OTHER_NAMES},
    "ErrorMargin": lambda arguments: arguments.values.get("value"),
}
"""Element.get, Date, PixelType, …"""
