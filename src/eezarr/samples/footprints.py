"""The patches that an image's footprint contains or meets: geometry in longitude and latitude, for many at once.

Rule: a patch is contained if all of it is in what the footprint covers (see `geometry`), and met if some area of it is:
exactly, up to the bend of the patch's sides. Edges are straight lines in longitude and latitude. An image without a
footprint, or with one that is not finite, is everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.geometry.footprints import footprint_polygons
from eezarr.grid.crs import LON_LAT, projector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from shapely import Geometry

    from eezarr.grid.crs import Points
    from eezarr.samples.gridding import PatchGrids

__all__ = ["CONTAINED", "MET", "PatchIndex", "patch_outlines"]

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
        outlines = patch_outlines(grids)
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
        polygons = footprint_polygons(footprint)
        if not polygons:
            every = np.arange(len(self.outlines), dtype=np.int64)
            return every, np.full(len(every), CONTAINED, dtype=np.int8)
        corners = np.concatenate([ring for rings in polygons for ring in rings])
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
        none = np.zeros(0, dtype=np.int64)
        reach = 180 + self.margin[0]
        turns = [turn for turn in (-360.0, 0.0, 360.0) if west + turn < reach and east + turn > -reach]
        near = np.unique(np.concatenate([none, *(self._near(west + by, south, east + by, north) for by in turns)]))
        covered = _Covered.of(polygons, turns)
        levels = [
            covered.levels(self.outlines[near[first : first + _AT_ONCE]]) for first in range(0, len(near), _AT_ONCE)
        ]
        found = np.concatenate([np.zeros(0, dtype=np.int8), *levels])
        return near[found > 0], found[found > 0]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    """What a footprint covers, in each of the turns in which patches may be."""

    shape: Geometry
    is_box: bool
    """Whether it is a box, as those of global grids are: most patches need no geometry then."""

    @classmethod
    def of(cls, polygons: list[list[Points]], turns: list[float]) -> _Covered:
        import shapely

        from eezarr.geometry.shapes import shape_of

        copies = [shape_of([[ring + np.array([by, 0.0]) for ring in rings] for rings in polygons]) for by in turns]
        shape = shapely.union_all(copies) if len(copies) > 1 else copies[0]
        shapely.prepare(shape)
        return cls(shape=shape, is_box=bool(shape.equals(shapely.box(*shape.bounds))))

    def levels(self, outlines: NDArray[np.float64]) -> NDArray[np.int8]:
        """What it is to each patch: 0, `MET` or `CONTAINED`."""
        import shapely

        low, high = outlines.min(axis=1), outlines.max(axis=1)
        west_south, east_north = np.array(self.shape.bounds[:2]), np.array(self.shape.bounds[2:])
        met = ((low < east_north) & (high > west_south)).all(axis=1)
        contained = met & ((low >= west_south) & (high <= east_north)).all(axis=1)
        asked = np.flatnonzero(met & ~contained if self.is_box else met)
        patches = shapely.polygons(outlines[asked, :4])
        contained[asked] &= shapely.covers(self.shape, patches)
        met[asked] = shapely.intersects(self.shape, patches) & ~shapely.touches(self.shape, patches)
        return np.where(contained, CONTAINED, np.where(met, MET, 0)).astype(np.int8)


def patch_outlines(grids: PatchGrids) -> NDArray[np.float64]:
    """Return corners and middle of patches in longitude and latitude; see `PatchIndex.outlines`."""
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


def _rows(lats: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor((lats + 90) / _CELL).astype(np.int64)


def _cols(lons: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum(np.floor((lons + 180) / _CELL).astype(np.int64), _COLS - 1)
