"""A store with commits: the branch `main` of an Icechunk repository, as one Zarr store that outlives them.

What is written is seen by nobody else until it is committed, and then all at once. A session of Icechunk ends with its
commit; this store goes on with the next, so arrays that were opened before it need not be opened again. Our own keys
are kept as nodes of Zarr (see `nodes`).

Law: many tiles are written at the same time, or one commit is made, never both: a tile is in a commit whole or not at
all, and its mark never before it. (Of a tile whose write failed a part may be there, without a mark.) What is written
outside `writing` and `committing` is refused. One process writes a store; a commit that another made is found by the
next of ours, which is refused, and nothing is lost but what was not committed.

Source: https://icechunk.io/en/latest/reference/, https://icechunk.io/en/latest/performance/ (manifest splitting)
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import icechunk
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, WrapperStore

from eezarr.errors import StoreError
from eezarr.store.failures import storage_errors
from eezarr.store.nodes import NODES, OWN, array_document, chunk_of, is_own, is_page, node_key, node_of, own_key
from eezarr.store.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["RepositoryStore"]

_BRANCH = "main"

_CHUNKS_PER_SPLIT = 64
"""Chunks per axis that a manifest lists. A commit writes the manifests that changed: measured with 3 arrays of 60 000
chunks, 600 new ones each, it takes 30 ms so, and 300 ms where an array has one manifest (Icechunk's default)."""

_RUN_AGAIN = "Nothing that was committed is lost: run the same command again, it goes on from there."


class RepositoryStore(WrapperStore[Store]):
    """The newest state of a repository and the changes to it; a reader's is the newest when it was made.

    Where there is no repository it is empty, and the first write makes one.

    Args:
        url: The store, for messages.
        storage: Opens the place where the repository is. (Icechunk 1 makes a folder by that, so it is not asked for one
            that cannot hold a repository.)
        read_only: Whether it must not change.
        may_exist: Whether there may be a repository.
        check_place: Called before a repository is made; raises where none may be.
    """

    def __init__(
        self,
        url: str,
        storage: Callable[[], icechunk.Storage],
        *,
        read_only: bool,
        may_exist: bool = True,
        check_place: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(MemoryStore())
        self._url = url
        self._storage = storage
        self._is_read_only = read_only
        self._check_place = check_place
        self._turnstile = Turnstile()
        self._making = threading.Lock()
        self._laying = asyncio.Lock()
        self._is_lost = False
        self._session: icechunk.Session | None = None
        self._repository: icechunk.Repository | None = None
        if may_exist and icechunk.Repository.exists(found := storage()):
            self._repository = icechunk.Repository.open(found)
            self._begin(self._repository)

    @property
    def is_there(self) -> bool:
        """Whether there is a repository."""
        return self._repository is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep commits away while a tile is written and marked."""
        with self._turnstile.together():
            yield

    @contextmanager
    def committing(self, message: str) -> Iterator[None]:
        """Commit what was written up to the block's end, while no tile is half written; nothing new: no commit.

        After an error in the block nothing is committed; what was written stays for the next time.

        Raises:
            StoreError: If the storage fails, or another program committed in between.
        """
        with self._turnstile.alone():
            yield
            with storage_errors(self._url, "commit"):
                self._commit(message)

    def _commit(self, message: str) -> None:
        session, repository = self._session, self._repository
        if session is None or repository is None or not (self._is_lost or session.has_uncommitted_changes):
            return
        try:
            if self._is_lost:
                raise _conflict(self._url)
            snapshot = session.commit(message)
        except icechunk.ConflictError as error:
            raise _conflict(self._url) from error
        self._is_lost = self._begin(repository).snapshot_id != snapshot
        if self._is_lost:
            raise _conflict(self._url)

    def _begin(self, repository: icechunk.Repository) -> icechunk.Session:
        begin = repository.readonly_session if self._is_read_only else repository.writable_session
        session = begin(_BRANCH)
        self._session, self._store = session, session.store
        return session

    def prepare(self) -> None:
        """Make the repository, if there is none.

        Raises:
            ForeignStore: If something else is there.
            StoreError: If the storage fails.
        """
        with self._making:
            if self._repository is not None:
                return
            if self._check_place is not None:
                self._check_place()
            splitting = icechunk.ManifestSplittingConfig.from_dict(
                {
                    icechunk.ManifestSplitCondition.AnyArray(): {
                        icechunk.ManifestSplitDimCondition.Any(): _CHUNKS_PER_SPLIT
                    }
                }
            )
            config = icechunk.RepositoryConfig.default()
            config.manifest = icechunk.ManifestConfig(splitting=splitting)
            with storage_errors(self._url, "make the repository"):
                try:
                    repository = icechunk.Repository.create(self._storage(), config=config)
                    repository.save_config()
                except icechunk.IcechunkError:
                    # Another run may have made it at the same time; which of them writes it, the lease decides.
                    repository = icechunk.Repository.open(self._storage())
                self._begin(repository)
            self._repository = repository

    # What Zarr asks of a store, with our own keys translated.

    @property
    def read_only(self) -> bool:
        """Whether it must not change."""
        return self._is_read_only

    @property
    def supports_consolidated_metadata(self) -> bool:
        """False: a repository has all metadata in one place anyway."""
        return False

    @property
    def _supports_sync_io(self) -> bool:
        return False

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store of the same state, which later commits do not change."""
        other = copy.copy(self)
        other._is_read_only = read_only  # noqa: SLF001 -- of the same class
        return other

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object's bytes, or None if there is none."""
        if is_own(key) and not await self._is_laid(key):
            return None
        return await self._store.get(node_key(key), prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        return (not is_own(key) or await self._is_laid(key)) and await self._store.exists(node_key(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Create or replace an object; the first one makes the repository."""
        self._check_is_committed()
        if self._repository is None:
            await asyncio.to_thread(self.prepare)
        if is_own(key):
            async with self._laying:
                await self._lay_out(node_key(key), len(value))
        await self._store.set(node_key(key), value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Create an object, if there is none."""
        if not await self.exists(key):
            await self.set(key, value)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        for key, value in values:
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object. Icechunk deletes with a group's document all that is below the group, our own keys too."""
        self._check_is_committed()
        if is_own(key) and not is_page(key):
            await self.delete_dir(key)
        else:
            await self._store.delete(node_key(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        self._check_is_committed()
        node = node_of(prefix.rstrip("/"))
        if not is_own(prefix) or await self._store.exists(f"{node}/zarr.json"):
            await self._store.delete_dir(node)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield all keys below a prefix."""
        node = node_of(prefix.rstrip("/"))
        if not is_own(prefix):
            async for key in self._store.list_prefix(prefix):
                yield key
        elif await self._store.exists(f"{node}/zarr.json"):
            async for key in self._store.list_prefix(f"{node}/"):
                own = own_key(key)
                if own is not None:
                    yield own

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names right below a prefix."""
        async for name in self._store.list_dir(prefix):
            yield OWN if not prefix and name == NODES else name

    def _check_is_committed(self) -> None:
        """Refuse what nobody would commit: it would be lost without a word."""
        if not self._turnstile.is_occupied:
            raise StoreError(
                f"{self._url} keeps commits, and what is written there now is written without.",
                hint="Choose a plain store (the same URL without icechunk+).",
            )

    async def _is_laid(self, key: str) -> bool:
        """Whether the array of an own key is there: Icechunk 1 has no answer for a chunk of none."""
        return await self._store.exists(node_key(key).rpartition("/c/")[0] + "/zarr.json")

    async def _lay_out(self, key: str, size: int) -> None:
        """Make the array of bytes that a chunk of ours belongs to, or as long as it must be, and the groups above."""
        node, number = chunk_of(key)
        folders = node.split("/")[:-1]
        for depth in range(len(folders)):
            document = f"{'/'.join(folders[: depth + 1])}/zarr.json"
            if not await self._store.exists(document):
                await self._put(document, {"zarr_format": 3, "node_type": "group", "attributes": {}})
        body = await self._store.get(f"{node}/zarr.json", default_buffer_prototype())
        laid: dict[str, list[int]] = {"shape": [0]} if body is None else json.loads(body.to_bytes())
        length = max((number + 1) * size, laid["shape"][0] if number or is_page(node) else 0)
        if laid["shape"] != [length]:
            await self._put(f"{node}/zarr.json", array_document(length, size))

    async def _put(self, key: str, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        await self._store.set(key, default_buffer_prototype().buffer.from_bytes(body))


def _conflict(url: str) -> StoreError:
    return StoreError(f"Another program committed to {url} while this one wrote to it.", hint=_RUN_AGAIN)
