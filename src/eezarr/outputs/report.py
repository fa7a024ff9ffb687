"""The account of a job: what was asked, what came, what is missing and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.events import Answered, Event, TileSplit, TileStored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.engine.running import Failure

__all__ = ["MissingTile", "Report", "Tally", "missing_tiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingTile:
    """A tile that is not in the store, and why."""

    tile: int
    where: str
    """Its rows, columns and bands."""
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a job ended."""

    output: str
    tiles_total: int
    tiles_written: int
    """Stored by this run."""
    tiles_resumed: int
    """Stored by earlier runs."""
    requests_sent: int
    """Pixel requests, repeated ones included."""
    requests_retried: int
    """Of these, the ones that repeat another."""
    requests_throttled: int
    """Answered with 429 or the like."""
    requests_split: int
    """Refused as too heavy, and asked for in parts."""
    bytes_received: int
    """Bodies as they came over the wire."""
    bytes_pixels: int
    """Pixels stored by this run, uncompressed; masks and labels are not counted."""
    seconds: float
    missing: tuple[MissingTile, ...]
    """Every tile that was asked for and is not in the store."""
    bytes_bodies: int = 0
    """Pixels, masks and labels stored by this run, uncompressed: what bodies held next to their headers."""

    @property
    def is_complete(self) -> bool:
        """Whether every tile of the plan is stored."""
        return self.tiles_written + self.tiles_resumed == self.tiles_total

    def to_json(self) -> dict[str, object]:
        """Return the summary that `eezarr fetch --json` prints."""
        return {
            "complete": self.is_complete,
            "tiles": {
                "total": self.tiles_total,
                "written": self.tiles_written,
                "resumed": self.tiles_resumed,
                "failed": len(self.missing),
            },
            "requests": {
                "sent": self.requests_sent,
                "retried": self.requests_retried,
                "throttled": self.requests_throttled,
                "split": self.requests_split,
            },
            "bytes": {"received": self.bytes_received, "pixels": self.bytes_pixels},
            "body_bytes": self.bytes_bodies,
            "seconds": round(self.seconds, 3),
            "output": self.output,
            "failures": [
                {"tile": item.tile, "where": item.where, "error": item.error, "attempts": item.attempts}
                for item in self.missing
            ],
        }


@dataclass(slots=True)
class Tally:
    """Counts requests as they are answered and pixels as they are stored; an `Observer`."""

    sent: int = 0
    retried: int = 0
    split: int = 0
    pixel_bytes: int = 0
    body_bytes: int = 0
    received_bytes: int = 0
    """Of bodies, as they came over the wire; added to by whoever receives them."""
    outcomes: Counter[str] = field(default_factory=Counter)

    def __call__(self, event: Event) -> None:
        """Count the event, if it is one that counts."""
        if isinstance(event, Answered):
            self.sent += 1
            self.retried += event.attempt > 1
            self.outcomes[event.outcome] += 1
        elif isinstance(event, TileSplit):
            self.split += 1
        elif isinstance(event, TileStored):
            self.pixel_bytes += event.pixel_bytes
            self.body_bytes += event.body_bytes

    def on_received(self, size: int) -> None:
        """Count a body's bytes."""
        self.received_bytes += size

    @property
    def throttled(self) -> int:
        """Answers that refused for load."""
        return self.outcomes["Throttled"]


def missing_tiles(failures: Sequence[Failure]) -> tuple[MissingTile, ...]:
    """Return failures as a report names them."""
    return tuple(
        MissingTile(
            tile=failure.tile.index,
            where=str(failure.tile),
            error=failure.error.message,
            attempts=failure.error.attempts,
        )
        for failure in failures
    )
