"""How many requests may be out at once: found, held, and tried for one more when that is paid for (laws 1, 2 and 4)."""

from __future__ import annotations

from eezarr.limit.budget import ANSWERS_PER_REFUSAL, MOST_DEBT, PAUSE_PRICE
from eezarr.limit.cause import Cause, Evidence, Ticket

__all__ = ["RESTRICTED_S", "ConcurrencyLimit"]

SHRINK = 0.75
"""What the refusals of one round trip leave of the limit at the least: forty refused together are one message."""
RESTRICTED_S = 300.0
"""A restriction is taken as lifted when no answer has spoken of it for so long."""


class ConcurrencyLimit:
    """The number of requests that may be out at once: found by slow start, held, tried for one more now and then.

    Args:
        ceiling: The most that the job allows; the limit never exceeds it.
        start: Where it begins: a little below the quota that projects have by default, so that a short job is not over
            before the limit is found. A smaller quota is found at the first refusals, which cost little.
    """

    def __init__(self, *, ceiling: int, start: int = 32) -> None:
        self._ceiling = ceiling
        self._most = ceiling
        self._restricted_until_s = float("-inf")
        self._value = float(min(start, ceiling))
        self._pace = 1.0
        self._debt = 0.0
        self._cut = 1.0
        self._regain = 0.0
        self._before = 1.0
        self._floor = 1.0
        self._answers = 0
        self._started = 0
        self._cut_at = 0
        self._step_at = 0
        self._step_value = 0.0
        self._proven = 0.0
        self._evidence = Evidence()

    @property
    def value(self) -> int:
        """Requests that may be out now, at least 1."""
        return max(1, int(self._value))

    @property
    def is_sinking(self) -> bool:
        """Whether most of what was started since the first of the last refusals was refused, too."""
        return self._evidence.is_sinking

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
            self._evidence.forget()
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
        if self._evidence.on_refusal(ticket, started=self._started):
            self._before = self._value
        is_rate = self._is_still_rate(ticket, in_flight) if is_rate_bound else self._is_rate(in_flight)
        if is_rate and not self.is_sinking:
            self._pace = 0.0
            return Cause.RATE
        self._evidence.on_number()
        if ticket.number > self._cut_at:
            self._begin_cut()
        self._value = max(1.0, min(self._value, max(in_flight - 1, self._floor)))
        return Cause.NUMBER

    def _is_still_rate(self, ticket: Ticket, in_flight: int) -> bool:
        """Starts are slowed already: it is the number after all if that is the same each time."""
        level = self._evidence.level(ticket, in_flight, started=self._started)
        if level is None:
            return True
        self._value = min(self._value, float(level))
        return False

    def _is_rate(self, in_flight: int) -> bool:
        climbed = self._evidence.climbed_beside(in_flight, limit=self._value)
        if climbed is None:
            return False
        self._value = max(self._value, climbed)
        return True

    def _begin_cut(self) -> None:
        """First refusal of what was started after the last cut."""
        if self._pace:
            self._evidence.on_climb_ended(self._proven)
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
