"""A small picture's worth of a large store: every n-th pixel, and whether it is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.store.failures import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eezarr.plan import Plan
    from eezarr.store.arrays import PixelArray
    from eezarr.store.marks import Marks
    from eezarr.store.planar import Block

__all__ = ["Overview", "overview"]

_MAX_CHUNKS = 16_384
"""Chunks of a band that an overview reads at most: some 20 s at 1 MiB a chunk on one core."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overview:
    """Every n-th pixel of some bands; the arrays are the caller's."""

    pixels: Block
    """(band, height, width), in the bands' common type."""
    is_stored: npt.NDArray[np.bool_]
    """(band, height, width): whether the pixel's tile is stored; where it is not, the pixel means nothing."""
    step: int
    """Pixels of the grid for one of the overview, along both axes."""


def overview(
    plan: Plan, arrays: Sequence[PixelArray], marks: Marks, *, bands: Sequence[str], max_side: int, url: str
) -> Overview:
    """Return every n-th pixel of bands; see `StoredJob.read_overview`.

    Raises:
        InvalidInput: If a band is not in the store, or the size is not positive.
        StoreError: If the storage fails.
    """
    known = {band.name: position for position, band in enumerate(plan.bands)}
    if not bands or max_side < 1 or any(name not in known for name in bands):
        raise InvalidInput(
            f"There is no overview of the bands {list(bands)} of at most {max_side} pixels a side.",
            hint=f"Choose a positive size and some of {', '.join(known)}.",
        )
    step = _step(plan, max_side)
    rows, cols = _samples(plan.grid.height, step), _samples(plan.grid.width, step)
    positions = [known[name] for name in bands]
    with storage_errors(url, "read an overview"):
        pixels = [_read(plan, arrays, position, rows, cols) for position in positions]
    return Overview(
        pixels=np.stack(pixels),
        is_stored=np.stack([marks.are_marked(_tiles(plan, position, rows, cols)) for position in positions]),
        step=step,
    )


def _step(plan: Plan, max_side: int) -> int:
    """The smallest step that keeps to the size, and to the chunks that may be read."""
    chunk = plan.layout.chunk
    step = math.ceil(max(plan.grid.height, plan.grid.width) / max_side)
    while True:
        down = min(math.ceil(plan.grid.height / chunk.height), math.ceil(plan.grid.height / step))
        across = min(math.ceil(plan.grid.width / chunk.width), math.ceil(plan.grid.width / step))
        if down * across <= _MAX_CHUNKS:
            return step
        step *= 2


def _samples(side: int, step: int) -> range:
    """The middle of each step, as far as there is one."""
    return range(min(step // 2, (side - 1) // 2), side, step)


def _read(plan: Plan, arrays: Sequence[PixelArray], position: int, rows: range, cols: range) -> Block:
    window = (slice(rows.start, rows.stop, rows.step), slice(cols.start, cols.stop, cols.step))
    if plan.layout.kind == "stacked":
        return np.asarray(arrays[0][(position, *window)])
    return np.asarray(arrays[position][window])


def _tiles(plan: Plan, position: int, rows: range, cols: range) -> npt.NDArray[np.int64]:
    """(height, width): the index of the tile that holds each sample of the band at a position."""
    down = np.array(rows, np.int64)[:, None] // plan.tile_shape.height
    across = np.array(cols, np.int64)[None, :] // plan.tile_shape.width
    return (down * plan.cols + across) * plan.band_groups + position // plan.bands_per_tile
