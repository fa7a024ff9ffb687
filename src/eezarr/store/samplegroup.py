"""Whether a place holds samples, and what was opened of it.

Law: what a fork takes along of an object store's client is dead in the child, so there such a store is refused, and has
to be opened by workers that are spawned. A local store is read by forked workers as by spawned ones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import zarr
from zarr.errors import BaseZarrError

from eezarr.errors import ForeignStore, InvalidInput
from eezarr.store.arrays import quiet
from eezarr.store.attributes import told_by
from eezarr.store.disk import DiskStore
from eezarr.store.failures import storage_errors
from eezarr.store.location import locate
from eezarr.store.patches import PatchReader
from eezarr.store.record import RECORD_KEY, SAMPLES
from eezarr.store.samplerelabelling import RELABELLING, require_labelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import xarray as xr

    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

    Column: TypeAlias = npt.NDArray[np.generic]
    """One value or row a sample: texts as `StringDType`, numbers as int64 or float64."""

__all__ = ["SampleGroup", "holds_samples", "open_sample_group"]

PIXELS = "pixels"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleGroup:
    """The group of a store of samples, in the process that opened it, and what was read of it."""

    location: Location
    group: zarr.Group
    arrays: dict[str, PixelArray | None] = field(default_factory=dict)
    """Those that were looked for, by name: each look into the group reads a document of the store."""
    columns: dict[str, Column] = field(default_factory=dict)
    """Those that were read, by name."""
    readers: dict[str, PatchReader] = field(default_factory=dict)
    """Of the arrays that were read from, by name."""
    process: int = field(default_factory=os.getpid)

    @property
    def attributes(self) -> Mapping[str, JSON]:
        """The group's attributes."""
        return cast("Mapping[str, JSON]", self.group.attrs.asdict())

    def array(self, name: str) -> PixelArray | None:
        """Return an array, or None if there is none of this name."""
        if name not in self.arrays:
            found = self.group.get(name)
            self.arrays[name] = found if isinstance(found, zarr.Array) else None
            if isinstance(found, zarr.Array):
                self.location.bounds.add(found)
        return self.arrays[name]

    def reader(self, name: str) -> PatchReader | None:
        """Return what reads an array's samples, or None if there is no such array.

        Raises:
            StoreError: If it is not laid out as samples are.
        """
        array = self.array(name)
        if name not in self.readers and array is not None:
            self.readers[name] = PatchReader(array, self.location)
        return self.readers.get(name)

    def column(self, name: str) -> Column | None:
        """Return a column, or None if there is none of this name.

        Raises:
            StoreError: If the storage fails.
        """
        array = self.array(name)
        if name not in self.columns and array is not None:
            with storage_errors(self.location.url, f"read {name}"):
                values = np.asarray(array[...])
            is_text = values.dtype.kind in "OUT"
            self.columns[name] = values.astype(np.dtypes.StringDType()) if is_text else values
        return self.columns.get(name)

    def dataset(self, chunks: Mapping[str, int] | None) -> xr.Dataset:
        """Return all of it as xarray opens it, the patches in Dask's chunks if some are given.

        Raises:
            InvalidInput: If xarray is not installed.
            StoreError: If the storage fails.
        """
        try:
            import xarray as xr  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InvalidInput("xarray is not installed.", hint='pip install "eezarr[xarray]"') from error
        with storage_errors(self.location.url, "open the samples"), quiet():
            # Icechunk has no consolidated metadata, of which xarray would warn.
            store = self.location.store
            is_consolidated = None if store.supports_consolidated_metadata else False
            dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=is_consolidated)
        if chunks is None:
            return dataset
        # The columns are stored whole, and small.
        return dataset.assign({name: patches.chunk(dict(chunks)) for name, patches in dataset.data_vars.items()})

    def require_own_process(self) -> None:
        """Refuse an object store in the child of the process that opened it.

        Raises:
            InvalidInput: If this is one.
        """
        if self.process != os.getpid() and not isinstance(self.location.store, DiskStore):
            raise InvalidInput(
                f"{self.location.url} was opened before this process was forked, and its connections with it.",
                hint='Start workers with multiprocessing_context="spawn" or "forkserver", or read without workers.',
            )


def open_sample_group(output: str | os.PathLike[str]) -> SampleGroup:
    """Open a store of samples.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If it is not a store of samples that eezarr made.
        StoreError: If it does not exist, its labels are being written anew, or the storage fails.
    """
    location = locate(output, read_only=True)
    group = _group(location)
    if group is None or not _is_of_samples(group) or not isinstance(group.get(PIXELS), zarr.Array):
        raise ForeignStore(
            f"{location.url} holds no samples that eezarr stored.",
            hint="Check the path; `eezarr samples JOB` makes such a store.",
        )
    require_labelled(location.url, is_relabelling=bool(_facts(group).get(RELABELLING)))
    return SampleGroup(location=location, group=group)


def holds_samples(output: str | os.PathLike[str]) -> bool:
    """Return whether a store's attributes or its record say that it holds samples.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        StoreError: If it does not exist or the storage fails.
    """
    location = locate(output, read_only=True)
    group = _group(location)
    # The record says it where the group's document is damaged, and is not in every copy.
    return (group is not None and _is_of_samples(group)) or _record_kind(location) == SAMPLES


def _group(location: Location) -> zarr.Group | None:
    with storage_errors(location.url, "open the samples"), quiet():
        try:
            return zarr.open_group(location.store, mode="r")
        except (FileNotFoundError, BaseZarrError, ValueError, KeyError, TypeError):
            return None


def _is_of_samples(group: zarr.Group) -> bool:
    return _facts(group).get("kind") == "samples"


def _record_kind(location: Location) -> JSON:
    body = location.get(RECORD_KEY)
    return None if body is None else told_by(body.decode(errors="replace")).get("kind")


def _facts(group: zarr.Group) -> dict[str, JSON]:
    return told_by(cast("JSON", group.attrs.asdict().get("eezarr")))
