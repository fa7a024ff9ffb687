"""The one gate that all requests pass: so many at once, so many per second, none while the service asks for a pause.

The limit is read at each admission, so it can shrink below what is out; then nothing is admitted until enough return.
Waiters are served in the order they came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from eezarr.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from eezarr.limit import ConcurrencyLimit, RateLimit

__all__ = ["Gate"]


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
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until_s = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Requests that may be out now."""
        return self._limit.value

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot while a request is out; the way the body ends is the outcome that the limit learns from."""
        await self._enter()
        ticket = self._limit.on_start()
        try:
            yield
        except Throttled as error:
            if self._limit.on_throttled(ticket):
                self._on_shrink(self._limit.value)
            if error.retry_after_s:
                self._paused_until_s = max(self._paused_until_s, self._now_s() + error.retry_after_s)
            raise
        else:
            self._limit.on_success(self.in_flight)
        finally:
            self.in_flight -= 1
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
