"""The pixel grids of samples: patches of one size, centred on their sites, on one lattice for each CRS.

Law: edges are multiples of the resolution from the CRS origin, as those of `PixelGrid.from_region` are: patches that
overlap share pixels exactly, whatever sites they were cut for. A side of an odd number of pixels has the site's pixel
in its middle; an even one has the lattice line nearest to the site there. A site within a millionth of a pixel of a
line counts as on it, and belongs to the pixel east or south of it; of two lines equally near it takes the eastern or
southern.

UTM zones are the standard ones of six degrees, by longitude alone, as EPSG's areas of use have them: without the
exceptions of the military grid round Norway and Svalbard. Beyond 84 degrees north and 80 south there is no UTM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Shape2D, canonical_crs
from eezarr.grid.crs import LON_LAT, UTM, is_utm, parse_crs, projector, short_name
from eezarr.grid.lattice import EDGE_PX
from eezarr.grid.model import check_steps
from eezarr.samples.sites import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from eezarr.grid.crs import CrsLike, Points

__all__ = ["UTM", "PatchGrids", "patch_grid", "patch_grids", "utm_zones"]

_UTM_SOUTH, _UTM_NORTH = -80.0, 84.0
_MAX_INDEX = 2**52

_FAR_LON = 30.0
"""Degrees from a CRS's area of use, as for regions: beyond, a transverse Mercator answers numbers that mean little."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchGrids:
    """The grids of many patches, as columns; a `PixelGrid` is made when one is asked for."""

    crs: tuple[str, ...]
    """The CRSs that occur."""
    zone: NDArray[np.int64]
    """Position of each patch's CRS in `crs`."""
    col: NDArray[np.int64]
    """Lattice column of each patch's first pixel: pixels east of the CRS origin."""
    row: NDArray[np.int64]
    """Lattice row of each patch's first pixel: pixels south of the CRS origin."""
    resolution: tuple[float, float]
    """Width and height of a pixel, in CRS units."""
    size: Shape2D
    """Pixels of each patch."""

    def __len__(self) -> int:
        return len(self.zone)

    def __iter__(self) -> Iterator[PixelGrid]:
        return map(self.grid, range(len(self)))

    @property
    def left(self) -> NDArray[np.float64]:
        """Return x of each patch's outer left edge: one product, rounded once."""
        return self.col.astype(np.float64) * self.resolution[0]

    @property
    def top(self) -> NDArray[np.float64]:
        """Return y of each patch's outer top edge: one product, rounded once."""
        return -self.row.astype(np.float64) * self.resolution[1] + 0.0

    def grid(self, nth: int) -> PixelGrid:
        """Return the grid of one patch."""
        width, height = self.resolution
        left, top = int(self.col[nth]) * width, -int(self.row[nth]) * height
        return PixelGrid(
            crs=self.crs[int(self.zone[nth])],
            transform=Affine(width, 0.0, left, 0.0, -height, top),
            width=self.size.width,
            height=self.size.height,
        )


def patch_grid(
    x: float,
    y: float,
    *,
    crs: CrsLike,
    resolution: float | tuple[float, float],
    size: Shape2D,
    sites_crs: CrsLike = LON_LAT,
) -> PixelGrid:
    """Return the grid of one patch: `patch_grids` of one site."""
    place = np.array([(x, y)], dtype=np.float64)
    return patch_grids(place, crs=crs, resolution=resolution, size=size, sites_crs=sites_crs).grid(0)


def patch_grids(
    places: Points,
    *,
    crs: CrsLike,
    resolution: float | tuple[float, float],
    size: Shape2D,
    sites_crs: CrsLike = LON_LAT,
) -> PatchGrids:
    """Return the grids of patches round sites. Cost: some 1 us a site.

    Args:
        places: The sites, shape (n, 2), x before y.
        crs: The CRS of all patches, or `utm`: each site's own zone.
        resolution: CRS units per pixel, a number or (x, y).
        size: Pixels of a patch.
        sites_crs: The CRS of the sites. Where it is that of a patch, no coordinate is changed by a bit.

    Raises:
        InvalidInput: If a CRS is unknown or made for another part of the Earth than a site's, the size or resolution
            is not positive, a site is beyond UTM, or a patch in a geographic CRS leaves the map.
    """
    steps = _steps(resolution, size)
    if is_utm(crs):
        lon_lat = projector(sites_crs, LON_LAT)(places)
        numbers = utm_zones(lon_lat)
        codes, zone = np.unique(numbers, return_inverse=True)
        names = tuple(f"EPSG:{code}" for code in codes.tolist())
    else:
        names, zone = (canonical_crs(crs),), np.zeros(len(places), dtype=np.int64)
        check_steps(steps, names[0])
        _check_reach(projector(sites_crs, LON_LAT)(places), names[0])
    moved = np.empty((len(places), 2))
    for nth, name in enumerate(names):
        own = zone == nth
        moved[own] = _wrapped(projector(sites_crs, name)(places[own]), name)
    col = _first(moved[:, 0] / steps[0], size.width)
    row = _first(-moved[:, 1] / steps[1], size.height)
    grids = PatchGrids(
        crs=names, zone=frozen(zone.astype(np.int64)), col=frozen(col), row=frozen(row), resolution=steps, size=size
    )
    _check_globe(grids, places)
    return grids


