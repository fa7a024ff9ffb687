"""Pixels out of a store, window by window, and which of them are valid: for what is made of a stored job.

Law: what says whether a pixel is valid is the mark of its tile, then its mask or the declared fill. The value of a
pixel whose tile is not marked means nothing, whatever its chunk holds: a writer may have died in it.
"""

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

    from eezarr.grid import Window
    from eezarr.plan import Plan
    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.marks import Marks

__all__ = ["WindowPixels", "read_window"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowPixels:
    """Some bands of a window at one time step; the arrays are the caller's."""

    pixels: tuple[Block, ...]
    """(height, width), one a band, in its own type; the band's fill, or 0, where its tile is not stored."""
    is_valid: npt.NDArray[np.bool_]
    """(band, height, width): whether the pixel is stored, not masked, and not the declared fill."""


def read_window(
    plan: Plan,
    arrays: Sequence[PixelArray],
    marks: Marks,
    *,
    bands: Sequence[str],
    window: Window,
    step: int,
    url: str,
) -> WindowPixels:
    """Return some bands' pixels; see `StoredJob.read_window`.

    Raises:
        InvalidInput: If a band or time step is not in the store.
        StoreError: If the storage fails.
    """
    known = {band.name: position for position, band in enumerate(plan.bands)}
    if not bands or any(name not in known for name in bands):
        raise InvalidInput(
            f"The store has no bands {', '.join(name for name in bands if name not in known) or 'of no name'}.",
            hint=f"Its bands are {', '.join(list(known)[:60])}.",
        )
    if not 0 <= step < plan.step_count:
        raise InvalidInput(f"There is no time step {step}.", hint=f"The store has {plan.step_count}, from 0.")
    ask = _Question(plan=plan, arrays=arrays, positions=tuple(known[name] for name in bands), window=window, step=step)
    with storage_errors(url, f"read {window}"):
        pixels = ask.pixels()
        is_stored = ask.are_stored(marks)
        is_valid = is_stored & ask.are_unmasked(pixels)
    for position, plane, stored in zip(ask.positions, pixels, is_stored, strict=True):
        if not stored.all():
            plane[~stored] = plan.masking.fills[position] if plan.masking.mode != "none" else 0
    return WindowPixels(pixels=pixels, is_valid=is_valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Question:
    """Some bands of a window at one time step."""

    plan: Plan
    arrays: Sequence[PixelArray]
    positions: tuple[int, ...]
    """Of the bands, in the plan's."""
    window: Window
    step: int

    def pixels(self) -> tuple[Block, ...]:
        """(height, width) of each band, in memory of its own."""
        if self.plan.layout.kind == "stacked":
            return tuple(np.array(plane) for plane in self._planes(self.arrays[0]))
        return tuple(np.array(self._plane(self.arrays[position])) for position in self.positions)

    def are_unmasked(self, pixels: Sequence[Block]) -> npt.NDArray[np.bool_]:
        """(band, height, width), or (1, height, width) where it is the same for all bands."""
        masking, shape = self.plan.masking, (1, self.window.height, self.window.width)
        if masking.mode == "none":
            return np.ones(shape, np.bool_)
        if masking.mode == "band":
            mask = self.arrays[-1]
            values = self._plane(mask).reshape(shape) if masking.is_shared else self._planes(mask)
            return np.asarray(values != 0)
        fills = [masking.fills[position] for position in self.positions]
        return np.stack(
            [
                ~np.isnan(plane) if math.isnan(fill) else np.asarray(plane != fill)
                for fill, plane in zip(fills, pixels, strict=True)
            ]
        )

    def are_stored(self, marks: Marks) -> npt.NDArray[np.bool_]:
        """(band, height, width): whether the tile of each pixel is marked."""
        plan, window, tile = self.plan, self.window, self.plan.tile_shape
        stored = np.zeros((len(self.positions), window.height, window.width), np.bool_)
        groups = [position // plan.bands_per_tile for position in self.positions]
        span = bisect_right(plan.step_starts, self.step) - 1
        for row in range(window.row // tile.height, -(-(window.row + window.height) // tile.height)):
            down = slice(max(0, row * tile.height - window.row), (row + 1) * tile.height - window.row)
            for col in range(window.col // tile.width, -(-(window.col + window.width) // tile.width)):
                across = slice(max(0, col * tile.width - window.col), (col + 1) * tile.width - window.col)
                place = ((span * plan.rows + row) * plan.cols + col) * plan.band_groups
                for band, group in enumerate(groups):
                    stored[band, down, across] = marks.is_marked(place + group)
        return stored

    def _plane(self, array: PixelArray) -> Block:
        span = (self.window.rows, self.window.cols)
        return np.asarray(array[span] if self.plan.steps is None else array[(self.step, *span)])

    def _planes(self, array: PixelArray) -> Block:
        """The bands of an array that has an axis of them: read at once, since a chunk may hold several."""
        first = min(self.positions)
        span = (slice(first, max(self.positions) + 1), self.window.rows, self.window.cols)
        block = np.asarray(array[span] if self.plan.steps is None else array[(self.step, *span)])
        return np.asarray(block[[position - first for position in self.positions]])
