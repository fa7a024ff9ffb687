"""Opening a column, or the attributes, of a group that is laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zarr

from eezarr.errors import StoreError
from eezarr.store.arrays import quiet
from eezarr.store.failures import storage_errors
from eezarr.store.tuning import tuned_zarr

if TYPE_CHECKING:
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location

__all__ = ["is_consolidated", "open_column", "read_attributes"]


def open_column(location: Location, name: str) -> PixelArray:
    """Return a column's array.

    Raises:
        StoreError: If it is absent, or the storage fails.
    """
    with storage_errors(location.url, f"open {name}"), tuned_zarr(), quiet():
        node = _group(location).get(name)
    if not isinstance(node, zarr.Array):
        raise StoreError(
            f"The array {name!r} is not in {location.url} any more.",
            hint="Pass --overwrite to start again, or choose another output.",
        )
    return node


def read_attributes(location: Location) -> dict[str, object]:
    """Return the group's attributes.

    Raises:
        StoreError: If the storage fails.
    """
    with storage_errors(location.url, "read the group's attributes"), quiet():
        return dict(_group(location).attrs)


def is_consolidated(location: Location) -> bool:
    """Return whether the metadata is gathered in one object, where the store has such.

    Raises:
        StoreError: If the storage fails.
    """
    if not location.store.supports_consolidated_metadata:
        return True
    with storage_errors(location.url, "read the metadata"), quiet():
        return (_group(location).metadata.zarr_format == 2 and location.get(".zmetadata") is not None) or (
            b'"consolidated_metadata": {' in (location.get("zarr.json") or b"")
        )


def _group(location: Location) -> zarr.Group:
    return zarr.open_group(location.store, mode="r" if location.store.read_only else "r+", use_consolidated=False)
