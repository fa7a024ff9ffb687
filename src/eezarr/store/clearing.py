"""What may be deleted before a store is laid out, and deleting it.

Law: only a place whose record says not ready, or that the user lets us overwrite, is ever cleared; and then only if all
at its top is a Zarr group's or ours. A directory with anything else in it is refused.
"""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

from eezarr.errors import ForeignStore, InvalidInput, StoreError
from eezarr.store.record import OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eezarr.store.location import Location

__all__ = ["START_AGAIN", "clear", "clear_remains", "clearable", "image_text"]

START_AGAIN = "Choose another output, or pass --overwrite to delete what is there and start again."

_ATTEMPTS = 5

_NODE_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
_GROUP_DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")


def clearable(location: Location, ours: Iterable[str] | None, *, overwrite: bool) -> tuple[str, ...]:
    """Return the names at the top that may be deleted: all of them, or the place is refused.

    Args:
        location: The place.
        ours: Names of nodes that a record of ours allows; None if there is no record.
        overwrite: Whether the user lets us delete a Zarr group that is there.

    Raises:
        ForeignStore: If something else is there.
        StoreError: If the storage fails.
    """
    names = tuple(name for name in location.names() if name != OWN_PREFIX)
    if not names:
        return ()
    if ours is None and not overwrite:
        is_zarr = any(document in names for document in (*_NODE_DOCUMENTS, ".zattrs"))
        kind = "a Zarr store that eezarr did not make" if is_zarr else "a directory with other things in it"
        raise ForeignStore(f"{location.url} is {kind}.", hint=START_AGAIN if is_zarr else "Choose another output.")
    known = {*_GROUP_DOCUMENTS, *(ours or ())}
    strangers = [name for name in names if name not in known and not _is_node(location, name)]
    if strangers or (ours is None and not {"zarr.json", ".zgroup"} & set(names)):
        listed = ", ".join((strangers or list(names))[:5])
        raise ForeignStore(
            f"{location.url} holds more than a Zarr group ({listed}), so it is not overwritten.",
            hint="Choose another output, or delete it yourself.",
        )
    return names


def clear(location: Location) -> None:
    """Delete all but the record; it says not ready, so no mark that is still there is believed.

    Raises:
        StoreError: If the storage fails.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _clear(location)
        except StoreError as error:
            # A run that was displaced a moment ago may have put a temporary file into a folder that was being emptied.
            is_refilled = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOTEMPTY
            if not is_refilled or attempt == _ATTEMPTS:
                raise
        else:
            return


def _clear(location: Location) -> None:
    location.remove_below(f"{OWN_PREFIX}/marks")
    location.remove_below(f"{OWN_PREFIX}/levels")
    for name in location.names():
        if name in _GROUP_DOCUMENTS:
            location.remove(name)
        elif name != OWN_PREFIX:
            location.remove_below(name)


def clear_remains(location: Location, nodes: Iterable[str]) -> None:
    """Delete what was written to a store after it was deleted: parts of its own nodes that have no document any more.

    Args:
        location: The place, which has no record.
        nodes: Names of the store's own nodes.

    Raises:
        StoreError: If the storage fails.
    """
    there = set(location.names())
    for name in nodes:
        if name in there and not _is_node(location, name):
            location.remove_below(name)


def image_text(image_info: Mapping[str, object]) -> str:
    """Return a description of what is read as JSON text.

    Raises:
        InvalidInput: If it is not JSON.
    """
    try:
        return json.dumps(dict(image_info))
    except (TypeError, ValueError) as error:
        raise InvalidInput("The image's description is not JSON.", hint="Give plain values.") from error


def _is_node(location: Location, name: str) -> bool:
    return any(location.get(f"{name}/{document}") is not None for document in _NODE_DOCUMENTS)
