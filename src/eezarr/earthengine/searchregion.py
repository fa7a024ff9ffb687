"""The ground that a listing searches: short enough for a URL, and what was listed held against the true one.

A region of many corners is asked for by an outline of few that contains it. The service takes edges for geodesics, so
an outline counts as containing a region only if it does with geodesic edges, too; what it lists beside the region is
left out here. Nothing that meets the region in either reading, straight or geodesic, is left out.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import shapely
from shapely.geometry import shape

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Positions = NDArray[np.float64]

__all__ = ["SearchRegion", "is_short"]

MAX_QUOTED = 900
"""Characters of a region in a URL: what else is in a request line of 2 kB (name, times, a filter, a page's token) has
as many again."""

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


def is_short(geometry: Mapping[str, object]) -> bool:
    """Return whether a GeoJSON geometry is short enough to be a part of a URL as it is."""
    return len(quote(json.dumps(geometry))) <= MAX_QUOTED


class SearchRegion:
    """A region, and whether images meet it.

    Args:
        geometry: A GeoJSON geometry in longitude and latitude.

    Raises:
        InvalidInput: If it is none.
    """

    def __init__(self, geometry: Mapping[str, object]) -> None:
        try:
            straight = _side_by_side(_mapped(geometry, _unwrapped))
            self._parts = [*straight, *_side_by_side(_mapped(geometry, _geodesic))]
        except (ValueError, TypeError, KeyError, IndexError, shapely.errors.ShapelyError) as error:
            raise InvalidInput(
                f"The region is no geometry: {str(error)[:200]}.",
                hint="Give GeoJSON in longitude and latitude.",
            ) from error
        if not straight:
            raise InvalidInput("The region is empty.", hint="Give GeoJSON with coordinates.")
        self._hull = shapely.MultiPoint(shapely.get_coordinates(straight)).convex_hull
        shapely.prepare(self._parts)

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
            if all(shapely.Polygon(edges).buffer(1e-9).covers(self._hull) for edges in (ring, _geodesic(ring))):
                return {"type": "Polygon", "coordinates": [ring.tolist()]}
        return None

    def meets(self, geometry: Mapping[str, object] | None) -> bool:
        """Return whether an image of this footprint meets the region; where a footprint cannot be read, it may."""
        if geometry is None:
            return True
        readings: tuple[Callable[[Positions], Positions], ...] = (_unwrapped, _geodesic)
        if geometry.get("geodesic") is False:
            readings = (_unwrapped,)
        try:
            return any(self._meets(part) for reading in readings for part in _side_by_side(_mapped(geometry, reading)))
        except (ValueError, TypeError, KeyError, IndexError, shapely.errors.ShapelyError):
            return True

    def _meets(self, part: shapely.Geometry) -> bool:
        west, _, east, _ = shapely.total_bounds(self._parts)
        left, _, right, _ = part.bounds
        turns = range(int(np.floor((west - right) / 360)), int(np.ceil((east - left) / 360)) + 1)
        return any(bool(shapely.intersects(self._parts, _moved(part, 360.0 * turn)).any()) for turn in turns)


def _mapped(geometry: Mapping[str, object], change: Callable[[Positions], Positions]) -> list[shapely.Geometry]:
    """Return the parts of a geometry, of which each line's or ring's positions were changed; rings are areas."""
    kind, coordinates = geometry["type"], geometry.get("coordinates")
    if kind == "GeometryCollection":
        parts = geometry["geometries"]
        if not isinstance(parts, list):
            raise TypeError("its geometries are no list")
        return [part for each in parts for part in _mapped(each, change)]
    if kind == "LinearRing":
        kind, coordinates = "Polygon", [coordinates]
    if kind not in {"Point", "MultiPoint"}:
        coordinates = _changed(coordinates, change)
    found = shape({"type": kind, "coordinates": coordinates})
    if not np.isfinite(shapely.get_coordinates(found)).all():
        raise ValueError("it has no end")
    return [part for part in shapely.get_parts(shapely.make_valid(found)) if not part.is_empty]


def _changed(coordinates: object, change: Callable[[Positions], Positions]) -> object:
    if not isinstance(coordinates, list | tuple) or not coordinates:
        raise TypeError("its coordinates are no list")
    first = coordinates[0]
    if isinstance(first, list | tuple) and first and not isinstance(first[0], list | tuple):
        return change(np.array([position[:2] for position in coordinates], np.float64)).tolist()
    return [_changed(part, change) for part in coordinates]


def _unwrapped(positions: Positions) -> Positions:
    """Go the short way where a step is more than half a turn; a step of a whole turn is meant."""
    steps = np.diff(positions[:, 0])
    steps[(np.abs(steps) > 180) & (np.abs(steps) < 360)] %= 360
    steps[(steps > 180) & (steps < 360)] -= 360
    lon = positions[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
    return np.column_stack([lon, positions[:, 1]])


def _geodesic(positions: Positions) -> Positions:
    """Cut edges into pieces along great circles."""
    line = _unwrapped(positions)
    pieces: list[Positions] = [line[:1]]
    for start, end in pairwise(line):
        steps = int(np.ceil(np.abs(end - start).max() / _DENSE))
        is_straight = start[0] == end[0] or abs(end[0] - start[0]) >= 180 or abs(start[1]) == abs(end[1]) == 90
        if steps > 1 and not is_straight:
            pieces.append(_great_circle(start, end, steps))
        pieces.append(end[None])
    return np.concatenate(pieces)


def _great_circle(start: Positions, end: Positions, steps: int) -> Positions:
    """Return the positions between two, without them."""
    lon, lat = np.radians([start, end]).T
    ends = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    angle = np.arccos(np.clip(ends[0] @ ends[1], -1.0, 1.0))
    share = np.arange(1, steps)[:, None] / steps
    x, y, z = (np.sin((1 - share) * angle) * ends[0] + np.sin(share * angle) * ends[1]).T
    middle = np.column_stack([np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))])
    return _unwrapped(np.concatenate([start[None], middle]))[1:]


def _side_by_side(parts: list[shapely.Geometry]) -> list[shapely.Geometry]:
    """Move parts by whole turns, so that the widest gap between them is outside and their middle is in [-180, 180]."""
    if len(parts) < 2:
        return parts
    spans = sorted((part.bounds[0] % 360.0, part.bounds[2] - part.bounds[0]) for part in parts)
    # Each gap from where all before it have ended to the next start: its length, and that start.
    ends = np.maximum.accumulate([west + width for west, width in spans])
    starts = np.array([west for west, _ in spans[1:]] + [spans[0][0] + 360.0])
    first = starts[int(np.argmax(starts - ends))] % 360.0
    moved = [_moved(part, -360.0 * ((part.bounds[0] - first) // 360)) for part in parts]
    west, _, east, _ = shapely.total_bounds(moved)
    turns = round((west + east) / 720)
    return [_moved(part, -360.0 * turns) for part in moved]


def _moved(part: shapely.Geometry, degrees: float) -> shapely.Geometry:
    return shapely.transform(part, lambda xy: xy + np.array([degrees, 0.0])) if degrees else part


def _circumscribed(points: Positions, count: int) -> Positions:
    """Return the corners of the polygon round some points whose sides look in so many directions."""
    angles = np.arange(count) * (2 * np.pi / count)
    normals = np.column_stack([np.cos(angles), np.sin(angles)])
    reach = (points @ normals.T).max(axis=0)
    following = np.roll(np.arange(count), -1)
    pairs = np.stack([normals, normals[following]], axis=1)
    return np.linalg.solve(pairs, np.stack([reach, reach[following]], axis=1)[..., None])[..., 0]


def _within_a_turn(ring: Positions, west: float, east: float) -> Positions:
    """Keep a ring from meeting itself round the Earth, and from going beyond the poles."""
    room = (360.0 - (east - west)) / 2
    return np.column_stack([np.clip(ring[:, 0], west - room, east + room), np.clip(ring[:, 1], -90.0, 90.0)])


def _cut(ring: Positions) -> Positions:
    pieces = [
        np.linspace(start, end, 1 + max(1, int(np.ceil(abs(end[0] - start[0]) / _MAX_EDGE))))[1:]
        for start, end in pairwise(ring)
        if (start != end).any()
    ]
    return np.concatenate([ring[:1], *pieces])
