"""From an answer's interleaved pixels to planes: band by band, in reused memory, with their checksum.

The copy is made by blocks of rows that stay in the processor's cache: up to 2 times the speed of whole-image field
copies at 12 bands and more, the same at 4. The planes of a tile lie one after the other, little-endian, each in C
order; this is the canonical order of the checksum, whatever the layout of the store.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from eezarr.plan import Tile
    from eezarr.protocols import Buffer, Pixels

__all__ = ["Block", "ScratchPool", "blocks", "checksum", "deinterleave"]

Block: TypeAlias = "npt.NDArray[np.generic]"
"""(height, width) pixels of one band, or (band, height, width) of several."""

_BLOCK_BYTES = 512 << 10
"""Of source pixels: 256-512 KiB is best, 32 KiB is slower than no blocks at all (measured)."""


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


def blocks(tile: Tile, buffer: Buffer, *, is_stacked: bool) -> list[Block]:
    """Return views of a buffer's start for a tile's pixels: (height, width) a band, or one (band, height, width)."""
    shape = (tile.window.height, tile.window.width)
    if is_stacked:
        return [np.ndarray((len(tile.bands), *shape), tile.bands[0].wire_dtype, buffer)]
    views: list[Block] = []
    offset = 0
    for band in tile.bands:
        view: Block = np.ndarray(shape, band.wire_dtype, buffer, offset)
        views.append(view)
        offset += view.nbytes
    return views


def deinterleave(pixels: Pixels, into: Sequence[Block]) -> None:
    """Copy each field of (height, width) structured pixels into its plane of the blocks."""
    height, width = pixels.shape
    layers = [layer for block in into for layer in (block if block.ndim == 3 else (block,))]
    names = pixels.dtype.names or ()
    step = max(1, _BLOCK_BYTES // (width * pixels.dtype.itemsize))
    for row in range(0, height, step):
        block = pixels[row : row + step]
        for name, plane in zip(names, layers, strict=True):
            plane[row : row + step] = block[name]


def checksum(parts: Sequence[Block]) -> int:
    """Return the CRC32C of C-contiguous little-endian blocks, one after the other."""
    crc = 0
    for part in parts:
        crc = int(google_crc32c.extend(crc, part))
    return crc
