"""What a refusal is laid to: too many out, or too many started in a second (law 3).

The service says which only where it counts by the minute. Otherwise a refusal alone shows nothing: what came before
it and what follows it do. All that is judged here is numbers of requests; what is made of them is the limit's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Cause", "Evidence", "Ticket"]

SAME_LEVEL = 4
"""Refusals in a row with as many out as the one before show that it is the number after all."""
FEW_OUT = 8
"""With fewer out than this, being the same each time says nothing."""
COARSE = 16
"""Below this, one more or less out is too coarse a step to meet a limit on starts: less evidence will do."""


class Cause(Enum):
    """What a refusal is laid to."""

    NUMBER = auto()
    """Too many were out; the limit is cut."""
    RATE = auto()
    """Too many were started in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request that was started; it comes back with its outcome."""

    number: int
    """In the order of starting, from 1."""
    start_s: float
    """On the gate's clock."""


@dataclass(slots=True)
class _Fall:
    """A refusal and those that follow it before a round trip goes well."""

    since: int
    """Requests started before the first refusal."""
    refused: int = 0
    """Of those that were started after it."""
    sent: int = 0

    def count(self, ticket: Ticket) -> None:
        if ticket.number > self.since:
            self.refused += 1
            self.sent = max(self.sent, ticket.number - self.since)

    @property
    def is_steep(self) -> bool:
        """Whether most were refused: the limit has moved."""
        return self.refused > 1 and self.sent <= 2 * self.refused

    @property
    def is_gentle(self) -> bool:
        """Whether most were admitted."""
        return self.sent >= 3 * self.refused


class Evidence:
    """What refusals, and the climb before them, show of their cause."""

    def __init__(self) -> None:
        self._fall: _Fall | None = None
        self._climbed = 0.0
        self._levels: deque[int] = deque(maxlen=SAME_LEVEL)
        self._level_at = 0

    @property
    def is_sinking(self) -> bool:
        """Whether most of what was started since the first of the last refusals was refused, too."""
        return self._fall is not None and self._fall.is_steep

    def on_refusal(self, ticket: Ticket, *, started: int) -> bool:
        """Note a refusal; return whether it is the first since a round trip went well.

        Args:
            ticket: The request's.
            started: Requests started so far.
        """
        is_first = self._fall is None
        if self._fall is None:
            self._fall = _Fall(started)
        self._fall.count(ticket)
        return is_first

    def on_climb_ended(self, proven: float) -> None:
        """Note that a refusal ended a climb, and up to where it had gone well for a round trip."""
        self._climbed = proven

    def on_number(self) -> None:
        """Note that the last refusal was laid to the number."""
        self._levels.clear()

    def forget(self) -> None:
        """Start afresh: round trips went well."""
        self._fall, self._climbed = None, 0.0

    def level(self, ticket: Ticket, in_flight: int, *, started: int) -> int | None:
        """Return the level of a limit on the number, though starts are slowed: as many are out at each refusal.

        Args:
            ticket: The refused request's.
            in_flight: Requests that were out when it ended, itself included.
            started: Requests started so far.

        Returns:
            How many are out; None if that changes from one refusal to the next: it is still the rate.
        """
        if ticket.number > self._level_at:
            self._levels.append(in_flight)
            self._level_at = started
        is_same = len(self._levels) == SAME_LEVEL and max(self._levels) - min(self._levels) <= 1
        return in_flight if is_same and min(self._levels) >= FEW_OUT else None

    def climbed_beside(self, in_flight: int, *, limit: float) -> float | None:
        """Return how high the climb went that shows that the number is not the cause; None if nothing shows it.

        Most of what was sent after the first refusal was admitted, cut or not; or a climb went well with more out than
        this. What was noted is used up by it.

        Args:
            in_flight: Requests that were out when the last refused one ended, itself included.
            limit: Requests that may be out.
        """
        fall = self._fall
        is_beside = fall is not None and fall.is_gentle and fall.refused > (1 if limit < COARSE else 3)
        if self.is_sinking or not (is_beside or in_flight + 1 < 0.9 * self._climbed):
            return None
        climbed = self._climbed
        self.forget()
        return climbed
