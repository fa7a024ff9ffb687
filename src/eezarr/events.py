"""What happened, as values: the engine tells, whoever listens decides what to show, log or count.

Events hold no pixels, tokens or request bodies. Times are durations in seconds; a listener adds the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeAlias

__all__ = [
    "Answered",
    "Event",
    "Hedged",
    "JobEnded",
    "JobStarted",
    "LimitChanged",
    "Observer",
    "Restricted",
    "ServiceBack",
    "ServiceLost",
    "TileFailed",
    "TilePostponed",
    "TileSplit",
    "TileStored",
    "Waiting",
    "as_record",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """A job begins, or goes on."""

    output: str
    tiles_total: int
    tiles_resumed: int
    """Tiles that are stored already."""
    pixel_bytes: int
    """Bytes of the pixels of all the job's tiles, uncompressed; masks and labels are not counted."""
    body_bytes: int = 0
    """Bytes of all that the job asks for, masks and labels included, uncompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One attempt of one request ended."""

    what: str
    """The call, and the tile if it is one's."""
    attempt: int
    """From 1."""
    seconds: float
    """From the start of sending to the last byte, without waiting for a slot."""
    outcome: str
    """`ok`, or the class of the error."""
    in_flight: int
    """Requests that were out, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An attempt failed and will be followed by another."""

    what: str
    attempt: int
    wait_s: float
    is_throttled: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """The service refused for load, and the number of requests at a time shrinks."""

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restricted:
    """The service says that the project's parallelism is restricted (its compute quota is used up)."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLost:
    """Nothing can be reached: one request at a time asks whether that has changed, and all others wait for it.

    Told again after each such request that fails.
    """

    reason: str
    """What the last one failed with."""
    since_s: float
    """For so long."""
    wait_s: float
    """Until the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBack:
    """The service can be reached again, and the job goes on."""

    after_s: float
    """For so long nothing could be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileStored:
    """A tile's pixels are in the store."""

    tile: int
    pixel_bytes: int
    """Its pixels, uncompressed; masks and labels are not counted."""
    attempts: int
    seconds: float
    """From the first attempt to the end of writing."""
    body_bytes: int = 0
    """All that was asked for, masks and labels included, uncompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSplit:
    """A tile, or a part of one, was too heavy for one request, and is asked for in parts."""

    tile: int
    parts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedged:
    """A tile is far slower than its peers, and is asked for a second time."""

    tile: int
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePostponed:
    """A tile failed as often as it may in a row; it is asked for once more when all others have been."""

    tile: int
    where: str
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFailed:
    """A tile failed for good in this run; the others go on."""

    tile: int
    where: str
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A job ended, complete or not."""

    is_complete: bool
    seconds: float


Event: TypeAlias = (
    JobStarted
    | Answered
    | Waiting
    | LimitChanged
    | Restricted
    | ServiceLost
    | ServiceBack
    | TileStored
    | TileSplit
    | Hedged
    | TilePostponed
    | TileFailed
    | JobEnded
)

Observer: TypeAlias = Callable[[Event], None]


def as_record(event: Event) -> dict[str, object]:
    """Return an event as a JSON object, its kind first."""
    return {"event": type(event).__name__, **asdict(event)}
