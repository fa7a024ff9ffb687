"""Shapes on the globe: what `GeometryConstructors` make, where they lie on a grid, and whether two of them meet.

Law: a shape keeps its coordinates as given, with the projection they are in. Its outline in another CRS is its edges
cut in pieces and transformed: along great circles if it is geodesic (the service's default for lon/lat), else
straight in its own projection. A pixel is inside by the even-odd rule on its centre.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyproj

from eezarr.emulator.sampling import crs_of, inverted, is_same_crs, metres_per_unit, moved, projected

if TYPE_CHECKING:
    from eezarr.emulator.raster import Grid, Json

Points = npt.NDArray[np.float64]

PIECES = 32
"""Pieces that an edge is cut into before it is transformed."""

_SPHERE = pyproj.Geod(a=6371008.8, b=6371008.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A CRS and the transform from pixel to CRS coordinates."""

    crs: str = "EPSG:4326"
    transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """As in `Grid`."""

    @property
    def nominal_scale(self) -> float:
        """Metres of a pixel's side at the point of true scale."""
        a, b, _, d, e, _ = self.transform
        return float(np.sqrt(abs(a * e - b * d))) * metres_per_unit(self.crs)

    def at_scale(self, metres: float) -> Projection:
        """Answer the same CRS with square pixels of a nominal size, rows downwards, on the lattice through (0, 0)."""
        side = metres / metres_per_unit(self.crs)
        return Projection(crs=self.crs, transform=(side, 0.0, 0.0, 0.0, -side, 0.0))

    def scaled_to(self, metres: float) -> Projection:
        """Answer the projection with its units scaled to a nominal size: axes keep their directions.

        Those of a bare CRS go up, so its y scale is positive: the guide to image computations negates it itself.
        """
        a, b, c, d, e, f = self.transform
        factor = metres / self.nominal_scale
        return Projection(crs=self.crs, transform=(a * factor, b * factor, c, d * factor, e * factor, f))

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        key = "crs" if ":" in self.crs and len(self.crs) < 40 else "wkt"
        return {"type": "Projection", key: self.crs, "transform": list(self.transform)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A shape."""

    type: str
    """Point, MultiPoint, LineString, MultiLineString, LinearRing, Polygon, MultiPolygon."""
    parts: tuple[tuple[tuple[float, float], ...], ...]
    """Rings, lines, or one point each."""
    projection: Projection = Projection()
    is_geodesic: bool = True
    is_everywhere: bool = False
    """The whole globe, whatever the parts say: what an unbounded image covers."""

    @property
    def is_area(self) -> bool:
        """Answer whether the shape has an inside."""
        return self.type in ("Polygon", "MultiPolygon")

    def outline(self, crs: str) -> list[Points]:
        """Answer each part in a CRS: arrays (points, 2), edges cut in pieces; rings are closed."""
        return [_cut(part, self.projection, self.is_geodesic, self.type, crs) for part in self.parts]

    def bounds(self, projection: Projection | None = None) -> tuple[float, float, float, float]:
        """Answer (xmin, ymin, xmax, ymax) in a projection's pixel coordinates; lon/lat by default."""
        target = projection or Projection()
        points = np.concatenate(self.outline(target.crs))
        x, y = moved(inverted(target.transform), points[:, 0], points[:, 1])
        return float(np.min(x)), float(np.min(y)), float(np.max(x)), float(np.max(y))

    def geojson(self) -> dict[str, Json]:
        """Answer the GeoJSON that `getInfo()` prints."""
        parts: list[Json] = [[[x, y] for x, y in part] for part in self.parts]
        coordinates: Json = parts
        if self.type == "Point":
            coordinates = list(self.parts[0][0])
        elif self.type == "MultiPoint":
            coordinates = [list(part[0]) for part in self.parts]
        elif self.type in ("LineString", "LinearRing"):
            coordinates = parts[0]
        elif self.type == "MultiPolygon":
            coordinates = [[part] for part in parts]
        answer: dict[str, Json] = {"type": self.type, "coordinates": coordinates}
        if not is_same_crs(self.projection.crs, "EPSG:4326"):
            answer["crs"] = {"type": "name", "properties": {"name": self.projection.crs}}
        if not self.is_geodesic and "Point" not in self.type:
            answer["geodesic"] = False
        return answer


def box(west: float, south: float, east: float, north: float, projection: Projection | None = None) -> Geometry:
    """Answer a rectangle with straight edges in its projection."""
    ring = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return Geometry(type="Polygon", parts=(ring,), projection=projection or Projection(), is_geodesic=False)


EVERYWHERE = Geometry(
    type="Polygon",
    parts=(((-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0), (-180.0, -90.0)),),
    is_geodesic=False,
    is_everywhere=True,
)


def of_grid(grid: Grid) -> Geometry:
    """Answer the outline of a grid."""
    projection = Projection(crs=grid.crs, transform=grid.transform)
    return box(0, 0, grid.width, grid.height, projection)


def lonlat(geometry: Geometry, pieces: int = 8) -> Geometry:
    """Answer an area in lon/lat with straight edges, each old edge cut so that it stays within a pixel or two."""
    rings = []
    for points in geometry.outline("EPSG:4326"):
        kept = points[:: max(1, PIECES // pieces)]
        rings.append(tuple((float(x), float(y)) for x, y in np.round(kept, 9)))
    return Geometry(type=geometry.type, parts=tuple(rings), is_geodesic=False)


@lru_cache(maxsize=4096)
def _cut(
    part: tuple[tuple[float, float], ...], projection: Projection, is_geodesic: bool, kind: str, crs: str
) -> Points:
    points = np.array(part, np.float64)
    if kind in ("Polygon", "MultiPolygon", "LinearRing") and len(points) and not np.array_equal(points[0], points[-1]):
        points = np.vstack([points, points[:1]])
    points = np.stack(moved(projection.transform, points[:, 0], points[:, 1]), axis=1)
    if len(points) > 1:
        geodesic = is_geodesic and crs_of(projection.crs).is_geographic
        points = _cut_geodesic(points) if geodesic else _cut_straight(points)
    if is_same_crs(projection.crs, crs):
        return points
    x, y = projected(projection.crs, crs, points[:, 0], points[:, 1])
    return np.stack([x, y], axis=1)


def _cut_straight(points: Points) -> Points:
    share = np.arange(PIECES)[None, :, None] / PIECES
    pieces = points[:-1, None, :] + share * (points[1:] - points[:-1])[:, None, :]
    return np.vstack([pieces.reshape(-1, 2), points[-1:]])


def _cut_geodesic(points: Points) -> Points:
    pieces: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        pieces.append((x0, y0))
        if x0 != x1:
            pieces += [(x, y) for x, y in _SPHERE.npts(x0, y0, x1, y1, PIECES - 1)]
    return np.array([*pieces, tuple(points[-1])])


def _crossings(rings: list[Points], rows: Points) -> tuple[npt.NDArray[np.int64], Points]:
    """Where the rings cross horizontal lines y = rows: (index of the line, x) of each crossing."""
    edges = np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings])
    lines, places = [], []
    for (x0, y0), (x1, y1) in edges:
        if not np.isfinite(x0 + y0 + x1 + y1) or y0 == y1:
            continue
        hit = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        if len(hit):
            lines.append(hit)
            places.append(x0 + (rows[hit] - y0) * ((x1 - x0) / (y1 - y0)))
    if not lines:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(lines), np.concatenate(places)


def covers(geometry: Geometry, grid: Grid) -> npt.NDArray[np.bool_]:
    """Answer which pixel centres of a grid lie inside a shape: (height, width). Points and lines cover none."""
    shape = (grid.height, grid.width)
    if geometry.is_everywhere:
        return np.ones(shape, np.bool_)
    if not geometry.is_area:
        return np.zeros(shape, np.bool_)
    inverse = inverted(grid.transform)
    rings = [np.stack(moved(inverse, ring[:, 0], ring[:, 1]), axis=1) for ring in geometry.outline(grid.crs)]
    lines, places = _crossings(rings, np.asarray(np.arange(grid.height) + 0.5, np.float64))
    flips = np.zeros((grid.height, grid.width + 1), np.int32)
    columns = np.clip(np.ceil(places - 0.5), 0, grid.width).astype(np.int64)
    np.add.at(flips, (lines, columns), 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(flips, axis=1)[:, :-1] % 2 == 1
    return inside


def _holds(rings: list[Points], point: Points) -> bool:
    """Whether a point lies inside rings (even-odd)."""
    _, places = _crossings(rings, point[1:2])
    return int((places > point[0]).sum()) % 2 == 1


def _do_cross(first: Points, second: Points) -> bool:
    """Whether any edge of one path meets any edge of the other."""
    if len(first) < 2 or len(second) < 2:
        return False
    p, r = first[:-1, None, :], np.diff(first, axis=0)[:, None, :]
    q, s = second[None, :-1, :], np.diff(second, axis=0)[None, :, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
        t = ((q - p)[..., 0] * s[..., 1] - (q - p)[..., 1] * s[..., 0]) / scale
        u = ((q - p)[..., 0] * r[..., 1] - (q - p)[..., 1] * r[..., 0]) / scale
        return bool(((t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)).any())


def intersects(first: Geometry, second: Geometry) -> bool:
    """Answer whether two shapes share a point (in lon/lat; shapes across the antimeridian are not joined)."""
    if first.is_everywhere or second.is_everywhere:
        return True
    west, south, east, north = first.bounds()
    other_west, other_south, other_east, other_north = second.bounds()
    if west > other_east or other_west > east or south > other_north or other_south > north:
        return False
    ours, theirs = first.outline("EPSG:4326"), second.outline("EPSG:4326")
    if first.is_area and any(_holds(ours, part[0]) for part in theirs):
        return True
    if second.is_area and any(_holds(theirs, part[0]) for part in ours):
        return True
    if any(_do_cross(one, other) for one in ours for other in theirs):
        return True
    return any(np.array_equal(one, other) for one in ours for other in theirs)
