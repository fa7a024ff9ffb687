"""A time step of a cube: when it is, and which images it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One position of a cube's time axis."""

    time: datetime
    """The image's start, or the group's; in UTC, to the millisecond."""
    images: tuple[str, ...]
    """Resource names of the images it is made of, oldest first; one at least."""

    @property
    def facts(self) -> list[object]:
        """What the step is, in plain JSON values: the part of a fingerprint that it is."""
        return [self.time.isoformat(), list(self.images)]
