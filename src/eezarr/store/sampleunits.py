"""Stored objects of samples while they fill: a shard's samples in memory, until all are there and it is written once.

Law: a stored object is written whole, by one thread at a time, and only then are its samples marked. One that is
written before it is full, at the end of a run or to make room, is read back when the next of its samples comes; what
cannot be read back is damaged, and its samples are missing.

Memory: samples are asked for in stored order, so few objects are open; where stragglers hold more open than there is
room for, the first is written as it is.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import StoreError
from eezarr.planes import unpack
from eezarr.store.chunks import unread_array
from eezarr.store.failures import is_damage, storage_errors
from eezarr.store.planar import checksum
from eezarr.store.sampleform import blank_blocks, slot_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eezarr.plan import Tile
    from eezarr.planes import Block
    from eezarr.protocols import Pixels
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.sampleform import SampleForm

__all__ = ["OpenUnit", "SampleUnits"]


class OpenUnit:
    """One stored object of each array, in memory; guarded by its own lock."""

    __slots__ = ("arrived", "blocks", "is_closed", "lock", "samples")

    def __init__(self, samples: range) -> None:
        self.samples = samples
        """The samples that it is of."""
        self.blocks: tuple[Block, ...] = ()
        """Their pixels, masks and labels; empty until the first comes."""
        self.arrived: dict[int, int] = {}
        """Samples that are here and not stored yet, with the checksums of their pixels."""
        self.is_closed = False
        """Whether it was written, and is no longer looked at."""
        self.lock = threading.RLock()


class SampleUnits:
    """The open stored objects of a plan; thread-safe.

    Args:
        form: What the arrays are like.
        arrays: Where they are stored.
        location: The store.
        most: How many may be open beside the one that is written to.
        is_stored: Whether a sample is in the store.
        is_settled: Whether nothing more will come of any of these samples, as far as is known.
        on_stored: Told of a unit whose arrived samples are stored; its blocks still hold them.
        on_lost: Told of a stored sample that cannot be read back.
    """

    def __init__(
        self,
        *,
        form: SampleForm,
        arrays: tuple[PixelArray, ...],
        location: Location,
        most: int,
        is_stored: Callable[[int], bool],
        is_settled: Callable[[range], bool],
        on_stored: Callable[[OpenUnit], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._form = form
        self._arrays = arrays
        self._unread = tuple(unread_array(array, location) for array in arrays)
        self._location = location
        self._most = most
        self._is_stored = is_stored
        self._is_settled = is_settled
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._open: dict[int, OpenUnit] = {}
        self._lock = threading.Lock()

    def take(self, tile: Tile, pixels: Pixels, note: Callable[[int], None]) -> None:
        """Take a sample's pixels, and store what is full by them.

        Args:
            tile: The sample.
            pixels: What came for it; may be overwritten on return.
            note: Told of the sample once it is in memory, before what is settled is looked at.

        Raises:
            StoreError: If something cannot be stored. The sample is in memory still, and may be taken again.
        """
        with self._unit(tile.index // self._form.layout.unit) as unit:
            slot = tile.index - unit.samples.start
            unpack(tile, pixels, slot_parts(self._form, unit.blocks, slot, tile))
            unit.arrived[tile.index] = checksum([block[slot] for block in unit.blocks])
            note(tile.index)
            if self._is_settled(unit.samples):
                self._store(unit)
        while (first := self._surplus()) is not None:
            self._close(first)

    def store_settled(self) -> None:
        """Store what nothing more will come of.

        Raises:
            StoreError: If it cannot be stored.
        """
        for unit in self._snapshot():
            if self._is_settled(unit.samples):
                self._close(unit)

    def store_all(self) -> None:
        """Store all that is open, full or not.

        Raises:
            StoreError: If it cannot be stored.
        """
        for unit in self._snapshot():
            self._close(unit)

    @contextmanager
    def _unit(self, number: int) -> Iterator[OpenUnit]:
        """Lend a stored object to one thread, with what is stored of it in memory."""
        while True:
            with self._lock:
                unit = self._open.get(number)
                if unit is None:
                    first = number * self._form.layout.unit
                    last = min(first + self._form.layout.unit, self._form.count)
                    unit = self._open[number] = OpenUnit(range(first, last))
            with unit.lock:
                if unit.is_closed:
                    continue
                if not unit.blocks:
                    unit.blocks = self._loaded(unit.samples)
                yield unit
                return

    def _loaded(self, samples: range) -> tuple[Block, ...]:
        blocks = blank_blocks(self._form, len(samples))
        stored = [sample for sample in samples if self._is_stored(sample)]
        if stored and not self._read_back(stored, samples, blocks):
            for sample in stored:
                if not self._read_back(
                    [sample], range(sample, sample + 1), [block[sample - samples.start :] for block in blocks]
                ):
                    self._on_lost(sample)
        return blocks

    def _read_back(self, stored: list[int], samples: range, blocks: Sequence[Block]) -> bool:
        """Read the stored ones of consecutive samples into blocks; return whether all of them could be."""
        slots = np.array(stored) - samples.start
        try:
            with storage_errors(self._location.url, f"read samples {samples.start} to {samples.stop - 1}"):
                found = [np.asarray(array[samples.start : samples.stop])[slots] for array in self._arrays]
        except StoreError as error:
            if is_damage(error):
                return False
            raise
        for block, patches in zip(blocks, found, strict=True):
            block[slots] = patches
        return True

    def _store(self, unit: OpenUnit) -> None:
        """Write a unit, and forget it; the caller holds its lock."""
        if unit.arrived:
            samples = unit.samples
            with self._location.writing():
                with storage_errors(self._location.url, f"write samples {samples.start} to {samples.stop - 1}"):
                    for array, block in zip(self._unread, unit.blocks, strict=True):
                        array[samples.start : samples.stop] = block
                self._on_stored(unit)
        unit.is_closed = True
        with self._lock:
            self._open.pop(unit.samples.start // self._form.layout.unit)

    def _close(self, unit: OpenUnit) -> None:
        with unit.lock:
            if not unit.is_closed:
                self._store(unit)

    def _surplus(self) -> OpenUnit | None:
        """The first stored object, if more are open than there is room for."""
        with self._lock:
            return self._open[min(self._open)] if len(self._open) > self._most else None

    def _snapshot(self) -> list[OpenUnit]:
        with self._lock:
            return [self._open[number] for number in sorted(self._open)]
