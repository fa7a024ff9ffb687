"""One request, with all its attempts: through the gate, again after a wait, until an answer or the end of patience.

While nothing at all can be reached a request waits for that (see `contact`): no attempt and no time of it is counted.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from eezarr.errors import EezarrError, Retryable, Throttled, Unreachable
from eezarr.events import Answered, Waiting
from eezarr.retry import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import tenacity

    from eezarr.engine.contact import Contact
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
    """Requests that it took, those that failed because nothing could be reached included."""


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
    contact: Contact | None = None
    """Has requests wait while nothing at all can be reached; None: each has its attempts and no more."""

    async def ask(self, what: str, attempt: Callable[[], Awaitable[T]]) -> Answer[T]:
        """Return the answer of the first attempt that succeeds.

        Args:
            what: The call, for events.
            attempt: Makes one attempt.

        Raises:
            EezarrError: What the last attempt failed with; its `attempts` says how many were made.
        """
        deadline = asyncio.timeout(self.policy.deadline_s)
        request = _Request(what=what, deadline=deadline)
        retrying = self.policy.retrying(
            sleep=self.sleep,
            before_sleep=lambda state: self._tell_wait(request, state),
            is_in_contact=self.is_in_contact,
            paused_s=lambda: request.paused_s,
        )
        try:
            async with deadline:
                async for turn in retrying:
                    with turn:
                        value = await self._counted_attempt(request, attempt)
                        return Answer(value=value, attempts=request.attempts)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise self._overdue(request) from error
        raise AssertionError("tenacity re-raises the last failure")

    async def ask_once(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make one attempt, whether anything can be reached or not.

        Raises:
            EezarrError: What it failed with.
        """
        return await self._attempt(_Request(what=what, deadline=asyncio.timeout(None)), attempt)

    async def _counted_attempt(self, request: _Request, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make an attempt whose failure is the request's own: what an outage takes is not counted."""
        contact = self.contact
        if contact is None:
            return await self._attempt(request, attempt)
        while True:
            if contact.is_lost:
                with request.paused():
                    await contact.regained()
            try:
                value = await self._attempt(request, attempt, contact)
            except _ContactLostError:
                continue
            except Throttled:
                contact.on_answer()
                raise
            except Retryable as error:
                with request.paused():
                    if not await contact.is_to_blame(error):
                        raise
            except EezarrError:
                contact.on_answer()
                raise
            else:
                contact.on_success()
                return value

    async def _attempt(
        self, request: _Request, attempt: Callable[[], Awaitable[T]], contact: Contact | None = None
    ) -> T:
        clock = asyncio.get_running_loop().time
        async with self.gate.slot():
            if contact is not None and contact.is_lost:  # since it began to wait for the slot
                raise _ContactLostError
            request.attempts += 1
            start_s = clock()
            outcome, in_flight = "cancelled", self.gate.in_flight
            try:
                value = await attempt()
                outcome = "ok"
            except EezarrError as error:
                outcome = type(error).__name__
                error.attempts = request.attempts
                raise
            finally:
                self.observe(
                    Answered(
                        what=request.what,
                        attempt=request.attempts,
                        seconds=clock() - start_s,
                        outcome=outcome,
                        in_flight=in_flight,
                    )
                )
            return value

    def _overdue(self, request: _Request) -> Unreachable:
        error = Unreachable(
            f"{request.what} was not answered within {self.policy.deadline_s:g} s.",
            hint="Ask for less at a time with a smaller tile, or raise deadline_s.",
        )
        error.attempts = request.attempts
        return error

    def _tell_wait(self, request: _Request, state: tenacity.RetryCallState) -> None:
        error = failure_of(state)
        wait_s = state.next_action.sleep if state.next_action else 0.0
        self.observe(
            Waiting(
                what=request.what,
                attempt=request.attempts,
                wait_s=wait_s,
                is_throttled=isinstance(error, Throttled),
                reason=error.message if isinstance(error, EezarrError) else repr(error),
            )
        )


class _ContactLostError(Exception):
    """Nothing can be reached any more, and nothing was sent."""


@dataclass(slots=True, kw_only=True)
class _Request:
    """What is counted of a request while it is asked."""

    what: str
    deadline: asyncio.Timeout
    attempts: int = 0
    paused_s: float = 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let its time stand still."""
        if self.deadline.expired():
            yield
            return
        clock = asyncio.get_running_loop().time
        start_s, due_s = clock(), self.deadline.when()
        self.deadline.reschedule(None)
        try:
            yield
        finally:
            spent_s = clock() - start_s
            self.paused_s += spent_s
            self.deadline.reschedule(None if due_s is None else due_s + spent_s)