def utm_zones(lon_lat: Points) -> NDArray[np.int64]:
    """Return the EPSG number of each place's UTM zone: 32601 to 32660 on the equator and north, 32701 to 32760 south.

    Raises:
        InvalidInput: If a place is beyond 84 degrees north or 80 degrees south.
    """
    lon, lat = lon_lat[:, 0], lon_lat[:, 1]
    beyond = ~((lat >= _UTM_SOUTH) & (lat <= _UTM_NORTH))
    if beyond.any():
        nth = int(np.argmax(beyond))
        raise InvalidInput(
            f"The site {nth} at ({lon[nth]:.6g}, {lat[nth]:.6g}) is beyond UTM, which ends at 84 degrees "
            f"north and 80 south ({int(beyond.sum())} such sites).",
            hint="Name one CRS for all, such as EPSG:3413 for the Arctic or EPSG:3031 for the Antarctic.",
        )
    number = np.floor(((lon + 180) % 360) / 6).astype(np.int64)
    return np.minimum(number, 59) + np.where(lat < 0, 32701, 32601)


def _first(position: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """The lattice position of the first pixel of `size` that have a position in their middle."""
    if len(position) and not np.abs(position).max() < _MAX_INDEX:
        raise InvalidInput("The pixels are too small to be counted.", hint="Choose a larger resolution.")
    return np.floor(position - (size - 1) / 2 + EDGE_PX).astype(np.int64)


def _wrapped(moved: Points, crs: str) -> Points:
    if not parse_crs(crs).is_geographic:
        return moved
    x = moved[:, 0]
    return np.column_stack([np.where((x < -180) | (x >= 180), (x + 180) % 360 - 180, x), moved[:, 1]])


def _steps(resolution: float | tuple[float, float], size: Shape2D) -> tuple[float, float]:
    steps = (resolution, resolution) if isinstance(resolution, int | float) else resolution
    if not all(math.isfinite(step) and step > 0 for step in steps):
        raise InvalidInput(
            f"The resolution {resolution!r} is not positive.", hint="Give a number, or (x, y), above zero."
        )
    if size.height < 1 or size.width < 1:
        raise InvalidInput(f"A patch of {size} pixels is empty.", hint="Give a size of at least one pixel.")
    return float(steps[0]), float(steps[1])


def _check_reach(lon_lat: Points, crs: str) -> None:
    """Refuse what is sure to be a mistake, such as another continent's UTM zone; neighbours of its area are fine."""
    area = parse_crs(crs).area_of_use
    if area is None:
        return
    width = (area.east - area.west) % 360 or 360.0
    apart = np.abs((lon_lat[:, 0] - area.west - width / 2 + 180) % 360 - 180)
    far = apart > width / 2 + _FAR_LON
    if far.any():
        nth = int(np.argmax(far))
        raise InvalidInput(
            f"The site {nth} at ({lon_lat[nth, 0]:.6g}, {lon_lat[nth, 1]:.6g}) is far from what {short_name(crs)} is "
            f"made for: longitudes {area.west:g} to {area.east:g} ({int(far.sum())} such sites).",
            hint="Use crs = `utm`, or a CRS made for all sites.",
        )


def _check_globe(grids: PatchGrids, places: Points) -> None:
    """Refuse patches in degrees that leave the map: there are no pixels to ask for beyond it."""
    if not parse_crs(grids.crs[0]).is_geographic:
        return
    width, height = grids.resolution
    slack = EDGE_PX * min(width, height)
    right, bottom = grids.left + grids.size.width * width, grids.top - grids.size.height * height
    beyond = (grids.left < -180 - slack) | (right > 180 + slack) | (grids.top > 90 + slack) | (bottom < -90 - slack)
    if beyond.any():
        x, y = places[int(np.argmax(beyond))]
        raise InvalidInput(
            f"The patch round ({x:.6g}, {y:.6g}) reaches beyond the map of {short_name(grids.crs[0])} "
            f"({int(beyond.sum())} such patches).",
            hint="Use crs = `utm`, or another projected CRS that holds these sites.",
        )
