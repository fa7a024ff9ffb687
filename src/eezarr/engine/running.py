"""Runs the tiles of a job: so many workers, each taking the next tile, asking, storing, and taking the next.

A worker holds one buffer at most, from the beginning of an answer on, and it goes on only when its tile is stored: when
the store is slow no more buffers are lent, and soon nothing more is asked for. That is all the backpressure there is,
and all the memory.

One tile's failure is the tile's; the others go on, and the failure is reported. A failure that asking again may help is
tried once more when all other tiles have been asked for. Failures that would be every tile's end the job at once:

1. refused credentials, a full disk, a service that cannot be reached at all;
2. whatever fails for good before any tile of the job succeeded, in this run or an earlier one. But that a tile is too
   large for one request says nothing about the next: only some in a row do;
3. a permanent answer that comes for some tiles in a row, and then for a tile, too, that came before.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, Protocol

import tenacity

from eezarr.engine.buffers import BufferPool
from eezarr.engine.tasks import task_group
from eezarr.errors import AccessDenied, EezarrError, Outage, Retryable, ServiceRefusal, StoreError, TooHeavy
from eezarr.events import TileFailed, TilePostponed, TileStored
from eezarr.threads import nicer_threads, to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    from eezarr.engine.reading import TileReader
    from eezarr.events import Observer
    from eezarr.plan import Tile
    from eezarr.protocols import Pixels, Sink

P = ParamSpec("P")

__all__ = ["Failure", "Keeper", "ThreadedKeeper", "run_tiles"]

FLUSH_INTERVAL_S = 1.0
"""Marks are made durable this often: after a crash, at most this many seconds' tiles are asked for again."""

STORE_ATTEMPTS = 5
"""Tries of a write that the storage refuses for a moment; object stores' own clients have tried for minutes before."""


DENIED_IN_A_ROW = 3
"""Tiles that the service rejects for good, one after the other, before a tile that came is asked for again to see
whether it is every tile's."""

TOO_COSTLY = 5
"""Tiles of which even the smallest part is too costly, before any succeeded, show that it is every tile's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A tile that is missing, and why."""

    tile: Tile
    error: EezarrError


