"""Keepers that are no store: an array in memory, and a queue that an async iterator empties."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from eezarr.planes import unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    import numpy.typing as npt

    from eezarr.engine import Failure
    from eezarr.plan import Field, Plan, Tile
    from eezarr.planes import Block
    from eezarr.protocols import Pixels

__all__ = ["ArrayKeeper", "FetchedTile", "QueueKeeper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedTile:
    """A tile with its pixels; the arrays are the receiver's own."""

    tile: Tile
    """Where they are: `tile.window` in the grid that was asked for, `tile.grid` on the ground, `tile.bands`."""
    pixels: npt.NDArray[np.generic] = field(repr=False)
    """(band, y, x), or (time, band, y, x) of a collection, in the bands' common type."""
    mask: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    """In the same shape, 1 where a pixel is valid; with the mask mode `band` only."""


@dataclass(slots=True, kw_only=True)
class ArrayKeeper:
    """Puts tiles into one array, and their masks, if they are kept, into another."""

    pixels: npt.NDArray[np.generic]
    """(time, band, y, x)"""
    mask: npt.NDArray[np.uint8] | None
    """(time, band, y, x): 1 where a pixel is valid."""
    has_time: bool

    @classmethod
    def empty(cls, plan: Plan) -> Self:
        """Return a keeper with room for a plan."""
        dtype = np.result_type(*(band.dtype for band in plan.bands))
        shape = (plan.step_count, len(plan.bands), plan.grid.height, plan.grid.width)
        mask = np.empty(shape, np.uint8) if plan.masking.mode == "band" else None
        return cls(pixels=np.empty(shape, dtype), mask=mask, has_time=plan.steps is not None)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Copy the tile to its place."""
        window = (tile.window.rows, tile.window.cols)
        unpack(tile, pixels, _planes(tile, self.pixels, self.mask, window))

    @property
    def result(self) -> npt.NDArray[np.generic]:
        """The pixels, without a time axis where there is no time; masked where masks were kept."""
        found = self.pixels if self.mask is None else np.ma.MaskedArray(self.pixels, mask=self.mask == 0)
        return found if self.has_time else found[0]


def _planes(
    tile: Tile,
    pixels: npt.NDArray[np.generic],
    mask: npt.NDArray[np.uint8] | None,
    window: tuple[slice, slice],
    origin: tuple[int, int] = (0, 0),
) -> list[tuple[tuple[Field], Block]]:
    """Each field of a tile with its plane in arrays that begin at a time step and a band."""
    places: list[tuple[tuple[Field], Block]] = []
    for asked in tile.fields:
        into = pixels if asked.kind == "pixels" else mask
        if into is not None:
            places.append(((asked,), into[asked.step - origin[0], asked.band - origin[1]][window]))
    return places


class QueueKeeper:
    """Hands tiles to one consumer, one at a time: nothing is taken before the last one is consumed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[FetchedTile | None] = asyncio.Queue(maxsize=1)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Copy the tile, and wait until there is room for it."""
        shape = (len(tile.steps), len(tile.bands), tile.window.height, tile.window.width)
        own = np.empty(shape, np.result_type(*(band.dtype for band in tile.bands)))
        mask = np.empty(shape, np.uint8) if tile.selection.masking.mode == "band" else None
        whole = (slice(None), slice(None))
        unpack(tile, pixels, _planes(tile, own, mask, whole, (tile.steps.start, tile.first_band)))
        if tile.selection.has_time:
            fetched = FetchedTile(tile=tile, pixels=own, mask=mask)
        else:
            fetched = FetchedTile(tile=tile, pixels=own[0], mask=None if mask is None else mask[0])
        await self._queue.put(fetched)

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
