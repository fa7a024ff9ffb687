"""Where a store is: a local path or a URL, opened as a Zarr store, with the few key operations that we need besides.

Credentials, regions and endpoints of object stores come from the environment (see `environment`), never from the
output's own text.

Rule: a small object is replaced whole or not at all. Object stores do so by nature; on disk a temporary file is written
and renamed, and a crash between the two leaves a `*.partial` that nobody reads (see `leftovers`).

Rule: what is put by `put` and `put_all` vouches for what was written before, so all that is durable first, and then the
object itself. Object stores keep what they have confirmed; on disk see `disk`. An Icechunk repository on disk is as
durable as Icechunk makes it.

A place that is held (see `lease`) is written only by the run that holds it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import unquote, urlsplit

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from eezarr.documents import path_text
from eezarr.errors import InvalidInput, StoreError
from eezarr.store.bounds import Bounds
from eezarr.store.disk import DiskStore
from eezarr.store.environment import access_to
from eezarr.store.failures import storage_errors
from eezarr.store.folder import check_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from obstore.store import MemoryStore, S3Config
    from zarr.abc.store import Store

    from eezarr.store.disk import Guard

__all__ = ["PARTIAL_SUFFIX", "Location", "locate", "require_format"]

PARTIAL_SUFFIX = ".partial"
"""How temporary files on disk end."""

_SCHEMES = ("s3", "gs", "az")
_VERSIONED = "icechunk+"
"""What the schemes of stores with commits begin with."""
_KEYS_AT_ONCE = 64
"""Small objects read or written at the same time: a round trip of 50 ms then costs under 1 ms a key."""
_KEYS_IN_MEMORY = 1024

_LINKLESS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""What a file system without hard links answers to one (FAT, some network shares)."""

_memory: dict[str, MemoryStore] = {}
"""`memory://` stores by URL: they live as long as the process, so that a job in one can be resumed and read."""


