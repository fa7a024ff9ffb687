"""Whether patches lie on an asset: found for all of them at once, before anything is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid import footprints_overlap
from eezarr.grid.crs import projector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eezarr.grid import PixelGrid
    from eezarr.samples import PatchGrids

__all__ = ["require_overlaps"]

_NAMED = 3


def require_overlaps(grids: PatchGrids, ids: NDArray[np.object_], native: PixelGrid, asset: str) -> None:
    """Check that each patch touches an asset: off it there are only masked pixels.

    Raises:
        InvalidInput: If one does not; it names the first.
    """
    by_zone = [_outside(grids, zone, native) for zone in range(len(grids.crs))]
    outside = np.concatenate([np.zeros(0, np.int64), *by_zone])
    if len(outside):
        named = ", ".join(repr(ids[nth]) for nth in np.sort(outside)[:_NAMED].tolist())
        raise InvalidInput(
            f"{len(outside)} of {len(grids)} patches lie outside {asset} ({native.crs[:60]}, {native.bounds}): "
            f"{named}{', …' if len(outside) > _NAMED else ''}.",
            hint="Leave these sites out, or read a collection or an expression that covers them.",
        )


def _outside(grids: PatchGrids, zone: int, native: PixelGrid) -> NDArray[np.int64]:
    """The patches of one CRS that do not touch the grid: by the boxes of their corners and middles on it."""
    own: NDArray[np.int64] = np.flatnonzero(grids.zone == zone)
    width, height = grids.size.width * grids.resolution[0], grids.size.height * grids.resolution[1]
    shares = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)])
    places = np.stack([grids.left[own], grids.top[own]], axis=1)[:, None] + shares * (width, -height)
    try:
        moved = projector(grids.crs[zone], native.crs)(places.reshape(-1, 2))
    except InvalidInput:
        # Some are beyond the native projection's reach: each by itself then.
        is_off = [not footprints_overlap(grids.grid(nth), native) for nth in own.tolist()]
        return np.asarray(own[np.array(is_off, dtype=np.bool_)], dtype=np.int64)
    pixels = native.to_pixels(moved).reshape(-1, 5, 2)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    touches = (high > 0).all(axis=1) & (low < (native.width, native.height)).all(axis=1)
    return np.asarray(own[~touches], dtype=np.int64)
