"""Whether a store can be in a folder of this machine; looking makes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eezarr.errors import ForeignStore, StoreError
from eezarr.store.failures import storage_errors
from eezarr.store.nodes import OWN

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_empty", "check_folder"]


def check_folder(path: Path, text: str, *, read_only: bool) -> None:
    """Refuse a path that no store is or can be at.

    Args:
        path: The folder.
        text: As the user wrote it.
        read_only: Whether the store must be there, and need not be writable.

    Raises:
        StoreError: If a file is in the way, the folder is not there to be read, or may not be written.
    """
    with storage_errors(text, "open the output"):
        _check(path, text, read_only=read_only)


def check_empty(path: Path, text: str) -> None:
    """Refuse a folder that holds anything but plain objects of ours, such as the writer lease.

    Raises:
        ForeignStore: If it does.
        StoreError: If it cannot be looked at.
    """
    with storage_errors(text, "look into the folder"):
        found = sorted(entry.name for entry in path.iterdir() if entry.name != OWN) if path.exists() else []
    if found:
        raise ForeignStore(
            f"{path} holds something else ({', '.join(found[:5])}).", hint="Choose another output, or empty the folder."
        )


def _check(path: Path, text: str, *, read_only: bool) -> None:
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
