"""All that is damaged of a store beside its pixels, for `verify`. Nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from eezarr.store.attributes import told_by
from eezarr.store.columns import open_column, read_attributes
from eezarr.store.failures import storage_errors
from eezarr.store.location import locate
from eezarr.store.marks import Marks
from eezarr.store.samplecolumns import STATE_NAME, STORED
from eezarr.store.samplegroup import holds_samples
from eezarr.store.samplelayout import recorded_layouts
from eezarr.store.samplestatistics import has_statistics
from eezarr.store.soundness import job_layouts
from eezarr.store.stored import ready_record
from eezarr.store.storedsamples import ready_samples_record

if TYPE_CHECKING:
    import os

    from eezarr.store.attributes import JSON
    from eezarr.store.location import Location
    from eezarr.store.samplerecord import SamplesRecord

__all__ = ["damaged_nodes"]


def damaged_nodes(output: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return what is damaged of the documents and coordinates of a job's or samples' store, each in words.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If it is not a store that eezarr made.
        StoreError: If it does not exist or the storage fails.
    """
    location = locate(output, read_only=True)
    if not holds_samples(output):
        layouts = job_layouts(location, ready_record(location))
        return tuple(str(node) for layout in layouts for node in layout.damaged(location))
    record = ready_samples_record(location)
    layouts = recorded_layouts(location, record)
    damaged = tuple(str(node) for layout in layouts for node in layout.damaged(location))
    return damaged or _behind(location, record)


def _behind(location: Location, record: SamplesRecord) -> tuple[str, ...]:
    """What is not as a completed run left it of that which follows the samples that are stored."""
    attributes = cast("dict[str, JSON]", read_attributes(location))
    if told_by(attributes.get("eezarr")).get("complete") is not True:
        return ()
    stored = np.zeros(record.tile_count, np.bool_)
    for run in Marks.load(record, location).marked():
        stored[run.start : run.stop] = True
    column = open_column(location, STATE_NAME)
    with storage_errors(location.url, f"read {STATE_NAME}"):
        state = np.asarray(column[...])
    damaged = [] if has_statistics(attributes) else ["the group: the attribute statistics is missing or was altered"]
    if not np.array_equal(state == STORED, stored):
        damaged.append(f"{STATE_NAME}: its values are missing or were altered")
    return tuple(damaged)
