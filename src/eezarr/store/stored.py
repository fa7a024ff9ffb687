"""A store as it is found: for `status`, `verify`, `preview` and `convert`. Nothing is written."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eezarr.calls import checked_call
from eezarr.errors import ForeignStore, StoreError
from eezarr.planes import unpack
from eezarr.store.arrays import open_arrays
from eezarr.store.failures import is_damage, storage_errors
from eezarr.store.layout import array_specs, targets
from eezarr.store.location import locate
from eezarr.store.marks import Marks
from eezarr.store.overview import overview
from eezarr.store.planar import blocks, tile_checksum
from eezarr.store.reading import read_window
from eezarr.store.record import read_record

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from eezarr.grid import Window
    from eezarr.plan import Plan, Tile
    from eezarr.planes import Block
    from eezarr.protocols import Pixels
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON
    from eezarr.store.overview import Overview
    from eezarr.store.reading import WindowPixels
    from eezarr.store.record import JobRecord

__all__ = ["StoredJob", "open_store", "ready_record"]


class StoredJob:
    """A store that a job began or completed; made by `open_store`."""

    def __init__(self, *, location: Location, record: JobRecord, marks: Marks, arrays: tuple[PixelArray, ...]) -> None:
        self._location = location
        self._record = record
        self._marks = marks
        self._arrays = arrays

    @property
    def url(self) -> str:
        """The path or URL it was opened by."""
        return self._location.url

    @property
    def plan(self) -> Plan:
        """What is stored: grid, bands, layout and tiles."""
        return self._record.plan

    @property
    def fingerprint(self) -> str:
        """The plan's fingerprint when the store was made."""
        return self._record.fingerprint

    @property
    def image(self) -> dict[str, JSON]:
        """What was read, as the job described it."""
        described: dict[str, JSON] = json.loads(self._record.image)
        return described

    @property
    def origin(self) -> str:
        """The service that its pixels come from."""
        return self._record.origin

    @property
    def created(self) -> datetime:
        """When the store was made."""
        return self._record.created

    @property
    def stored_count(self) -> int:
        """How many tiles are stored."""
        return self._marks.count

    @property
    def is_complete(self) -> bool:
        """Whether every tile is stored."""
        return self._marks.count == self.plan.wanted_count

    def missing(self) -> Iterator[int]:
        """Yield the indices of the wanted tiles that are not stored, in order."""
        return filter(self.plan.is_wanted, chain.from_iterable(self._marks.missing()))

    def stored(self) -> Iterator[int]:
        """Yield the indices of the tiles that are stored, in order."""
        return chain.from_iterable(self._marks.marked())

    def read(self, tile: Tile) -> list[Block]:
        """Return a tile's stored pixels and masks, as `targets` of the layout places them, little-endian.

        Raises:
            StoreError: If the storage fails, or a stored object is damaged.
        """
        with storage_errors(self.url, f"read {tile}"):
            return [
                np.ascontiguousarray(self._arrays[place.array][place.window], place.dtype)
                for place in targets(self.plan, tile)
            ]

    def is_equal(self, tile: Tile, pixels: Pixels) -> bool:
        """Return whether a source's pixels of a stored tile are those that were stored, masks and fills included."""
        places = targets(self.plan, tile)
        parts = blocks(places, np.empty(self.plan.tile_bytes, np.uint8))
        unpack(tile, pixels, [(place.fields, part) for place, part in zip(places, parts, strict=True)])
        return self._checksum(tile, parts) == self._marks.checksum(tile.index)

    def is_whole(self, index: int) -> bool:
        """Return whether a stored tile's pixels still have the checksum that they were stored with.

        Raises:
            StoreError: If the storage fails; a damaged object is not a failure but an answer, False.
        """
        tile = self.plan.tile(index)
        try:
            parts = self.read(tile)
        except StoreError as error:
            if is_damage(error):
                return False
            raise
        return self._checksum(tile, parts) == self._marks.checksum(index)

    def verify(self, indices: Iterable[int] | None = None) -> Iterator[Tile]:
        """Yield the stored tiles that are not whole, one tile in memory at a time.

        Args:
            indices: Which stored tiles to look at; all if None.

        Raises:
            StoreError: If the storage fails.
        """
        for index in self.stored() if indices is None else indices:
            if not self.is_whole(index):
                yield self.plan.tile(index)

    def _checksum(self, tile: Tile, parts: Sequence[Block]) -> int:
        return tile_checksum(parts, tile.window.shape, self.plan.layout.chunk)

    def read_window(self, bands: Sequence[str], window: Window, *, step: int = 0) -> WindowPixels:
        """Return some bands' pixels of a window of the grid, and which of them are valid.

        Cost: the chunks that the window touches are read whole, so windows of whole chunks are best.

        Args:
            bands: Names.
            window: Within the plan's grid.
            step: Which time step of a cube, from 0.

        Raises:
            InvalidInput: If a band or time step is not in the store.
            StoreError: If the storage fails.
        """
        return read_window(self.plan, self._arrays, self._marks, bands=bands, window=window, step=step, url=self.url)

    def read_overview(self, bands: Sequence[str], max_side: int, *, step: int = -1) -> Overview:
        """Return every n-th pixel of bands, read with no more memory than the overview and some chunks.

        At most 16 384 chunks of a band are read: a larger region's overview is smaller than `max_side` for it.

        Args:
            bands: Names; each is read by itself.
            max_side: The most pixels of the longer side, at least 1.
            step: Which time step of a cube; negative ones count from the last.

        Raises:
            InvalidInput: If a band or time step is not in the store.
            StoreError: If the storage fails.
        """
        return overview(self.plan, self._arrays, self._marks, bands=bands, max_side=max_side, step=step, url=self.url)


@checked_call
def open_store(output: str | os.PathLike[str]) -> StoredJob:
    """Open the store of a running, broken or completed job, read-only.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If it is not a store that eezarr made.
        StoreError: If it does not exist or the storage fails.
    """
    location = locate(output, read_only=True)
    record = ready_record(location)
    arrays = open_arrays(location, array_specs(record.plan))
    return StoredJob(location=location, record=record, marks=Marks.load(record, location), arrays=arrays)


def ready_record(location: Location) -> JobRecord:
    """Return the record of a store that can be read.

    Raises:
        ForeignStore: If there is none.
        StoreError: If a run that was broken off has to go on first, or the storage fails.
    """
    record = read_record(location)
    if record is None or not record.is_ready:
        raise ForeignStore(
            f"{location.url} holds no pixels that eezarr stored.",
            hint="Check the path; if a fetch was just broken off, run it again.",
        )
    if record.is_growing:
        raise StoreError(
            f"{location.url} was broken off while its time axis was lengthened.",
            hint="Run the fetch again: it goes on from there.",
        )
    return record
