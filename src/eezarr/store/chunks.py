"""Writing whole chunks to a local disk: encoded in the caller's thread and put in place, without Zarr's event loop.

What is written is what Zarr writes, byte for byte: the same codecs of the same library, the same keys, a temporary file
and a rename. What is saved are four hops between threads a chunk, and copies: with our own copy and checksum 45 % of
the CPU at 4 bands and 12, zarr 3.1.6 (measured; zarr's fused pipeline, from 3.3 on, comes within a third of it). Shards
and object stores go through Zarr.

Rule: a block covers whole chunks, or reaches the array's edge, where a chunk is filled up as Zarr fills it. What is
written whole is never read before: Zarr reads the index of a shard that is there even where the write covers all of it,
so a damaged one could never be replaced.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import zarr
from numcodecs import Blosc, Zstd
from zarr.abc.store import Store
from zarr.storage import WrapperStore

from eezarr.store.disk import DiskStore
from eezarr.store.tuning import tuned_zarr

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer as ZarrBuffer
    from zarr.core.buffer import BufferPrototype

    from eezarr.plan.model import Compressor
    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location

__all__ = ["BLOSC_LEVEL", "ZSTD_LEVEL", "ChunkWriter", "chunk_writer", "is_bitwise", "unread_array"]

BLOSC_LEVEL = 5
ZSTD_LEVEL = 1
"""Level 3 compresses reflectance 4 % better and takes 3.5 times the CPU (measured)."""

_DOCUMENTS = {"zarr.json", ".zarray", ".zattrs"}


class ChunkWriter:
    """Writes chunks of one array without shards; thread-safe for chunks that differ. Made by `chunk_writer`."""

    def __init__(self, array: PixelArray, disk: DiskStore, compressor: Compressor) -> None:
        self._disk = disk
        self._prefix = f"{array.path}/" if array.path else ""
        self._key: Callable[[tuple[int, ...]], str] = array.metadata.encode_chunk_key
        self._chunk = array.chunks
        self._padding = np.asarray(array.fill_value if array.fill_value is not None else 0, array.dtype)
        self._encode = _encoder(compressor, array.dtype.itemsize)

    def write(self, window: tuple[slice, ...], block: Block) -> None:
        """Write a block that covers a window.

        Raises:
            OSError: If a chunk cannot be written; chunks before it are.
        """
        spans = [
            [(number, number * side - span.start) for number in range(span.start // side, -(-span.stop // side))]
            for span, side in zip(window, self._chunk, strict=True)
        ]
        for chunk in product(*spans):
            part = block[tuple(slice(at, at + side) for (_, at), side in zip(chunk, self._chunk, strict=True))]
            key = self._key(tuple(number for number, _ in chunk))
            self._disk.write(f"{self._prefix}{key}", self._encode(self._whole(part)))

    def _whole(self, part: Block) -> Block:
        if part.shape == self._chunk:
            return np.ascontiguousarray(part)
        whole = np.full(self._chunk, self._padding, part.dtype)
        whole[tuple(map(slice, part.shape))] = part
        return whole


class _UnreadStore(WrapperStore[Store]):
    """A store in which Zarr finds documents and no chunk."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> ZarrBuffer | None:
        """Return a document's bytes; None for a chunk, whatever is there."""
        if key.rpartition("/")[2] not in _DOCUMENTS:
            return None
        return await self._store.get(key, prototype, byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> ZarrBuffer | None:
        """Do as `get` does, where Zarr (from 3.3 on) reads files in its own thread."""
        if key.rpartition("/")[2] not in _DOCUMENTS or not isinstance(self._store, DiskStore):
            return None
        return self._store.get_sync(key, prototype=prototype, byte_range=byte_range)


def chunk_writer(array: PixelArray, location: Location, compressor: Compressor) -> ChunkWriter | None:
    """Return a writer of an array's chunks, or None where Zarr has to write them."""
    if not isinstance(location.store, DiskStore) or array.shards is not None:
        return None
    return ChunkWriter(array, location.store, compressor)


def unread_array(array: PixelArray, location: Location) -> PixelArray:
    """Return an array for writing whole chunks and shards by Zarr, which does not read what is there before."""
    with tuned_zarr():
        return zarr.open_array(
            _UnreadStore(location.store), path=array.path, mode="r+", zarr_format=array.metadata.zarr_format
        )


def is_bitwise(itemsize: int) -> bool:
    """Return whether Blosc shuffles bits, which pays for 1- and 2-byte types, rather than bytes."""
    return itemsize <= 2


def _encoder(compressor: Compressor, itemsize: int) -> Callable[[Block], Buffer]:
    if compressor == "none":
        return lambda chunk: chunk.data
    if compressor == "zstd":
        zstd: Callable[[Block], Buffer] = Zstd(level=ZSTD_LEVEL).encode
        return zstd
    shuffle = Blosc.BITSHUFFLE if is_bitwise(itemsize) else Blosc.SHUFFLE
    blosc: Callable[[Block], Buffer] = Blosc(cname="lz4", clevel=BLOSC_LEVEL, shuffle=shuffle, blocksize=0).encode
    return blosc
