"""Whether to ask for compressed bodies: only where the network is what binds, which is measured. Pure.

gzip saves some 18 % of reflectance and costs 3 to 4 CPU seconds a gigabyte to inflate, so one core earns it back
below 45 MB/s at least. `auto` begins without; if bodies trickle in more slowly than that, it tries gzip for a while,
and keeps whichever brought more pixels a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Body", "Compression", "GzipMode"]

GzipMode: TypeAlias = Literal["auto"] | bool

WORTH_BYTES_PER_S = 45e6
"""Slower than this, one core inflates faster than the network brings what it saves."""

TRIAL_BODIES = 16
"""Bodies that a decision is taken on."""

LARGE_BYTES = 1 << 18
"""Smaller bodies say more about latency than about bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """How one body came."""

    start_s: float
    """When its request was sent, on any steady clock."""
    begin_s: float
    """When it began to be received."""
    end_s: float
    """When its last byte was there."""
    nbytes: int
    """Its bytes, inflated."""
    is_asked: bool
    """Whether gzip was asked for."""
    is_gzip: bool
    """Whether it came compressed, which is the service's choice."""


@dataclass(slots=True)
class Compression:
    """Decides for the next request."""

    mode: GzipMode = False
    _is_trying: bool = False
    _is_settled: bool = False
    _plain_rate: float = 0.0
    _bodies: list[Body] = field(default_factory=list)

    @property
    def is_asked(self) -> bool:
        """Whether the next request asks for gzip."""
        return self.mode is True or (self.mode == "auto" and self._is_trying)

    def on_body(self, body: Body) -> None:
        """Learn from a body that has come."""
        if self.mode != "auto" or self._is_settled or body.nbytes < LARGE_BYTES:
            return
        if body.is_asked != self._is_trying:
            return  # asked for before the trial began
        self._bodies.append(body)
        if len(self._bodies) == TRIAL_BODIES:
            self._decide(self._bodies)
            self._bodies = []

    def _decide(self, bodies: list[Body]) -> None:
        rate = _bytes_per_s(bodies)
        if self._is_trying:
            self._is_settled = True
            self._is_trying = rate > self._plain_rate and any(body.is_gzip for body in bodies)
        elif rate < WORTH_BYTES_PER_S and _is_mostly_transfer(bodies):
            self._plain_rate = rate
            self._is_trying = True


def _bytes_per_s(bodies: list[Body]) -> float:
    """All bodies' bytes over the time from the first one's beginning to the last one's end."""
    seconds = max(body.end_s for body in bodies) - min(body.begin_s for body in bodies)
    return sum(body.nbytes for body in bodies) / max(seconds, 1e-9)


def _is_mostly_transfer(bodies: list[Body]) -> bool:
    """Whether requests spend more time receiving than waiting: else the service binds, not the network."""
    receiving_s = sum(body.end_s - body.begin_s for body in bodies)
    return receiving_s > sum(body.begin_s - body.start_s for body in bodies)
