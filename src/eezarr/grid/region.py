"""What a region may be: a box or GeoJSON, read into closed rings and refused with a reason if it has no area.

Law: edges are straight in the region's own CRS (planar), not geodesics: what a box says is what is covered.
Longitudes may run past 180: a box whose west is east of its east crosses the antimeridian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import parse_crs

if TYPE_CHECKING:
    from eezarr.grid.crs import Points

__all__ = ["Region", "full_turn", "polygons_of", "rings_of"]

Region: TypeAlias = Sequence[float] | Mapping[str, object]
"""(west, south, east, north), or a GeoJSON geometry, Feature or FeatureCollection of polygons."""

_BOX_HINT = "Give (west, south, east, north) in region_crs, with south < north."
_SHAPE_HINT = "Give a GeoJSON Polygon or MultiPolygon, or a Feature, FeatureCollection or GeometryCollection of them."


def rings_of(region: Region, region_crs: str) -> list[Points]:
    """Return the rings of a region, outer ones and holes alike, each closed, of shape (n, 2).

    In a geographic CRS the whole region is moved by full turns, so that its least longitude is in [-180, 180).

    Raises:
        InvalidInput: If the region is no box or polygons, is empty, or is not on the Earth.
    """
    return [ring for polygon in polygons_of(region, region_crs) for ring in polygon]


def polygons_of(region: Region, region_crs: str) -> list[list[Points]]:
    """Return the rings of a region as `rings_of` does, but by polygon: first the outer one, then the holes.

    Raises:
        InvalidInput: If the region is no box or polygons, is empty, or is not on the Earth.
    """
    turn = full_turn(region_crs)
    if isinstance(region, Mapping):
        _check_declared_crs(region, region_crs)
        polygons = [[_ring(ring) for ring in _items(polygon)] for polygon in _polygons(region)]
    else:
        polygons = [[_box(region, turn)]]
    rings = [ring for polygon in polygons for ring in polygon]
    if not rings:
        raise InvalidInput("The region holds no polygon.", hint=_SHAPE_HINT)
    if turn is None:
        return polygons
    on_earth = iter(_on_earth(rings, turn))
    return [[next(on_earth) for _ in polygon] for polygon in polygons]


def full_turn(crs: str) -> float | None:
    """Return what longitude grows by in one turn round the Earth, such as 360; None in a projected CRS."""
    parsed = parse_crs(crs)
    return round(2 * math.pi / float(parsed.axis_info[0].unit_conversion_factor), 9) if parsed.is_geographic else None


def _box(region: object, turn: float | None) -> Points:
    if isinstance(region, str | bytes) or not isinstance(region, Sequence | np.ndarray) or len(region) != 4:
        raise InvalidInput(f"The region {region!r} is no box.", hint=_BOX_HINT)
    west, south, east, north = (_number(value) for value in region)
    if west == east or south >= north:
        raise InvalidInput(f"The region {(west, south, east, north)} is empty.", hint=_BOX_HINT)
    if west > east:
        if turn is None:
            raise InvalidInput(
                f"The region {(west, south, east, north)} has west > east.",
                hint="Only a box in a geographic region_crs can cross the antimeridian; give west < east.",
            )
        east += turn
    return np.array([(west, south), (east, south), (east, north), (west, north), (west, south)], dtype=np.float64)


def _polygons(shape: object) -> list[object]:
    if not isinstance(shape, Mapping):
        raise InvalidInput(f"The region holds {shape!r}, which is no GeoJSON object.", hint=_SHAPE_HINT)
    match shape.get("type"):
        case "Polygon":
            return [shape.get("coordinates")]
        case "MultiPolygon":
            return list(_items(shape.get("coordinates")))
        case "Feature":
            return _polygons(shape.get("geometry"))
        case "FeatureCollection":
            return [part for feature in _items(shape.get("features")) for part in _polygons(feature)]
        case "GeometryCollection":
            return [part for member in _items(shape.get("geometries")) for part in _polygons(member)]
        case "Point" | "MultiPoint" | "LineString" | "MultiLineString" as kind:
            raise InvalidInput(f"The region is a {kind}, which has no area.", hint=f"Buffer it first. {_SHAPE_HINT}")
        case kind:
            raise InvalidInput(f"The region is of type {kind!r}.", hint=_SHAPE_HINT)


def _ring(ring: object) -> Points:
    corners: list[tuple[float, float]] = []
    for position in _items(ring):
        pair = _items(position)
        if len(pair) < 2:
            raise InvalidInput(f"The region has the position {position!r}.", hint="Positions are [x, y].")
        corners.append((_number(pair[0]), _number(pair[1])))
    if corners and corners[0] != corners[-1]:
        corners.append(corners[0])
    points = np.array(corners, dtype=np.float64).reshape(-1, 2)
    if len(points) < 4 or (np.ptp(points, axis=0) == 0).any():
        raise InvalidInput("The region has a polygon without area.", hint="A ring needs at least three corners.")
    return points


def _on_earth(rings: list[Points], turn: float) -> list[Points]:
    points = np.concatenate(rings)
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    if south < -turn / 4 or north > turn / 4 or west < -turn or east > turn + turn / 2:
        raise InvalidInput(
            f"The region's x from {west:.8g} to {east:.8g} and y from {south:.8g} to {north:.8g} are no longitudes and "
            "latitudes.",
            hint="Longitude comes first, latitude within 90 degrees; for other coordinates name their region_crs.",
        )
    if east - west > turn:
        raise InvalidInput(
            f"The region spans longitudes from {west:.8g} to {east:.8g}, more than a full turn.",
            hint="Use -180 to 180 for the whole Earth.",
        )
    shift = turn * math.floor((west + turn / 2) / turn)
    return [ring - (shift, 0.0) for ring in rings] if shift else rings


def _check_declared_crs(region: Mapping[str, object], region_crs: str) -> None:
    declared = region.get("crs")
    properties = declared.get("properties") if isinstance(declared, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if isinstance(name, str) and not parse_crs(name).equals(parse_crs(region_crs), ignore_axis_order=True):
        raise InvalidInput(
            f"The GeoJSON says that its CRS is {name}, the job says {region_crs}.",
            hint="Set region_crs to the CRS of the coordinates.",
        )


def _items(value: object) -> Sequence[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidInput(f"The region holds {value!r} where a list is due.", hint=_SHAPE_HINT)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidInput(f"The region holds {value!r} where a number is due.", hint="Give finite numbers.")
    return float(value)
