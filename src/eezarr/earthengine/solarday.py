"""Which longitude an image is at, and so which day it is there: what one overpass took belongs to one solar day.

Law: the solar day of an image is the date of its start in UTC plus an hour for each 15 degrees of the longitude of
the middle of its footprint's bounding box, in [-180, 180).

Law (footprints across the antimeridian): an edge that spans more than 180 and less than 360 degrees of longitude is
taken the other way round, as Earth Engine's geodesic edges go; a part that lies more than half a turn from the first
is turned until it does not. So `170 … -170`, `170 … 190`, and two parts that meet at 180 are all the same box of 20
degrees, and `-180 … 180` is the whole Earth.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["middle_longitude", "solar_date"]


def solar_date(start: datetime, longitude: float) -> date:
    """Return the date at a longitude, by the sun."""
    return (start + timedelta(hours=longitude / 15)).date()


def middle_longitude(geometry: Mapping[str, object]) -> float | None:
    """Return the longitude of the middle of a GeoJSON geometry's bounding box, in [-180, 180); None if it has none."""
    west, east = math.inf, -math.inf
    for lons in _parts(geometry):
        low, high = _span(lons)
        if west <= east:
            turns = 360 * round(((west + east) - (low + high)) / 720)
            low, high = low + turns, high + turns
        west, east = min(west, low), max(east, high)
    return ((west + east) / 2 + 180) % 360 - 180 if west <= east else None


def _span(lons: list[float]) -> tuple[float, float]:
    """Return the least and the greatest longitude of a line, each edge taken the short way."""
    at = low = high = lons[0]
    for start, end in pairwise(lons):
        step = end - start
        at += step - math.copysign(360, step) if 180 < abs(step) < 360 else step
        low, high = min(low, at), max(high, at)
    return low, high


def _parts(geometry: Mapping[str, object]) -> Iterator[list[float]]:
    """Yield the longitudes of each point, line and ring."""
    inner = geometry.get("geometries")
    for part in inner if isinstance(inner, list) else []:
        if isinstance(part, dict):
            yield from _parts(part)
    yield from _lines(geometry.get("coordinates"))


def _lines(coordinates: object) -> Iterator[list[float]]:
    if not isinstance(coordinates, list) or not coordinates:
        return
    if _is_longitude(coordinates[0]):
        yield [float(coordinates[0])]
        return
    points = [item[0] for item in coordinates if isinstance(item, list) and item and _is_longitude(item[0])]
    if points:
        yield [float(lon) for lon in points]
        return
    for item in coordinates:
        yield from _lines(item)


def _is_longitude(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
