"""A store of samples as it is found: for `status` and `verify`. Nothing is written."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import ForeignStore, StoreError
from eezarr.planes import unpack
from eezarr.store.arrays import open_arrays
from eezarr.store.failures import is_damage, storage_errors
from eezarr.store.location import locate, require_format
from eezarr.store.marks import Marks
from eezarr.store.planar import checksum
from eezarr.store.sampleform import blank_blocks, sample_specs, slot_parts
from eezarr.store.sampleplan import plan_of_samples
from eezarr.store.samplerecord import read_samples_record
from eezarr.store.samplerelabelling import require_labelled

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from eezarr.plan import Band, Tile
    from eezarr.plan.model import ZarrFormat
    from eezarr.planes import Block
    from eezarr.protocols import Pixels
    from eezarr.samples import SamplePlan
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON
    from eezarr.store.sampleform import SampleForm
    from eezarr.store.samplerecord import SamplesRecord

__all__ = ["StoredSamples", "open_stored_samples", "ready_samples_record", "recorded_sample_bands"]


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
    def image(self) -> dict[str, JSON]:
        """What was read, as the job described it."""
        described = self.provenance.get("image")
        return described if isinstance(described, dict) else {}

    @property
    def fingerprint(self) -> str:
        """The plan's fingerprint."""
        return self._record.fingerprint

    @property
    def origin(self) -> str:
        """The service that its pixels come from."""
        return self._record.origin

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
            if is_damage(error):
                return False
            raise
        return checksum(parts) == self._marks.checksum(index)

    def plan_of(self, samples: Sequence[int]) -> SamplePlan:
        """Return a plan of some samples, from what the store says of each; its sample 0 is the first of them.

        Args:
            samples: Positions, ascending; one at least.

        Raises:
            StoreError: If the store does not say what a sample is, or the storage fails.
        """
        image = self.image
        return plan_of_samples(
            self._location, self.form, samples, image_key=json.dumps(image), has_own_images="collection" in image
        )

    def differing(self, sample: int, part: Tile, pixels: Pixels) -> tuple[str, ...]:
        """Return the names of the arrays in which a sample is not what a source answers, bit by bit.

        Args:
            sample: Position in the store.
            part: What the source was asked for: the sample, or a part of it.
            pixels: The source's answer.

        Raises:
            StoreError: If the storage fails; a damaged object is not a failure but an answer: its array differs.
        """
        parts = slot_parts(self.form, blank_blocks(self.form, 1, part.window.shape), 0, part)
        # Labels come with the first step alone.
        unpack(part, pixels, [(fields, answer) for fields, answer in parts if fields])
        specs = sample_specs(self.form)
        return tuple(
            spec.name
            for array, spec, (fields, answer) in zip(self._arrays, specs, parts, strict=True)
            if fields and not self._holds(array, sample, part, answer, has_time="time" in spec.dimensions)
        )

    def _holds(self, array: PixelArray, sample: int, part: Tile, answer: Block, *, has_time: bool) -> bool:
        """Whether an array has these bytes for a part of a sample."""
        steps = (slice(part.steps.start, part.steps.stop),) if has_time else ()
        place = (sample, *steps, ..., part.window.rows, part.window.cols)
        try:
            with storage_errors(self.url, f"read sample {sample}"):
                stored = np.asarray(array[place])
        except StoreError as error:
            if is_damage(error):
                return False
            raise
        return stored.tobytes() == answer.tobytes()

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
        StoreError: If it does not exist, its labels are being written anew, or the storage fails.
    """
    location = locate(output, read_only=True)
    record = ready_samples_record(location)
    return StoredSamples(
        location=location,
        record=record,
        marks=Marks.load(record, location),
        arrays=open_arrays(location, sample_specs(record.form)),
    )


def ready_samples_record(location: Location) -> SamplesRecord:
    """Return the record of samples that can be read.

    Raises:
        ForeignStore: If there is none.
        StoreError: If the labels are being written anew, or the storage fails.
    """
    record = read_samples_record(location)
    if record is None or not record.is_ready:
        raise ForeignStore(
            f"{location.url} holds no samples that eezarr stored.",
            hint="Check the path; if `eezarr samples` was just broken off, run it again.",
        )
    require_labelled(location.url, is_relabelling=record.is_relabelling)
    return record


def recorded_sample_bands(
    output: str | os.PathLike[str], *, zarr_format: ZarrFormat = 3
) -> tuple[object, tuple[Band, ...], Band | None] | None:
    """Return what the samples at a place were read from, as it was described, their bands and the band of labels.

    They have the types that one pixel told when the store was begun; None if no samples of ours are there. Blocks.

    Args:
        output: A path or URL.
        zarr_format: What is to be stored there.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        StoreError: If the storage fails; `ForeignStore` if the record there cannot be read.
    """
    location = locate(output)
    require_format(location, zarr_format)
    record = read_samples_record(location) if location.may_exist else None
    if record is None or not record.is_ready:
        return None
    return json.loads(record.provenance).get("image"), record.form.bands, record.form.target
