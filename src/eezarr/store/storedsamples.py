"""A store of samples as it is found: for `status` and `verify`. Nothing is written."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from zarr.errors import BaseZarrError

from eezarr.errors import ForeignStore, StoreError
from eezarr.store.arrays import open_arrays
from eezarr.store.failures import storage_errors
from eezarr.store.location import locate
from eezarr.store.marks import Marks
from eezarr.store.planar import checksum
from eezarr.store.sampleform import sample_specs
from eezarr.store.samplerecord import read_samples_record

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON
    from eezarr.store.sampleform import SampleForm
    from eezarr.store.samplerecord import SamplesRecord

__all__ = ["StoredSamples", "open_stored_samples"]


class StoredSamples:
    """Samples that a job began or completed; made by `open_stored_samples`."""

    def __init__(
        self, *, location: Location, record: SamplesRecord, marks: Marks, arrays: tuple[PixelArray, ...]
    ) -> None:
        self._location = location
        self._record = record
        self._marks = marks
        self._arrays = arrays

    @property
    def url(self) -> str:
        """The path or URL it was opened by."""
        return self._location.url

    @property
    def form(self) -> SampleForm:
        """What the arrays are like."""
        return self._record.form

    @property
    def provenance(self) -> dict[str, JSON]:
        """What the group's attribute `eezarr` said when the store was made."""
        told: dict[str, JSON] = json.loads(self._record.provenance)
        return told

    @property
    def fingerprint(self) -> str:
        """The plan's fingerprint."""
        return self._record.fingerprint

    @property
    def created(self) -> datetime:
        """When the store was made."""
        return self._record.created

    @property
    def wanted_count(self) -> int:
        """How many samples are asked for: those that have an image."""
        return self._record.wanted_count

    @property
    def stored_count(self) -> int:
        """How many samples are stored."""
        return self._marks.count

    @property
    def is_complete(self) -> bool:
        """Whether every wanted sample is stored."""
        return self.stored_count == self.wanted_count

    def stored(self) -> Iterator[int]:
        """Yield the indices of the samples that are stored, in order."""
        return chain.from_iterable(self._marks.marked())

    def is_whole(self, index: int) -> bool:
        """Return whether a stored sample still has the checksum that it was stored with.

        Raises:
            StoreError: If the storage fails; a damaged object is not a failure but an answer, False.
        """
        try:
            with storage_errors(self.url, f"read sample {index}"):
                parts = [np.ascontiguousarray(array[index : index + 1]) for array in self._arrays]
        except StoreError as error:
            if isinstance(error.__cause__, (RuntimeError, ValueError, BaseZarrError)):
                return False
            raise
        return checksum(parts) == self._marks.checksum(index)

    def verify(self, indices: Iterable[int] | None = None) -> Iterator[int]:
        """Yield the stored samples that are not whole, one in memory at a time.

        Args:
            indices: Which stored samples to look at; all if None.

        Raises:
            StoreError: If the storage fails.
        """
        return (index for index in (self.stored() if indices is None else indices) if not self.is_whole(index))


def open_stored_samples(output: str | os.PathLike[str]) -> StoredSamples:
    """Open the samples of a running, broken or completed job, read-only.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If it is not a store of samples that eezarr made.
        StoreError: If it does not exist or the storage fails.
    """
    location = locate(output, read_only=True)
    record = read_samples_record(location)
    if record is None or not record.is_ready:
        raise ForeignStore(
            f"{location.url} holds no samples that eezarr stored.",
            hint="Check the path; if `eezarr samples` was just broken off, run it again.",
        )
    return StoredSamples(
        location=location,
        record=record,
        marks=Marks.load(record, location),
        arrays=open_arrays(location, sample_specs(record.form)),
    )
