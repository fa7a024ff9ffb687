"""The planes of a tile in reused memory, and their checksum.

A tile's blocks lie one after the other, little-endian, each in C order, as the store's arrays take them; that is the
order of the checksum.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eezarr.planes import Block
    from eezarr.protocols import Buffer
    from eezarr.store.layout import Target

__all__ = ["ScratchPool", "blocks", "checksum"]


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


def checksum(parts: Sequence[Block]) -> int:
    """Return the CRC32C of C-contiguous little-endian blocks, one after the other."""
    crc = 0
    for part in parts:
        crc = int(google_crc32c.extend(crc, part))
    return crc
