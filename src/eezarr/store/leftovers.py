"""What writers leave that were killed between a temporary file and its rename: found where it can be, and deleted.

A chunk `c/0/1` is written as `c/0/1.<32 hex digits>.partial` and renames it. The name is new each time: such a
file is never written again, and takes up space for ever. Object stores and memory leave none.

Law: a store has one process that writes (see `lease`), so whatever is there when it opens the store is dead, or of a
run that was displaced and must not put it in place any more. Only regular files of such names are deleted, and only in
`.eezarr`, in our arrays, and beside the group's own documents; but no claims that others make at the same time.

Cost: every opening replaces the record, and a file's arrival changes its folder's time. So only folders that are not
older than the record are listed: what the last process wrote, never the whole store at each start. Measured: 0.1 s for
10^5 chunks, 50 ms to pass over 200 folders of chunks. Format 2 keeps all chunks of an array in one folder, which is
listed whole if one was written. A clock that was set back hides a file; that only costs its space.

Source: https://github.com/zarr-developers/zarr-python/blob/main/src/zarr/storage/_local.py, `_atomic_write`
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.storage import LocalStore

from eezarr.store.lease import WRITER_PREFIX
from eezarr.store.record import OWN_PREFIX, RECORD_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eezarr.store.location import Location

__all__ = ["sweep_leftovers"]

_LEFTOVER = re.compile(r".+\.[0-9a-f]{32}\.partial", re.DOTALL)
_GROUP_LEFTOVER = re.compile(r"(zarr|zarr\.json|\.zgroup|\.zattrs|\.zmetadata)\.[0-9a-f]{32}\.partial")
_CHUNKS = "c"
"""The folder in an array of format 3 that its chunks are below."""
_COARSEST_S = 2.0
"""The coarsest that a file system keeps times (FAT)."""


def sweep_leftovers(location: Location, arrays: Iterable[str]) -> int:
    """Delete what killed writers left in a store that is ours; return how many files it was.

    To be called by the run that holds it, before it writes anything. What cannot be looked
    at or deleted stays: it harms nobody.

    Args:
        location: The store.
        arrays: Names of our own arrays.
    """
    if not isinstance(location.store, LocalStore):
        return 0
    root = location.store.root
    swept = _sweep(root, _GROUP_LEFTOVER)
    swept += sum(_sweep(folder, _LEFTOVER) for folder in _folders(root / OWN_PREFIX) if folder != root / WRITER_PREFIX)
    try:
        since_s = (root / RECORD_KEY).stat().st_mtime - _COARSEST_S
    except OSError:
        return swept
    for name in arrays:
        swept += sum(_sweep(folder, _LEFTOVER) for folder in _changed(root / name, since_s))
    return swept


def _sweep(folder: Path | str, pattern: re.Pattern[str]) -> int:
    """Delete the files of a folder whose names are of a pattern."""
    swept = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    Path(entry).unlink()
                    swept += 1
    return swept


def _folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it."""
    yield folder
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _folders(Path(entry.path))


def _changed(array: Path, since_s: float) -> Iterator[str]:
    """Yield the folders of an array in which something was made or renamed since a time."""
    if array.is_symlink():
        return
    if _mtime_s(array) >= since_s:
        yield str(array)
    folders = [str(array / _CHUNKS)]
    while folders:
        folder = folders.pop()
        inner = _inner(folder)
        folders += inner
        if not inner and _mtime_s(folder) >= since_s:
            yield folder


def _inner(folder: str) -> list[str]:
    """Return the folders in one that holds such; of one that holds files only the first is looked at."""
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.path)
            elif not found and not entry.is_symlink():
                break
    return found


def _mtime_s(folder: Path | str) -> float:
    try:
        return Path(folder).lstat().st_mtime
    except OSError:
        return float("-inf")
