"""Where a store is: a local path or a URL, opened as a Zarr store, with the few key operations that we need besides.

Credentials, regions and endpoints of object stores come from the environment, as obstore reads it (`AWS_…`, `GOOGLE_…`,
`AZURE_…`; https://developmentseed.org/obstore/latest/authentication/), never from the output's own text.

Law: a small object is replaced whole or not at all. Object stores do so by nature; `LocalStore` writes a temporary
file and renames it, and a crash between the two leaves a `*.partial` that nobody reads (see `leftovers`).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from eezarr.errors import InvalidInput, StoreError
from eezarr.store.failures import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from obstore.store import MemoryStore
    from zarr.abc.store import Store

__all__ = ["PARTIAL_SUFFIX", "Location", "locate"]

PARTIAL_SUFFIX = ".partial"
"""How the temporary files of `LocalStore` end."""

_SCHEMES = ("s3", "gs", "az")
_KEYS_AT_ONCE = 64
"""Small objects read or written at the same time: a round trip of 50 ms then costs under 1 ms a key."""
_KEYS_IN_MEMORY = 1024

_memory: dict[str, MemoryStore] = {}
"""`memory://` stores by URL: they live as long as the process, so that a job in one can be resumed and read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place for a store: it may not exist yet. Its methods block, and may be called from any thread.

    Raises:
        StoreError: From every method, if the storage fails.
    """

    url: str
    """The path or URL as the user knows it."""
    store: Store
    """The Zarr store there."""
    keeps_buffers: bool = False
    """Whether the store keeps the very memory that it is given, as one in memory does: it must not be reused then."""

    @property
    def may_exist(self) -> bool:
        """Whether there may be something: false for a local folder that is not there. Looking makes none."""
        return not isinstance(self.store, LocalStore) or self.store.root.exists()

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None if there is none."""
        with storage_errors(self.url, f"read {key}"):
            return sync(self._get(key))

    def get_each(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those of these objects that exist, many read at the same time, at most a thousand held in memory."""
        remaining = list(keys)
        for start in range(0, len(remaining), _KEYS_IN_MEMORY):
            part = remaining[start : start + _KEYS_IN_MEMORY]
            with storage_errors(self.url, f"read {part[0]}"):
                bodies = sync(self._get_all(part))
            yield from ((key, body) for key, body in zip(part, bodies, strict=True) if body is not None)

    def put(self, key: str, body: bytes) -> None:
        """Create or replace an object."""
        self.put_all({key: body})

    def put_all(self, bodies: Mapping[str, bytes]) -> None:
        """Create or replace objects, many at the same time and in no order."""
        with storage_errors(self.url, f"write {next(iter(bodies), 'nothing')}"):
            sync(self._put_all(bodies))

    def names(self) -> tuple[str, ...]:
        """Return the names of keys and key prefixes at the top, sorted, without temporary files."""
        with storage_errors(self.url, "list what is there"):
            return tuple(sorted(name for name in sync(self._names()) if not name.endswith(PARTIAL_SUFFIX)))

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return all keys below a prefix (which ends with a slash), in no order."""
        with storage_errors(self.url, f"list {prefix}"):
            return tuple(sync(self._keys(prefix)))

    def remove(self, key: str) -> None:
        """Delete an object, if it is there."""
        with storage_errors(self.url, f"delete {key}"):
            sync(self.store.delete(key))

    def remove_below(self, prefix: str) -> None:
        """Delete all objects below a prefix (which does not end with a slash)."""
        with storage_errors(self.url, f"delete {prefix}"):
            sync(self.store.delete_dir(prefix))

    async def _get(self, key: str) -> bytes | None:
        body = await self.store.get(key, default_buffer_prototype())
        return None if body is None else body.to_bytes()

    async def _get_all(self, keys: list[str]) -> list[bytes | None]:
        gate = asyncio.Semaphore(_KEYS_AT_ONCE)

        async def one(key: str) -> bytes | None:
            async with gate:
                return await self._get(key)

        return await asyncio.gather(*map(one, keys))

    async def _put_all(self, bodies: Mapping[str, bytes]) -> None:
        gate = asyncio.Semaphore(_KEYS_AT_ONCE)
        as_buffer = default_buffer_prototype().buffer.from_bytes

        async def one(key: str, body: bytes) -> None:
            async with gate:
                await self.store.set(key, as_buffer(body))

        await asyncio.gather(*(one(key, body) for key, body in bodies.items()))

    async def _names(self) -> list[str]:
        return [name async for name in self.store.list_dir("")]

    async def _keys(self, prefix: str) -> list[str]:
        return [key async for key in self.store.list_prefix(prefix)]


def locate(output: str | os.PathLike[str], *, read_only: bool = False) -> Location:
    """Return the place that a job's `output` names.

    Args:
        output: A path, or a URL: file:// s3:// gs:// az:// memory:// (the last lives as long as the process).
        read_only: Whether the store must exist and is not written.

    Raises:
        InvalidInput: If the URL has a scheme that is not supported, or holds credentials or a query.
        StoreError: If nothing can be stored there: a file is in the way, a directory is not writable, or the
            object store's environment is incomplete.
    """
    text = os.fspath(output)
    if "://" not in text:
        return _local(Path(text).expanduser(), text, read_only=read_only)
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            f"The output on {parts.scheme}:// holds more than a place.",
            hint="Give credentials and options in the environment, and only scheme, bucket and path in the URL.",
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return _local(Path(unquote(parts.path)), text, read_only=read_only)
    if parts.scheme == "memory":
        return _memory_location(text, read_only=read_only)
    if parts.scheme in _SCHEMES and parts.netloc:
        return _remote(text, read_only=read_only)
    raise InvalidInput(
        f"The output {text!r} is no place that eezarr can store in.",
        hint="Give a path, or a URL such as file:///data/x.zarr, s3://bucket/x.zarr, gs://bucket/x.zarr, az://container/x.zarr.",
    )


def _local(path: Path, text: str, *, read_only: bool) -> Location:
    with storage_errors(text, "open the output"):
        _check_local(path, text, read_only=read_only)
    return Location(url=text, store=LocalStore(path.absolute(), read_only=read_only))


def _check_local(path: Path, text: str, *, read_only: bool) -> None:
    if path.exists() and not path.is_dir():
        raise StoreError(f"{text} is a file, not a Zarr store.", hint="Choose another output, or move the file away.")
    if read_only:
        if not path.exists():
            raise StoreError(f"There is no store at {text}.", hint="Check the path.")
        return
    existing = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise StoreError(f"{existing} is a file, so {text} cannot be made.", hint="Choose another output.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StoreError(
            f"The directory {existing} is not writable.",
            hint="Give this user the right to write there, or choose another output.",
        )


def _memory_location(text: str, *, read_only: bool) -> Location:
    from obstore.store import MemoryStore  # noqa: PLC0415 -- only URLs pay for obstore
    from zarr.storage import ObjectStore  # noqa: PLC0415

    store = ObjectStore(_memory.setdefault(text, MemoryStore()), read_only=read_only)
    return Location(url=text, store=store, keeps_buffers=True)


def _remote(text: str, *, read_only: bool) -> Location:
    from obstore.store import from_url  # noqa: PLC0415 -- only URLs pay for obstore
    from zarr.storage import ObjectStore  # noqa: PLC0415

    with storage_errors(text, "reach the object store"):
        return Location(url=text, store=ObjectStore(from_url(text), read_only=read_only))
