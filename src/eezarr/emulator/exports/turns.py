"""Who is next: a few run at one time, the rest wait by priority, then by age."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turns:
    """Places for those who run; higher priorities first."""

    def __init__(self) -> None:
        """Start with all places free."""
        self._running = 0
        self._count = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, priority: int, max_running: int) -> AsyncIterator[None]:
        """Hold a place for as long as the block lasts; wait for it while `max_running` others have one."""
        granted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._count), granted))
        self._grant(max_running)
        try:
            await granted
            yield
        finally:
            # A waiter that was cancelled has no place to give back, unless it was granted one at that very moment.
            if granted.done() and not granted.cancelled():
                self._running -= 1
            self._grant(max_running)

    def _grant(self, max_running: int) -> None:
        while self._waiting and self._running < max_running:
            *_, granted = heapq.heappop(self._waiting)
            if not granted.done():
                granted.set_result(None)
                self._running += 1
