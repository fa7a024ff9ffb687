"""One request, with all its attempts: through the gate, again after a wait, until an answer or the end of patience."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from eezarr.errors import EezarrError, Throttled, Unreachable
from eezarr.events import Answered, Waiting
from eezarr.retry import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import tenacity

    from eezarr.engine.gate import Gate
    from eezarr.events import Observer
    from eezarr.retry import RetryPolicy

__all__ = ["Answer", "Asker"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What a request brought, and what it took."""

    value: T
    attempts: int


@dataclass(slots=True, kw_only=True)
class Asker:
    """Asks with retries; every attempt holds one slot of the gate, and no wait holds any."""

    gate: Gate
    policy: RetryPolicy
    observe: Observer
    is_in_contact: Callable[[], bool] = lambda: True
    """Tells whether the service has answered anything yet."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)
    """Waits between attempts; tests replace it."""

    async def ask(self, what: str, attempt: Callable[[], Awaitable[T]]) -> Answer[T]:
        """Return the answer of the first attempt that succeeds.

        Args:
            what: The call, for events.
            attempt: Makes one attempt.

        Raises:
            EezarrError: What the last attempt failed with; its `attempts` says how many were made.
        """
        retrying = self.policy.retrying(
            sleep=self.sleep,
            before_sleep=lambda state: self._tell_wait(what, state),
            is_in_contact=self.is_in_contact,
        )
        number = 0
        deadline = asyncio.timeout(self.policy.deadline_s)
        try:
            async with deadline:
                async for turn in retrying:
                    with turn:
                        number = turn.retry_state.attempt_number
                        return Answer(value=await self._attempt(what, number, attempt), attempts=number)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise self._overdue(what, number) from error
        raise AssertionError("tenacity re-raises the last failure")

    def _overdue(self, what: str, number: int) -> Unreachable:
        error = Unreachable(
            f"{what} was not answered within {self.policy.deadline_s:g} s.",
            hint="Ask for less at a time with a smaller tile, or raise deadline_s.",
        )
        error.attempts = number
        return error

    async def _attempt(self, what: str, number: int, attempt: Callable[[], Awaitable[T]]) -> T:
        clock = asyncio.get_running_loop().time
        async with self.gate.slot():
            start_s = clock()
            outcome, in_flight = "cancelled", self.gate.in_flight
            try:
                value = await attempt()
                outcome = "ok"
            except EezarrError as error:
                outcome = type(error).__name__
                error.attempts = number
                raise
            finally:
                self.observe(
                    Answered(what=what, attempt=number, seconds=clock() - start_s, outcome=outcome, in_flight=in_flight)
                )
            return value

    def _tell_wait(self, what: str, state: tenacity.RetryCallState) -> None:
        error = failure_of(state)
        wait_s = state.next_action.sleep if state.next_action else 0.0
        self.observe(
            Waiting(
                what=what,
                attempt=state.attempt_number,
                wait_s=wait_s,
                is_throttled=isinstance(error, Throttled),
                reason=error.message if isinstance(error, EezarrError) else repr(error),
            )
        )
