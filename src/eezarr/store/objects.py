"""Many objects of a store, whole or in part: files one by one in the caller's thread, others at the same time."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import ObjectStore

from eezarr.store.disk import DiskStore, open_regular, read_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from obstore import GetOptions
    from obstore.store import ObjectStore as AnyStore
    from zarr.abc.store import ByteRequest, Store

    from eezarr.store.location import Location

__all__ = ["Changed", "Objects", "Part", "objects_of"]

_PARTS_AT_ONCE = 64
"""A round trip of 50 ms then costs under 1 ms a part."""
_PARTS_IN_MEMORY = 256
_MAX_GAP_BYTES = 64 << 10
"""Parts of one object with no more between them are asked for at once: a round trip takes longer than these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of an object: all of them, a range, or the last so many."""

    key: str
    start: int = 0
    """The first byte; negative: from the end, and to the end."""
    stop: int | None = None
    """The byte after the last; None: to the end."""
    version: str = ""
    """The object's version that the bytes must be of; empty: any."""

    @property
    def request(self) -> ByteRequest | None:
        """What Zarr's stores are asked with."""
        if self.start < 0:
            return SuffixByteRequest(-self.start)
        return None if self.stop is None else RangeByteRequest(self.start, self.stop)


class Changed(Exception):
    """An object is of another version than asked for: it was written again."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Objects(Protocol):
    """What reads many parts."""

    def bodies(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        """Yield each part's bytes in order, None where there is no object; fewer bytes where an object is shorter.

        Raises:
            Changed: If an object is of another version than a part asks for.
        """
        ...

    def endings(self, parts: Iterable[Part]) -> Iterator[tuple[bytes, str] | None]:
        """Yield the last bytes of objects, each with the object's version; None where there is no object."""
        ...


def objects_of(location: Location) -> Objects:
    """Return what reads objects of a place."""
    if isinstance(location.store, DiskStore):
        return _Files(location.store)
    return _Remote(location.store)


class _Files:
    def __init__(self, disk: DiskStore) -> None:
        self._root = os.fspath(disk.root)
        self._bounds = disk.bounds

    def bodies(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        opened, file = "", -1
        try:
            for part in parts:
                if part.key != opened:
                    file = self._reopened(file, part.key)
                    opened = part.key
                if part.version and (file < 0 or _version(file) != part.version):
                    raise Changed(part.key)
                yield None if file < 0 else self._bytes_of(file, part)
        finally:
            if file >= 0:
                os.close(file)

    def endings(self, parts: Iterable[Part]) -> Iterator[tuple[bytes, str] | None]:
        for part in parts:
            file = self._reopened(-1, part.key)
            try:
                yield None if file < 0 else (self._bytes_of(file, part), _version(file))
            finally:
                if file >= 0:
                    os.close(file)

    def _reopened(self, file: int, key: str) -> int:
        if file >= 0:
            os.close(file)
        try:
            return open_regular(f"{self._root}/{key}")
        except FileNotFoundError:
            return -1

    def _bytes_of(self, file: int, part: Part) -> bytes:
        size = os.fstat(file).st_size if part.start < 0 or part.stop is None else part.stop
        start = max(0, size + part.start) if part.start < 0 else part.start
        if start == 0:
            self._bounds.check(part.key, size)
        return read_part(file, start, size)


def _version(file: int) -> str:
    """What tells a file from the one that replaces it under its name."""
    found = os.fstat(file)
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


class _Remote:
    def __init__(self, store: Store) -> None:
        self._store = store

    def bodies(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        remaining = list(parts)
        for start in range(0, len(remaining), _PARTS_IN_MEMORY):
            joined = _joined(remaining[start : start + _PARTS_IN_MEMORY])
            bodies = sync(self._all([whole for whole, _ in joined]))
            for (whole, its), body in zip(joined, bodies, strict=True):
                yield from (None if body is None else _cut(body, whole, part) for part in its)

    async def _all(self, parts: list[Part]) -> list[bytes | None]:
        gate = asyncio.Semaphore(_PARTS_AT_ONCE)
        prototype = default_buffer_prototype()

        async def one(part: Part) -> bytes | None:
            async with gate:
                if part.version and isinstance(self._store, ObjectStore):
                    return await _if_unchanged(self._store, part)
                body = await self._store.get(part.key, prototype, part.request)
                return None if body is None else body.to_bytes()

        return await asyncio.gather(*map(one, parts))

    def endings(self, parts: Iterable[Part]) -> Iterator[tuple[bytes, str] | None]:
        remaining = list(parts)
        # Versions first: what is written again in between is found by its version later.
        versions = sync(self._versions([part.key for part in remaining]))
        for version, body in zip(versions, self.bodies(remaining), strict=True):
            yield None if body is None else (body, version)

    async def _versions(self, keys: list[str]) -> list[str]:
        store = self._store
        if not isinstance(store, ObjectStore):
            return [""] * len(keys)  # a snapshot of a repository, which nobody writes again
        import obstore  # noqa: PLC0415 -- only URLs pay for obstore

        gate = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def one(key: str) -> str:
            async with gate:
                try:
                    found = await obstore.head_async(store.store, key)
                except FileNotFoundError:
                    return ""
                return found["e_tag"] or ""

        return await asyncio.gather(*map(one, keys))


async def _if_unchanged(store: ObjectStore[AnyStore], part: Part) -> bytes:
    """A range of an object, if it is still of a version.

    Raises:
        Changed: If it is not.
    """
    import obstore  # noqa: PLC0415 -- only URLs pay for obstore

    assert part.stop is not None, "only ranges are of a version"
    options: GetOptions = {"range": (part.start, part.stop), "if_match": part.version}
    try:
        found = await obstore.get_async(store.store, part.key, options=options)
    except (FileNotFoundError, obstore.exceptions.PreconditionError) as error:
        raise Changed(part.key) from error
    return bytes(await found.bytes_async())


def _joined(parts: Iterable[Part]) -> list[tuple[Part, list[Part]]]:
    """What is asked for, each with the parts that it has; the parts stay in order."""
    found: list[tuple[Part, list[Part]]] = []
    for part in parts:
        whole, its = found[-1] if found else (part, [])
        is_near = (
            bool(its)
            and (whole.key, whole.version) == (part.key, part.version)
            and whole.stop is not None
            and part.stop is not None
            and whole.start <= part.start <= whole.stop + _MAX_GAP_BYTES
        )
        if is_near:
            assert whole.stop is not None
            assert part.stop is not None
            its.append(part)
            stop = max(whole.stop, part.stop)
            found[-1] = (Part(key=part.key, start=whole.start, stop=stop, version=part.version), its)
        else:
            found.append((part, [part]))
    return found


def _cut(body: bytes, whole: Part, part: Part) -> bytes:
    if whole == part:
        return body
    assert part.stop is not None, "only ranges are joined"
    return body[part.start - whole.start : part.stop - whole.start]
