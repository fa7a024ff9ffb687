"""Why tiles are missing, in few lines: those that failed for the same reason are told together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eezarr.outputs.report import MissingTile

__all__ = ["Reason", "reasons_of"]

_FIRST = 3
"""Tiles that are named for each reason; the report has all."""

_VARYING = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d+(?:\.\d+)?")
"""What differs in messages that say the same: numbers, and the ids that the service gives to its errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A reason, and the tiles that are missing for it."""

    error: str
    """The message of the first of them; those of others may differ in numbers."""
    tiles: tuple[MissingTile, ...]

    def __str__(self) -> str:
        named = ", ".join(item.where for item in self.tiles[:_FIRST])
        more = f", and {len(self.tiles) - _FIRST} more" if len(self.tiles) > _FIRST else ""
        return f"{named}{more}: {self.error}"


def reasons_of(missing: Iterable[MissingTile]) -> tuple[Reason, ...]:
    """Return the reasons why tiles are missing, the one of the most tiles first."""
    groups: dict[str, list[MissingTile]] = {}
    for item in missing:
        groups.setdefault(_VARYING.sub("#", item.error), []).append(item)
    reasons = [Reason(error=items[0].error, tiles=tuple(items)) for items in groups.values()]
    return tuple(sorted(reasons, key=lambda reason: -len(reason.tiles)))
