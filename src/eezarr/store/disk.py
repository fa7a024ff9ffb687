"""A folder of this machine as a Zarr store, and what of it survives a power cut.

Rule: a file is written under a temporary name and renamed; one that replaces another is synced first, so that after a
power cut the old one or the new one is there, whole. New files are not synced one by one: `settle` makes all of them
durable at once, with the folders that name them, before anything is written that vouches for them (marks, records).

Rule: where a run holds the folder (see `lease`), it looks whether it still does between writing a temporary file and
renaming it. Who takes a store over deletes temporary files first (see `leftovers`), so a rename that comes
too late finds nothing to rename: of a process that was stopped at any instant nothing arrives afterwards.

Where there is `syncfs` (Linux) that is one call for the file system; elsewhere each file and folder that was written
since the last `settle` is synced.

Rule: nothing is read that is no regular file, or holds more than an object of its kind can (see `bounds`).

A sync that failed once is not tried again: the kernel drops the pages that it could not write and reports that once, so
that a second try would succeed without them.
Source: https://wiki.postgresql.org/wiki/Fsync_Errors, https://man7.org/linux/man-pages/man2/syncfs.2.html
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import stat
import sys
import threading
import weakref
from collections import deque
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from eezarr.errors import StoreError
from eezarr.store.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer as Bytes
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["DiskStore", "Guard", "open_regular", "read_part"]


class Guard(Protocol):
    """What knows whether a run may still write."""

    def check(self) -> None:
        """Look now.

        Raises:
            StoreError: If it may not.
        """
        ...

    def check_soon(self) -> None:
        """Look, unless that was done a moment ago and looking is expensive.

        Raises:
            StoreError: If it may not.
        """
        ...


class DiskStore(LocalStore):
    """A folder as a Zarr store; thread-safe for keys that differ.

    Args:
        root: The folder; made by the first write.
        read_only: Whether it must exist and is not written.
        guard: Who is asked before anything changes.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False, guard: Guard | None = None) -> None:
        super().__init__(root, read_only=read_only)
        self._guard = guard
        self.bounds = Bounds()
        self._folder = os.fspath(self.root)
        self._token, self._numbers = secrets.token_hex(8), count()
        self._unsynced: deque[str] = deque()
        self._settling = threading.Lock()
        self._descriptor = -1
        self._failure = ""

    def write(self, key: str, body: Bytes, *, is_replacing: bool = False) -> None:
        """Create or replace an object; durable after the next `settle`.

        Args:
            key: Its key.
            body: Its bytes.
            is_replacing: Whether an object that is there has to survive until this one does.

        Raises:
            OSError: If it cannot be written; what was there is there still.
            StoreError: If another run took the folder; likewise.
        """
        # Strings and descriptors: paths and files would take as long again as the system's own work (measured).
        path = f"{self._folder}/{key}"
        # A name as Zarr would give it, 32 digits that are nobody else's: what a kill leaves is known by it.
        partial = f"{path}.{self._token}{next(self._numbers):016x}.partial"
        try:
            descriptor = self._opened(partial)
            try:
                _write_all(descriptor, memoryview(body).cast("B"))
                if is_replacing:
                    _sync(descriptor)
            finally:
                os.close(descriptor)
            self._check()
            os.replace(partial, path)  # noqa: PTH105
        except FileNotFoundError:
            self._check()  # who took the folder over has deleted the temporary file
            raise
        except (OSError, StoreError):
            Path(partial).unlink(missing_ok=True)
            raise
        self._note(key)

    def settle_each(self, keys: Iterable[str]) -> None:
        """Make a few small objects durable, each by itself, with their names.

        Raises:
            OSError: If one is gone, or cannot be made durable.
        """
        paths = [f"{self._folder}/{key}" for key in keys]
        for path in paths:
            _sync_file(path)
        for folder in sorted({folder for path in paths for folder in _up_to(path, self._folder)}):
            _sync_folder(folder)

    def settle(self) -> None:
        """Make all that was written before durable; on return it survives a power cut.

        Raises:
            OSError: If the folder is gone.
            StoreError: If something could not be made durable, now or by an earlier call.
        """
        with self._settling:
            if self._failure:
                raise _lost(self._folder, self._failure)
            sync_file_system = _syncfs()
            try:
                if sync_file_system is not None:
                    sync_file_system(self._root_descriptor())
                else:
                    self._sync_each()
            except FileNotFoundError:
                if self._descriptor >= 0:
                    raise
                # Nothing was ever written.
            except OSError as error:
                self._failure = error.strerror or str(error)
                raise _lost(self._folder, self._failure) from error

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object's bytes, or some of them; None if there is none.

        Raises:
            ValueError: If it is no regular file, or holds more than it can.
        """
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Do as `get` does, in this thread."""
        try:
            descriptor = open_regular(f"{self._folder}/{key}")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        try:
            size = os.fstat(descriptor).st_size
            start, stop = _span(byte_range, size)
            if start == 0 and stop == size:
                self.bounds.check(key, size)
            body = read_part(descriptor, start, stop)
        finally:
            os.close(descriptor)
        return (prototype or default_buffer_prototype()).buffer.from_bytes(body)

    async def set(self, key: str, value: Buffer) -> None:
        """Create or replace an object; one that is replaced survives a power cut until the new one does."""
        self._check_writable()
        await asyncio.to_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Do as `set` does, in this thread."""
        self._check_writable()
        self.write(key, value.as_buffer_like(), is_replacing=os.path.exists(f"{self._folder}/{key}"))  # noqa: PTH110

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Create an object, if there is none."""
        await super().set_if_not_exists(key, value)
        self._note(key)

    async def delete(self, key: str) -> None:
        """Delete an object; durable after the next `settle`."""
        await asyncio.to_thread(self._check)  # which may read by the loop that this runs in
        await super().delete(key)
        self._note(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix; durable after the next `settle`."""
        await asyncio.to_thread(self._check)
        await super().delete_dir(prefix)
        self._note(prefix)

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the same folder, to be read only or not."""
        return type(self)(self.root, read_only=read_only, guard=self._guard)

    def _check(self) -> None:
        if self._guard is not None:
            self._guard.check()

    def _opened(self, path: str) -> int:
        """Make a file; return its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            self._check()  # a store that was deleted is not begun again by a chunk
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o666)

    def _note(self, key: str) -> None:
        if _syncfs() is None:
            self._unsynced.append(key)

    def _root_descriptor(self) -> int:
        """The folder, kept open: what could not be written back since is reported by its next sync."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)
        elif not os.path.isdir(self._folder):  # noqa: PTH112
            raise FileNotFoundError(2, "No such file or directory", self._folder)
        return self._descriptor

    def _sync_each(self) -> None:
        """Sync the files and folders that were written since the last time, and the folders that lead to them."""
        keys = [self._unsynced.popleft() for _ in range(len(self._unsynced))]
        folders: set[str] = set()
        for path in sorted({f"{self._folder}/{key}" for key in keys}):
            _sync_file(path)
            folders.update(_up_to(path, self._folder))
        for folder in sorted(folders, key=len, reverse=True):
            _sync_folder(folder)


def open_regular(path: str) -> int:
    """Open a file to be read, and return its descriptor; a device or a pipe may have no end.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is something else than a file.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory", path)
    raise ValueError(f"{path} is no regular file")


def read_part(descriptor: int, start: int, stop: int) -> bytes:
    """Return the bytes of a file from one to before another; fewer where it is shorter."""
    body = os.pread(descriptor, stop - start, start) if hasattr(os, "pread") else _sought(descriptor, start, stop)
    while len(body) < stop - start and hasattr(os, "pread"):
        more = os.pread(descriptor, stop - start - len(body), start + len(body))
        if not more:
            break
        body += more  # one call of the system reads 2 GiB at most
    return body


def _sought(descriptor: int, start: int, stop: int) -> bytes:
    """Read where the system has no `pread`: Windows."""
    os.lseek(descriptor, start, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(stop - start)


def _span(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """The first byte, and the one after the last, of what is asked for."""
    if isinstance(byte_range, RangeByteRequest):
        return min(byte_range.start, size), min(byte_range.end, size)
    if isinstance(byte_range, OffsetByteRequest):
        return min(byte_range.offset, size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(0, size - byte_range.suffix), size
    return 0, size


def _lost(folder: str, reason: str) -> StoreError:
    return StoreError(
        f"Cannot make what was written to {folder} durable: {reason}.",
        hint="Check the disk, then run the same command: what was not made durable is fetched again.",
    )


def _up_to(path: str, root: str) -> Iterable[str]:
    """The folders that lead to a path, from its own to the one that holds the root."""
    folder = Path(path).parent
    top = Path(root).parent
    while folder not in (top, folder.parent):
        yield os.fspath(folder)
        folder = folder.parent
    yield os.fspath(top)


@cache
def _syncfs() -> Callable[[int], None] | None:
    """What writes back a whole file system; None where there is nothing of the kind."""
    if sys.platform != "linux":
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return None

    def sync(descriptor: int) -> None:
        if call(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return sync


def _write_all(descriptor: int, body: memoryview) -> None:
    """Write all of it: one call writes less where a signal or a full disk comes between."""
    while body:
        body = body[os.write(descriptor, body) :]


def _sync(descriptor: int) -> None:
    """Have a file's bytes reach the disk itself; macOS's `fsync` leaves them in the disk's cache."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 -- not on Windows

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _sync_file(path: str) -> None:
    """Sync a file that was written; one that was deleted, or a folder, has nothing of its own."""
    try:
        # Windows syncs only what may be written.
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    """Make the names in a folder durable; Windows does so with the files."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
