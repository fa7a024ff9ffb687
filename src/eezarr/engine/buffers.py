"""Reused memory for bodies: one buffer per tile in hand, made when first needed and kept warm."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.protocols import Buffer

__all__ = ["BufferPool"]


class BufferPool:
    """Buffers of one size; as many exist as were ever out at once, which the number of workers bounds.

    Args:
        capacity: Bytes of each.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free: list[Buffer] = []

    @contextmanager
    def borrow(self) -> Iterator[Buffer]:
        """Lend a buffer; the one last returned first, since its pages are still in cache."""
        buffer = self._free.pop() if self._free else np.empty(self._capacity, np.uint8)
        try:
            yield buffer
        finally:
            self._free.append(buffer)
