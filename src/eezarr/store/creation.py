"""Making a store, or finding the one that a job began, so that a crash at any instant leaves what a second run repairs.

    record (not ready)  ->  clear what may be cleared  ->  group, arrays, coordinates  ->  record (ready)

A cube that grows along time keeps what it has:

    record (growing)  ->  longer arrays and coordinates  ->  record (ready)

What may be cleared, `clearing` decides.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from typing import TYPE_CHECKING

from eezarr.errors import ForeignStore
from eezarr.grid import parse_crs
from eezarr.store.arrays import consolidate, grow_group, make_group, replace_attributes
from eezarr.store.clearing import START_AGAIN, clear, clearable
from eezarr.store.difference import differences, plan_facts
from eezarr.store.layout import MASK_NAME, STACKED_NAME
from eezarr.store.leftovers import sweep_leftovers
from eezarr.store.levels import levels_of
from eezarr.store.metadata import group_attributes
from eezarr.store.record import JobRecord, new_birth, read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from eezarr.plan import Plan, Step
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = ["find_store", "make_store", "node_names", "provenance"]

_COORDINATES = ("x", "y", "band", "time", "image_ids", "spatial_ref")


def find_store(
    plan: Plan, location: Location, *, origin: str, overwrite: bool
) -> tuple[JobRecord | None, tuple[str, ...]]:
    """Return the record of the plan's own store at a place, or None with the names there that may be deleted.

    Nothing is written.

    Args:
        plan: What will be stored.
        location: The place.
        origin: The service that is asked.
        overwrite: Whether whatever store is there is to be deleted.

    Raises:
        InvalidInput: If the grid's CRS is unknown.
        ForeignStore: If the place holds something else.
        StoreError: If the storage fails.
    """
    parse_crs(plan.grid.crs)
    found = _read(location, overwrite=overwrite)
    if found is not None and not overwrite:
        _check_same(found, plan, location, origin=origin)
        if found.is_ready:
            return found, ()
    return None, clearable(location, None if found is None else _names(found), overwrite=overwrite)


def make_store(
    plan: Plan,
    specs: Sequence[ArraySpec],
    location: Location,
    *,
    image: str,
    origin: str,
    overwrite: bool,
    now: datetime,
) -> JobRecord:
    """Lay out the plan's store at a place that this run holds, or find it laid out; return its record, which is ready.

    Raises:
        InvalidInput: If the grid's CRS is unknown.
        ForeignStore: If the place holds something else.
        StoreError: If the storage fails.
    """
    found, clears = find_store(plan, location, origin=origin, overwrite=overwrite)
    sweep_leftovers(location, [] if found is None else _arrays(plan, specs))
    if found is not None and (found.is_growing or found.fingerprint != plan.fingerprint):
        return _grow(dataclasses.replace(found, image=image), plan, specs, location)
    if found is not None:
        # The same record again: what may not be written is known before the first pixel is asked for.
        write_record(location, found)
        return found
    record = JobRecord(
        plan=plan,
        fingerprint=plan.fingerprint,
        image=image,
        origin=origin,
        birth=new_birth(),
        created=now,
        is_ready=False,
        clears=clears,
    )
    write_record(location, record)
    clear(location)
    make_group(location, plan, specs, group_attributes(plan.grid, parse_crs(plan.grid.crs), provenance(record)))
    consolidate(location)
    ready = dataclasses.replace(record, is_ready=True, clears=())
    write_record(location, ready)
    return ready


def node_names(specs: Sequence[ArraySpec]) -> tuple[str, ...]:
    """Return the names of what a store has at its top, but for overviews."""
    return (*_COORDINATES, *(spec.name for spec in specs))


def _arrays(plan: Plan, specs: Sequence[ArraySpec]) -> list[str]:
    levels = [f"{level.group}/{name}" for level in levels_of(plan) for name in node_names(level.specs)]
    return [*node_names(specs), *levels]


def _grow(found: JobRecord, plan: Plan, specs: Sequence[ArraySpec], location: Location) -> JobRecord:
    growing = dataclasses.replace(found, plan=plan, fingerprint=plan.fingerprint, is_growing=True)
    write_record(location, growing)
    grow_group(location, plan, specs)
    replace_attributes(location, {"eezarr": provenance(growing)})
    ready = dataclasses.replace(growing, is_growing=False)
    write_record(location, ready)
    return ready


def provenance(record: JobRecord, *, completed: datetime | None = None) -> dict[str, JSON]:
    """Return the group's attribute `eezarr`: what the pixels are and where they come from."""
    plan, layout = record.plan, record.plan.layout
    return {
        "version": importlib.metadata.version("eezarr"),
        "image": json.loads(record.image),
        "plan": {
            "bands": [band.name for band in plan.bands],
            "tile": [plan.tile_shape.height, plan.tile_shape.width],
            "bands_per_tile": plan.bands_per_tile,
            "tiles": plan.wanted_count,
            "layout": layout.kind,
            "chunk": [layout.chunk.height, layout.chunk.width],
            "shard": layout.is_sharded,
            "compressor": layout.compressor,
            "mask": plan.masking.mode,
            "steps": None if plan.steps is None else len(plan.steps),
        },
        "fingerprint": record.fingerprint,
        "origin": record.origin,
        "created": record.created.isoformat(),
        "completed": completed.isoformat() if completed else None,
        "complete": completed is not None,
    }


def _read(location: Location, *, overwrite: bool) -> JobRecord | None:
    try:
        return read_record(location)
    except ForeignStore:
        if not overwrite:
            raise
        return None


def _check_same(found: JobRecord, plan: Plan, location: Location, *, origin: str) -> None:
    old = found.plan
    if old.lineage != plan.lineage or found.origin != origin:
        told = differences({"origin": found.origin, **plan_facts(old)}, {"origin": origin, **plan_facts(plan)})
        raise ForeignStore(
            f"{location.url} holds the pixels of another plan: {told or 'another version of eezarr made it'}.",
            hint=START_AGAIN,
        )
    _check_grown(old.steps or (), plan.steps or (), location)
    cut = (old.tile_shape, old.bands_per_tile)
    starts = (*old.step_starts, *([old.step_count] if plan.step_count > old.step_count else []))
    if found.is_ready and (cut != (plan.tile_shape, plan.bands_per_tile) or starts != plan.step_starts[: len(starts)]):
        raise ForeignStore(
            f"{location.url} was begun with tiles of {cut[0]} pixels and {cut[1]} bands.",
            hint=f"Set tile = [{cut[0].height}, {cut[0].width}] to resume it.",
        )


def _check_grown(old: Sequence[Step], new: Sequence[Step], location: Location) -> None:
    """A time axis may get longer, and nothing else: no old step may be gone, altered or preceded by a new one."""
    for position, step in enumerate(old):
        if position >= len(new) or new[position] != step:
            now = (
                f"{new[position].time:%Y-%m-%d %H:%M} ({len(new[position].images)} images)"
                if position < len(new)
                else "gone"
            )
            raise ForeignStore(
                f"{location.url} has a time step {position}, {step.time:%Y-%m-%d %H:%M} ({len(step.images)} images), "
                f"that is {now} now: a store only grows at the end.",
                hint="Choose another output. A group that was not over yet when it was fetched, such as this month, "
                "changes: end a job where a group ends.",
            )


def _names(found: JobRecord) -> set[str]:
    """The nodes that a record of ours allows."""
    return {*_COORDINATES, STACKED_NAME, MASK_NAME, *found.clears, *(band.name for band in found.plan.bands)}
