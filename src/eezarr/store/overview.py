"""A small picture's worth of a large store: every n-th pixel, and whether it is stored."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.store.failures import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eezarr.plan import Fill, Plan
    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.marks import Marks

__all__ = ["Overview", "overview"]

_MAX_CHUNKS = 16_384
"""Chunks of a band that an overview reads at most: some 20 s at 1 MiB a chunk on one core."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overview:
    """Every n-th pixel of some bands; the arrays are the caller's."""

    pixels: Block
    """(band, height, width), in the bands' common type."""
    is_stored: npt.NDArray[np.bool_]
    """(band, height, width): whether the pixel's tile is stored; where it is not, the pixel is 0."""
    is_valid: npt.NDArray[np.bool_]
    """(band, height, width): whether the pixel is stored and not masked, as far as the store keeps masks or fills."""
    stride: int
    """Pixels of the grid for one of the overview, along both axes."""


def overview(
    plan: Plan, arrays: Sequence[PixelArray], marks: Marks, *, bands: Sequence[str], max_side: int, step: int, url: str
) -> Overview:
    """Return every n-th pixel of bands; see `StoredJob.read_overview`.

    Raises:
        InvalidInput: If a band or time step is not in the store, or the size is not positive.
        StoreError: If the storage fails.
    """
    known = {band.name: position for position, band in enumerate(plan.bands)}
    if not bands or max_side < 1 or any(name not in known for name in bands):
        raise InvalidInput(
            f"There is no overview of the bands {list(bands)} of at most {max_side} pixels a side.",
            hint=f"Choose a positive size and some of {', '.join(known)}.",
        )
    if not -plan.step_count <= step < plan.step_count:
        raise InvalidInput(f"There is no time step {step}.", hint=f"The store has {plan.step_count}, from 0.")
    step %= plan.step_count
    stride = _stride(plan, max_side)
    rows, cols = _samples(plan.grid.height, stride), _samples(plan.grid.width, stride)
    positions = [known[name] for name in bands]
    with storage_errors(url, "read an overview"):
        pixels = np.stack([_read(plan, arrays, position, step, (rows, cols)) for position in positions])
        is_valid = np.stack([_valid(plan, arrays, position, step, (rows, cols)) for position in positions])
    is_stored = np.stack([marks.are_marked(_tiles(plan, position, step, rows, cols)) for position in positions])
    if plan.masking.mode == "fill":
        is_valid = np.stack(
            [_differs(band, plan.masking.fills[position]) for band, position in zip(pixels, positions, strict=True)]
        )
    pixels[~is_stored] = 0
    return Overview(pixels=pixels, is_stored=is_stored, is_valid=is_stored & is_valid, stride=stride)


def _stride(plan: Plan, max_side: int) -> int:
    """The smallest stride that keeps to the size, and to the chunks that may be read."""
    chunk = plan.layout.chunk
    stride = math.ceil(max(plan.grid.height, plan.grid.width) / max_side)
    while True:
        down = min(math.ceil(plan.grid.height / chunk.height), math.ceil(plan.grid.height / stride))
        across = min(math.ceil(plan.grid.width / chunk.width), math.ceil(plan.grid.width / stride))
        if down * across <= _MAX_CHUNKS:
            return stride
        stride *= 2


def _samples(side: int, stride: int) -> range:
    """The middle of each stride, as far as there is one."""
    return range(min(stride // 2, (side - 1) // 2), side, stride)


def _read(plan: Plan, arrays: Sequence[PixelArray], position: int, step: int, places: tuple[range, range]) -> Block:
    window = tuple(slice(along.start, along.stop, along.step) for along in places)
    during = () if plan.steps is None else (step,)
    if plan.layout.kind == "stacked":
        return np.asarray(arrays[0][(*during, position, *window)])
    return np.asarray(arrays[position][(*during, *window)])


def _valid(
    plan: Plan, arrays: Sequence[PixelArray], position: int, step: int, places: tuple[range, range]
) -> npt.NDArray[np.bool_]:
    """What the array of masks says, if there is one."""
    if plan.masking.mode != "band":
        return np.ones((len(places[0]), len(places[1])), np.bool_)
    window = tuple(slice(along.start, along.stop, along.step) for along in places)
    during = () if plan.steps is None else (step,)
    layer = () if plan.masking.is_shared else (position,)
    return np.asarray(np.asarray(arrays[-1][(*during, *layer, *window)]) != 0, np.bool_)


def _differs(pixels: Block, fill: Fill) -> npt.NDArray[np.bool_]:
    return ~np.isnan(pixels) if math.isnan(fill) else np.asarray(pixels != fill)


def _tiles(plan: Plan, position: int, step: int, rows: range, cols: range) -> npt.NDArray[np.int64]:
    """(height, width): the index of the tile that holds each sample of the band at a position and time step."""
    down = np.array(rows, np.int64)[:, None] // plan.tile_shape.height
    across = np.array(cols, np.int64)[None, :] // plan.tile_shape.width
    line = (bisect_right(plan.step_starts, step) - 1) * plan.rows + down
    return (line * plan.cols + across) * plan.band_groups + position // plan.bands_per_tile
