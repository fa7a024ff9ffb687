"""How many requests may be out at once, and how many may start in a second. Pure: numbers in, numbers out, no clock.

The limit is apart from the gate that waits on it (after Netflix's concurrency-limits). It has three outcomes:
success, ignored (a fault that says nothing about load), and throttled. It grows only while it is used, and
shrinks once per round trip: forty requests refused together are one message, not forty.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConcurrencyLimit", "RateLimit"]

SHRINK = 0.75
"""What throttling leaves of the limit: gentler than TCP's half, since a refused request costs little."""


class ConcurrencyLimit:
    """The number of requests that may be out at once: doubles per round trip until refused, then grows by one.

    Args:
        ceiling: The most that the job allows; the limit never exceeds it.
        start: Where it begins.
    """

    def __init__(self, *, ceiling: int, start: int = 8) -> None:
        self._ceiling = ceiling
        self._value = float(min(start, ceiling))
        self._has_been_refused = False
        self._started = 0
        self._last_shrink = 0

    @property
    def value(self) -> int:
        """Requests that may be out now, at least 1."""
        return max(1, int(self._value))

    def on_start(self) -> int:
        """Note that a request starts; return its ticket, to be given back with its outcome."""
        self._started += 1
        return self._started

    def on_success(self, in_flight: int) -> None:
        """Grow, if at least half of the limit was in use: an idle client learns nothing.

        Args:
            in_flight: Requests that were out when this one ended, itself included.
        """
        if in_flight * 2 < self._value:
            return
        self._value = min(self._ceiling, self._value + (1 / self._value if self._has_been_refused else 1))

    def on_throttled(self, ticket: int) -> bool:
        """Shrink, unless the request started before the last shrink; return whether the limit changed."""
        if ticket <= self._last_shrink:
            return False
        self._has_been_refused = True
        self._last_shrink = self._started
        self._value = max(1.0, self._value * SHRINK)
        return True


@dataclass(slots=True)
class RateLimit:
    """Starts evenly spaced: so many per second, two at once at the most.

    A burst of two makes up for a timer that fires late; a larger one would put more than a second's worth
    of starts into a second of the service's count.
    """

    per_second: float
    """Starts per second."""
    _next_s: float = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """Return how long the next start has to wait, in seconds; 0 means now."""
        return max(0.0, self._next_s - 1 / self.per_second - now_s)

    def on_start(self, now_s: float) -> None:
        """Note a start."""
        self._next_s = max(self._next_s, now_s) + 1 / self.per_second
