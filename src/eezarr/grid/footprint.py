"""The ground that a grid covers, as GeoJSON: for maps, not for arithmetic.

Rings are planar and densified, counter-clockwise, and cut at the antimeridian, as RFC 7946 asks
(sections 3.1.6, 3.1.9).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, projector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eezarr.grid.crs import Points
    from eezarr.grid.model import PixelGrid

__all__ = ["footprint_geojson"]

_PER_SIDE = 64
"""Points per side: a UTM scene's outline is right to well under a pixel of any map of it."""


def footprint_geojson(grid: PixelGrid, crs: str) -> dict[str, object]:
    """Return a Polygon, or a MultiPolygon where the antimeridian cuts it, in a CRS.

    Raises:
        InvalidInput: If the CRS is unknown, or is projected and cannot show the grid.
    """
    geographic = parse_crs(crs).is_geographic
    project = projector(grid.crs, crs)
    sides = grid.to_crs(_sides(grid))
    if geographic and not _on_earth(grid, crs, sides).all():
        return _polygons([_box_of_known(grid, crs)])
    ring = project(sides)
    if not geographic or parse_crs(grid.crs).is_geographic:
        return _polygons([ring])
    return _polygons(_cut(_unwrapped(ring), grid))


def _sides(grid: PixelGrid) -> Points:
    corners = np.array([(0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0), (0, 0)], dtype=np.float64)
    share = np.linspace(0, 1, _PER_SIDE + 1)[:-1, None]
    sides = [a + (b - a) * share for a, b in pairwise(corners)]
    return np.concatenate([*sides, corners[:1]])


def _unwrapped(ring: Points) -> Points:
    return np.column_stack([np.unwrap(ring[:, 0], period=360.0), ring[:, 1]])


def _covers_north_pole(grid: PixelGrid) -> bool:
    try:
        col, row = grid.to_pixels(projector(LON_LAT, grid.crs)(np.array([(0.0, 90.0)])))[0]
    except InvalidInput:
        return False
    return bool(0 <= col <= grid.width and 0 <= row <= grid.height)


def _cut(ring: Points, grid: PixelGrid) -> list[Points]:
    """Cut an unwrapped ring at every odd half turn and move the parts into [-180, 180]."""
    if round((ring[-1, 0] - ring[0, 0]) / 360):
        return [_half_turns(_round_the_pole(ring, grid), 0)]
    first = int(np.floor((ring[:, 0].min() + 180) / 360))
    last = int(np.floor((ring[:, 0].max() + 180) / 360))
    parts = [_half_turns(ring, turn) for turn in range(first, last + 1)]
    return [part for part in parts if len(part) >= 4 and np.ptp(part[:, 0]) > 1e-9]


def _round_the_pole(ring: Points, grid: PixelGrid) -> Points:
    """Repeat a ring that winds round a pole, and close it along that pole."""
    turn = 360.0 if ring[-1, 0] > ring[0, 0] else -360.0
    line = np.concatenate([ring[:-1] + np.array([turn * nth, 0.0]) for nth in range(-2, 3)])
    pole = 90.0 if _covers_north_pole(grid) else -90.0
    return np.concatenate([line, [(line[-1, 0], pole), (line[0, 0], pole)], line[:1]])


def _half_turns(ring: Points, turn: int) -> Points:
    """The part of a ring within half a turn of a full turn, moved into [-180, 180]."""
    west, east = 360.0 * turn - 180, 360.0 * turn + 180
    return -_half(-_half(ring, west), -east) - (360.0 * turn, 0.0)


def _half(ring: Points, west: float) -> Points:
    """The part of a ring with x >= west (Sutherland and Hodgman)."""
    kept: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
        if x0 >= west:
            kept.append((x0, y0))
        if (x0 >= west) != (x1 >= west):
            kept.append((west, y0 + (y1 - y0) * (west - x0) / (x1 - x0)))
    return np.array([*kept, *kept[:1]], dtype=np.float64).reshape(-1, 2)


def _box_of_known(grid: PixelGrid, crs: str) -> Points:
    """A box round the points that are on the Earth: for grids that reach beyond their map, as MODIS's global one."""
    cols, rows = np.meshgrid(np.linspace(0, grid.width, 129), np.linspace(0, grid.height, 129))
    places = grid.to_crs(np.column_stack([cols.ravel(), rows.ravel()]))
    known = _on_earth(grid, crs, places)
    if not known.any():
        raise InvalidInput(
            "No part of the grid is on the Earth.", hint="Check its transform against the units of its CRS."
        )
    points = projector(grid.crs, crs)(places[known])
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    return np.array([(west, south), (east, south), (east, north), (west, north), (west, south)], dtype=np.float64)


def _on_earth(grid: PixelGrid, crs: str, places: Points) -> NDArray[np.bool_]:
    """Whether places come back from longitude and latitude: beyond its map, a projection's inverse makes places up."""
    from pyproj import Transformer

    transformer = Transformer.from_crs(parse_crs(grid.crs), parse_crs(crs), always_xy=True)
    there = transformer.transform(places[:, 0], places[:, 1])
    back = np.column_stack(transformer.transform(*there, direction="INVERSE"))
    west, south, east, north = grid.bounds
    near = np.abs(back - places) <= 1e-3 * max(east - west, north - south)
    return np.asarray(near.all(axis=1), dtype=np.bool_)


def _polygons(rings: list[Points]) -> dict[str, object]:
    turned = [[ring.tolist() if _area(ring) >= 0 else ring[::-1].tolist()] for ring in rings]
    if len(turned) == 1:
        return {"type": "Polygon", "coordinates": turned[0]}
    return {"type": "MultiPolygon", "coordinates": turned}


def _area(ring: Points) -> float:
    return float((ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]).sum() / 2)
