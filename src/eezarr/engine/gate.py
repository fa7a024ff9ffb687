"""The one gate that all requests pass: so many at once, so many per second, none while the service asks for a pause.

The limit is read at each admission, so it can shrink below what is out; then nothing is admitted until enough return.
Waiters are served in the order they came.

The quota is a project's, so whoever asks the same service for the same project from the same event loop shares one gate
(`shared_gate`). Loops in other threads have gates of their own, and divide the quota as other processes do: by being
refused. A gate lives as long as someone uses it; what it learned goes with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from eezarr.errors import Throttled
from eezarr.limit import MINUTE_S, Cause, ConcurrencyLimit, RateLimit, counted_over_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from eezarr.limit import Ticket

__all__ = ["Gate", "Terms", "shared_gate"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What one user of a gate allows; the strictest terms of all who use it hold for all."""

    max_concurrency: int
    """Requests at a time."""
    max_requests_per_second: float
    """Starts per second."""
    on_shrink: Callable[[int], None] = lambda _: None
    """Told of the new limit each time it shrinks."""


class Gate:
    """Admits requests one by one.

    Args:
        limit: How many may be out.
        rate: How many may start per second.
        on_shrink: Told of the new limit each time it shrinks.
    """

    def __init__(
        self, *, limit: ConcurrencyLimit, rate: RateLimit, on_shrink: Callable[[int], None] = lambda _: None
    ) -> None:
        self._limit = limit
        self._rate = rate
        self._on_shrink = on_shrink
        self._told = 0
        self._terms: list[Terms] = []
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until_s = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Requests that may be out now."""
        return self._limit.value

    @property
    def per_second(self) -> float:
        """Requests that may start per second now."""
        return self._rate.per_second

    @contextmanager
    def joined(self, terms: Terms) -> Iterator[Gate]:
        """Keep to someone's terms for as long as the body runs."""
        self._terms.append(terms)
        self._keep_terms()
        try:
            yield self
        finally:
            self._terms.remove(terms)
            self._keep_terms()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot while a request is out; the way the body ends is the outcome that the limits learn from."""
        await self._enter()
        ticket = self._limit.on_start(self._now_s())
        try:
            yield
        except BaseException as error:
            if isinstance(error, Throttled):
                self._learn(ticket, error)
            self.in_flight -= 1
            # A failure may end the job: whoever waits comes in after that, when it was cancelled, not before.
            asyncio.get_running_loop().call_soon(self._admit)
            raise
        self._limit.on_success(ticket, self.in_flight)
        self._rate.on_success(ticket)
        self.in_flight -= 1
        self._admit()

    def on_restricted(self) -> None:
        """Note an answer that says that the project's parallelism is restricted."""
        self._limit.restrict(self._now_s())

    def _learn(self, ticket: Ticket, error: Throttled) -> None:
        now_s, before = self._now_s(), self._limit.value
        pause_s = error.retry_after_s or 0.0
        lost_answers = pause_s * self._rate.admitted(now_s)
        self._paused_until_s = max(self._paused_until_s, now_s + pause_s)
        self._rate.on_refused(ticket)
        window_s = counted_over_s(error.message)
        if window_s is not None:
            self._rate.on_throttled(ticket, now_s, window_s=window_s)
            return
        is_rate_bound = self._rate.is_bound
        cause = self._limit.on_throttled(ticket, self.in_flight, is_rate_bound=is_rate_bound, lost_answers=lost_answers)
        if cause is Cause.RATE:
            self._rate.on_throttled(ticket, now_s)
            return
        if is_rate_bound or self._limit.is_sinking:
            self._rate.lift()
        if self.in_flight == 1:  # nothing at all is admitted: the number cannot be it
            self._rate.on_throttled(ticket, now_s, window_s=MINUTE_S)
        if self._limit.value < before and self._limit.value != self._told:
            self._tell_shrunk()

    def _tell_shrunk(self) -> None:
        self._told = self._limit.value  # a try for one more that fails is no news
        self._on_shrink(self._limit.value)
        for terms in self._terms:
            terms.on_shrink(self._limit.value)

    def _keep_terms(self) -> None:
        if self._terms:
            self._limit.set_ceiling(min(terms.max_concurrency for terms in self._terms))
            self._rate.set_ceiling(min(terms.max_requests_per_second for terms in self._terms))
        if self._waiters:
            self._admit()

    async def _enter(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # admitted in the same moment
                self.in_flight -= 1
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in all who may come in now; if only time keeps the next one out, come back then."""
        while self._waiters and self.in_flight < self._limit.value:
            now_s = self._now_s()
            wait_s = max(self._paused_until_s - now_s, self._rate.wait_s(now_s))
            if wait_s > 0:
                self._come_back(wait_s)
                return
            turn = self._waiters.popleft()
            if turn.cancelled():
                continue
            self._rate.on_start(now_s)
            self.in_flight += 1
            turn.set_result(None)

    def _come_back(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._admit)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


_GATES: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, str], Gate] = WeakValueDictionary()
"""Two clients that know nothing of each other can only meet in a place that both know. It holds nothing alive: an entry
goes with the last user of its gate, and the loop in its key with it."""


@contextmanager
def shared_gate(service: str, project: str, terms: Terms) -> Iterator[Gate]:
    """Use the gate of the running loop to a service and project; whoever else does uses the same.

    Args:
        service: The service's URL.
        project: The project whose quota it is.
        terms: What this user allows.
    """
    key = (asyncio.get_running_loop(), service.rstrip("/"), project)
    gate = _GATES.get(key)
    if gate is None:
        gate = _GATES[key] = Gate(
            limit=ConcurrencyLimit(ceiling=terms.max_concurrency), rate=RateLimit(terms.max_requests_per_second)
        )
    with gate.joined(terms):
        yield gate
