"""Whether two GeoJSON geometries meet, in the plane of longitude and latitude.

Enough for filters by region: points, lines, polygons and their collections; edges are straight, holes are ignored, and
longitudes a whole turn apart are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.emulator.raster import Json

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One connected part of a geometry."""

    points: tuple[Point, ...]
    is_area: bool


def intersects(first: Json, second: Json) -> bool:
    """Answer whether the geometries have a point in common.

    Raises:
        ValueError: A position is not two numbers.
    """
    others = [_turned(part, turn) for part in _parts(second) for turn in (-360.0, 0.0, 360.0)]
    return any(_meet(one, other) for one in _parts(first) for other in others)


def _turned(part: Part, degrees: float) -> Part:
    return Part(tuple((x + degrees, y) for x, y in part.points), is_area=part.is_area) if degrees else part


def _parts(geometry: Json) -> Iterator[Part]:
    if not isinstance(geometry, dict):
        return
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "Feature":
        yield from _parts(geometry.get("geometry"))
    for part in _items(geometry.get("geometries")) + _items(geometry.get("features")):
        yield from _parts(part)
    if kind == "Point":
        yield Part((_point(coordinates),), is_area=False)
    elif kind in ("LineString", "LinearRing"):
        yield Part(tuple(map(_point, _items(coordinates))), is_area=kind == "LinearRing")
    elif kind == "Polygon" and _items(coordinates):
        yield Part(tuple(map(_point, _items(_items(coordinates)[0]))), is_area=True)
    elif isinstance(kind, str) and kind.startswith("Multi"):
        for item in _items(coordinates):
            yield from _parts({"type": kind.removeprefix("Multi"), "coordinates": item})


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _point(value: Json) -> Point:
    numbers = [float(number) for number in _items(value) if isinstance(number, int | float)]
    if len(numbers) < 2:
        raise ValueError(f"{value!r} is no position")
    return numbers[0], numbers[1]


def _meet(first: Part, second: Part) -> bool:
    if not first.points or not second.points or not _boxes_meet(first, second):
        return False
    if (first.is_area and _holds(first, second.points[0])) or (second.is_area and _holds(second, first.points[0])):
        return True
    return any(_cross(*one, *other) for one in _edges(first) for other in _edges(second))


def _boxes_meet(first: Part, second: Part) -> bool:
    return all(
        min(point[axis] for point in first.points) <= max(point[axis] for point in second.points)
        and min(point[axis] for point in second.points) <= max(point[axis] for point in first.points)
        for axis in (0, 1)
    )


def _edges(part: Part) -> list[tuple[Point, Point]]:
    ring = (*part.points, part.points[0]) if part.is_area or len(part.points) == 1 else part.points
    return list(pairwise(ring))


def _holds(area: Part, point: Point) -> bool:
    """Answer whether a ray from `point` to the east crosses the boundary an odd number of times."""
    x, y = point
    inside = False
    for (x0, y0), (x1, y1) in _edges(area):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Answer whether two closed segments touch."""
    turns = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(turn == 0 and _between(start, end, point) for turn, start, end, point in ends)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: Point, b: Point, point: Point) -> bool:
    return all(min(a[axis], b[axis]) <= point[axis] <= max(a[axis], b[axis]) for axis in (0, 1))