class Commits(Protocol):
    """What a store with commits does; in others each object is seen as soon as it is written."""

    def prepare(self) -> None:
        """Make what commits go to, if it is not there; it must be made where nothing is.

        Raises:
            StoreError: If it cannot be made.
        """
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Return a block that no commit is made within; several threads may be in one."""
        ...

    def committing(self, message: str) -> AbstractContextManager[None]:
        """Return a block at whose end all that was written is committed; nobody is in one of `writing` meanwhile."""
        ...


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
    commits: Commits | None = None
    """What makes writes seen, all at once, where the store has commits."""
    beside: Location | None = None
    """The same place as plain objects, where the store keeps its own in another form."""
    guard: Guard | None = None
    """Who is asked before anything is written, once a run holds the place."""

    @property
    def own(self) -> Location:
        """Where plain objects are, which are there as soon as they are written."""
        return self.beside or self

    bounds: Bounds = field(default_factory=Bounds)
    """How large its objects can be."""

    def held_by(self, guard: Guard) -> Location:
        """Return this place for the run that holds it: each change asks first."""
        store = self.store
        if isinstance(store, DiskStore):
            store = DiskStore(store.root, guard=guard)
            store.bounds = self.bounds
        return replace(self, store=store, guard=guard)

    @property
    def may_exist(self) -> bool:
        """Whether there may be something: false for a local folder that is not there. Looking makes none."""
        return not isinstance(self.store, LocalStore) or self.store.root.exists()

    def writing(self) -> AbstractContextManager[None]:
        """Return a block in which a tile is written and marked: a commit has all of it, or nothing.

        Raises:
            StoreError: At once, if another run took the place.
        """
        self._check_soon()
        return nullcontext() if self.commits is None else self.commits.writing()

    @contextmanager
    def committing(self, message: str) -> Iterator[None]:
        """Return a block at whose end what was written is committed, where the store has commits.

        Raises:
            StoreError: At the block's begin, if another run took the place; at its end, if another program committed in
                between.
        """
        if self.guard is not None:
            self.guard.check()
        with nullcontext() if self.commits is None else self.commits.committing(message):
            yield
            if self.guard is not None and self.commits is not None:
                self.guard.check()

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

    def settle(self) -> None:
        """Make all that was written before durable: it survives a power cut."""
        if isinstance(self.store, DiskStore):
            with storage_errors(self.url, "make durable what was written"):
                self.store.settle()

    def put(self, key: str, body: bytes) -> None:
        """Create or replace an object, durably, and after all that was written before is durable."""
        self.put_all({key: body})

    def put_all(self, bodies: Mapping[str, bytes], *, settles: bool = True) -> None:
        """Create or replace objects, many at the same time and in no order; durable on return.

        Args:
            bodies: By key.
            settles: Whether they vouch for what was written before, so that it has to be durable first.
        """
        self._check_soon()
        if settles:
            self.settle()
        with storage_errors(self.url, f"write {next(iter(bodies), 'nothing')}"):
            sync(self._put_all(bodies))
            if isinstance(self.store, DiskStore):
                self.store.settle_each(bodies)

    def create(self, key: str, body: bytes) -> bool:
        """Create an object whose bytes nobody else would write; return whether it was created, not there already."""
        with storage_errors(self.url, f"write {key}"):
            sync(self._create(key, body))
        return self.get(key) == body

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
        if self.guard is not None:
            self.guard.check()
        with storage_errors(self.url, f"delete {key}"):
            sync(self.store.delete(key))

    def remove_below(self, prefix: str) -> None:
        """Delete all objects below a prefix (which does not end with a slash)."""
        if self.guard is not None:
            self.guard.check()
        with storage_errors(self.url, f"delete {prefix}"):
            sync(self.store.delete_dir(prefix))

    def _check_soon(self) -> None:
        if self.guard is not None:
            self.guard.check_soon()

    async def _create(self, key: str, body: bytes) -> None:
        try:
            await self.store.set_if_not_exists(key, default_buffer_prototype().buffer.from_bytes(body))
        except OSError as error:
            if error.errno not in _LINKLESS or not isinstance(self.store, LocalStore):
                raise
            try:
                with (self.store.root / key).open("xb") as file:
                    file.write(body)
            except FileExistsError:
                return

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


def require_format(location: Location, zarr_format: int) -> None:
    """Check that a place can hold a Zarr format.

    Raises:
        InvalidInput: If it is an Icechunk repository, which holds format 3 only.
    """
    if location.commits is not None and zarr_format == 2:
        raise InvalidInput("Icechunk holds Zarr format 3 only.", hint="Set format = 3, or choose a plain store.")


def locate(output: str | os.PathLike[str], *, read_only: bool = False) -> Location:
    """Return the place that a job's `output` names.

    Args:
        output: A path, or a URL: file:// s3:// gs:// az:// memory:// (the last lives as long as the process); the same
            after `icechunk+` is an Icechunk repository there.
        read_only: Whether the store must exist and is not written.

    Raises:
        InvalidInput: If the URL has a scheme that is not supported, or holds credentials or a query; or if it is an
            Icechunk repository's, and Icechunk is not installed.
        StoreError: If nothing can be stored there: a file is in the way, a directory is not writable, or the
            object store's environment is incomplete.
    """
    text = path_text(output, noun="store")
    if "://" not in text:
        return _local(Path(text).expanduser(), text, read_only=read_only)
    place = text.removeprefix(_VERSIONED)
    parts = urlsplit(place)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            f"The output on {parts.scheme}:// holds more than a place.",
            hint="Give credentials and options in the environment, and only scheme, bucket and path in the URL.",
        )
    is_file = parts.scheme == "file" and parts.netloc in ("", "localhost") and bool(parts.path)
    if not is_file and parts.scheme != "memory" and not (parts.scheme in _SCHEMES and parts.netloc):
        raise InvalidInput(
            f"The output {text!r} is no place that eezarr can store in.",
            hint="Give a path, or a URL such as file:///data/x.zarr, s3://bucket/x.zarr, gs://bucket/x.zarr, "
            "az://container/x.zarr, or one of these after icechunk+.",
        )
    if place != text:
        return _repository(text, place, read_only=read_only)
    if is_file:
        return _local(Path(unquote(parts.path)), text, read_only=read_only)
    if parts.scheme == "memory":
        return _memory_location(text, read_only=read_only)
    return _remote(text, read_only=read_only)


def _local(path: Path, text: str, *, read_only: bool) -> Location:
    check_folder(path, text, read_only=read_only)
    store = DiskStore(path.absolute(), read_only=read_only)
    return Location(url=text, store=store, bounds=store.bounds)


def _memory_location(text: str, *, read_only: bool) -> Location:
    from obstore.store import MemoryStore  # noqa: PLC0415 -- only URLs pay for obstore

    from eezarr.store.remote import RemoteStore  # noqa: PLC0415

    store = RemoteStore(_memory.setdefault(text, MemoryStore()), read_only=read_only)
    return Location(url=text, store=store, keeps_buffers=True, bounds=store.bounds)


def _remote(text: str, *, read_only: bool) -> Location:
    from obstore.store import from_url  # noqa: PLC0415 -- only URLs pay for obstore

    from eezarr.store.remote import RemoteStore  # noqa: PLC0415

    access = access_to(urlsplit(text).scheme, os.environ)
    try:
        with storage_errors(text, "reach the object store"):
            # The scheme says which of the stores' options these are.
            config = cast("S3Config", dict(access.config)) or None
            remote = from_url(text, config=config, client_options={"allow_http": access.allows_http})
            store = RemoteStore(remote, read_only=read_only)
            return Location(url=text, store=store, bounds=store.bounds)
    except StoreError as error:
        raise StoreError(error.message, hint=access.hint) from error


def _repository(text: str, place: str, *, read_only: bool) -> Location:
    from eezarr.store.repository_storage import open_repository  # noqa: PLC0415 -- Icechunk is an extra

    store = open_repository(text, place, read_only=read_only)
    beside = replace(locate(place, read_only=read_only), url=text)
    # From 2.0 on Icechunk keeps the memory of small chunks until they are committed.
    return Location(url=text, store=store, keeps_buffers=True, commits=None if read_only else store, beside=beside)
