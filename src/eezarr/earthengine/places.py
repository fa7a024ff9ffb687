"""Where to search: a point, a box or a GeoJSON geometry, as people give it and as the service reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from eezarr.documents import parse_json, read_text
from eezarr.errors import InvalidInput

__all__ = ["Place", "place_geojson", "read_place"]

Place: TypeAlias = Sequence[float] | Mapping[str, object]
"""(longitude, latitude), (west, south, east, north), or a GeoJSON geometry or Feature, in longitude and latitude."""

_GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)
_HINT = "Give `lon,lat`, `west,south,east,north`, or GeoJSON (a file, or text)."


def place_geojson(place: Place) -> dict[str, object]:
    """Return a place as a GeoJSON geometry.

    A box becomes a polygon; its sides run along meridians and parallels here, and along great circles where the service
    takes polygon edges for geodesics: on a wide box that is a bulge towards the pole. West may be east of east:
    the box then crosses the antimeridian.

    Raises:
        InvalidInput: If it is none, or not on the Earth.
    """
    if isinstance(place, Mapping):
        return _geometry(place)
    match _numbers(place):
        case [lon, lat] if abs(lon) <= 360 and abs(lat) <= 90:
            return {"type": "Point", "coordinates": [lon, lat]}
        case [west, south, east, north] if west != east and -90 <= south < north <= 90:
            east += 360.0 if east < west else 0.0
            ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
            return {"type": "Polygon", "coordinates": [ring]}
    raise InvalidInput(f"The place {place!r} is not on the Earth, or empty.", hint=_HINT)


def read_place(text: str) -> dict[str, object]:
    """Return the geometry that a text stands for: numbers with commas, GeoJSON, or the path of a GeoJSON file.

    Raises:
        InvalidInput: If it stands for none.
    """
    try:
        return place_geojson([float(part) for part in text.split(",")])
    except ValueError:
        pass
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        text = read_text(Path(text), noun="place", hint=_HINT)
    try:
        document = parse_json(text)
    except ValueError as error:
        raise InvalidInput(f"The region is not JSON: {error}.", hint=_HINT) from error
    if not isinstance(document, dict):
        raise InvalidInput("The region is no GeoJSON object.", hint=_HINT)
    return _geometry(document)


def _numbers(place: object) -> list[float]:
    parts = place if isinstance(place, Sequence) and not isinstance(place, str) else ()
    return [float(part) for part in parts if isinstance(part, int | float) and math.isfinite(part)]


def _geometry(document: Mapping[str, object]) -> dict[str, object]:
    kind = document.get("type")
    if kind == "Feature" and isinstance(document.get("geometry"), Mapping):
        return _geometry(dict(document["geometry"]))  # type: ignore[call-overload]
    features = document.get("features")
    if kind == "FeatureCollection" and isinstance(features, list):
        parts = [_geometry(feature) for feature in features if isinstance(feature, Mapping)]
        return parts[0] if len(parts) == 1 else {"type": "GeometryCollection", "geometries": parts}
    if kind not in _GEOMETRIES:
        raise InvalidInput(f"The region is of type {kind!r}, which is no GeoJSON geometry.", hint=_HINT)
    return dict(document)
