"""What one request may ask for, as far as the service has said: kept beside the marks, for the next run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.store.location import Location

__all__ = ["WORKING_SIZE_KEY", "NotedSize"]

WORKING_SIZE_KEY = ".eezarr/working_size.json"
"""A small JSON object; what it says is the engine's."""


class NotedSize:
    """The size that requests work with, durable after the next `flush`; thread-safe.

    Args:
        location: The store.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._noted: bytes | None = None
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """Return what an earlier run noted; empty if nothing.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._location.get(WORKING_SIZE_KEY) or b""

    def note(self, size: bytes) -> None:
        """Keep another size, to be written by the next flush."""
        self._noted = size

    def flush(self) -> None:
        """Write the size, if it is another one than before.

        Raises:
            StoreError: If it cannot be written; the next flush tries again.
        """
        with self._lock:
            size = self._noted
            if size is None:
                return
            self._location.put(WORKING_SIZE_KEY, size)
            if self._noted is size:
                self._noted = None
