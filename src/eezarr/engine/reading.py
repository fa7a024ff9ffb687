"""One tile's pixels, whatever it takes: whole, or in parts if it is too large for one request.

Memory: a tile holds one buffer, but none while an attempt waits. In parts, that buffer is where they are put together,
and as many parts' bodies as make up half of the tile are held beside it, no more.

After a rejection one request proves the new size before any other of the job is sent: where a size is rejected for
every part, a job would otherwise send as many in vain as it has slots, at each size on the way down.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from eezarr.engine.buffers import OwnMemory
from eezarr.engine.contact import Contact
from eezarr.engine.splitting import WorkingSize, parts_of
from eezarr.engine.tasks import task_group
from eezarr.errors import TooHeavy
from eezarr.events import TileSplit
from eezarr.grid import Window
from eezarr.plan import record_dtype

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


_COSTLY = "Simplify the expression, or compute fewer images or dates at a time; exports have more memory and time."


class _Proof:
    """Lets one request at a time try a size that no request has succeeded with, and all others wait for it."""

    def __init__(self) -> None:
        self._is_due = False
        self._trying = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, *, is_large: bool) -> AsyncIterator[bool]:
        """Hold a turn to ask; it says whether that proves the size.

        Args:
            is_large: Whether the request is about as large as the size admits: a smaller one proves nothing.
        """
        if self._is_due and is_large:
            async with self._trying:
                if self.is_due():
                    yield True
                    return
        yield False

    def is_due(self) -> bool:
        """Return whether no request of the size has succeeded yet."""
        return self._is_due

    def on_learnt(self) -> None:
        """Note that the size is another one."""
        self._is_due = True

    def on_proved(self) -> None:
        """Note that a request of the size has succeeded."""
        self._is_due = False


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
    """What one request may ask for; the caller's, and changed here."""
    note: Callable[[WorkingSize], None] = lambda _: None
    """Keeps the size for later runs; told whenever it has changed."""
    patience_s: float | None = None
    """How long to wait while nothing at all can be reached; None: each request has its attempts and no more."""
    _proof: _Proof = field(default_factory=_Proof)
    has_come: bool = False
    """Whether any tile has come."""
    _example: Tile | None = None
    """A tile that came, or, before any has, one that was asked for."""
    _known: dict[str, int] = field(default_factory=dict)
    """The size that the last tile came with, or, before any has, the one to begin with."""

    def __post_init__(self) -> None:
        self._known = self.size.facts
        if self.patience_s is not None:
            asker = self.asker
            contact = Contact(
                patience_s=self.patience_s,
                policy=asker.policy,
                probe=self.read_example,
                is_in_contact=asker.is_in_contact,
                observe=self.observe,
                sleep=asker.sleep,
            )
            self.asker = replace(asker, contact=contact)

    @property
    def is_patient(self) -> bool:
        """Whether requests wait while nothing at all can be reached."""
        return self.asker.contact is not None

    @property
    def retries(self) -> bool:
        """Whether a request may have more than one attempt."""
        return self.asker.policy.attempts > 1

    @property
    def losses(self) -> int:
        """Outages so far."""
        return 0 if self.asker.contact is None else self.asker.contact.losses

    async def read(self, tile: Tile, memory: Memory) -> TilePixels:
        """Return a tile's pixels in the memory.

        Raises:
            TooHeavy: If even the smallest part is too heavy.
            EezarrError: What the last attempt of a request failed with.
        """
        if self._example is None:
            self._example = tile
        parts = parts_of(tile, self.size, self.unit)
        rejections = 0
        if len(parts) == 1:
            async with self._proof.turn(is_large=self.size.is_reached_by(tile)) as is_proving:
                # While it waited, a smaller size may have been proved.
                parts = parts_of(tile, self.size, self.unit)
                if len(parts) == 1:
                    try:
                        answer = await self.asker.ask(f"tile {tile.index}", lambda: self._attempt(tile, memory))
                    except TooHeavy as error:
                        rejections = error.attempts
                        parts = self._smaller(tile, error)
                    else:
                        self._on_come(tile)
                        if is_proving:
                            self._on_proved()
                        return TilePixels(pixels=answer.value, attempts=answer.attempts)
        dtype, shape = record_dtype(tile.wire_bands), tile.window.shape
        buffer = await memory.take()
        whole: Pixels = buffer[: shape.size * dtype.itemsize].view(dtype).reshape(shape.height, shape.width)
        attempts = await self._put_together(tile, parts, whole)
        self._on_come(tile)
        return TilePixels(pixels=whole, attempts=rejections + attempts)

    async def read_example(self) -> None:
        """Ask once for one pixel of a tile that came before: a request that has nothing to fail for of its own.

        Raises:
            EezarrError: What it failed with.
        """
        assert self._example is not None, "nothing has been asked for"
        window = self._example.window
        pixel = self._example.at(Window(row=window.row, col=window.col, height=1, width=1))
        body = OwnMemory(self.body_bytes(pixel))
        await self.asker.ask_once(f"one pixel of tile {pixel.index}", lambda: self._attempt(pixel, body))

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
        attempts, waiting = 0, [part]
        async with at_once, self._proof.turn(is_large=self.size.is_reached_by(part)) as is_proving:
            # One that proves goes on until a part of its own has come; all others wait, and are not cut before that.
            while waiting:
                first = waiting[0]
                smaller = parts_of(first, self.size, self.unit)
                if len(smaller) == 1:
                    body = OwnMemory(self.body_bytes(first))
                    try:
                        answer = await self.asker.ask(f"part of tile {tile.index}", partial(self._attempt, first, body))
                    except TooHeavy as error:
                        attempts += error.attempts
                        smaller = self._smaller(first, error)
                    else:
                        _put(answer.value, first, tile, whole)
                        attempts, smaller = attempts + answer.attempts, []
                        if is_proving:
                            self._on_proved()
                waiting[:1] = smaller
                if not (is_proving and smaller):
                    break
        return attempts + (await self._put_together(tile, waiting, whole) if waiting else 0)

    def _on_come(self, tile: Tile) -> None:
        self.has_come, self._example = True, tile
        if not self._proof.is_due():
            self._known = self.size.facts

    def _on_proved(self) -> None:
        self._proof.on_proved()
        if self.size.on_proved():
            self._proof.on_learnt()
            self.note(self.size)

    def _on_hopeless(self) -> None:
        """Note that a tile is too costly at any size."""
        self.size.on_hopeless(self._known, is_working=self.has_come)
        if self.has_come:
            self._proof.on_proved()
            self.note(self.size)
        else:  # as far as is known nothing works: a later run shall find out for itself
            self.note(WorkingSize(max_bytes=self.size.max_bytes, max_side=self.size.max_side))

    def _smaller(self, part: Tile, error: TooHeavy) -> list[Tile]:
        """Learn from a rejection, and return what to ask for instead.

        Raises:
            TooHeavy: If nothing smaller is worth asking for.
        """
        if self.size.on_too_heavy(part, error):
            self._proof.on_learnt()
            self.note(self.size)
        parts = parts_of(part, self.size, self.unit)
        if len(parts) == 1:
            self._on_hopeless()
            shape, count = part.window.shape, len(part.bands)
            asked = f"{shape.height} x {shape.width} pixels of {count} {'band' if count == 1 else 'bands'}"
            smallest = TooHeavy(f"Even {asked} are too much for one request: {error.message}", hint=_COSTLY)
            smallest.attempts = error.attempts
            raise smallest from error
        self.observe(TileSplit(tile=part.index, parts=len(parts), reason=error.message))
        return parts


def _put(pixels: Pixels, part: Tile, tile: Tile, whole: Pixels) -> None:
    """Copy a part's pixels to their coordinates in the tile's."""
    row, col = part.window.row - tile.window.row, part.window.col - tile.window.col
    target = whole[row : row + part.window.height, col : col + part.window.width]
    if len(part.steps) == len(tile.steps) and len(part.bands) == len(tile.bands):
        target[...] = pixels
    else:
        for band in part.wire_bands:
            target[band.name] = pixels[band.name]
