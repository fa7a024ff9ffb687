"""The record of a job beside its data: which plan the store belongs to, and whether its arrays are laid out.

Law: the record is written before anything else of a store, in one piece, and says `is_ready` only after all arrays and
coordinates are there. So a store whose record is not ready holds no pixel, and what a crash left of it may be cleared
and laid out again; and a place without a record is not ours. A record that says `is_growing` may have a longer time
axis than the arrays: lengthening them again is harmless, and what they hold stays.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from affine import Affine

from eezarr.documents import parse_json
from eezarr.errors import EezarrError, ForeignStore
from eezarr.grid import Coverage, PixelGrid, Shape2D
from eezarr.plan import Band, Plan, Step, StoreLayout, Tiling
from eezarr.store.documents import (
    as_array,
    as_compressor,
    as_flag,
    as_integer,
    as_masking,
    as_object,
    as_text,
    masking_facts,
)

if TYPE_CHECKING:
    from eezarr.store.documents import Document
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = [
    "OWN_PREFIX",
    "RECORD_KEY",
    "SAMPLES",
    "JobRecord",
    "new_birth",
    "read_origin",
    "read_record",
    "write_record",
]

OWN_PREFIX = ".eezarr"
"""The key prefix of all that is ours and no pixel."""

RECORD_KEY = f"{OWN_PREFIX}/job.json"
_VERSION = 3
"""Raised where marks or what else lies beside the pixels mean another thing; 2: checksums go cell by cell; 3: a store
has an origin, and marks are bound to its birth."""

SAMPLES = "samples"
"""The kind of a record that is of samples (see `samplerecord`); of pixels on one grid it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What a store is for."""

    plan: Plan
    """The plan whose pixels it holds."""
    fingerprint: str
    """The plan's, as it was when the store was made."""
    image: str
    """What is read, described for people and programs: a JSON object as text."""
    origin: str
    """The service that the pixels come from; see `earthengine.origin`."""
    birth: str
    """Drawn when the store was laid out. Marks that a run flushes after another laid its store anew bear the old one,
    and count for nothing."""
    created: datetime
    """When the store was made, with its time zone."""
    is_ready: bool
    """Whether the arrays and coordinates are all there."""
    is_growing: bool = False
    """Whether the arrays may be shorter in time than the plan."""
    clears: tuple[str, ...] = ()
    """Names at the top of what was here before, which may be deleted; only while not ready."""

    @property
    def tile_count(self) -> int:
        """All tiles of the plan."""
        return self.plan.tile_count

    @property
    def cut(self) -> str:
        """What marks count in."""
        return f"{self.birth} {self.plan.cut}"

    @property
    def tiling(self) -> Tiling:
        """The cut that the marks count in."""
        return Tiling(
            tile_shape=self.plan.tile_shape,
            bands_per_tile=self.plan.bands_per_tile,
            step_starts=self.plan.step_starts,
            step_count=self.plan.step_count,
        )


def read_record(location: Location) -> JobRecord | None:
    """Return the record at a place, or None if there is none.

    Raises:
        ForeignStore: If it is damaged, or was written by a newer version.
        StoreError: If the storage fails.
    """
    body = location.get(RECORD_KEY)
    if body is None:
        return None
    try:
        facts = cast("Document", parse_json(body))
        if facts.get("kind") == SAMPLES:
            raise ForeignStore(
                f"{location.url} holds samples, which `eezarr samples` made.",
                hint="Choose another output, or pass --overwrite to start again.",
            )
        if facts["version"] != _VERSION:
            raise ForeignStore(
                f"The store {location.url} was written by another version of eezarr (record {facts['version']!r}).",
                hint="Use that version, choose another output, or pass --overwrite to start again.",
            )
        return _from_json(facts)
    except (AttributeError, KeyError, TypeError, ValueError, EezarrError) as error:
        if isinstance(error, ForeignStore):
            raise
        raise ForeignStore(
            f"The record {RECORD_KEY} in {location.url} cannot be read.",
            hint="Choose another output, or pass --overwrite to start again.",
        ) from error


def read_origin(location: Location) -> str | None:
    """Return the origin that the record at a place says, of whatever kind and version; None if it says none.

    Raises:
        StoreError: If the storage fails.
    """
    body = location.get(RECORD_KEY)
    try:
        facts = None if body is None else parse_json(body)
    except ValueError:
        return None
    origin = facts.get("origin") if isinstance(facts, dict) else None
    return origin if isinstance(origin, str) else None


