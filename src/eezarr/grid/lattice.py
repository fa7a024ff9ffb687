"""From a bounding box to whole pixels: the arithmetic of edges, once.

Law: an edge within a millionth of a pixel of a pixel line is on it, so float noise never adds a row; Earth Engine does
likewise ("a region edge exactly on a pixel line adds no extra pixel").
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from eezarr.errors import InvalidInput

__all__ = ["EDGE_PX", "Align", "Bounds", "Lattice", "snap", "whole_pixels"]

Align: TypeAlias = Literal["lattice", "region"]

EDGE_PX = 1e-6
"""Pixels: how near to a pixel line an edge counts as on it. PROJ's noise is some 1e-9 m."""

_MAX_INDEX = 2**52
"""Above this, doubles no longer tell one pixel from the next."""


class Bounds(NamedTuple):
    """A box in the units of its CRS; edges, not pixel centres."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float


class Lattice(NamedTuple):
    """A north-up grid without its CRS."""

    left: float
    top: float
    width: int
    height: int


def snap(bounds: Bounds, resolution: tuple[float, float], align: Align) -> Lattice:
    """Return the smallest north-up grid that covers a box.

    Args:
        bounds: What to cover, in CRS units.
        resolution: Width and height of a pixel, in CRS units, positive.
        align: `lattice` puts edges on multiples of the resolution from the CRS origin, as Earth Engine does for
            `region` and `scale`; `region` starts at the box's top-left corner.

    Raises:
        InvalidInput: If the pixels are so small that doubles cannot count them.
    """
    step_x, step_y = resolution
    if align == "region":
        width = whole_pixels(0.0, (bounds.max_x - bounds.min_x) / step_x)[1]
        height = whole_pixels(0.0, (bounds.max_y - bounds.min_y) / step_y)[1]
        return Lattice(bounds.min_x, bounds.max_y, width, height)
    first_col, end_col = whole_pixels(bounds.min_x / step_x, bounds.max_x / step_x)
    first_row, end_row = whole_pixels(-bounds.max_y / step_y, -bounds.min_y / step_y)
    return Lattice(first_col * step_x, -first_row * step_y, end_col - first_col, end_row - first_row)


def whole_pixels(low: float, high: float) -> tuple[int, int]:
    """Return the first whole pixel that an interval touches and the one after the last; at least one.

    Args:
        low: Where it starts, in pixels.
        high: Where it ends, in pixels.

    Raises:
        InvalidInput: If the numbers are too large to count pixels.
    """
    if not max(abs(low), abs(high)) < _MAX_INDEX:
        raise InvalidInput(
            f"A grid from pixel {low:.6g} to pixel {high:.6g} of its CRS is too fine to count.",
            hint="Choose a larger resolution or scale.",
        )
    first = math.floor(low + _edge(low))
    return first, max(first + 1, math.ceil(high - _edge(high)))


def _edge(position: float) -> float:
    return max(EDGE_PX, 4 * math.ulp(position))
