"""One tile's pixels, whatever it takes: whole, or in parts if it is too heavy.

Memory: a tile holds one buffer, but none while an attempt waits. In parts, that buffer is where they are put together,
and as many parts' bodies as make up half of the tile are held beside it, no more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.engine.buffers import OwnMemory
from eezarr.engine.splitting import WorkingSize, parts_of
from eezarr.engine.tasks import task_group
from eezarr.errors import TooHeavy
from eezarr.events import TileSplit
from eezarr.plan import record_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.engine.asking import Asker
    from eezarr.events import Observer
    from eezarr.grid import Shape2D
    from eezarr.plan import Tile
    from eezarr.protocols import Memory, Pixels, Source

__all__ = ["TilePixels", "TileReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePixels:
    """A tile's pixels and what they took."""

    pixels: Pixels
    """A view of the buffer that was lent for it."""
    attempts: int
    """Requests made for it, those for all its parts together."""


@dataclass(slots=True, kw_only=True)
class TileReader:
    """Reads tiles for all workers of a job, and remembers for all of them what size works."""

    source: Source
    asker: Asker
    unit: Shape2D
    """A write unit's pixels."""
    body_bytes: Callable[[Tile], int]
    """What the body of a part can take."""
    observe: Observer
    size: WorkingSize = field(default_factory=WorkingSize)

    async def read(self, tile: Tile, memory: Memory) -> TilePixels:
        """Return a tile's pixels in the memory.

        Raises:
            TooHeavy: If even the smallest part is too heavy.
            EezarrError: What the last attempt of a request failed with.
        """
        parts = parts_of(tile, self.size, self.unit)
        refusals = 0
        if len(parts) == 1:
            try:
                answer = await self.asker.ask(f"tile {tile.index}", lambda: self._attempt(tile, memory))
            except TooHeavy as error:
                refusals = error.attempts
                parts = self._smaller(tile, error)
            else:
                return TilePixels(pixels=answer.value, attempts=answer.attempts)
        dtype, shape = record_dtype(tile.wire_bands), tile.window.shape
        buffer = await memory.take()
        whole: Pixels = buffer[: shape.size * dtype.itemsize].view(dtype).reshape(shape.height, shape.width)
        attempts = await self._put_together(tile, parts, whole)
        return TilePixels(pixels=whole, attempts=refusals + attempts)

    async def _attempt(self, tile: Tile, memory: Memory) -> Pixels:
        try:
            return await self.source.read(tile, memory)
        except BaseException:
            memory.drop()
            raise

    async def _put_together(self, tile: Tile, parts: list[Tile], whole: Pixels) -> int:
        """Read parts into their places in the whole; return the requests it took."""
        at_once = asyncio.Semaphore(max(1, len(parts) // 2))
        async with task_group() as group:
            reading = [group.create_task(self._read_part(tile, part, whole, at_once)) for part in parts]
        return sum(task.result() for task in reading)

    async def _read_part(self, tile: Tile, part: Tile, whole: Pixels, at_once: asyncio.Semaphore) -> int:
        refusals = 0
        async with at_once:
            # While it waited, another part may have shown that this one is too heavy.
            smaller = parts_of(part, self.size, self.unit)
            if len(smaller) == 1:
                body = OwnMemory(self.body_bytes(part))
                try:
                    answer = await self.asker.ask(f"part of tile {tile.index}", lambda: self._attempt(part, body))
                except TooHeavy as error:
                    smaller, refusals = self._smaller(part, error), error.attempts
                else:
                    _put(answer.value, part, tile, whole)
                    return answer.attempts
        return refusals + await self._put_together(tile, smaller, whole)

    def _smaller(self, part: Tile, error: TooHeavy) -> list[Tile]:
        """Learn from a refusal, and return what to ask for instead; raises it again if nothing smaller is worth it."""
        self.size.on_too_heavy(part, error)
        parts = parts_of(part, self.size, self.unit)
        if len(parts) == 1:
            raise error
        self.observe(TileSplit(tile=part.index, parts=len(parts), reason=error.message))
        return parts


def _put(pixels: Pixels, part: Tile, tile: Tile, whole: Pixels) -> None:
    """Copy a part's pixels to their place in the tile's."""
    row, col = part.window.row - tile.window.row, part.window.col - tile.window.col
    place = whole[row : row + part.window.height, col : col + part.window.width]
    if len(part.steps) == len(tile.steps):
        place[...] = pixels
    else:
        for band in part.wire_bands:
            place[band.name] = pixels[band.name]
