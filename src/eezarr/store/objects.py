"""Many objects of a store, whole or in part: files one by one in the caller's thread, others at the same time."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from eezarr.store.disk import DiskStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from zarr.abc.store import ByteRequest, Store

    from eezarr.store.location import Location

__all__ = ["Objects", "Part", "objects_of"]

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

    @property
    def request(self) -> ByteRequest | None:
        """What Zarr's stores are asked with."""
        if self.start < 0:
            return SuffixByteRequest(-self.start)
        return None if self.stop is None else RangeByteRequest(self.start, self.stop)


class Objects(Protocol):
    """What reads many parts."""

    def bodies(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        """Yield each part's bytes in order, None where there is no object; fewer bytes where an object is shorter."""
        ...


def objects_of(location: Location) -> Objects:
    """Return what reads objects of a place."""
    if isinstance(location.store, DiskStore):
        return _Files(location.store.root)
    return _Remote(location.store)


class _Files:
    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)

    def bodies(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        opened, file = "", -1
        try:
            for part in parts:
                if part.key != opened:
                    file = self._reopened(file, part.key)
                    opened = part.key
                yield None if file < 0 else _bytes_of(file, part)
        finally:
            if file >= 0:
                os.close(file)

    def _reopened(self, file: int, key: str) -> int:
        if file >= 0:
            os.close(file)
        try:
            return os.open(f"{self._root}/{key}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1


def _bytes_of(file: int, part: Part) -> bytes:
    size = os.fstat(file).st_size if part.start < 0 or part.stop is None else part.stop
    start = max(0, size + part.start) if part.start < 0 else part.start
    body = os.pread(file, size - start, start)
    while len(body) < size - start and (more := os.pread(file, size - start - len(body), start + len(body))):
        body += more  # one call of the system reads 2 GiB at the most
    return body


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
                body = await self._store.get(part.key, prototype, part.request)
                return None if body is None else body.to_bytes()

        return await asyncio.gather(*map(one, parts))


def _joined(parts: Iterable[Part]) -> list[tuple[Part, list[Part]]]:
    """What is asked for, each with the parts that it has; the parts stay in order."""
    found: list[tuple[Part, list[Part]]] = []
    for part in parts:
        whole, its = found[-1] if found else (part, [])
        is_near = (
            bool(its)
            and whole.key == part.key
            and whole.stop is not None
            and part.stop is not None
            and whole.start <= part.start <= whole.stop + _MAX_GAP_BYTES
        )
        if is_near:
            assert whole.stop is not None
            assert part.stop is not None
            its.append(part)
            found[-1] = (Part(key=part.key, start=whole.start, stop=max(whole.stop, part.stop)), its)
        else:
            found.append((part, [part]))
    return found


def _cut(body: bytes, whole: Part, part: Part) -> bytes:
    if whole == part:
        return body
    assert part.stop is not None, "only ranges are joined"
    return body[part.start - whole.start : part.stop - whole.start]
