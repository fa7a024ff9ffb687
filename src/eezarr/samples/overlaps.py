"""Patches of one split that share ground with another split's: what makes a test easier than it looks.

Patches of one CRS are on one lattice: they overlap where their first pixels are less than a patch apart, and that is
exact. Those of different UTM zones are compared by their outlines in longitude and latitude.

Cost: some microseconds a patch. Two patches in one cell of a patch's size always overlap, so only cells with a single
split are looked at further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.grid.crs import LON_LAT, projector
from eezarr.samples.footprints import patch_outlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from eezarr.samples.gridding import PatchGrids
    from eezarr.samples.splits import Splits

__all__ = ["SplitOverlap", "overlap_notice", "split_overlaps"]

_AT_ONCE = 1 << 12
"""Patches that are compared at a time: what bounds the pairs."""
_ZONE = 6.0
"""Degrees of a UTM zone."""
_DEGREE_M = 111_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOverlap:
    """How many patches of a split share ground with patches of others."""

    name: str
    """The split."""
    samples: int
    """Its samples."""
    overlapping: int
    """Those that share ground with a sample of another split."""


def split_overlaps(grids: PatchGrids, splits: Splits) -> tuple[SplitOverlap, ...]:
    """Return for each split how many of its patches overlap another's."""
    is_shared = np.zeros(len(grids), dtype=np.bool_)
    for zone in range(len(grids.crs)):
        own = np.flatnonzero(grids.zone == zone)
        is_shared[own] = _shared(grids.col[own], grids.row[own], splits.index[own], grids.size.width, grids.size.height)
    if len(grids.crs) > 1:
        is_shared[_across_zones(grids, splits.index)] = True
    totals = np.bincount(splits.index, minlength=len(splits.names)).tolist()
    shared = np.bincount(splits.index[is_shared], minlength=len(splits.names)).tolist()
    return tuple(
        SplitOverlap(name=name, samples=total, overlapping=count)
        for name, total, count in zip(splits.names, totals, shared, strict=True)
    )


def overlap_notice(overlaps: Sequence[SplitOverlap]) -> str | None:
    """Return what to say of overlapping splits, and what to do; None if none overlap."""
    told = [
        f"{overlap.overlapping} of {overlap.samples} of {overlap.name} ({overlap.overlapping / overlap.samples:.0%})"
        for overlap in overlaps
        if overlap.overlapping
    ]
    if not told:
        return None
    return (
        f"Samples share ground with another split's: {', '.join(told)}. What is learnt from one is known of the other: "
        'divide them by = "blocks", with a block_size much larger than a patch and a buffer of a patch\'s diagonal.'
    )


def _shared(
    col: NDArray[np.int64], row: NDArray[np.int64], split: NDArray[np.int64], width: int, height: int
) -> NDArray[np.bool_]:
    """Which patches of one lattice overlap one of another split."""
    import shapely

    cell = np.stack([col // width, row // height], axis=1)
    cells, nth = np.unique(cell, axis=0, return_inverse=True)
    nth = nth.reshape(-1)
    low, high = np.full(len(cells), len(col)), np.full(len(cells), -1)
    np.minimum.at(low, nth, split)
    np.maximum.at(high, nth, split)
    shared: NDArray[np.bool_] = (low < high)[nth]
    for own in np.unique(split).tolist():
        asked = np.flatnonzero(~shared & (split == own))
        others = np.flatnonzero(split != own)
        others = others[_is_beside(cell[others], cell[asked])]
        if not len(asked) or not len(others):
            continue
        tree = shapely.STRtree(shapely.points(col[others], row[others]))
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            reach = shapely.box(
                col[some] - width + 0.5, row[some] - height + 0.5, col[some] + width - 0.5, row[some] + height - 0.5
            )
            shared[some[np.unique(tree.query(reach)[0])]] = True
    return shared


def _is_beside(cells: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which cells are among others or next to one of them."""
    if not len(cells) or not len(others):
        return np.zeros(len(cells), dtype=np.bool_)
    both = np.concatenate([cells, others])
    low = both.min(axis=0) - 1
    span = int(both[:, 1].max() - low[1]) + 2
    keys, known = ((part - low) @ np.array([span, 1]) for part in (cells, np.unique(others, axis=0)))
    steps = [across * span + down for across in (-1, 0, 1) for down in (-1, 0, 1)]
    return np.isin(keys, np.concatenate([known + step for step in steps]))


def _across_zones(grids: PatchGrids, split: NDArray[np.int64]) -> NDArray[np.int64]:
    """The patches that overlap one of another split in another zone."""
    import shapely

    near = _near_other_zones(grids)
    outlines = patch_outlines(grids)[near, :4] if len(near) else np.empty((0, 4, 2))
    # Once more beyond 180 degrees, where the last zone meets the first.
    turned = np.flatnonzero(outlines[:, :, 0].min(axis=1, initial=np.inf) < -180 + _ZONE)
    which = np.concatenate([near, near[turned]])
    shapes = shapely.polygons(np.concatenate([outlines, outlines[turned] + np.array([360.0, 0.0])]))
    tree = shapely.STRtree(shapes)
    found = [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(which), _AT_ONCE):
        asked, met = tree.query(shapes[first : first + _AT_ONCE], predicate="intersects")
        one, other = which[first + asked], which[met]
        found.append(one[(split[one] != split[other]) & (grids.zone[one] != grids.zone[other])])
    return np.unique(np.concatenate(found))


def _near_other_zones(grids: PatchGrids) -> NDArray[np.int64]:
    """The patches that are at most their own size from the border of a zone, or from the equator."""
    width, height = grids.size.width * grids.resolution[0], grids.size.height * grids.resolution[1]
    middles = np.column_stack([grids.left + width / 2, grids.top - height / 2])
    lon_lat = np.empty_like(middles)
    for zone, crs in enumerate(grids.crs):
        own = grids.zone == zone
        lon_lat[own] = projector(crs, LON_LAT)(middles[own])
    reach = 1.5 * float(np.hypot(width, height)) / _DEGREE_M
    east = reach / np.cos(np.radians(np.minimum(np.abs(lon_lat[:, 1]), 89.0)))
    apart = np.abs((lon_lat[:, 0] + _ZONE / 2) % _ZONE - _ZONE / 2)
    return np.flatnonzero((apart < east) | (np.abs(lon_lat[:, 1]) < reach))
