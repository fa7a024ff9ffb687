"""The points of a square lattice that are inside a polygon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, projector
from eezarr.samples.gridding import utm_zones

if TYPE_CHECKING:
    from eezarr.grid.crs import Points
    from eezarr.samples.sites import PolygonTable

__all__ = ["lattice_points"]

_PER_EDGE = 16
"""Points on each edge, to find its box in another projection; a margin covers the bend between them."""

_MAX_POINTS = 2**24


def lattice_points(polygons: PolygonTable, nth: int, spacing_m: float) -> Points:
    """Return the lattice points inside one polygon, north to south and west to east, in the polygons' CRS.

    The lattice is at multiples of the spacing in the UTM zone of the middle of the polygon's box, so that polygons of
    one zone share it. A polygon can be too small to hold a point.

    Raises:
        InvalidInput: If the polygon is beyond UTM, or would hold millions of points.
    """
    from eezarr.geometry.shapes import holds

    rings, crs = polygons.rings(nth), polygons.crs
    corners = np.concatenate(rings)
    middle = (corners.min(axis=0) + corners.max(axis=0))[None] / 2
    zone = f"EPSG:{int(utm_zones(projector(crs, LON_LAT)(middle))[0])}"
    low, high = _box(rings, crs, zone)
    first, last = np.ceil(low / spacing_m), np.floor(high / spacing_m)
    if np.prod(np.maximum(last - first + 1, 0)) > _MAX_POINTS:
        raise InvalidInput(
            f"The box round the polygon {polygons.attributes.ids[nth]!r} holds more than {_MAX_POINTS:,} points.",
            hint="Choose a larger spacing, or cut the polygon in pieces.",
        )
    x = np.arange(first[0], last[0] + 1) * spacing_m
    y = np.arange(last[1], first[1] - 1, -1) * spacing_m
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if not len(points):
        return points
    places = projector(zone, crs)(points)
    if parse_crs(crs).is_geographic:
        places[:, 0] += 360 * np.round((middle[0, 0] - places[:, 0]) / 360)
    return places[holds(polygons.shape(nth), places)]


def _box(rings: list[Points], crs: str, zone: str) -> tuple[Points, Points]:
    share = np.linspace(0, 1, _PER_EDGE + 1)[:-1, None, None]
    edges = [(ring[:-1] + (ring[1:] - ring[:-1]) * share).reshape(-1, 2) for ring in rings]
    outline = projector(crs, zone)(np.concatenate(edges))
    low, high = outline.min(axis=0), outline.max(axis=0)
    # Between 16 points, an edge bends by less than a hundredth of what it is long.
    margin = 0.01 * (high - low).max()
    return low - margin, high + margin
