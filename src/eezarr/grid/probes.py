"""Whether a projected outline still encloses what it did before: a few pixels of the grid are taken back and asked.

A projection turns a region inside out that holds a point which it draws as its whole rim, such as an azimuthal map's
antipode; of the outline alone this cannot be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import projector, short_name
from eezarr.grid.region import full_turn

if TYPE_CHECKING:
    from eezarr.grid.crs import Points
    from eezarr.grid.model import PixelGrid
    from eezarr.grid.outline import Edges
    from eezarr.grid.scanline import EdgeIndex

__all__ = ["check_enclosure"]

_PER_AXIS = 5
"""Probes along each side of the grid. Cost: some 4 ms a probe for a million edges."""

_SHARE = 0.25
"""Which share of the probes may disagree: those that happen to be on the outline. Inside out, all do."""


def check_enclosure(source: Edges, projected: EdgeIndex, region_crs: str, grid: PixelGrid) -> None:
    """Refuse an outline that a projection turns inside out.

    Args:
        source: The region's edges in its own CRS.
        projected: What became of them in the grid's pixels.
        region_crs: The region's CRS.
        grid: The grid.

    Raises:
        InvalidInput: If pixels that are inside one are outside the other.
    """
    share = (np.arange(_PER_AXIS) + 0.5) / _PER_AXIS
    cols = np.unique((share * grid.width).astype(np.int64))
    asked = differing = 0
    for row in np.unique((share * grid.height).astype(np.int64)).tolist():
        for col, is_inside in zip(cols.tolist(), projected.enclosed(row, cols).tolist(), strict=True):
            place = _taken_back(grid, region_crs, row, col)
            if place is not None:
                asked += 1
                differing += _is_enclosed(source, place, full_turn(region_crs)) != is_inside
    if differing > _SHARE * asked:
        raise InvalidInput(
            f"{short_name(grid.crs)} cannot show this region in one piece: it reaches far beyond the CRS's area.",
            hint="Choose a smaller region, or a CRS made for it.",
        )


def _taken_back(grid: PixelGrid, region_crs: str, row: int, col: int) -> Points | None:
    """A pixel's centre in the region's CRS; None off the Earth, where a projection's inverse makes places up."""
    centre = np.array([[col + 0.5, row + 0.5]])
    try:
        place = projector(grid.crs, region_crs)(grid.to_crs(centre))
        again = grid.to_pixels(projector(region_crs, grid.crs)(place))
    except InvalidInput:
        return None
    near: bool = (np.abs(again - centre) < 1e-3 * max(grid.width, grid.height)).all()
    return np.asarray(place[0], dtype=np.float64) if near else None


def _is_enclosed(edges: Edges, place: Points, turn: float | None) -> bool:
    """Whether a place is inside, in any of the full turns that a region's longitudes can be in."""
    is_below = edges.start[:, 1] > place[1]
    spans = is_below != (edges.end[:, 1] > place[1])
    start, end = edges.start[spans], edges.end[spans]
    crossing = start[:, 0] + (place[1] - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    counts = np.where(is_below[spans], -edges.turn[spans], edges.turn[spans]).astype(np.int64)
    turns = (0.0,) if turn is None else tuple(turn * nth for nth in range(-1, 3))
    return any(int(counts[crossing <= place[0] + by].sum()) != 0 for by in turns)
