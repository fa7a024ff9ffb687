"""The planes of a tile in reused memory, and their checksum.

A tile is worked on cell by cell, a cell being a chunk's rows and columns with all bands and time steps: what is taken
apart is checked and encoded while it is still in the processor's cache. That is the order of the checksum, too.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eezarr.grid import Shape2D
    from eezarr.planes import Block
    from eezarr.protocols import Buffer
    from eezarr.store.layout import Target

__all__ = ["ScratchPool", "blocks", "cells", "checksum", "tile_checksum"]


class ScratchPool:
    """Reused buffers of one size: as many as threads write at once, since fresh ones cost page faults.

    Args:
        nbytes: Size of each buffer.
        is_reusing: False for a store that keeps the memory it is given: each buffer is then a fresh one.
    """

    def __init__(self, nbytes: int, *, is_reusing: bool = True) -> None:
        self._nbytes = nbytes
        self._is_reusing = is_reusing
        self._idle: deque[Buffer] = deque()

    @contextmanager
    def borrow(self) -> Iterator[Buffer]:
        """Lend a buffer for the block.

        After an error it is not lent again: Zarr may still be encoding other chunks of the failed write from it.
        """
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = np.empty(self._nbytes, np.uint8)
        yield buffer
        if self._is_reusing:
            self._idle.append(buffer)


def blocks(places: Sequence[Target], buffer: Buffer) -> list[Block]:
    """Return views of a buffer's start for a tile's pixels, one a target, one after the other."""
    views: list[Block] = []
    offset = 0
    for place in places:
        view: Block = np.ndarray(place.shape, place.dtype, buffer, offset)
        views.append(view)
        offset += view.nbytes
    return views


def cells(tile: Shape2D, chunk: Shape2D) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each cell of a tile that begins where a chunk does."""
    for row, col in product(range(0, tile.height, chunk.height), range(0, tile.width, chunk.width)):
        yield slice(row, min(row + chunk.height, tile.height)), slice(col, min(col + chunk.width, tile.width))


def checksum(parts: Sequence[Block], crc: int = 0) -> int:
    """Return the CRC32C of little-endian blocks, each in C order, one after the other and after what `crc` is of."""
    for part in parts:
        crc = int(google_crc32c.extend(crc, np.ascontiguousarray(part)))
    return crc


def tile_checksum(parts: Sequence[Block], tile: Shape2D, chunk: Shape2D) -> int:
    """Return the checksum of a tile's blocks: that of its cells' blocks, cell by cell."""
    crc = 0
    for rows, cols in cells(tile, chunk):
        crc = checksum([part[..., rows, cols] for part in parts], crc)
    return crc
