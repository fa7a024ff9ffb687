"""How many bytes an object of a store can hold at most, so that no more is read than that.

A store may be a stranger's: an object that is larger than its array's chunks can be is damaged, or bait.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.store.arrays import PixelArray

__all__ = ["Bounds", "most_bytes"]

_MOST_BYTES = 1 << 31
"""Of an object that nothing is known of: the documents of a thousand bands, or a column of a million texts."""
_ENTRY_BYTES = 16
"""Of a shard's index, for each chunk."""
_OVERHEAD_BYTES = 1024
"""What a codec adds to a chunk that it cannot make smaller, beside a 128th of it; and a checksum."""


class Bounds:
    """What is known of the objects of a store, by the array that they belong to."""

    def __init__(self) -> None:
        self._by_array: dict[str, int] = {}

    def add(self, array: PixelArray) -> None:
        """Note an array whose objects may be read."""
        self._by_array[array.path] = most_bytes(array)

    def check(self, key: str, size: int) -> None:
        """Refuse an object that is too large.

        Raises:
            ValueError: If it is.
        """
        most = next((self._by_array[path] for path in _paths(key) if path in self._by_array), _MOST_BYTES)
        if size > most:
            raise ValueError(f"{key} has {size} bytes, and no more than {most} can be in it")


def most_bytes(array: PixelArray, *, is_chunk: bool = False) -> int:
    """Return the most bytes that a stored object of an array can have, or one chunk of it."""
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    whole = chunk + chunk // 128 + _OVERHEAD_BYTES
    chunks = 1 if is_chunk or array.shards is None else math.prod(array.shards) // math.prod(array.chunks)
    # Texts are of any length.
    return _MOST_BYTES if array.dtype.kind in "OTU" else chunks * (whole + _ENTRY_BYTES) + _OVERHEAD_BYTES


def _paths(key: str) -> list[str]:
    """The paths of the nodes that an object may belong to, longest first; documents are no array's objects."""
    parts = key.split("/")
    if parts[-1] in {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}:
        return []
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
