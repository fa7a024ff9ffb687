"""Which patches an image's footprint contains or meets: geometry in longitude and latitude, for many patches at once.

Footprints are GeoJSON as the service states them; edges are taken for straight lines in longitude and latitude, and one
that spans more than 180 and less than 360 degrees goes the other way round (see `earthengine.solarday`). An image
without a footprint, or with one that is not finite, is everywhere.

Law: a patch is contained if its four corners are inside one polygon and no corner of that polygon is in the patch's
box; it is met if a corner or the middle is inside, or a corner of the polygon is in its box. For polygons wider than a
patch that is exact, up to the bend of the patch's sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.grid.crs import LON_LAT, projector
from eezarr.samples.areas import inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from eezarr.grid.crs import Points
    from eezarr.samples.gridding import PatchGrids

__all__ = ["CONTAINED", "MET", "PatchIndex"]

CONTAINED, MET = 2, 1

_CELL = 0.5
"""Degrees of an index cell: a Sentinel-2 tile touches some ten."""
_COLS = round(360 / _CELL)
_AT_ONCE = 1 << 14
"""Patches that are looked at together: some megabytes at footprints of hundreds of corners."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchIndex:
    """The outlines of patches, found by place; made by `of`."""

    outlines: NDArray[np.float64]
    """(n, 5, 2): corners and middle; longitudes within half a turn of the middle's, which is in [-180, 180)."""
    keys: NDArray[np.int64]
    """The cells of the patches' middles, ascending."""
    order: NDArray[np.int64]
    """Which patch each of `keys` is of."""
    margin: tuple[float, float]
    """How far from its middle any patch reaches, in degrees east and north."""

    @classmethod
    def of(cls, grids: PatchGrids) -> PatchIndex:
        """Return the index of some patches."""
        outlines = _outlines(grids)
        middles = outlines[:, 4]
        keys = _rows(middles[:, 1]) * _COLS + _cols(middles[:, 0])
        order = np.argsort(keys, kind="stable")
        reach = np.abs(outlines - outlines[:, 4:]).max(axis=(0, 1), initial=0.0)
        return cls(outlines=outlines, keys=keys[order], order=order, margin=(float(reach[0]), float(reach[1])))

    def box(self) -> tuple[float, float, float, float] | None:
        """Return west, south, east, north round all patches; west may be below -180. None: half the Earth or more."""
        if not len(self.outlines):
            return None
        lons = np.sort(self.outlines[:, 4, 0])
        gaps = np.diff(lons, append=lons[0] + 360)
        widest = int(np.argmax(gaps))
        east = lons[widest] + self.margin[0]
        west = lons[(widest + 1) % len(lons)] - self.margin[0]
        west -= 360 * (west > east)
        if east - west >= 180:
            return None
        lats = self.outlines[..., 1]
        return float(west), float(max(lats.min(), -90)), float(east), float(min(lats.max(), 90))

    def found(self, footprint: Mapping[str, object] | None) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Return the patches that an image meets, ascending, and for each whether it is `CONTAINED` or `MET`."""
        polygons = [] if footprint is None else list(_polygons(footprint))
        if not polygons or not all(np.isfinite(ring).all() for rings in polygons for ring in rings):
            every = np.arange(len(self.outlines), dtype=np.int64)
            return every, np.full(len(every), CONTAINED, dtype=np.int8)
        parts = [part for rings in polygons for part in self._of_polygon(rings)]
        none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8))
        patches, levels = (np.concatenate(columns) for columns in zip(none, *parts, strict=True))
        best = np.lexsort((-levels, patches))
        unique, first = np.unique(patches[best], return_index=True)
        return unique, levels[best][first]

    def _of_polygon(self, rings: list[Points]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8]]]:
        corners = np.concatenate(rings)
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
        for turn in (-360.0, 0.0, 360.0):
            near = self._near(west - turn, south, east - turn, north)
            for start in range(0, len(near), _AT_ONCE):
                patches = near[start : start + _AT_ONCE]
                levels = _levels(self.outlines[patches] + np.array([turn, 0.0]), rings, corners)
                yield patches[levels > 0], levels[levels > 0]

    def _near(self, west: float, south: float, east: float, north: float) -> NDArray[np.int64]:
        """The patches whose middles are in the cells that a box, with the margin, touches."""
        across, up = self.margin
        if east + across < -180 or west - across >= 180:
            return np.zeros(0, dtype=np.int64)
        first, last = _cols(np.clip([west - across, east + across], -180, 180)).tolist()
        bottom, top = _rows(np.clip([south - up, north + up], -90, 90)).tolist()
        rows = np.arange(bottom, top + 1, dtype=np.int64) * _COLS
        starts = np.searchsorted(self.keys, rows + first, side="left")
        stops = np.searchsorted(self.keys, rows + last, side="right")
        runs = [self.order[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        return np.concatenate(runs)


def _levels(outlines: NDArray[np.float64], rings: list[Points], corners: Points) -> NDArray[np.int8]:
    """What a polygon is to each patch: 0, `MET` or `CONTAINED`."""
    within = inside(outlines.reshape(-1, 2), rings).reshape(-1, 5)
    low, high = outlines.min(axis=1)[:, None], outlines.max(axis=1)[:, None]
    holds = ((corners > low) & (corners < high)).all(axis=2).any(axis=1)
    contained = within[:, :4].all(axis=1) & ~holds
    met = within.any(axis=1) | holds
    return np.where(contained, CONTAINED, np.where(met, MET, 0)).astype(np.int8)


def _outlines(grids: PatchGrids) -> NDArray[np.float64]:
    width, height = grids.size.width * grids.resolution[0], grids.size.height * grids.resolution[1]
    shares = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)])
    places = np.stack([grids.left, grids.top], axis=1)[:, None] + shares * (width, -height)
    outlines = np.empty_like(places)
    for nth, crs in enumerate(grids.crs):
        own = grids.zone == nth
        outlines[own] = projector(crs, LON_LAT)(places[own].reshape(-1, 2)).reshape(-1, 5, 2)
    middle = (outlines[:, 4:, 0] + 180) % 360 - 180
    outlines[..., 0] = middle + (outlines[..., 0] - middle + 180) % 360 - 180
    return outlines


def _polygons(geometry: Mapping[str, object]) -> Iterator[list[Points]]:
    """Yield the polygons of a GeoJSON geometry, each as closed rings without jumps of longitude."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        inner = geometry.get("geometries")
        for part in inner if isinstance(inner, list) else []:
            if isinstance(part, dict):
                yield from _polygons(part)
        return
    found = {"LinearRing": [[coordinates]], "Polygon": [coordinates], "MultiPolygon": coordinates}.get(str(kind))
    for rings in found if isinstance(found, list) else []:
        made = [_ring(ring) for ring in rings if isinstance(ring, list) and len(ring) >= 3]
        if made:
            yield made


def _ring(positions: list[object]) -> Points:
    numbers = [[_number(axis) for axis in position[:2]] for position in positions if isinstance(position, list)]
    ring = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    if len(ring) and (ring[0] != ring[-1]).any():
        ring = np.concatenate([ring, ring[:1]])
    if not np.isfinite(ring).all():
        return ring
    steps = np.diff(ring[:, 0])
    turns = np.where((np.abs(steps) > 180) & (np.abs(steps) < 360), np.copysign(360.0, steps), 0.0)
    ring[1:, 0] -= np.cumsum(turns)
    return ring


def _number(value: object) -> float:
    """GeoJSON of unbounded images has texts such as `-Infinity`."""
    return float(value) if isinstance(value, int | float) else float("inf")


def _rows(lats: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor((lats + 90) / _CELL).astype(np.int64)


def _cols(lons: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum(np.floor((lons + 180) / _CELL).astype(np.int64), _COLS - 1)
