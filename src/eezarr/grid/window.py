"""Sizes and rectangles of whole pixels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from eezarr.calls import checked_calls
from eezarr.errors import InvalidInput

__all__ = ["Shape2D", "Window"]


@checked_calls
@dataclass(frozen=True, slots=True, order=True)
class Shape2D:
    """A height and a width in pixels (or in whatever the name says): never a bare pair in unknown order.

    Raises:
        InvalidInput: If a side is no whole number.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if type(self.height) is int and type(self.width) is int:
            return
        for name in ("height", "width"):
            side: object = getattr(self, name)
            if isinstance(side, bool) or not isinstance(side, Integral):
                raise InvalidInput(f"The {name} {side!r:.60} is no whole number.", hint="Write Shape2D(height, width).")
            object.__setattr__(self, name, int(side))

    @property
    def size(self) -> int:
        """Height times width."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of whole pixels of a grid."""

    row: int
    """First row, from the top."""
    col: int
    """First column, from the left."""
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """The rows, as an index."""
        return slice(self.row, self.row + self.height)

    @property
    def cols(self) -> slice:
        """The columns, as an index."""
        return slice(self.col, self.col + self.width)

    @property
    def shape(self) -> Shape2D:
        """Height and width."""
        return Shape2D(self.height, self.width)
