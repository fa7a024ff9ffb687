"""How many requests may start in a second: evenly spaced, slowed to what the service admitted, and quickened again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eezarr.limit.budget import ANSWERS_PER_REFUSAL, MOST_DEBT

if TYPE_CHECKING:
    from eezarr.limit.cause import Ticket

__all__ = ["MINUTE_S", "RateLimit", "counted_over_s"]

FEW_S = 5
"""Seconds over which admitted starts are counted where the service does not say what it counts over."""
MINUTE_S = 60
SLOWEST_CLIMB, FASTEST_CLIMB = 0.01, 0.25
"""Growth of the rate in a second."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Pauses while nothing at all is admitted; a quota that is counted by the minute may be used up for most of it."""

_WINDOW = re.compile(r"\bper (minute|second)\b")


def counted_over_s(message: str) -> int | None:
    """Return the seconds over which the service counts starts, if its refusal says that these were too many.

    Source: `Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests per minute
    per user'`, as in https://github.com/gee-community/qgis-earthengine-plugin/issues/202
    """
    found = _WINDOW.search(message)
    if found is None:
        return None
    return MINUTE_S if found[1] == "minute" else FEW_S


class RateLimit:
    """Starts evenly spaced: so many per second, two at once at the most; fewer if the service admits fewer.

    A burst of two makes up for a timer that fires late; a larger one would put more than a second's worth
    of starts into a second of the service's count.

    Args:
        per_second: The most starts per second that the job allows.
    """

    def __init__(self, per_second: float) -> None:
        self._ceiling = per_second
        self._value = per_second
        self._next_s = float("-inf")
        self._meter = _Meter()
        self._debt = 0
        self._pace = SLOWEST_CLIMB
        self._step_s = 0.0
        self._cut_s = float("-inf")
        self._pause_s = 0.0
        self.is_bound = False
        """Whether starts are slowed to what the service admitted."""

    @property
    def per_second(self) -> float:
        """Starts per second that may be made now."""
        return self._value

    def set_ceiling(self, per_second: float) -> None:
        """Change the most starts per second."""
        is_free = self._value >= self._ceiling
        self._ceiling = per_second
        self._value = per_second if is_free else min(self._value, per_second)

    def wait_s(self, now_s: float) -> float:
        """Return how long the next start has to wait, in seconds; 0 means now."""
        return max(0.0, self._next_s - 1 / self._value - now_s)

    def on_start(self, now_s: float) -> None:
        """Note a start."""
        self._meter.count(now_s, 1)
        self.is_bound = self._value < self._ceiling and now_s - self._next_s < 0.25 / self._value
        if self.is_bound:
            self._grow(now_s)
        self._next_s = max(self._next_s, now_s) + 1 / self._value

    def on_success(self, ticket: Ticket) -> None:
        """Note an answer: the pauses end with one that was asked for after the last refusal."""
        if ticket.start_s > self._cut_s:
            self._pause_s = 0.0

    def on_refused(self, ticket: Ticket) -> None:
        """Note that a request was throttled, for whatever reason."""
        self._meter.count(ticket.start_s, -1)

    def on_throttled(self, ticket: Ticket, now_s: float, *, window_s: int = FEW_S) -> None:
        """Slow down to what the service admitted lately, once per round trip.

        Args:
            ticket: The request's.
            now_s: The time.
            window_s: What the service counts over.
        """
        self._debt = min(MOST_DEBT, self._debt + ANSWERS_PER_REFUSAL)
        if ticket.start_s <= self._cut_s:
            return
        admitted = self.admitted(now_s, window_s)
        lowest = max(self._value / 2, self._meter.total(now_s, MINUTE_S) / MINUTE_S)
        self._value = min(self._value, max(lowest, min(0.95 * self._value, admitted)))
        self._pace = SLOWEST_CLIMB
        self.pause(now_s)

    def lift(self) -> None:
        """Forget what was learned: it was not the rate."""
        self._value = self._ceiling
        self.is_bound = False

    def pause(self, now_s: float) -> None:
        """Start nothing for a while, from the second time on, and twice as long each time until one is answered."""
        if self._pause_s:
            self._next_s = now_s + self._pause_s + 1 / self._value
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))
        self._cut_s = now_s

    def admitted(self, now_s: float, window_s: int = FEW_S) -> float:
        """Return how many starts per second the service admitted in a window that ends now."""
        elapsed_s = max(1.0, min(window_s, now_s - self._meter.first_s))
        return self._meter.total(now_s, window_s) / (window_s if window_s == MINUTE_S else elapsed_s)

    def _grow(self, now_s: float) -> None:
        self._debt = max(0, self._debt - 1)
        if self._debt:
            self._step_s = now_s
            return
        if now_s > self._step_s + 1:
            self._step_s = now_s
            self._pace = min(FASTEST_CLIMB, 2 * self._pace)
        self._value = min(self._ceiling, self._value + self._pace)


class _Meter:
    """Starts that were not refused, by the second, over the last minute."""

    def __init__(self) -> None:
        self.first_s = float("inf")
        self._counts: dict[int, int] = {}

    def count(self, start_s: float, change: int) -> None:
        self.first_s = min(self.first_s, start_s)
        second = int(start_s)
        self._counts[second] = self._counts.get(second, 0) + change
        while len(self._counts) > MINUTE_S + 1:
            del self._counts[min(self._counts)]

    def total(self, now_s: float, window_s: int) -> int:
        return sum(count for second, count in self._counts.items() if second > now_s - window_s - 1)
