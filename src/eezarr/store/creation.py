"""Making a store, or finding the one that a job began, so that a crash at any instant leaves what a second run repairs.

    record (not ready)  ->  clear what may be cleared  ->  group, arrays, coordinates  ->  record (ready)

A cube that grows along time keeps what it has:

    record (growing)  ->  longer arrays and coordinates  ->  record (ready)

Law: only a place whose record says not ready, or that the user lets us overwrite, is ever cleared; and then only if all
at its top is a Zarr group's or ours. A directory with anything else in it is refused.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from typing import TYPE_CHECKING

from eezarr.errors import ForeignStore, InvalidInput
from eezarr.grid import parse_crs
from eezarr.store.arrays import consolidate, grow_group, make_group, replace_attributes
from eezarr.store.layout import MASK_NAME, STACKED_NAME
from eezarr.store.leftovers import sweep_leftovers
from eezarr.store.metadata import group_attributes
from eezarr.store.record import OWN_PREFIX, JobRecord, read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eezarr.plan import Plan, Step
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = ["make_store", "provenance"]

_NODE_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
_GROUP_DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
_COORDINATES = ("x", "y", "band", "time", "image_ids", "spatial_ref")

_START_AGAIN = "Choose another output, or pass --overwrite to delete what is there and start again."


def make_store(
    plan: Plan,
    specs: Sequence[ArraySpec],
    location: Location,
    *,
    image_info: Mapping[str, object],
    overwrite: bool,
    now: datetime,
) -> JobRecord:
    """Lay out the plan's store at a place, or find it laid out; return its record, which is ready.

    Raises:
        InvalidInput: If the grid's CRS is unknown, or `image_info` is not JSON.
        ForeignStore: If the place holds something else.
        StoreError: If the storage fails.
    """
    parse_crs(plan.grid.crs)
    found = _read(location, overwrite=overwrite)
    if found is not None and not overwrite:
        _check_same(found, plan, location)
        if found.is_ready:
            sweep_leftovers(location, (*_COORDINATES, *(spec.name for spec in specs)))
        if found.is_ready and (found.is_growing or found.fingerprint != plan.fingerprint):
            return _grow(found, plan, specs, location)
        if found.is_ready:
            # The same record again: what may not be written is known before the first pixel is asked for.
            write_record(location, found)
            return found
    clears = _clearable(location, found, overwrite=overwrite)
    record = JobRecord(
        plan=plan,
        fingerprint=plan.fingerprint,
        image=_as_text(image_info),
        created=now,
        is_ready=False,
        clears=clears,
    )
    write_record(location, record)
    _clear(location)
    make_group(location, plan, specs, group_attributes(plan.grid, parse_crs(plan.grid.crs), provenance(record)))
    consolidate(location)
    ready = dataclasses.replace(record, is_ready=True, clears=())
    write_record(location, ready)
    return ready


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


def _check_same(found: JobRecord, plan: Plan, location: Location) -> None:
    old = found.plan
    if old.lineage != plan.lineage:
        raise ForeignStore(
            f"{location.url} holds the pixels of another plan ({found.fingerprint}, not {plan.fingerprint}).",
            hint=_START_AGAIN,
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


def _clearable(location: Location, found: JobRecord | None, *, overwrite: bool) -> tuple[str, ...]:
    """The names at the top that may be deleted: all of them, or the place is refused."""
    names = tuple(name for name in location.names() if name != OWN_PREFIX)
    if not names:
        return ()
    if found is None and not overwrite:
        is_zarr = any(document in names for document in (*_NODE_DOCUMENTS, ".zattrs"))
        kind = "a Zarr store that eezarr did not make" if is_zarr else "a directory with other things in it"
        raise ForeignStore(f"{location.url} is {kind}.", hint=_START_AGAIN if is_zarr else "Choose another output.")
    ours = set(_GROUP_DOCUMENTS)
    if found is not None:
        ours |= {*_COORDINATES, STACKED_NAME, MASK_NAME, *found.clears, *(band.name for band in found.plan.bands)}
    strangers = [name for name in names if name not in ours and not _is_node(location, name)]
    if strangers or (found is None and not {"zarr.json", ".zgroup"} & set(names)):
        listed = ", ".join((strangers or list(names))[:5])
        raise ForeignStore(
            f"{location.url} holds more than a Zarr group ({listed}), so it is not overwritten.",
            hint="Choose another output, or delete it yourself.",
        )
    return names


def _is_node(location: Location, name: str) -> bool:
    return any(location.get(f"{name}/{document}") is not None for document in _NODE_DOCUMENTS)


def _clear(location: Location) -> None:
    """Delete all but the record; it says not ready, so no mark that is still there is believed."""
    location.remove_below(f"{OWN_PREFIX}/marks")
    for name in location.names():
        if name in _GROUP_DOCUMENTS:
            location.remove(name)
        elif name != OWN_PREFIX:
            location.remove_below(name)


def _as_text(image_info: Mapping[str, object]) -> str:
    try:
        return json.dumps(dict(image_info))
    except (TypeError, ValueError) as error:
        raise InvalidInput("The image's description is not JSON.", hint="Give plain values.") from error
