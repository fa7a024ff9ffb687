"""Reused memory for bodies, lent when an answer begins: what is out is what is being received or stored, no more.

Forty answers that begin at once need not be received at once. Where the processor is what binds, a few at a time are
done as soon, in the same few warm buffers, and the event loop has few sockets to look after; the others wait in the
kernel, which stops their senders. Where the network binds, each body trickles in, and all of them must.

Rule: one body more is received at once whenever some wait for their turn, the store has hardly any left, and the event
loop has nothing to do: a timer then comes on time. Not while what has come waits to be inflated: that took twice the
memory, and an eighth more CPU at 12 bands (measured). Nothing new is received while the store has enough; then the
number is halved. But nobody waits longer than `PATIENCE_S`: a service does not hold an answer for ever, and there is
memory for all.

An answer that waits holds its request's slot, and one that is received does not. To receive all that wait gains nothing
for that: no more tiles are in hand than slots and a few, so that where many wait for the store, as many fewer are asked
for either way. It took 24 bodies' memory where 7 do, as much time, and a tenth more CPU (20 GB, measured).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eezarr.protocols import Buffer

__all__ = ["BufferPool", "Loan", "OwnMemory"]

ENOUGH_FULL = 6
"""Bodies that are received and not stored yet: two being written by as many threads, and two for each that come after.
With four or eight jobs took as long, with latency and without; with eight, 4 % more CPU at 25 MB a body (measured)."""

HARDLY_ANY_FULL = 1
"""With so many, one of two threads that write has nothing to do."""

LEAST_AT_ONCE = 2
"""Bodies received at once in any case."""

TICK_S = 0.005
"""So often the event loop is asked whether it has nothing to do; from 2 to 40 at once takes 0.2 s."""

PATIENCE_S = 10.0
"""An answer waits so long at the most where whoever takes the tiles takes his time; then it is received, come what may.
Servers give up on a client that reads nothing after half a minute and more."""

LATE_S = 0.002
"""A timer that comes so late says that the event loop is busy; an idle one's is late by less than a millisecond."""


class BufferPool:
    """Buffers of one size; as many exist as were ever out at once, which the number of workers bounds.

    Args:
        capacity: Bytes of each.
        is_busy: Tells whether what has come of bodies waits to be inflated.
    """

    def __init__(self, capacity: int, *, is_busy: Callable[[], bool] = lambda: False) -> None:
        self._capacity = capacity
        self._is_busy = is_busy
        self._idle: list[Buffer] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._receiving = 0
        self._full = 0
        self._at_once = LEAST_AT_ONCE
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def loan(self) -> Iterator[Loan]:
        """Lend memory for one tile: none until it is taken, and until the body ends."""
        loan = Loan(self)
        try:
            yield loan
        finally:
            loan.drop()

    async def take(self) -> Buffer:
        """Wait for a turn to receive; return a buffer, the one last returned first: its pages are still in cache."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        self._admit()
        end_of_patience = loop.call_later(PATIENCE_S, self._let_in, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in in the same moment
                self._receiving -= 1
            self._admit()
            raise
        finally:
            end_of_patience.cancel()
        return self._idle.pop() if self._idle else np.empty(self._capacity, np.uint8)

    def on_filled(self) -> None:
        """Note that a body has come whole."""
        self._receiving -= 1
        self._full += 1
        if self._full >= ENOUGH_FULL:
            self._at_once = max(LEAST_AT_ONCE, self._at_once // 2)
        self._admit()

    def give_back(self, buffer: Buffer, *, is_full: bool) -> None:
        """Take a buffer back, full or not."""
        if is_full:
            self._full -= 1
        else:
            self._receiving -= 1
        self._idle.append(buffer)
        self._admit()

    def _let_in(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._receiving += 1
            turn.set_result(None)

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0].done() or self._has_room):
            self._let_in(self._waiting.popleft())
        if self._waiting and self._full < ENOUGH_FULL and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TICK_S, self._on_tick, loop.time() + TICK_S)

    @property
    def _has_room(self) -> bool:
        return self._full < ENOUGH_FULL and self._receiving < self._at_once

    def _on_tick(self, due_s: float) -> None:
        self._timer = None
        is_idle = asyncio.get_running_loop().time() - due_s < LATE_S and not self._is_busy()
        if is_idle and self._full <= HARDLY_ANY_FULL and not self._has_room:
            self._at_once += 1
        self._admit()


class Loan:
    """One tile's memory out of a pool (`protocols.Memory`); made by `BufferPool.loan`."""

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._buffer: Buffer | None = None
        self._is_full = False

    async def take(self) -> Buffer:
        """Return the memory; see `protocols.Memory`."""
        if self._buffer is None:
            self._buffer = await self._pool.take()
        return self._buffer

    def on_filled(self) -> None:
        """Note that all pixels are there."""
        if self._buffer is not None and not self._is_full:
            self._is_full = True
            self._pool.on_filled()

    def drop(self) -> None:
        """Give the memory back, if some was taken; it can be taken anew."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._pool.give_back(buffer, is_full=self._is_full)


class OwnMemory:
    """Fresh memory of a known size, for one answer that no pool is there for (`protocols.Memory`).

    Args:
        nbytes: Its size.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._buffer: Buffer | None = None

    async def take(self) -> Buffer:
        """Return the memory; see `protocols.Memory`."""
        if self._buffer is None:
            self._buffer = np.empty(self._nbytes, np.uint8)
        return self._buffer

    def drop(self) -> None:
        """Let it go."""
        self._buffer = None
