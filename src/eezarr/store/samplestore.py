"""Making a store of samples, or finding the one that a job began; the order of writing is that of `creation`.

A crash at any instant leaves what a second run repairs.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from typing import TYPE_CHECKING

from eezarr.errors import ForeignStore
from eezarr.store.arrays import consolidate
from eezarr.store.clearing import START_AGAIN, clear, clearable
from eezarr.store.difference import differences, sample_facts
from eezarr.store.integrity import gather, require_sound, restore
from eezarr.store.layout import MASK_NAME, STACKED_NAME
from eezarr.store.leftovers import sweep_leftovers
from eezarr.store.location import require_format
from eezarr.store.record import new_birth
from eezarr.store.samplecolumns import COLUMN_NAMES, PROPERTIES
from eezarr.store.sampleform import TARGET_NAME, form_of, sample_specs
from eezarr.store.samplelayout import recorded_layouts, sample_layout
from eezarr.store.samplerecord import SamplesRecord, read_samples_record, write_samples_record
from eezarr.store.samplerelabelling import relabel

if TYPE_CHECKING:
    from datetime import datetime

    from eezarr.samples import SamplePlan
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = ["SAMPLE_NODES", "find_sample_store", "make_sample_store", "samples_provenance"]

SAMPLE_NODES = (STACKED_NAME, MASK_NAME, TARGET_NAME, *COLUMN_NAMES)
"""Names of what a store of samples has at its top."""


def find_sample_store(
    plan: SamplePlan, location: Location, *, origin: str, overwrite: bool
) -> tuple[SamplesRecord | None, tuple[str, ...]]:
    """Return the record of the plan's own store at a place, or None with the names there that may be deleted.

    Nothing is written; see `creation.find_store`.

    Raises:
        InvalidInput: If the layout cannot be.
        ForeignStore: If the place holds something else.
        StoreError: If the storage fails.
    """
    form_of(plan)
    require_format(location, plan.layout.zarr_format)
    found = _read(location, overwrite=overwrite)
    if found is not None and not overwrite:
        if found.lineage != plan.lineage or found.origin != origin:
            told = differences({"origin": found.origin, **dict(found.parts)}, {"origin": origin, **sample_facts(plan)})
            raise ForeignStore(
                f"{location.url} holds other samples: {told or 'another version of eezarr made it'}.", hint=START_AGAIN
            )
        if found.is_ready:
            return found, ()
    return None, clearable(location, None if found is None else {*SAMPLE_NODES, *found.clears}, overwrite=overwrite)


def make_sample_store(
    plan: SamplePlan,
    location: Location,
    *,
    image: str,
    origin: str,
    overwrite: bool,
    now: datetime,
    repair: bool = False,
) -> SamplesRecord:
    """Lay out a plan's store at a place that this run holds, or find it laid out; return its record, which is ready.

    Raises:
        InvalidInput: If the layout cannot be.
        ForeignStore: If the place holds something else.
        StoreError: If the storage fails, or documents or columns that are there are damaged and `repair` is false.
    """
    found, clears = find_sample_store(plan, location, origin=origin, overwrite=overwrite)
    form = form_of(plan)
    names = [*(spec.name for spec in sample_specs(form)), *COLUMN_NAMES]
    sweep_leftovers(location, [] if found is None else [name for name in names if name != PROPERTIES])
    if found is not None:
        return _sound(plan, location, found, image, repair=repair)
    record = SamplesRecord(
        form=form,
        fingerprint=plan.fingerprint,
        lineage=plan.lineage,
        wanted_count=plan.wanted_count,
        provenance=json.dumps(_provenance(plan, image, now) | {"origin": origin}),
        origin=origin,
        parts=tuple(sample_facts(plan).items()),
        birth=new_birth(),
        created=now,
        is_ready=False,
        clears=clears,
    )
    write_samples_record(location, record)
    clear(location)
    layout = sample_layout(plan, samples_provenance(record))
    for name in layout.names:
        layout.write(location, name)
    consolidate(location)
    ready = dataclasses.replace(record, is_ready=True, clears=(), layout=json.dumps(layout.to_json()))
    write_samples_record(location, ready)
    return ready


def _sound(plan: SamplePlan, location: Location, found: SamplesRecord, image: str, *, repair: bool) -> SamplesRecord:
    """The record of a store that has a plan's pixels, once its documents and columns are the plan's, too."""
    gather(location)
    if not repair and not found.is_relabelling:
        require_sound(location, recorded_layouts(location, found))
    is_labelled = found.fingerprint == plan.fingerprint and not found.is_relabelling
    record = found
    if not is_labelled:
        facts = json.dumps(_provenance(plan, image, found.created) | {"origin": found.origin})
        record = dataclasses.replace(found, fingerprint=plan.fingerprint, provenance=facts, is_relabelling=False)
    if is_labelled and not repair:
        # The same record again: what may not be written is known before the first pixel is asked for.
        write_samples_record(location, record)
        return record
    layout = sample_layout(plan, samples_provenance(record))
    if found.layout or repair:
        record = dataclasses.replace(record, layout=json.dumps(layout.to_json()))
    if repair:
        write_samples_record(location, dataclasses.replace(found, is_relabelling=not is_labelled))
        restore(location, [layout])
    if is_labelled:
        write_samples_record(location, record)
        return record
    relabel(location, layout, found=found, record=record, provenance=samples_provenance(record))
    # What else was damaged when the labels were broken off is known only now.
    require_sound(location, recorded_layouts(location, record))
    return record


def samples_provenance(
    record: SamplesRecord, *, completed: datetime | None = None, statistics: str | None = None
) -> dict[str, JSON]:
    """Return the group's attribute `eezarr`: what the samples are and where they come from.

    Args:
        record: Of the samples.
        completed: When the last of them was stored.
        statistics: The hash of the attribute `statistics`.
    """
    told: dict[str, JSON] = json.loads(record.provenance)
    return told | {
        "completed": completed.isoformat() if completed else None,
        "complete": completed is not None,
        "statistics_hash": statistics,
    }


def _provenance(plan: SamplePlan, image: str, now: datetime) -> dict[str, JSON]:
    facts = plan.split_facts
    splits: JSON = None
    if plan.splits is not None and facts is not None:
        splits = {
            "by": facts.by,
            "fractions": dict(facts.fractions) or None,
            "block_size": facts.block_m,
            **({} if facts.buffer_m is None else {"buffer": facts.buffer_m}),
            "counts": {name: int(count) for name, count in plan.splits.counts.items()},
        }
    return {
        "version": importlib.metadata.version("eezarr"),
        "kind": "samples",
        "image": json.loads(image),
        "samples": len(plan),
        "without_images": len(plan) - plan.wanted_count,
        "size": [plan.size.height, plan.size.width],
        "resolution": list(plan.grids.resolution),
        "bands": [band.name for band in plan.bands],
        "mask": plan.masking.mode,
        "shard": plan.layout.per_shard,
        "target": None if plan.target is None else plan.target.name,
        "seed": plan.seed,
        "splits": splits,
        "fingerprint": plan.fingerprint,
        "created": now.isoformat(),
    }


def _read(location: Location, *, overwrite: bool) -> SamplesRecord | None:
    try:
        return read_samples_record(location)
    except ForeignStore:
        if not overwrite:
            raise
        return None
