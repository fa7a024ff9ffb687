"""The ground that a listing searches: short enough for a URL, and what was listed held against the true one.

A region of many corners is asked for by an outline of few that contains it. The service takes edges for geodesics, so
an outline counts as containing a region only if it does with geodesic edges, too; what it lists beside the region is
left out here. No image that meets the region in either reading, straight or geodesic, is left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely

from eezarr.errors import InvalidInput
from eezarr.geometry.antimeridian import joined_parts, short_way
from eezarr.geometry.polygons import Notes, covering, polygon_parts
from eezarr.geometry.shapes import shapes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from eezarr.geometry.antimeridian import Points, Rings

__all__ = ["SearchRegion"]

_TURN = 360.0
_DIRECTIONS = 16
"""Sides that an outline has at most, before they are cut at `_MAX_EDGE`."""
_MAX_EDGE = 30.0
"""Degrees of longitude: a longer edge is cut, since a geodesic leaves it by more than a degree."""
_WIDE = 120.0
"""Degrees of longitude: a wider region has a box for its outline."""
_PADS = tuple(0.001 * 2.0**power for power in range(14))
"""Degrees by which an outline is larger than what it contains; the first that is enough is taken."""
_DENSE = 0.25
"""Degrees: edges are cut into such pieces to follow a geodesic."""


class SearchRegion:
    """A region, and whether images meet it.

    Args:
        geometry: GeoJSON polygons, in longitude and latitude.

    Raises:
        InvalidInput: If it is something else.
    """

    def __init__(self, geometry: Mapping[str, object]) -> None:
        polygons = _polygons(geometry)
        self._shapes = np.concatenate([shapes_of(polygons), shapes_of(_geodesic(polygons))])
        self._bounds = shapely.total_bounds(self._shapes)
        self._hull = shapely.MultiPoint(np.concatenate([rings[0] for rings in polygons])).convex_hull
        shapely.prepare(self._shapes)

    def outline(self) -> dict[str, object] | None:
        """Return a polygon of few corners that contains the region; None where none is found."""
        west, _, east, _ = self._hull.bounds
        digits = 2 if east - west > 10 else 4
        corners = _circumscribed(shapely.get_coordinates(self._hull), 4 if east - west > _WIDE else _DIRECTIONS)
        for pad in _PADS:
            grown = shapely.MultiPoint(corners).convex_hull.buffer(pad, join_style="mitre", cap_style="square")
            # GEOS turns clockwise, RFC 7946 the other way.
            ring = np.round(_cut(_within_a_turn(shapely.get_coordinates(grown)[::-1], west, east)), digits)
            ring = ring[np.append((ring[1:] != ring[:-1]).any(axis=1), True)]
            # A tolerance for what rounding leaves of a seam.
            if all(shapely.Polygon(edges).buffer(1e-9).covers(self._hull) for edges in (ring, _great_circles(ring))):
                return {"type": "Polygon", "coordinates": [ring.tolist()]}
        return None

    def meets(self, footprint: Mapping[str, object] | None) -> bool:
        """Return whether an image of this footprint meets the region; one whose footprint cannot be read may do so."""
        if footprint is None:
            return True
        if footprint.get("type") == "LinearRing":
            footprint = {"type": "Polygon", "coordinates": [footprint.get("coordinates")]}
        is_straight = footprint.get("geodesic") is False
        try:
            polygons = _polygons(footprint)
            return self._meets(shapes_of(polygons)) or (not is_straight and self._meets(shapes_of(_geodesic(polygons))))
        except (InvalidInput, shapely.errors.GEOSException):
            return True

    def _meets(self, shapes: NDArray[np.object_]) -> bool:
        west, _, east, _ = self._bounds
        left, _, right, _ = shapely.total_bounds(shapes)
        turns = range(int(np.floor((west - right) / _TURN)), int(np.ceil((east - left) / _TURN)) + 1)
        return any(
            bool(shapely.intersects(self._shapes[:, None], _moved(shapes, _TURN * turn)[None]).any()) for turn in turns
        )


def _polygons(geometry: Mapping[str, object]) -> list[Rings]:
    """Return what a geometry covers as valid polygons without jumps of longitude.

    Raises:
        InvalidInput: If it is no geometry, a part of it has no area, or it has no end.
    """
    notes = Notes()
    parts = list(polygon_parts(geometry, "the region", notes, turn=_TURN))
    if not all(np.isfinite(ring).all() for part in parts for ring in part.rings):
        raise InvalidInput("There is a position in the region that is not finite.", hint="Give finite numbers.")
    covered = [short_way(part.rings, _TURN) for part in covering(parts, notes)]
    if notes.skipped or not covered:
        raise notes.nothing_left("The region", hint="Give polygons.")
    return joined_parts(covered, _TURN)


def _geodesic(polygons: Sequence[Rings]) -> list[Rings]:
    return [[_great_circles(ring) for ring in rings] for rings in polygons]


def _great_circles(ring: Points) -> Points:
    """Cut a ring's edges into pieces along great circles."""
    pieces = [ring[:1]]
    for start, end in pairwise(ring):
        count = int(np.ceil(np.abs(end - start).max() / _DENSE))
        is_straight = start[0] == end[0] or abs(end[0] - start[0]) >= _TURN / 2 or abs(start[1]) == abs(end[1]) == 90
        if count > 1 and not is_straight:
            pieces.append(_great_circle(start, end, count))
        pieces.append(end[None])
    return np.concatenate(pieces)


def _great_circle(start: Points, end: Points, count: int) -> Points:
    """Return the positions between two, without them."""
    lon, lat = np.radians([start, end]).T
    ends = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    angle = np.arccos(np.clip(ends[0] @ ends[1], -1.0, 1.0))
    share = np.arange(1, count)[:, None] / count
    x, y, z = (np.sin((1 - share) * angle) * ends[0] + np.sin(share * angle) * ends[1]).T
    degrees = np.degrees(np.arctan2(y, x))
    # In the turn that the edge is in.
    degrees += _TURN * np.round(((start[0] + end[0]) / 2 - degrees) / _TURN)
    return np.column_stack([degrees, np.degrees(np.arctan2(z, np.hypot(x, y)))])


def _moved(shapes: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    by = np.array([degrees, 0.0])
    return np.asarray(shapely.transform(shapes, lambda xy: xy + by), dtype=np.object_) if degrees else shapes


def _circumscribed(points: Points, count: int) -> Points:
    """Return the corners of the polygon round some points whose sides look in so many directions."""
    angles = np.arange(count) * (2 * np.pi / count)
    normals = np.column_stack([np.cos(angles), np.sin(angles)])
    reach = (points @ normals.T).max(axis=0)
    following = np.roll(np.arange(count), -1)
    pairs = np.stack([normals, normals[following]], axis=1)
    solved = np.linalg.solve(pairs, np.stack([reach, reach[following]], axis=1)[..., None])
    return np.asarray(solved[..., 0], dtype=np.float64)


def _within_a_turn(ring: Points, west: float, east: float) -> Points:
    """Keep a ring from meeting itself round the Earth, and from going beyond the poles."""
    room = (_TURN - (east - west)) / 2
    return np.column_stack([np.clip(ring[:, 0], west - room, east + room), np.clip(ring[:, 1], -90.0, 90.0)])


def _cut(ring: Points) -> Points:
    pieces = [
        np.linspace(start, end, 1 + max(1, int(np.ceil(abs(end[0] - start[0]) / _MAX_EDGE))))[1:]
        for start, end in pairwise(ring)
        if (start != end).any()
    ]
    return np.concatenate([ring[:1], *pieces])
