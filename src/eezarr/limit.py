"""How many requests may be out at once, and how many may start in a second. Pure: numbers in, numbers out, no clock.

The limits are apart from the gate that waits on them (after Netflix's concurrency-limits). They know three outcomes:
success, ignored (a fault that says nothing about load: it is not told), and throttled. Their laws:

1. **Refusals are a budget.** Each is paid for with `ANSWERS_PER_REFUSAL` answers without a try for more: tries cost
   less than 2 % of all requests, whatever the service's limit is. Where the service asks for a pause, a refusal also
   costs `PAUSE_PRICE` times the answers that the pause keeps from us.
2. **A refusal tells the level.** What is still out when a request is refused is what the service admits: the limit
   becomes that, not a fraction of it. A try for one more that fails costs one request and no throughput.
3. **What follows tells the cause.** If most of what is sent after a cut is refused too, the limit has moved: cut twice
   as much each time, then climb back. If a climb went well for round trips and then less than that is refused, the
   number out is not the cause: the starts per second are.
4. **A climb doubles its pace** with each round trip that is not punished, and goes on only while the limit is in use.

Additive increase and multiplicative decrease cannot do it: at ten slots each sawtooth costs a quarter of them, and one
request in thirty. `benchmarks/controller.py` prints what these laws make of many services.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Cause", "ConcurrencyLimit", "RateLimit", "Ticket", "counted_over_s"]

ANSWERS_PER_REFUSAL = 64
"""Answers that pay for one refusal: at the most 1.6 % of requests are refused for trying."""
MOST_DEBT = 4 * ANSWERS_PER_REFUSAL
"""After so many answers a bad patch is paid for."""
PAUSE_PRICE = 30
"""Tries that the service answers with a pause cost at the most a thirtieth of the throughput."""
SHRINK = 0.75
"""What the refusals of one round trip leave of the limit at the least: forty refused together are one message."""

SAME_LEVEL = 4
"""Refusals in a row with as many out as the one before show that it is the number after all."""
FEW_OUT = 8
"""With fewer out than this, being the same each time says nothing."""
COARSE = 16
"""Below this, one more or less out is too coarse a step to meet a limit on starts: less evidence will do."""
RESTRICTED_S = 300.0
"""A restriction is taken as lifted when no answer has spoken of it for so long."""
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


class ConcurrencyLimit:
    """The number of requests that may be out at once: found by slow start, held, tried for one more now and then.

    Args:
        ceiling: The most that the job allows; the limit never exceeds it.
        start: Where it begins.
    """

    def __init__(self, *, ceiling: int, start: int = 8) -> None:
        self._ceiling = ceiling
        self._most = ceiling
        self._restricted_until_s = float("-inf")
        self._value = float(min(start, ceiling))
        self._pace = 1.0
        self._debt = 0.0
        self._cut = 1.0
        self._regain = 0.0
        self._before = 1.0
        self._levels: deque[int] = deque(maxlen=SAME_LEVEL)
        self._level_at = 0
        self._floor = 1.0
        self._answers = 0
        self._started = 0
        self._cut_at = 0
        self._step_at = 0
        self._step_value = 0.0
        self._proven = 0.0
        self._climbed = 0.0
        self._fall: _Fall | None = None

    @property
    def value(self) -> int:
        """Requests that may be out now, at least 1."""
        return max(1, int(self._value))

    @property
    def is_sinking(self) -> bool:
        """Whether most of what was started since the first of the last refusals was refused, too."""
        return self._fall is not None and self._fall.is_steep

    def set_ceiling(self, ceiling: int) -> None:
        """Change the most that may be out."""
        self._ceiling = ceiling
        self._most = min(self._most, ceiling) if self._restricted_until_s > float("-inf") else ceiling
        self._value = min(self._value, float(self._most))

    def restrict(self, now_s: float) -> None:
        """Halve the ceiling, once: the service says that it lets the project have less at a time, not how much.

        It comes back when no answer has said so for `RESTRICTED_S`.
        """
        if self._restricted_until_s < now_s:
            self._most = max(1, self.value // 2)
            self._value = min(self._value, float(self._most))
        self._restricted_until_s = now_s + RESTRICTED_S

    def on_start(self, now_s: float) -> Ticket:
        """Note that a request starts; return its ticket, to be given back with its outcome."""
        self._started += 1
        return Ticket(number=self._started, start_s=now_s)

    def on_success(self, ticket: Ticket, in_flight: int) -> None:
        """Count an answer, if the limit was in use: an idle client learns nothing.

        Args:
            ticket: The request's.
            in_flight: Requests that were out when this one ended, itself included.
        """
        if self._most < self._ceiling and ticket.start_s > self._restricted_until_s:
            self._most = self._ceiling
        if in_flight < (self._value / 2 if self._pace else self.value):
            return
        self._answers += 1
        self._debt = max(0.0, self._debt - 1)
        if self._answers > max(16, self._value):
            self._fall, self._climbed = None, 0.0
        if ticket.number > max(self._cut_at, self._step_at):
            self._quicken()
        self._grow()

    def _quicken(self) -> None:
        """A round trip at this level went well."""
        self._step_at = self._started
        if self._pace:
            self._proven = self._step_value
            self._pace = min(1.0, 2 * self._pace)
        elif self._value < self._regain:
            self._pace = min(1.0, (self._regain - self._value) / 2 / self._value)
        elif not self._debt and self._value < self._most:
            self._pace = 0.5 / self._value
            self._value = float(self.value + 1)
        self._step_value = self._value

    def _grow(self) -> None:
        most = min(self._most, self._regain) if self._debt and self._regain else self._most
        self._value = max(self._value, min(most, self._value + self._pace))
        if self._value >= most:
            self._pace = 0.0

    def on_throttled(
        self, ticket: Ticket, in_flight: int, *, is_rate_bound: bool = False, lost_answers: float = 0.0
    ) -> Cause:
        """Shrink to what is still out, unless the rate is the cause; return what is.

        Args:
            ticket: The request's.
            in_flight: Requests that were out when this one ended, itself included.
            is_rate_bound: Whether starts are already slowed to what the service admitted.
            lost_answers: What a pause that the service asked for keeps from us.
        """
        self._debt = max(min(MOST_DEBT, self._debt + ANSWERS_PER_REFUSAL), self._debt, PAUSE_PRICE * lost_answers)
        if self._fall is None:
            self._fall = _Fall(self._started)
            self._before = self._value
        self._fall.count(ticket)
        is_rate = self._is_still_rate(ticket, in_flight) if is_rate_bound else self._is_rate(self._fall, in_flight)
        if is_rate and not self.is_sinking:
            self._pace = 0.0
            return Cause.RATE
        self._levels.clear()
        if ticket.number > self._cut_at:
            self._begin_cut()
        self._value = max(1.0, min(self._value, max(in_flight - 1, self._floor)))
        return Cause.NUMBER

    def _is_still_rate(self, ticket: Ticket, in_flight: int) -> bool:
        """Starts are slowed already: it is the number after all if that is the same each time."""
        if ticket.number > self._level_at:
            self._levels.append(in_flight)
            self._level_at = self._started
        is_same = len(self._levels) == SAME_LEVEL and max(self._levels) - min(self._levels) <= 1
        if is_same and min(self._levels) >= FEW_OUT:
            self._value = min(self._value, float(in_flight))
            return False
        return True

    def _is_rate(self, fall: _Fall, in_flight: int) -> bool:
        """Most of what was sent was admitted, cut or not; or a climb went well with more out than this."""
        is_beside = fall.is_gentle and fall.refused > (1 if self._value < COARSE else 3)
        is_rate = not self.is_sinking and (is_beside or in_flight + 1 < 0.9 * self._climbed)
        if is_rate:
            self._value = max(self._value, self._climbed)
            self._fall, self._climbed, self._pace = None, 0.0, 0.0
        return is_rate

    def _begin_cut(self) -> None:
        """First refusal of what was started after the last cut."""
        if self._pace:
            self._climbed = self._proven
        is_moving = not self._pace and self.is_sinking
        self._cut = 2 * self._cut if is_moving else 1.0
        self._regain = self._value - 1 if is_moving and self._cut > 2 else 0.0
        self._floor = SHRINK * self._value
        if is_moving:
            self._value -= min(self._cut, self._value / 2)
            self._floor = min(self._floor, self._value)
        if self.value == 1:
            self._regain = self._before
        self._cut_at = self._started
        self._answers = 0
        self._pace = self._proven = 0.0


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
