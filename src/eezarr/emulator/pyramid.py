"""Pyramids: what a request coarser than the stored pixels reads.

Law: levels halve the resolution until no side exceeds 256 pixels; a request reads the coarsest level whose pixels are
not larger than its own (in nominal metres, so the level is the same for all tiles of a grid), nearest neighbour.
A level's pixel is made from the native pixels that it covers, at most 4 x 4 of them evenly spread: all of them up to
level 2. MEAN is weighted by the mask and rounds half up; MIN, MAX, MEDIAN likewise; SAMPLE takes the upper left native
pixel, and so does MODE here.

Source: https://developers.google.com/earth-engine/guides/scale
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.raster import Grid, Plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.emulator.texture import Indices
from eezarr.emulator.sampling import Floats64, Stored, nominal_scale, sample

SPREAD = 4
"""Native pixels per side that make a pixel of a pyramid level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidLevel:
    """One level of a stored band's pyramid, as pixels of its own."""

    native: Stored
    level: int
    """Each pixel covers 2**level x 2**level native ones."""
    policy: str
    """MEAN, MIN, MAX, MEDIAN, SAMPLE or MODE."""

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        native, size = self.native.grid, 2**self.level
        a, b, c, d, e, f = native.transform
        width, height = -(-native.width // size), -(-native.height // size)
        return replace(native, transform=(a * size, b * size, c, d * size, e * size, f), width=width, height=height)

    @property
    def is_bounded(self) -> bool:
        """Answer whether pixels end where the grid does."""
        return self.native.is_bounded

    @property
    def extent(self) -> tuple[float, float]:
        """Answer the size of the native grid, in pixels of this level."""
        return self.native.grid.height / 2**self.level, self.native.grid.width / 2**self.level

    def block(self, rows: Indices, cols: Indices) -> Plane:
        """Answer the level's pixels, made from the native ones."""
        size = 2**self.level
        if self.policy in ("SAMPLE", "MODE"):
            return self.native.block(rows * size, cols * size)
        count = min(size, SPREAD)
        step = size // count
        offsets = np.arange(count) * step + step // 2
        own_rows = (rows[:, None] * size + offsets).ravel()
        own_cols = (cols[:, None] * size + offsets).ravel()
        inside_rows, inside_cols = own_rows < self.native.grid.height, own_cols < self.native.grid.width
        plane = self.native.block(own_rows[inside_rows], own_cols[inside_cols])
        shape = (len(own_rows), len(own_cols))
        values, valid = np.zeros(shape, plane.values.dtype), np.zeros(shape, np.bool_)
        place = np.ix_(inside_rows, inside_cols)
        values[place], valid[place] = plane.values, plane.valid
        tiles = (len(rows), count, len(cols), count)
        return _aggregate(self.policy, values.reshape(tiles), valid.reshape(tiles))


def _aggregate(policy: str, values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Plane:
    """Reduce axes 1 and 3 of (height, k, width, k)."""
    dtype = values.dtype
    count = valid.sum(axis=(1, 3))
    if policy == "MEAN":
        answer = _sum(values, valid) / np.maximum(count, 1)
    else:
        numbers = values.astype(np.float64)
        blank = np.inf if policy == "MIN" else -np.inf if policy == "MAX" else np.nan
        numbers = np.where(valid, numbers, blank)
        reducers: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
            "MIN": lambda array: np.asarray(array.min(axis=(1, 3))),
            "MAX": lambda array: np.asarray(array.max(axis=(1, 3))),
            "MEDIAN": _median,
        }
        answer = np.where(count > 0, reducers[policy](numbers), 0.0)
    if dtype.kind in "iu":
        answer = np.floor(answer + 0.5)
    return Plane(values=answer.astype(dtype), valid=count > 0)


def _sum(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Floats64:
    """Sum of the valid values over axes 1 and 3, by slices: numpy's own sum over both is ten times slower."""
    is_whole = bool(valid.all())
    total = np.zeros((values.shape[0], values.shape[2]), np.float64)
    for i in range(values.shape[1]):
        for j in range(values.shape[3]):
            part = values[:, i, :, j]
            total += np.asarray(part if is_whole else np.where(valid[:, i, :, j], part, 0), np.float64)
    return total


def _median(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Middle of the valid numbers (NaN marks the rest), the lower one of two."""
    flat = np.sort(numbers.transpose(0, 2, 1, 3).reshape(numbers.shape[0], numbers.shape[2], -1), axis=2)
    middle = np.maximum(np.isfinite(flat).sum(axis=2) - 1, 0) // 2
    return np.nan_to_num(np.take_along_axis(flat, middle[:, :, None], axis=2)[:, :, 0])


def level_for(stored: Stored, grid: Grid) -> int:
    """Answer the pyramid level that a request reads: the coarsest not coarser than the request."""
    ratio = nominal_scale(grid) / nominal_scale(stored.grid)
    if not stored.is_bounded or ratio < 2 - 1e-9:
        return 0
    deepest = max(0, int(np.ceil(np.log2(max(stored.grid.width, stored.grid.height) / 256))))
    return min(int(np.floor(np.log2(ratio) + 1e-9)), deepest)


def sample_pyramid(stored: Stored, grid: Grid, policy: str) -> Plane:
    """Answer stored pixels on a requested grid, from the pyramid level that fits it."""
    level = level_for(stored, grid)
    return sample(PyramidLevel(native=stored, level=level, policy=policy) if level else stored, grid)
