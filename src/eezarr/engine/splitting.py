"""What to ask for when a tile is too large for one request: fewer dates, then smaller windows, then fewer bands.

Pure: tiles in, tiles out. The parts of a tile are put together in memory, so that it is still written once.

Windows are cut along write units first. Bands are cut last, at the floor. If that helps, the bands may be all that was
too much, and one request tries a large window with as few of them: where it is rejected, little is lost; where it is
not, a tile takes a handful of requests and not a thousand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from eezarr.documents import parse_json
from eezarr.grid import Shape2D, Window
from eezarr.plan import accounted_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.errors import TooHeavy
    from eezarr.plan import Tile

__all__ = ["WorkingSize", "parts_of"]

COMPUTED_PIXELS = 256 * 256
"""What the service computes at a time; a larger window costs it no more memory.
Source: https://developers.google.com/earth-engine/guides/scale"""

FLOOR_PIXELS = 32 * 32
"""No part is cut smaller than this: what is too costly for 32 x 32 pixels of one band is too costly."""

_LIMITS = ("max_bytes", "max_side", "max_bands", "max_pixels")

_NOTED_BYTES = 1000
"""More than a noted size takes."""


class Growth(Enum):
    """Whether windows may be large again, now that there are fewer bands."""

    NONE = auto()
    """They were never at the floor, or it has been tried."""
    DUE = auto()
    """Tried once so few bands succeed at the floor."""
    TRIED = auto()
    """Being tried."""


@dataclass(slots=True)
class WorkingSize:
    """What one request may ask for, as far as the service has said, for the rest of the job."""

    max_bytes: int | None = None
    """Accounted bytes, as an answer stated."""
    max_side: int | None = None
    """Pixels a side, as an answer stated."""
    max_bands: int | None = None
    """Bands and masks, those of all steps together."""
    max_pixels: int | None = None
    """Pixels of a request, at all its time steps: half of the smallest one that was too heavy."""
    _growth: Growth = field(default=Growth.NONE, repr=False, compare=False)

    def admits(self, part: Tile) -> bool:
        """Return whether a request of this window and these bands is worth making."""
        return not (self.is_too_wide(part) or self._has_too_many_bands(part) or self.is_too_much(part))

    def is_too_wide(self, part: Tile) -> bool:
        """Return whether a side is too long."""
        return self.max_side is not None and max(part.window.height, part.window.width) > self.max_side

    def _has_too_many_bands(self, part: Tile) -> bool:
        return self.max_bands is not None and len(part.wire_bands) > self.max_bands

    def is_too_much(self, part: Tile) -> bool:
        """Return whether it has too many pixels, with the bands that it has."""
        shape = part.window.shape
        return (self.max_bytes is not None and accounted_bytes(shape, part.wire_bands) > self.max_bytes) or (
            self.max_pixels is not None and shape.size * len(part.steps) > max(self.max_pixels, FLOOR_PIXELS)
        )

    def is_reached_by(self, part: Tile) -> bool:
        """Return whether a part has more than half of the pixels that a request may have."""
        pixels = part.window.shape.size * len(part.steps)
        return self.max_pixels is None or 2 * pixels > max(self.max_pixels, FLOOR_PIXELS)

    def on_too_heavy(self, part: Tile, error: TooHeavy) -> bool:
        """Learn from a rejected part: a stated limit is believed; without one that the part breaks, it is too much.

        Returns:
            Whether anything was learnt: not if another part has shown as much before, or nothing smaller is left.
        """
        before = self.facts
        if error.stated_bytes is not None:
            self.max_bytes = min(error.stated_bytes, self.max_bytes or error.stated_bytes)
        if error.stated_side is not None:
            self.max_side = min(error.stated_side, self.max_side or error.stated_side)
        if self.admits(part):
            pixels = part.window.shape.size * len(part.steps)
            if pixels > FLOOR_PIXELS and self._growth is Growth.TRIED:
                self.max_pixels, self._growth = FLOOR_PIXELS, Growth.NONE
            elif pixels > FLOOR_PIXELS:
                self.max_pixels = pixels // 2
            elif len(part.bands) > 1:
                self.max_bands = max(len(half.wire_bands) for half in _half_bands(part))
                self.max_pixels, self._growth = FLOOR_PIXELS, Growth.DUE
        return self.facts != before

    def on_hopeless(self, known: Mapping[str, int], *, is_working: bool) -> None:
        """Forget what a tile taught that is too costly at any size: it says nothing about others.

        Args:
            known: The size before, or the one that other tiles came with.
            is_working: Whether any came with it. If none did, the next starts at the floor, and then tries more.
        """
        self.max_bands, self.max_pixels = known.get("max_bands"), known.get("max_pixels")
        if not is_working:
            self.max_pixels = FLOOR_PIXELS
        self._growth = Growth.NONE if is_working else Growth.DUE

    def on_proved(self) -> bool:
        """Note that a request of this size has succeeded; return whether a larger one is to be tried now."""
        is_due = self._growth is Growth.DUE
        if is_due:
            self.max_pixels = COMPUTED_PIXELS
        self._growth = Growth.TRIED if is_due else Growth.NONE
        return is_due

    @property
    def facts(self) -> dict[str, int]:
        """What is known, by its name."""
        known = {name: getattr(self, name) for name in _LIMITS}
        return {name: value for name, value in known.items() if value is not None}

    def tighten(self, other: WorkingSize) -> None:
        """Take over what is less in another."""
        for name, value in other.facts.items():
            setattr(self, name, min(value, self.facts.get(name, value)))

    def to_json(self) -> bytes:
        """Return it as it is noted beside a store's pixels."""
        return json.dumps(self.facts).encode()

    @classmethod
    def from_json(cls, noted: bytes) -> WorkingSize:
        """Return the size that was noted; what cannot be read says nothing."""
        size = cls()
        try:
            facts = parse_json(noted) if len(noted) <= _NOTED_BYTES else None
        except ValueError:
            facts = None
        if isinstance(facts, dict):
            for name in _LIMITS:
                value = facts.get(name)
                if type(value) is int and value > 0:
                    setattr(size, name, value)
        return size


def parts_of(tile: Tile, size: WorkingSize, unit: Shape2D) -> list[Tile]:
    """Return the tile, or the parts that together are exactly it, each of a size that is admitted if it can be cut so.

    Args:
        tile: What is wanted.
        size: What one request may ask for.
        unit: A write unit's pixels: cuts lie on its multiples as long as a part has more than one.
    """
    if size.admits(tile):
        return [tile]
    return [part for half in _halves(tile, size, unit) for part in parts_of(half, size, unit)] or [tile]


def _halves(tile: Tile, size: WorkingSize, unit: Shape2D) -> list[Tile]:
    """Cut a tile in two, in what it has too much of; none at the floor."""
    steps = tile.steps
    if size.is_too_wide(tile):
        return [tile.at(half) for half in _half_windows(tile.window, unit)]
    if len(steps) > 1:
        middle = steps.start + len(steps) // 2
        return [tile.during(range(steps.start, middle)), tile.during(range(middle, steps.stop))]
    if size.is_too_much(tile) and tile.window.shape.size > FLOOR_PIXELS:
        return [tile.at(half) for half in _half_windows(tile.window, unit)]
    return _half_bands(tile) if len(tile.bands) > 1 else []


def _half_bands(tile: Tile) -> list[Tile]:
    count = len(tile.bands)
    return [tile.of_bands(0, count // 2), tile.of_bands(count // 2, count)]


def _half_windows(window: Window, unit: Shape2D) -> tuple[Window, Window]:
    """Cut the longer side, in units, in two; inside one unit, in pixels."""
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
