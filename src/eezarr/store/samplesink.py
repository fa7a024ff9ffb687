"""The sink of samples: stores them, marks them, resumes what an earlier run began, and says what is there.

The column `state` follows the marks: a sample that it calls stored is marked, durably. What a killed run left behind is
put right when the next one opens the store.
"""

from __future__ import annotations

import threading
from itertools import chain
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from eezarr.errors import StoreError
from eezarr.plan import record_dtype
from eezarr.store.arrays import open_arrays, replace_attributes
from eezarr.store.attributes import told_by
from eezarr.store.clearing import image_text
from eezarr.store.columns import is_consolidated, open_column, read_attributes
from eezarr.store.failures import storage_errors
from eezarr.store.integrity import is_sound
from eezarr.store.lease import WriterLease, is_held
from eezarr.store.location import locate
from eezarr.store.marks import Marks
from eezarr.store.noted import NotedSize
from eezarr.store.samplecolumns import MISSING, STATE_NAME, STORED, UNAVAILABLE
from eezarr.store.sampleform import sample_specs
from eezarr.store.samplelayout import recorded_layouts
from eezarr.store.samplestatistics import TrainingStatistics, has_statistics, statistics_hash
from eezarr.store.samplestore import SAMPLE_NODES, find_sample_store, make_sample_store, samples_provenance
from eezarr.store.sampleunits import SampleUnits
from eezarr.store.storedsamples import StoredSamples

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    import numpy.typing as npt

    from eezarr.plan import Tile
    from eezarr.protocols import Pixels
    from eezarr.samples import SamplePlan
    from eezarr.store.arrays import PixelArray
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON
    from eezarr.store.samplerecord import SamplesRecord
    from eezarr.store.sampleunits import OpenUnit

__all__ = ["SamplesSink"]


