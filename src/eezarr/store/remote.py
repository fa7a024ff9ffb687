"""An object store as a Zarr store, whose objects are read only if they are no larger than they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore
from zarr.storage import ObjectStore

from eezarr.store.bounds import Bounds

if TYPE_CHECKING:
    from typing import TypeAlias

    from obstore.store import ObjectStore as AnyStore
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    _ObjectStore: TypeAlias = ObjectStore[AnyStore]
else:
    _ObjectStore = ObjectStore  # no generic class in zarr 3.1.3

__all__ = ["RemoteStore"]


class RemoteStore(_ObjectStore):
    """The objects below a bucket's prefix.

    Args:
        store: Obstore's.
        read_only: Whether it must not change.
    """

    def __init__(self, store: AnyStore, *, read_only: bool = False) -> None:
        super().__init__(store, read_only=read_only)
        self.bounds = Bounds()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object's bytes, or some of them; None if there is none.

        Raises:
            ValueError: If it holds more than it can: what comes before its body says so.
        """
        if byte_range is not None:
            return await super().get(key, prototype, byte_range)
        try:
            found = await obstore.get_async(self.store, key)
        except FileNotFoundError:
            return None
        self.bounds.check(key, found.meta["size"])
        return prototype.buffer.from_bytes(await found.bytes_async())  # type: ignore[arg-type]  # a buffer
