"""Marks: the durable record of which tiles are stored, and the checksum of each.

Pages (see `pages`) lie beside the data under `.eezarr/marks/`, named by their number. Only pages that hold a mark
exist, in memory and in the store, so a plan of a billion tiles costs nothing until it is written.

Rule: a tile is marked after its pixels are stored, and its mark is never more durable than they are: a flush takes the
marks that there are, has all that was written before made durable (see `Location.settle`), and only then writes exactly
those; a mark that is made meanwhile waits for the next flush. A flush replaces whole pages; one process flushes a store
at a time.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from eezarr.store.pages import TILES_PER_PAGE, Page, decode_page, encode_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from eezarr.store.location import Location

__all__ = ["MARKS_PREFIX", "Marks", "Tiled"]

MARKS_PREFIX = ".eezarr/marks"
"""The key prefix of the pages."""


class Tiled(Protocol):
    """What marks need of a plan."""

    @property
    def tile_count(self) -> int:
        """All tiles."""
        ...

    @property
    def cut(self) -> str:
        """What the tiles are counted in: a plan, and the way it is cut. Pages of another cut are ignored."""
        ...


class Marks:
    """Which tiles of a plan are stored; thread-safe.

    Args:
        plan: Whose tiles; its cut names the pages.
        location: The store that they are of.
        prefix: The key prefix of the pages.
    """

    def __init__(self, plan: Tiled, location: Location, prefix: str = MARKS_PREFIX) -> None:
        self._tile_count = plan.tile_count
        self._owner = hashlib.sha256(plan.cut.encode()).digest()
        self._location = location
        self._prefix = prefix
        self._pages: dict[int, Page] = {}
        self._dirty: set[int] = set()
        self._has_added = False
        self._count = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    @classmethod
    def load(cls, plan: Tiled, location: Location, prefix: str = MARKS_PREFIX) -> Self:
        """Read all pages; those that are torn, short or another plan's are ignored: their tiles are missing.

        Raises:
            StoreError: If the store cannot be read.
        """
        marks = cls(plan, location, prefix)
        numbers = {key: key.removeprefix(f"{prefix}/") for key in location.keys(f"{prefix}/")}
        for key, body in location.get_each(key for key, name in numbers.items() if name.isdecimal()):
            marks._absorb(int(numbers[key]), body)
        return marks

    @property
    def count(self) -> int:
        """How many tiles are marked."""
        return self._count

    def mark(self, index: int, checksum: int) -> None:
        """Note a tile as stored, with the CRC32C of its pixels; durable after the next `flush`."""
        number, slot = self._place(index)
        with self._lock:
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = Page()
            self._count += not page.is_marked(slot)
            page.bitmap[slot >> 3] |= 1 << (slot & 7)
            page.checksums[slot] = checksum
            self._dirty.add(number)
            self._has_added = True

    def unmark(self, index: int) -> None:
        """Take a mark back, so that the tile is asked for again; durable after the next `flush`."""
        number, slot = self._place(index)
        with self._lock:
            page = self._pages.get(number)
            if page is None or not page.is_marked(slot):
                return
            page.bitmap[slot >> 3] &= 0xFF ^ (1 << (slot & 7))
            page.checksums[slot] = 0
            self._count -= 1
            self._dirty.add(number)

    def is_marked(self, index: int) -> bool:
        """Return whether a tile is stored."""
        number, slot = self._place(index)
        page = self._pages.get(number)
        return page is not None and page.is_marked(slot)

    def are_marked(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of these tiles are stored, in the shape of `indices`."""
        distinct, inverse = np.unique(indices, return_inverse=True)
        flags = np.fromiter((self.is_marked(int(index)) for index in distinct), np.bool_, len(distinct))
        return flags[inverse].reshape(indices.shape)

    def checksum(self, index: int) -> int | None:
        """Return the CRC32C of a stored tile's pixels, or None if it is not marked."""
        number, slot = self._place(index)
        with self._lock:
            page = self._pages.get(number)
            return int(page.checksums[slot]) if page is not None and page.is_marked(slot) else None

    def missing(self) -> Iterator[range]:
        """Yield the unmarked tiles as ranges, in order; each page is looked at when its turn comes."""
        cursor = 0
        for start, flags in self._touched():
            if cursor < start:
                yield range(cursor, start)
            yield from _runs(~flags, start)
            cursor = start + len(flags)
        if cursor < self._tile_count:
            yield range(cursor, self._tile_count)

    def marked(self) -> Iterator[range]:
        """Yield the marked tiles as ranges, in order; each page is looked at when its turn comes."""
        for start, flags in self._touched():
            yield from _runs(flags, start)

    def flush(self) -> None:
        """Write the pages that changed: after this, neither a crash nor a power cut loses any of their marks.

        Raises:
            StoreError: If a page cannot be written; the next flush tries again.
        """
        with self._flushing:
            with self._lock:
                taken, self._dirty = self._dirty, set()
                has_added, self._has_added = self._has_added, False
                bodies = {
                    f"{self._prefix}/{number}": encode_page(self._pages[number], number=number, owner=self._owner)
                    for number in taken
                }
            if not bodies:
                return
            try:
                # Marks that were taken back vouch for nothing.
                self._location.put_all(bodies, settles=has_added)
            except BaseException:
                with self._lock:
                    self._dirty |= taken
                    self._has_added |= has_added
                raise

    def _absorb(self, number: int, body: bytes) -> None:
        page = decode_page(body, number=number, owner=self._owner)
        if page is None or page.flags()[max(0, self._tile_count - number * TILES_PER_PAGE) :].any():
            return
        self._pages[number] = page
        self._count += page.count()

    def _touched(self) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        with self._lock:
            numbers = sorted(self._pages)
        for number in numbers:
            start = number * TILES_PER_PAGE
            with self._lock:
                flags = self._pages[number].flags()
            yield start, flags[: self._tile_count - start]

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self._tile_count:
            raise IndexError(index)
        return divmod(index, TILES_PER_PAGE)


def _runs(flags: npt.NDArray[np.bool_], start: int) -> Iterator[range]:
    """The true stretches of flags, as ranges that begin to count at `start`."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)) + start
    for first, stop in edges.reshape(-1, 2).tolist():
        yield range(first, stop)
