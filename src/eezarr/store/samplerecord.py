"""The record of samples beside their data, under the key and by the law of `record`; its kind is `samples`.

It holds what the arrays depend on and what marks count in, not the sites: those are the store's own columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from eezarr.documents import parse_json
from eezarr.errors import EezarrError, ForeignStore
from eezarr.grid import Shape2D
from eezarr.plan import Band
from eezarr.samples import SampleLayout
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
from eezarr.store.record import RECORD_KEY, SAMPLES
from eezarr.store.sampleform import SampleForm

if TYPE_CHECKING:
    from eezarr.store.documents import Document
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = ["SamplesRecord", "read_samples_record", "write_samples_record"]

_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesRecord:
    """What a store of samples is for."""

    form: SampleForm
    fingerprint: str
    """The plan's."""
    lineage: str
    """The plan's, too: what pixels depend on."""
    wanted_count: int
    """Samples that have an image, and so are asked for."""
    provenance: str
    """What the group's attribute `eezarr` says, but for the job's end: a JSON object as text."""
    origin: str
    """The service that the pixels come from."""
    parts: tuple[tuple[str, str], ...]
    """All that the pixels depend on, by name, in words or, where these are too many, as a count and a hash."""
    birth: str
    """As of `JobRecord`."""
    created: datetime
    """When the store was made, with its time zone."""
    is_ready: bool
    """Whether the arrays and columns are all there."""
    clears: tuple[str, ...] = ()
    """Names at the top of what was here before, which may be deleted; only while not ready."""
    is_relabelling: bool = False
    """Whether labels, splits and properties are being written anew; see `samplerelabelling`."""
    layout: str = ""
    """The documents of the group and its arrays, and hashes of its columns, as `GroupLayout.to_json` gives them: a JSON
    object as text; empty in stores of earlier versions."""

    @property
    def tile_count(self) -> int:
        """All samples."""
        return self.form.count

    @property
    def cut(self) -> str:
        """What marks count in."""
        return f"{self.birth} samples {self.lineage}"


def read_samples_record(location: Location) -> SamplesRecord | None:
    """Return the record at a place, or None if there is none.

    Raises:
        ForeignStore: If it is damaged, of another kind, or was written by a newer version.
        StoreError: If the storage fails.
    """
    body = location.get(RECORD_KEY)
    if body is None:
        return None
    hint = "Choose another output, or pass --overwrite to start again."
    try:
        facts = as_object(cast("JSON", parse_json(body)))
        if facts.get("kind") != SAMPLES:
            raise ForeignStore(f"{location.url} holds pixels, which `eezarr fetch` stored, and no samples.", hint=hint)
        if facts["version"] != _VERSION:
            raise ForeignStore(f"{location.url} was written by another version of eezarr.", hint=hint)
        return _from_json(facts)
    except (AttributeError, KeyError, TypeError, ValueError, EezarrError) as error:
        if isinstance(error, ForeignStore):
            raise
        raise ForeignStore(f"The record {RECORD_KEY} in {location.url} cannot be read.", hint=hint) from error


def write_samples_record(location: Location, record: SamplesRecord) -> None:
    """Create or replace the record, in one piece.

    Raises:
        StoreError: If the storage fails.
    """
    location.put(RECORD_KEY, json.dumps(_to_json(record), indent=1).encode())


def _to_json(record: SamplesRecord) -> Document:
    form, layout = record.form, record.form.layout
    return {
        "version": _VERSION,
        "kind": SAMPLES,
        "fingerprint": record.fingerprint,
        "lineage": record.lineage,
        "origin": record.origin,
        "parts": [list(part) for part in record.parts],
        "birth": record.birth,
        "wanted": record.wanted_count,
        "created": record.created.isoformat(),
        "is_ready": record.is_ready,
        "clears": list(record.clears),
        "is_relabelling": record.is_relabelling,
        "provenance": cast("JSON", json.loads(record.provenance)),
        "layout": cast("JSON", json.loads(record.layout or "null")),
        "form": {
            "count": form.count,
            "steps": form.steps,
            "bands": [[band.name, band.dtype] for band in form.bands],
            "target": None if form.target is None else [form.target.name, form.target.dtype],
            "masking": masking_facts(form.masking),
            "layout": {
                "chunk": [layout.chunk.height, layout.chunk.width],
                "per_shard": layout.per_shard,
                "compressor": layout.compressor,
                "zarr_format": layout.zarr_format,
            },
        },
    }


def _from_json(facts: Document) -> SamplesRecord:
    return SamplesRecord(
        form=_form(as_object(facts["form"])),
        fingerprint=as_text(facts["fingerprint"]),
        lineage=as_text(facts["lineage"]),
        wanted_count=as_integer(facts["wanted"]),
        provenance=json.dumps(as_object(facts["provenance"])),
        origin=as_text(facts["origin"]),
        parts=tuple(_part(pair) for pair in as_array(facts["parts"])),
        birth=as_text(facts["birth"]),
        created=datetime.fromisoformat(as_text(facts["created"])),
        is_ready=as_flag(facts["is_ready"]),
        clears=tuple(as_text(name) for name in as_array(facts["clears"])),
        is_relabelling=as_flag(facts["is_relabelling"]),
        layout=json.dumps(facts["layout"]) if facts.get("layout") else "",
    )


def _form(facts: Document) -> SampleForm:
    layout, steps, target = as_object(facts["layout"]), facts["steps"], facts["target"]
    per_shard = layout["per_shard"]
    return SampleForm(
        count=as_integer(facts["count"]),
        steps=None if steps is None else as_integer(steps),
        bands=tuple(_band(pair) for pair in as_array(facts["bands"])),
        layout=SampleLayout(
            chunk=Shape2D(*map(as_integer, as_array(layout["chunk"]))),
            per_shard=None if per_shard is None else as_integer(per_shard),
            compressor=as_compressor(as_text(layout["compressor"])),
            zarr_format=2 if as_integer(layout["zarr_format"]) == 2 else 3,
        ),
        masking=as_masking(as_object(facts["masking"])),
        target=None if target is None else _band(target),
    )


def _band(pair: JSON) -> Band:
    return Band(*map(as_text, as_array(pair)))


def _part(pair: JSON) -> tuple[str, str]:
    name, told = as_array(pair)
    return as_text(name), as_text(told)
