"""One level of a pyramid from the one below: every 2 x 2 pixels become one. Pure arithmetic.

Rules, which make a level a function of the level below and of nothing else:

- Masked pixels do not count: neither those that a mask or the declared fill says, nor NaN. A cell without any valid
  pixel is masked; one whose valid pixels are all NaN is NaN.
- `mean`: the mean of the cell's valid pixels, each weighing the same; of integers rounded, halves to the even
  neighbour, so that no level drifts. A mean that happens to be the declared fill is the next value above, so that it
  is not masked.
- `nearest`: the first valid pixel of top left, top right, bottom left, bottom right; a code never seen is never made.
- At an odd edge the cell has fewer pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from eezarr.plan import Fill
    from eezarr.planes import Block

__all__ = ["Resampling", "halve", "halve_mask"]

Resampling: TypeAlias = Literal["mean", "nearest"]

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def halve(
    pixels: Block, is_valid: npt.NDArray[np.bool_], method: Resampling, *, empty: Fill, fill: Fill | None
) -> Block:
    """Return one pixel for each 2 x 2.

    Args:
        pixels: (height, width).
        is_valid: (height, width); the declared fill and NaN are looked for here, besides.
        method: How.
        empty: The value of a cell without a valid pixel.
        fill: The declared fill, which valid pixels do not have.

    Returns:
        (half the height, half the width), rounded up, of the same type.
    """
    is_float = pixels.dtype.kind == "f"
    if fill is not None:
        is_valid = is_valid & (~np.isnan(pixels) if np.isnan(fill) else pixels != fill)
    is_number = is_valid & ~np.isnan(pixels) if is_float else is_valid
    values, numbers = _even(pixels), _even(is_number)
    halved = _mean(values, numbers) if method == "mean" else _nearest(values, numbers)
    if fill is not None and method == "mean":
        halved[halved == fill] = _above(fill, halved.dtype)
    if is_float:
        halved[~_any(numbers)] = np.nan
    halved[~_any(_even(is_valid))] = empty
    return halved


def halve_mask(mask: Block) -> Block:
    """Return 1 for each 2 x 2 with a valid pixel, else 0."""
    return _any(_even(mask != 0)).astype(mask.dtype)


def _even(plane: Block) -> Block:
    """With a row or column more where their number is odd: zeros, which are no valid pixels."""
    height, width = plane.shape
    return np.pad(plane, ((0, height % 2), (0, width % 2))) if height % 2 or width % 2 else plane


def _any(flags: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    corners = [np.asarray(flags[row::2, col::2], np.bool_) for row, col in _CORNERS]
    return corners[0] | corners[1] | corners[2] | corners[3]


def _mean(values: Block, numbers: npt.NDArray[np.generic]) -> Block:
    """In double precision: sums of four 32-bit integers are exact in it, and so are their halves and quarters."""
    total = np.zeros((values.shape[0] // 2, values.shape[1] // 2), np.float64)
    count = np.zeros(total.shape, np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, col in _CORNERS:
            chosen = np.asarray(numbers[row::2, col::2], np.bool_)
            np.add(total, values[row::2, col::2], out=total, where=chosen)
            count += chosen
        total /= np.maximum(count, 1)
        if values.dtype.kind != "f":
            np.rint(total, out=total)
        return total.astype(values.dtype)


def _nearest(values: Block, numbers: npt.NDArray[np.generic]) -> Block:
    halved = np.zeros((values.shape[0] // 2, values.shape[1] // 2), values.dtype)
    for row, col in reversed(_CORNERS):
        np.copyto(halved, values[row::2, col::2], where=np.asarray(numbers[row::2, col::2], np.bool_))
    return halved


def _above(fill: Fill, dtype: np.dtype[np.generic]) -> Fill:
    if dtype.kind == "f":
        return float(np.nextafter(np.array(fill, dtype), np.array(np.inf, dtype)))
    return int(fill) + 1 if fill < np.iinfo(dtype.name).max else int(fill) - 1