def new_birth() -> str:
    """Return what no other store has as its birth."""
    return secrets.token_hex(8)


def write_record(location: Location, record: JobRecord) -> None:
    """Create or replace the record, in one piece.

    Raises:
        StoreError: If the storage fails.
    """
    location.put(RECORD_KEY, json.dumps(_to_json(record), indent=1).encode())


def _to_json(record: JobRecord) -> Document:
    plan, layout = record.plan, record.plan.layout
    return {
        "version": _VERSION,
        "fingerprint": record.fingerprint,
        "origin": record.origin,
        "birth": record.birth,
        "created": record.created.isoformat(),
        "is_ready": record.is_ready,
        "is_growing": record.is_growing,
        "clears": list(record.clears),
        "image": cast("JSON", json.loads(record.image)),
        "plan": {
            "image_key": plan.image_key,
            "crs": plan.grid.crs,
            "transform": [float(value) for value in tuple(plan.grid.transform)[:6]],
            "shape": [plan.grid.height, plan.grid.width],
            "bands": [[band.name, band.dtype] for band in plan.bands],
            "tile_shape": [plan.tile_shape.height, plan.tile_shape.width],
            "bands_per_tile": plan.bands_per_tile,
            "layout": {
                "kind": layout.kind,
                "chunk": [layout.chunk.height, layout.chunk.width],
                "bands_per_chunk": layout.bands_per_chunk,
                "is_sharded": layout.is_sharded,
                "compressor": layout.compressor,
                "zarr_format": layout.zarr_format,
            },
            "masking": masking_facts(plan.masking),
            "steps": None if plan.steps is None else [cast("JSON", step.facts) for step in plan.steps],
            "step_starts": list(plan.step_starts),
            "coverage": None if plan.coverage is None else cast("JSON", plan.coverage.to_json()),
            "is_clipped": plan.is_clipped,
        },
    }


def _from_json(facts: Document) -> JobRecord:
    return JobRecord(
        plan=_plan_from_json(as_object(facts["plan"])),
        fingerprint=as_text(facts["fingerprint"]),
        image=json.dumps(as_object(facts["image"])),
        origin=as_text(facts["origin"]),
        birth=as_text(facts["birth"]),
        created=datetime.fromisoformat(as_text(facts["created"])),
        is_ready=as_flag(facts["is_ready"]),
        is_growing=as_flag(facts["is_growing"]),
        clears=tuple(as_text(name) for name in as_array(facts["clears"])),
    )


def _plan_from_json(facts: Document) -> Plan:
    layout = as_object(facts["layout"])
    height, width = map(as_integer, as_array(facts["shape"]))
    a, b, c, d, e, f = (float(cast("float", value)) for value in as_array(facts["transform"]))
    grid = PixelGrid(crs=as_text(facts["crs"]), transform=Affine(a, b, c, d, e, f), width=width, height=height)
    coverage, steps = facts["coverage"], facts["steps"]
    return Plan(
        image_key=as_text(facts["image_key"]),
        grid=grid,
        bands=tuple(Band(*map(as_text, as_array(pair))) for pair in as_array(facts["bands"])),
        layout=StoreLayout(
            kind="stacked" if as_text(layout["kind"]) == "stacked" else "bands",
            chunk=Shape2D(*map(as_integer, as_array(layout["chunk"]))),
            bands_per_chunk=as_integer(layout["bands_per_chunk"]),
            is_sharded=as_flag(layout["is_sharded"]),
            compressor=as_compressor(as_text(layout["compressor"])),
            zarr_format=2 if as_integer(layout["zarr_format"]) == 2 else 3,
        ),
        tile_shape=Shape2D(*map(as_integer, as_array(facts["tile_shape"]))),
        bands_per_tile=as_integer(facts["bands_per_tile"]),
        steps=None if steps is None else tuple(_step(*as_array(step)) for step in as_array(steps)),
        step_starts=tuple(map(as_integer, as_array(facts["step_starts"]))),
        masking=as_masking(as_object(facts["masking"])),
        coverage=None if coverage is None else Coverage.from_json(as_object(coverage), grid),
        is_clipped=as_flag(facts["is_clipped"]),
    )


def _step(time: JSON, images: JSON) -> Step:
    return Step(time=datetime.fromisoformat(as_text(time)), images=tuple(map(as_text, as_array(images))))
