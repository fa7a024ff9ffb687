"""Labels, splits and other columns of stored samples, written anew: no pixel depends on them.

Law: the record says that it has begun before anything is changed, and the group's attributes say so to readers, which
refuse the store until it has ended; statistics, being of the training split, are withdrawn. What a crash leaves behind,
the next run of a job of the same pixels writes again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import zarr

from eezarr.errors import StoreError
from eezarr.store.arrays import consolidate, quiet
from eezarr.store.attributes import plain_attributes
from eezarr.store.failures import storage_errors
from eezarr.store.samplecolumns import LABEL_NAMES
from eezarr.store.sampleform import sample_specs
from eezarr.store.samplerecord import write_samples_record
from eezarr.store.tuning import tuned_zarr

if TYPE_CHECKING:
    from eezarr.store.integrity import GroupLayout
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON
    from eezarr.store.samplerecord import SamplesRecord

__all__ = ["RELABELLING", "relabel", "require_labelled"]

RELABELLING = "relabelling"
"""What the attribute `eezarr` has while the columns are written."""


def relabel(
    location: Location,
    layout: GroupLayout,
    *,
    found: SamplesRecord,
    record: SamplesRecord,
    provenance: dict[str, JSON],
) -> None:
    """Write other labels, splits and properties in place of those that are there.

    Args:
        location: The store.
        layout: What the group becomes: of the same pixels.
        found: The store's record.
        record: What it becomes.
        provenance: What the attribute `eezarr` becomes.

    Raises:
        StoreError: If the storage fails; the next run begins again.
    """
    write_samples_record(location, dataclasses.replace(found, is_relabelling=True))
    with storage_errors(location.url, "write the labels anew"), tuned_zarr(), quiet():
        group = zarr.open_group(location.store, mode="r+", use_consolidated=False)
        told = group.attrs.asdict()
        told.pop("statistics", None)
        group.attrs.put({**told, **plain_attributes({"eezarr": {**provenance, RELABELLING: True}})})
        consolidate(location)
        location.settle()
        for name in LABEL_NAMES:
            location.remove_below(name)
        # The documents of pixels list the columns that there are.
        changed = {*LABEL_NAMES, *(spec.name for spec in sample_specs(record.form))}
        for name in layout.names:
            if name.partition("/")[0] in changed:
                layout.write(location, name)
        group.attrs.update(plain_attributes({"eezarr": provenance}))
        consolidate(location)
    write_samples_record(location, record)


def require_labelled(url: str, *, is_relabelling: bool) -> None:
    """Check that a store's labels are not being written, as its record or attributes say.

    Raises:
        StoreError: If they are.
    """
    if is_relabelling:
        raise StoreError(
            f"The labels and splits of {url} are being written anew, or that was broken off.",
            hint="Run its job again: it goes on from there.",
        )