class Keeper(Protocol):
    """Takes a tile's pixels, and returns when they may be overwritten."""

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Take the pixels; raises `StoreError` if they cannot be kept."""
        ...


async def run_tiles(
    tiles: Iterable[Tile],
    *,
    reader: TileReader,
    keeper: Keeper,
    workers: int,
    buffer_bytes: int,
    observe: Observer,
    successes: int = 0,
    is_busy: Callable[[], bool] = lambda: False,
) -> list[Failure]:
    """Ask for all tiles and hand each to the keeper; return those that failed, in the order they did.

    Args:
        tiles: Taken one at a time, never listed.
        reader: Gets a tile's pixels.
        keeper: Takes them.
        workers: Tiles in hand at once; more than the gate admits, so that some are stored while others are out.
        buffer_bytes: What the largest body takes.
        observe: Told of each tile's end.
        successes: Tiles of the same job that earlier runs had: with one, a refusal is not every tile's.
        is_busy: Tells whether to receive more at once would gain nothing, for what has come is not worked off.

    Raises:
        AccessDenied: If credentials, project or permission are refused for every tile.
        StoreError: At the first tile that cannot be kept.
        ServiceRefusal: If the service rejects a tile for good before any tile succeeded.
        Unreachable: If no tile succeeded and the service cannot be reached; `Outage` if it could be, and then could not
            for as long as the reader waits.
    """
    run = _Run(
        tiles=iter(tiles),
        reader=reader,
        keeper=keeper,
        pool=BufferPool(buffer_bytes, is_busy=is_busy),
        observe=observe,
        failures=[],
        successes=successes,
    )
    async with task_group() as group:
        for _ in range(workers):
            group.create_task(run.work())
    return run.failures


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late:
    """A tile that waits until all others have been asked for."""

    tile: Tile
    error: Retryable
    """What it failed with."""
    losses: int
    """Outages before that. The first failures in an outage come before it is known to be one."""
    is_first: bool
    """Whether it has not been asked for late."""


@dataclass(slots=True, kw_only=True)
class _Run:
    tiles: Iterator[Tile]
    reader: TileReader
    keeper: Keeper
    pool: BufferPool
    observe: Observer
    failures: list[Failure]
    successes: int
    postponed: deque[_Late] = field(default_factory=deque)
    """Tiles that failed, and may be asked for once more."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a tile that came before is asked for again."""
    in_a_row: int = 0
    """Tiles that failed for good since the last one that succeeded."""

    async def work(self) -> None:
        for tile in self.tiles:
            await self._try(tile)
        while self.postponed:
            late = self.postponed.popleft()
            if (late.is_first and self.reader.retries) or self.reader.losses > late.losses:
                await self._try(late.tile, late)
            else:
                self._fail(late.tile, late.error)

    async def _try(self, tile: Tile, late: _Late | None = None) -> None:
        """Fetch a tile, and take its failure, unless it is every tile's."""
        earlier_attempts = 0 if late is None else late.error.attempts
        try:
            await self._fetch(tile)
        except Outage:
            raise
        except Retryable as error:
            if not self.successes:
                raise
            error.attempts += earlier_attempts
            if self.reader.is_patient:
                self._postpone(_Late(tile=tile, error=error, losses=self.reader.losses, is_first=late is None))
            else:
                self._fail(tile, error)
        except (AccessDenied, ServiceRefusal) as error:
            error.attempts += earlier_attempts
            await self._on_rejected(tile, error)

    async def _on_rejected(self, tile: Tile, error: AccessDenied | ServiceRefusal) -> None:
        """Take a tile's failure for good, unless it is every tile's."""
        self.in_a_row += 1
        is_account = isinstance(error, AccessDenied) and error.scope == "account"
        is_one_of_few = isinstance(error, TooHeavy) and self.in_a_row < TOO_COSTLY
        if is_account or not (self.successes or is_one_of_few):
            raise error
        is_time_to_look = self.in_a_row % DENIED_IN_A_ROW == 0 and not isinstance(error, TooHeavy)
        async with self.looking:  # others that are rejected meanwhile wait for what is found
            if is_time_to_look and self.reader.has_come:
                await self._require_example()
        self._fail(tile, error)

    async def _require_example(self) -> None:
        """Check that a tile that came before still would.

        Raises:
            EezarrError: If it is refused, too: then all are.
        """
        with suppress(Retryable):
            await self.reader.read_example()

    def _postpone(self, late: _Late) -> None:
        tile, error = late.tile, late.error
        _let_go(error)
        self.postponed.append(late)
        if late.is_first:
            told = TilePostponed(tile=tile.index, where=str(tile), error=error.message, attempts=error.attempts)
            self.observe(told)

    def _fail(self, tile: Tile, error: EezarrError) -> None:
        _let_go(error)
        self.failures.append(Failure(tile=tile, error=error))
        self.observe(TileFailed(tile=tile.index, where=str(tile), error=error.message, attempts=error.attempts))

    async def _fetch(self, tile: Tile) -> None:
        clock = asyncio.get_running_loop().time
        start_s = clock()
        with self.pool.loan() as loan:
            had = await self.reader.read(tile, loan)
            loan.on_filled()
            self.successes += 1
            self.in_a_row = 0
            await self.keeper.keep(tile, had.pixels)
            size = had.pixels.nbytes
        self.observe(
            TileStored(
                tile=tile.index,
                pixel_bytes=tile.pixel_bytes,
                attempts=had.attempts,
                seconds=clock() - start_s,
                body_bytes=size,
            )
        )


def _let_go(error: EezarrError) -> None:
    """Drop the frames that an error came through: they hold 12 kB (measured), and a job can have many failures."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


@dataclass(slots=True)
class ThreadedKeeper:
    """A `Sink` behind a few threads: encoding and writing leave the loop free.

    What the storage refuses for a moment is tried again a few times, in the thread, where nobody else waits.
    """

    sink: Sink
    executor: ThreadPoolExecutor
    sleep: Callable[[float], None] = time.sleep
    """Waits between tries, in the writer's thread; tests replace it."""

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Write the tile in a thread. Cancelled, it still waits for the write, which reads the caller's buffer."""
        loop = asyncio.get_running_loop()
        await to_its_end(loop.run_in_executor(self.executor, self._persist, self.sink.write, tile, pixels))

    def flush(self) -> None:
        """Flush the sink's notes; blocks."""
        self._persist(self.sink.flush)

    def _persist(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, StoreError) and error.is_transient),
            stop=tenacity.stop_after_attempt(STORE_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            sleep=self.sleep,
            reraise=True,
        )
        retrying(work, *args, **kwargs)

    @classmethod
    @asynccontextmanager
    async def over(cls, sink: Sink, *, threads: int) -> AsyncIterator[ThreadedKeeper]:
        """Open the threads; flush the sink's notes every second, and at the end however the body ends.

        Raises:
            StoreError: If a flush fails: what was stored since the last one would be asked for again.
        """
        with nicer_threads(threads, "write") as executor:
            keeper = cls(sink, executor)
            try:
                async with task_group() as group:
                    flushing = group.create_task(keeper.flush_regularly())
                    yield keeper
                    flushing.cancel()
            finally:
                # Cancelled before a thread takes it up, a flush would never be made.
                await to_its_end(asyncio.get_running_loop().run_in_executor(executor, keeper.flush))

    async def flush_regularly(self) -> None:
        """Flush every second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await asyncio.to_thread(self.flush)
