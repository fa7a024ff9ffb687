"""Stragglers: a request far slower than its peers is asked a second time, and the first answer wins.

Rule: second askings are at most 2 % of all requests, so that hedging cannot become load when the service is slow for
everybody. The second one passes the gate like any other. Whoever loses is cancelled before the winner is handed on, so
nothing writes to memory that is lent again.

Source: Dean and Barroso, The Tail at Scale, https://research.google/pubs/the-tail-at-scale/
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.engine.buffers import OwnMemory
from eezarr.events import Hedged

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.engine.gate import Gate
    from eezarr.events import Observer
    from eezarr.plan import Tile
    from eezarr.protocols import Memory, Pixels, Source

__all__ = ["HedgedSource", "Patience"]

SHARE = 0.02
SLOWNESS = 2.0
"""A straggler takes this many times what nine of ten requests take."""

ENOUGH = 20
"""Answers before anything is known to be usual."""

_TICK_S = 0.001
"""A timer may fire a little early."""


@dataclass(slots=True)
class Patience:
    """How long a request may take before it counts as a straggler; pure."""

    _times_s: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    _answers: int = 0
    _seconds: int = 0

    def on_answer(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._answers += 1
        self._times_s.append(seconds)

    def limit_s(self) -> float | None:
        """Return after how long to ask again; None while nothing is known to be usual."""
        if len(self._times_s) < ENOUGH:
            return None
        return SLOWNESS * sorted(self._times_s)[len(self._times_s) * 9 // 10]

    def take_second(self) -> bool:
        """Return whether another second asking is within the share; if so, it is counted."""
        if self._seconds + 1 > SHARE * self._answers:
            return False
        self._seconds += 1
        return True


@dataclass(slots=True, kw_only=True)
class HedgedSource:
    """A source that asks for stragglers a second time."""

    source: Source
    body_bytes: Callable[[Tile], int]
    """What the body of a tile can take."""
    gate: Gate
    observe: Observer
    patience: Patience = field(default_factory=Patience)
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    _answered: asyncio.Future[None] = field(default_factory=asyncio.Future)
    """Done with the next answer."""

    async def read(self, tile: Tile, memory: Memory) -> Pixels:
        """Ask once, or twice if the first is slow; see `Source.read`.

        Raises:
            EezarrError: What the first asking failed with, unless the second succeeded before.
        """
        start_s = self.clock()
        first = asyncio.ensure_future(self.source.read(tile, memory))
        asking: set[asyncio.Future[Pixels]] = {first}
        try:
            if await self._is_straggling(first, start_s):
                self.observe(Hedged(tile=tile.index, after_s=self.clock() - start_s))
                asking.add(asyncio.ensure_future(self._read_again(tile)))
            pixels = await _first_success(first, asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        self.patience.on_answer(self.clock() - start_s)
        self._answered.set_result(None)
        self._answered = asyncio.Future()
        return pixels

    async def _is_straggling(self, first: asyncio.Future[Pixels], start_s: float) -> bool:
        """Wait until the first asking is done, which returns False, or until it is asked again, which returns True.

        Each answer to another tile may change what is usual, and add to what may be asked again: the first requests of
        a run, of which nothing is usual yet, can straggle like any other.
        """
        while not first.done():
            limit_s, waited_s = self.patience.limit_s(), self.clock() - start_s
            is_due = limit_s is not None and waited_s >= limit_s - _TICK_S
            if is_due and self.patience.take_second():
                return True
            timeout_s = None if limit_s is None or is_due else limit_s - waited_s
            news: set[asyncio.Future[Pixels] | asyncio.Future[None]] = {first, self._answered}
            await asyncio.wait(news, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return False

    async def _read_again(self, tile: Tile) -> Pixels:
        async with self.gate.slot():
            return await self.source.read(tile, OwnMemory(self.body_bytes(tile)))


async def _first_success(first: asyncio.Future[Pixels], asking: set[asyncio.Future[Pixels]]) -> Pixels:
    """Return the answer that comes first; the failure of the first asking, if nothing succeeds before it fails."""
    waiting = asking
    while not first.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        second = next((task for task in done if task is not first), None)
        if second is not None and second.exception() is None:
            return second.result()
    return first.result()
