"""Filters: tests of an element's properties, dates and place.

Law: each comparison has a left and a right side, each a property's name or a value; a property that is missing fails
every comparison, `notEquals` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from eezarr.emulator.arguments import Arguments, Function
from eezarr.emulator.geometry import Geometry, intersects
from eezarr.emulator.images import Image
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Collection, Date, DateRange, Element, Feature, Filter, Value, decode

if TYPE_CHECKING:
    from eezarr.emulator.raster import Json

Comparison = Callable[[Value, Value], bool]


def geometry_of(element: Element) -> Geometry | None:
    """Answer where an element is."""
    return element.footprint if isinstance(element, Image) else element.geometry


def _property(element: Element, name: str) -> Value:
    if name in (".all", ".geo"):
        return geometry_of(element)
    return decode(element.properties.get(name))


def _sides(arguments: Arguments, element: Element) -> tuple[Value, Value]:
    """Left and right side of a comparison for one element."""
    sides: list[Value] = []
    for side in ("left", "right"):
        if arguments.has(f"{side}Field"):
            sides.append(_property(element, arguments.text(f"{side}Field")))
        else:
            sides.append(arguments.values.get(f"{side}Value"))
    return sides[0], sides[1]


def comparison(test: Comparison) -> Function:
    """Answer the function that makes a filter of a comparison."""

    def function(arguments: Arguments) -> Value:
        def passes(element: Element) -> bool:
            left, right = _sides(arguments, element)
            return left is not None and right is not None and test(left, right)

        return Filter(passes=passes)

    return function


def _plain(value: Value) -> Value:
    """Dates as milliseconds, booleans as numbers."""
    if isinstance(value, Date):
        return value.milliseconds
    return int(value) if isinstance(value, bool) else value


def _is_equal(left: Value, right: Value) -> bool:
    return _plain(left) == _plain(right)


def _is_less(left: Value, right: Value) -> bool:
    left, right = _plain(left), _plain(right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left < right
    return isinstance(left, str) and isinstance(right, str) and left < right


def _is_at_most(left: Value, right: Value) -> bool:
    return _is_less(left, right) or _is_equal(left, right)


def _contains(left: Value, right: Value) -> bool:
    """Whether the list on the left holds the value on the right."""
    return isinstance(left, list) and any(_is_equal(item, right) for item in left)


def _in_range(left: Value, right: Value) -> bool:
    """Whether the date range on the left holds the instant on the right."""
    right = _plain(right)
    return isinstance(left, DateRange) and isinstance(right, int | float) and left.start <= right < left.end


def _text(test: Callable[[str, str], bool]) -> Comparison:
    return lambda left, right: isinstance(left, str) and isinstance(right, str) and test(left, right)


def _shape(value: Value) -> Geometry | None:
    if isinstance(value, Image | Feature):
        return geometry_of(value)
    return value if isinstance(value, Geometry) else None


def _shapes(value: Value) -> list[Geometry]:
    items = list(value.elements) if isinstance(value, Collection) else [value]
    return [shape for shape in (_shape(item) for item in items) if shape is not None]


def _do_meet(left: Value, right: Value) -> bool:
    return any(intersects(one, other) for one in _shapes(left) for other in _shapes(right))


def _together(combine: Callable[[list[bool]], bool]) -> Function:
    def function(arguments: Arguments) -> Value:
        filters = [item for item in arguments.items("filters") if isinstance(item, Filter)]
        return Filter(passes=lambda element: combine([item.passes(element) for item in filters]))

    return function


def _negation(arguments: Arguments) -> Value:
    inner = arguments.filter("filter")
    return Filter(passes=lambda element: not inner.passes(element))


def _not_null(arguments: Arguments) -> Value:
    names = arguments.strings("properties")
    return Filter(passes=lambda element: all(element.properties.get(name) is not None for name in names))


def _range_contains(arguments: Arguments) -> Value:
    name, low, high = arguments.text("field"), arguments.value("minValue"), arguments.value("maxValue")

    def passes(element: Element) -> bool:
        value = _property(element, name)
        return value is not None and _is_at_most(low, value) and _is_at_most(value, high)

    return Filter(passes=passes)


def _calendar(arguments: Arguments) -> Value:
    """Whether a unit of the date lies in a range, both ends included; the range may pass the turn of the year."""
    start = int(arguments.number("start"))
    end = int(arguments.number("end", start))
    unit = arguments.text("field", "day_of_year")
    if unit not in ("day_of_year", "month", "year", "hour", "minute", "day_of_month", "day_of_week"):
        arguments.fail(f"Unknown calendar field '{unit}'.")

    def passes(element: Element) -> bool:
        milliseconds = element.properties.get("system:time_start")
        if not isinstance(milliseconds, int | float):
            return False
        place = calendar_unit(Date(milliseconds=int(milliseconds)), unit)
        return start <= place <= end if start <= end else place >= start or place <= end

    return Filter(passes=passes)


def calendar_unit(date: Date, unit: str) -> int:
    """Answer a date's day_of_year, month, year, hour, minute, day_of_month or day_of_week (1 is Monday).

    Raises:
        EvaluationError: if the unit is another.
    """
    moment = date.moment
    units = {
        "day_of_year": moment.timetuple().tm_yday,
        "month": moment.month,
        "year": moment.year,
        "hour": moment.hour,
        "minute": moment.minute,
        "day_of_month": moment.day,
        "day_of_week": moment.isoweekday(),
    }
    if unit not in units:
        raise EvaluationError(f"Unknown unit '{unit}'.")
    return units[unit]


def _day_of_year(arguments: Arguments) -> Value:
    """From `start` (inclusive) to `end` (exclusive)."""
    values: dict[str, Value] = {"start": arguments.number("start"), "end": int(arguments.number("end")) - 1}
    return _calendar(Arguments(function=arguments.function, values=values, library=arguments.library))


def property_filter(name: str, symbol: str, value: Json) -> Filter:
    """Answer the filter `name symbol value`, symbol being one of = != < <= > >=: for list requests."""
    tests: Mapping[str, Comparison] = {
        "=": _is_equal,
        "!=": lambda left, right: not _is_equal(left, right),
        "<": _is_less,
        "<=": _is_at_most,
        ">": lambda left, right: _is_less(right, left),
        ">=": lambda left, right: _is_at_most(right, left),
    }

    def passes(element: Element) -> bool:
        own = _property(element, name)
        return own is not None and tests[symbol](own, decode(value))

    return Filter(passes=passes)


_COMPARISONS: Mapping[str, Comparison] = {
    "equals": _is_equal,
    "eq": _is_equal,
    "notEquals": lambda left, right: not _is_equal(left, right),
    "neq": lambda left, right: not _is_equal(left, right),
    "lessThan": _is_less,
    "lt": _is_less,
    "lessThanOrEquals": _is_at_most,
    "lte": _is_at_most,
    "greaterThan": lambda left, right: _is_less(right, left),
    "gt": lambda left, right: _is_less(right, left),
    "greaterThanOrEquals": lambda left, right: _is_at_most(right, left),
    "gte": lambda left, right: _is_at_most(right, left),
    "listContains": _contains,
    "inList": lambda left, right: _contains(right, left),
    "dateRangeContains": _in_range,
    "stringContains": _text(lambda left, right: right in left),
    "stringStartsWith": _text(str.startswith),
    "stringEndsWith": _text(str.endswith),
    "intersects": _do_meet,
    "disjoint": lambda left, right: not _do_meet(left, right),
}

FUNCTIONS: Mapping[str, Function] = {
    **{f"Filter.{name}": comparison(test) for name, test in _COMPARISONS.items()},
    "Filter.and": _together(all),
    "Filter.or": _together(any),
    "Filter.not": _negation,
    "Filter.notNull": _not_null,
    "Filter.rangeContains": _range_contains,
    "Filter.calendarRange": _calendar,
    "Filter.dayOfYear": _day_of_year,
    "Filter.always": lambda _: Filter(passes=lambda _: True),
    "Filter.never": lambda _: Filter(passes=lambda _: False),
}
"""Filter.equals, Filter.and, Filter.intersects, …"""
