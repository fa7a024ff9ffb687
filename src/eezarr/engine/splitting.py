"""What to ask for when a tile is too heavy: fewer dates, then smaller windows, along write units first.

Pure: tiles in, tiles out. The parts of a tile are put together in memory, so that it is still written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.grid import Shape2D, Window
from eezarr.plan import accounted_bytes

if TYPE_CHECKING:
    from eezarr.errors import TooHeavy
    from eezarr.plan import Tile

__all__ = ["WorkingSize", "parts_of"]

FLOOR_PIXELS = 32 * 32
"""No part is cut smaller than this: what is too heavy for 32 x 32 pixels is too heavy."""


@dataclass(slots=True)
class WorkingSize:
    """What one request may ask for, as far as the service has said; it only shrinks, for the rest of the job."""

    max_bytes: int | None = None
    """Accounted bytes, as an answer stated."""
    max_side: int | None = None
    """Pixels a side, as an answer stated."""
    max_bands: int | None = None
    """Bands and masks, those of all steps together."""
    max_pixels: int | None = None
    """Pixels of a request, at all its time steps: half of the smallest one that was too heavy."""

    def admits(self, part: Tile) -> bool:
        """Return whether a request of this window and these bands is worth making."""
        shape = part.window.shape
        return (
            (self.max_bytes is None or accounted_bytes(shape, part.wire_bands) <= self.max_bytes)
            and (self.max_side is None or max(shape.height, shape.width) <= self.max_side)
            and (self.max_bands is None or len(part.wire_bands) <= self.max_bands)
            and (self.max_pixels is None or shape.size * len(part.steps) <= max(self.max_pixels, FLOOR_PIXELS))
        )

    def on_too_heavy(self, part: Tile, error: TooHeavy) -> None:
        """Learn from a refusal: a stated limit is believed; without one that the part breaks, the part is too much."""
        if error.stated_bytes is not None:
            self.max_bytes = min(error.stated_bytes, self.max_bytes or error.stated_bytes)
        if error.stated_side is not None:
            self.max_side = min(error.stated_side, self.max_side or error.stated_side)
        if self.admits(part):
            self.max_pixels = part.window.shape.size * len(part.steps) // 2


def parts_of(tile: Tile, size: WorkingSize, unit: Shape2D) -> list[Tile]:
    """Return the tile, or the parts that together are exactly it, each of a size that is admitted if it can be cut so.

    Args:
        tile: What is wanted.
        size: What one request may ask for.
        unit: A write unit's pixels: cuts lie on its multiples as long as a part has more than one.
    """
    if size.admits(tile):
        return [tile]
    if len(tile.steps) > 1:
        middle = tile.steps.start + len(tile.steps) // 2
        halves = [tile.during(range(tile.steps.start, middle)), tile.during(range(middle, tile.steps.stop))]
    else:
        halves = [tile.at(half) for half in _halves(tile.window, unit)]
    return [part for half in halves for part in parts_of(half, size, unit)] or [tile]


def _halves(window: Window, unit: Shape2D) -> tuple[Window, ...]:
    """Cut the longer side, in units, in two; inside one unit, in pixels; none at the floor."""
    if window.shape.size <= FLOOR_PIXELS:
        return ()
    down, across = -(-window.height // unit.height), -(-window.width // unit.width)
    if down * across > 1:
        is_across = across * unit.width >= down * unit.height if min(down, across) > 1 else across > 1
        cut = (across // 2) * unit.width if is_across else (down // 2) * unit.height
    else:
        is_across = window.width >= window.height
        cut = (window.width if is_across else window.height) // 2
    return _left_and_right(window, cut) if is_across else _top_and_bottom(window, cut)


def _left_and_right(window: Window, cut: int) -> tuple[Window, Window]:
    return (
        Window(row=window.row, col=window.col, height=window.height, width=cut),
        Window(row=window.row, col=window.col + cut, height=window.height, width=window.width - cut),
    )


def _top_and_bottom(window: Window, cut: int) -> tuple[Window, Window]:
    return (
        Window(row=window.row, col=window.col, height=cut, width=window.width),
        Window(row=window.row + cut, col=window.col, height=window.height - cut, width=window.width),
    )