class SamplesSink:
    """Keeps a plan's samples in a Zarr group; made by `create`. Thread-safe.

    Memory: the samples of the stored objects that are open; see `sampleunits`.
    """

    def __init__(
        self,
        *,
        plan: SamplePlan,
        location: Location,
        record: SamplesRecord,
        arrays: tuple[PixelArray, ...],
        state: PixelArray,
        marks: Marks,
        most_open: int,
        lease: WriterLease | None = None,
    ) -> None:
        self._lease = lease
        self._plan = plan
        self._location = location
        self._record = record
        self._arrays = arrays
        self._marks = marks
        self._noted = NotedSize(location)
        self._state = state
        self._stored = _flags(marks, len(plan))
        self._resumed = marks.count
        self._is_settled = self._stored | ~plan.wanted
        self._failed = np.zeros(len(plan), np.bool_)
        self._told: npt.NDArray[np.uint8] | None = None
        self._flushing = threading.Lock()
        self._statistics = TrainingStatistics(plan, record.form)
        self._units = SampleUnits(
            form=record.form,
            arrays=arrays,
            location=location,
            most=most_open,
            is_stored=lambda sample: bool(self._stored[sample]),
            is_settled=lambda samples: bool(self._is_settled[samples.start : samples.stop].all()),
            on_stored=self._on_stored,
            on_lost=self._on_lost,
        )
        self._lost: set[int] = set()

    @classmethod
    def create(
        cls,
        plan: SamplePlan,
        output: str | os.PathLike[str],
        *,
        image_info: Mapping[str, object],
        origin: str,
        now: datetime,
        overwrite: bool = False,
        repair: bool = False,
        steal: bool = False,
        most_open: int = 2,
    ) -> Self:
        """Lay out the plan's store, or open the one that the same plan began, and hold it until `close`.

        A store with nothing to do is not held, and nothing of it changes.

        Args:
            plan: What will be stored.
            output: A path or URL.
            image_info: What is read, in plain JSON values, for the provenance.
            origin: The service that is asked, as `earthengine.origin` names it.
            now: The time, with its zone.
            overwrite: Whether to delete a Zarr group that is there; nothing else is ever deleted.
            repair: Whether to write damaged documents and columns again, else they are an error, and whether
                `unmark_altered` will be called.
            steal: Whether to take the store over from a live run.
            most_open: How many stored objects may fill at the same time.

        Raises:
            InvalidInput: If the layout or output cannot become a Zarr group.
            ForeignStore: If the place holds another plan's store, or something that is not ours.
            StoreError: If another run writes the store, or the storage fails.
        """
        location, image = locate(output), image_text(image_info)
        found, _ = find_sample_store(plan, location, origin=origin, overwrite=overwrite)
        if found is not None and not repair and found.fingerprint == plan.fingerprint and not found.is_relabelling:
            marks = Marks.load(found, location)
            if (
                marks.count == plan.wanted_count
                and not is_held(location)
                and is_sound(location, recorded_layouts(location, found))
            ):
                sink = cls._opened(plan, location, found, marks, most_open=most_open)
                if sink.is_done():
                    return sink
        lease = WriterLease.take(location, nodes=SAMPLE_NODES, steal=steal)
        try:
            location = location.held_by(lease)
            with location.committing("open the store"):
                record = make_sample_store(
                    plan,
                    location,
                    image=image,
                    origin=origin,
                    overwrite=overwrite,
                    now=now,
                    repair=repair,
                )
            marks = Marks.load(record, location)
            sink = cls._opened(plan, location, record, marks, most_open=most_open, lease=lease)
            if not sink.is_done():
                sink.flush()
        except StoreError:
            # What looks like damage may be another run's work, which has taken the store meanwhile.
            try:
                lease.check()
            finally:
                lease.release()
            raise
        except BaseException:
            lease.release()
            raise
        return sink

    @classmethod
    def _opened(
        cls,
        plan: SamplePlan,
        location: Location,
        record: SamplesRecord,
        marks: Marks,
        *,
        most_open: int,
        lease: WriterLease | None = None,
    ) -> Self:
        return cls(
            plan=plan,
            location=location,
            record=record,
            arrays=open_arrays(location, sample_specs(record.form)),
            state=open_column(location, STATE_NAME),
            marks=marks,
            most_open=most_open,
            lease=lease,
        )

    def is_done(self) -> bool:
        """Whether every wanted sample is stored, and whatever comes after the last is there, too."""
        if self._marks.count != self._plan.wanted_count:
            return False
        attributes = cast("dict[str, JSON]", read_attributes(self._location))
        told = told_by(attributes.get("eezarr"))
        is_told = (
            told.get("complete") is True
            and told.get("fingerprint") == self._plan.fingerprint
            and has_statistics(attributes)
        )
        return is_told and is_consolidated(self._location) and np.array_equal(self._states(), self._read_state())

    def renew(self) -> None:
        """Give a sign of life, if one is due.

        Raises:
            StoreError: If another run took the store, or the storage fails.
        """
        if self._lease is not None:
            self._lease.renew()

    def close(self) -> None:
        """Give the store back to others.

        Raises:
            StoreError: If the storage fails; the store is free when this process ends.
        """
        if self._lease is not None:
            self._lease.release()

    @property
    def plan(self) -> SamplePlan:
        """What is stored."""
        return self._plan

    @property
    def stored_count(self) -> int:
        """How many samples are stored."""
        return self._marks.count

    def noted_size(self) -> bytes:
        """Return what an earlier run noted of how much one request may ask for; empty if nothing.

        Raises:
            StoreError: If the storage fails.
        """
        return self._noted.read()

    def note_size(self, size: bytes) -> None:
        """Note how much one request may ask for; durable after the next `flush`."""
        self._noted.note(size)

    def missing(self) -> Iterator[int]:
        """Yield the indices of the wanted samples that are not stored, in order."""
        return filter(self._plan.is_wanted, chain.from_iterable(self._marks.missing()))

    def write(self, tile: Tile, pixels: Pixels) -> None:
        """Take a sample's pixels; store it, with those that share its stored object, when these are there.

        Raises:
            StoreError: If the storage fails.
        """
        if pixels.shape != (tile.window.height, tile.window.width) or pixels.dtype != record_dtype(tile.wire_bands):
            raise StoreError(
                f"{tile} got pixels of {pixels.shape} {pixels.dtype}, so it was not written.",
                hint="This is a defect of the source: please report it with the job file.",
            )
        self._units.take(tile, pixels, self._settle)

    def take_lost(self) -> list[int]:
        """Return the samples that were stored and cannot be read any more, found since the last call: ask for them."""
        lost, self._lost = self._lost, set()
        return sorted(lost)

    def give_up(self, index: int) -> None:
        """Note that a sample could not be had by this run; those that share its stored object wait no longer."""
        self._failed[index] = True
        self._settle(index)

    def flush(self) -> None:
        """Store what waits for nothing any more, and make marks and states durable.

        Raises:
            StoreError: If the storage fails.
        """
        self._units.store_settled()
        with self._flushing, self._location.committing(f"{self._marks.count} samples"):
            state = self._states()
            self._marks.flush()
            self._noted.flush()
            if self._told is None:
                self._told = np.asarray(self._read_state())
            if not np.array_equal(state, self._told):
                with storage_errors(self._location.url, "write which samples are there"):
                    self._state[...] = state
                self._told = state

    def store_all(self) -> None:
        """Store what is in memory, full or not, and flush: a run ends.

        Raises:
            StoreError: If the storage fails.
        """
        self._units.store_all()
        self.flush()

    def unmark_altered(self) -> int:
        """Take stored samples that are not what was stored for missing, durably; return how many there are.

        Raises:
            StoreError: If the storage fails.
        """
        stored = StoredSamples(location=self._location, record=self._record, marks=self._marks, arrays=self._arrays)
        altered = list(stored.verify())
        for index in altered:
            self._stored[index] = self._is_settled[index] = False
            self._marks.unmark(index)
        self._resumed = -1 if altered else self._resumed
        self.flush()
        return len(altered)

    def finish(self, now: datetime) -> bool:
        """Store all, note the job as complete if every wanted sample is stored, and write the statistics.

        Returns:
            Whether every wanted sample is stored.

        Raises:
            StoreError: If the storage fails.
        """
        if self._lease is None or (self._marks.count == self._resumed and self.is_done()):
            return self._marks.count == self._plan.wanted_count
        self.store_all()
        is_complete = self._marks.count == self._plan.wanted_count
        found = cast("dict[str, JSON]", read_attributes(self._location))
        statistics = told_by(found.get("statistics"))
        if self._marks.count != self._resumed or not has_statistics(found):
            self._statistics.complete(self._arrays, self._stored, self._location.url)
            statistics = self._statistics.to_json()
        completed, stated = now if is_complete else None, statistics_hash(statistics)
        attributes: dict[str, JSON] = {
            "eezarr": samples_provenance(self._record, completed=completed, statistics=stated),
            "statistics": statistics,
        }
        with self._location.committing(f"{self._marks.count} samples, {'complete' if is_complete else 'incomplete'}"):
            replace_attributes(self._location, attributes)
            self._location.settle()
        return is_complete

    def _settle(self, index: int) -> None:
        self._is_settled[index] = True

    def _on_stored(self, unit: OpenUnit) -> None:
        for sample, crc in unit.arrived.items():
            self._marks.mark(sample, crc)
            self._stored[sample] = True
            self._statistics.count(sample, unit.blocks, sample - unit.samples.start)
        unit.arrived = {}

    def _on_lost(self, sample: int) -> None:
        self._marks.unmark(sample)
        self._stored[sample] = self._is_settled[sample] = False
        self._resumed = -1
        self._lost.add(sample)

    def _states(self) -> npt.NDArray[np.uint8]:
        state = np.where(self._failed | ~self._plan.wanted, UNAVAILABLE, MISSING).astype(np.uint8)
        state[self._stored] = STORED
        return state

    def _read_state(self) -> npt.NDArray[np.uint8]:
        with storage_errors(self._location.url, "read which samples are there"):
            return np.asarray(self._state[...], np.uint8)


def _flags(marks: Marks, count: int) -> npt.NDArray[np.bool_]:
    return _of_ranges(marks.marked(), count)


def _of_ranges(ranges: Iterable[range], count: int) -> npt.NDArray[np.bool_]:
    flags = np.zeros(count, np.bool_)
    for run in ranges:
        flags[run.start : run.stop] = True
    return flags
