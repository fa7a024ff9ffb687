"""What the engine needs of others: one verb each, owned by the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from eezarr.plan import Tile

__all__ = ["Buffer", "Memory", "Pixels", "Sink", "Source"]

Buffer: TypeAlias = "npt.NDArray[np.uint8]"
"""Reused memory, one-dimensional: a fresh 48 MB buffer costs page faults, a used one does not."""

Pixels: TypeAlias = "npt.NDArray[np.void]"
"""(height, width) structured array: one little-endian field for each of the tile's `wire_bands`, in order."""


class Memory(Protocol):
    """Where one answer's body goes; there is none before it is taken."""

    async def take(self) -> Buffer:
        """Return the memory, the same each time until it is dropped; asked for when a body begins to come.

        It may take a while: what comes meanwhile is left to the kernel, which stops the sender.
        """
        ...

    def drop(self) -> None:
        """Give up what was taken; nothing may write to it any more."""
        ...


class Source(Protocol):
    """What answers a tile with pixels."""

    async def read(self, tile: Tile, memory: Memory) -> Pixels:
        """Ask once, receive into the memory, and return a view of it; the view dies with the memory's next use.

        Raises:
            EezarrError: `Retryable` if asking again can help, `TooHeavy` if a smaller tile can, others are final.
        """
        ...


class Sink(Protocol):
    """What keeps the pixels of tiles. Called from worker threads, several tiles at a time, never the same twice."""

    def write(self, tile: Tile, pixels: Pixels) -> None:
        """Store a tile's pixels, then note it as stored; on return the pixels may be overwritten.

        Raises:
            StoreError: If the tile cannot be stored, which is not noted then, or what is made of stored tiles cannot.
        """
        ...

    def flush(self) -> None:
        """Make durable what has been noted: after this, a crash loses none of it.

        Raises:
            StoreError: If it cannot be written.
        """
        ...
