"""Keepers that are no store: an array in memory, and a queue that an async iterator empties."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    import numpy.typing as npt

    from eezarr.engine import Failure
    from eezarr.plan import Plan, Tile
    from eezarr.protocols import Pixels

__all__ = ["ArrayKeeper", "FetchedTile", "QueueKeeper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedTile:
    """A tile with its pixels; the array is the receiver's own."""

    tile: Tile
    """Where they are: `tile.window` in the grid that was asked for, `tile.grid` on the ground, `tile.bands`."""
    pixels: npt.NDArray[np.generic] = field(repr=False)
    """(band, y, x), in the bands' common type."""


@dataclass(slots=True)
class ArrayKeeper:
    """Puts tiles into one array (band, y, x)."""

    pixels: npt.NDArray[np.generic]

    @classmethod
    def empty(cls, plan: Plan) -> Self:
        """Return a keeper with room for a plan."""
        dtype = np.result_type(*(band.dtype for band in plan.bands))
        return cls(np.empty((len(plan.bands), plan.grid.height, plan.grid.width), dtype))

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Copy the tile to its place."""
        for offset, band in enumerate(tile.bands):
            self.pixels[tile.first_band + offset, tile.window.rows, tile.window.cols] = pixels[band.name]


class QueueKeeper:
    """Hands tiles to one consumer, one at a time: nothing is taken before the last one is consumed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[FetchedTile | None] = asyncio.Queue(maxsize=1)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Copy the tile, and wait until there is room for it."""
        dtype = np.result_type(*(band.dtype for band in tile.bands))
        own = np.stack([pixels[band.name] for band in tile.bands], dtype=dtype)
        await self._queue.put(FetchedTile(tile=tile, pixels=own))

    async def end_after(self, job: Coroutine[None, None, list[Failure]]) -> list[Failure]:
        """Run the job that fills the queue; its end, however it ends, ends the iteration."""
        try:
            failures = await job
        except BaseException:
            # The consumer may be gone and the queue full: waiting for room would wait for ever.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(None)
            raise
        await self._queue.put(None)
        return failures

    async def __aiter__(self) -> AsyncIterator[FetchedTile]:
        """Yield tiles until the job has ended."""
        while (fetched := await self._queue.get()) is not None:
            yield fetched
