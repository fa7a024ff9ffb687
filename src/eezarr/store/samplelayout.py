"""The group of a store of samples as it should be: laid out from a plan, or as the store's record holds it.

Only a job knows its sites; so that a store alone can be verified, its record holds the documents of all nodes, and
hashes of the columns.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.errors import BaseZarrError

from eezarr.errors import ForeignStore
from eezarr.store.arrays import compressor_of, quiet
from eezarr.store.attributes import plain_attributes
from eezarr.store.integrity import GroupLayout
from eezarr.store.layout import MASK_NAME
from eezarr.store.metadata import encoded_fill, stored_fill
from eezarr.store.samplecolumns import STATE_NAME, coordinate_names, make_columns
from eezarr.store.sampleform import TARGET_NAME, form_of, sample_specs
from eezarr.store.tuning import tuned_zarr

if TYPE_CHECKING:
    from eezarr.samples import SamplePlan
    from eezarr.store.attributes import JSON
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.sampleform import SampleForm
    from eezarr.store.samplerecord import SamplesRecord

__all__ = ["recorded_layouts", "sample_layout"]


def sample_layout(plan: SamplePlan, provenance: dict[str, JSON]) -> GroupLayout:
    """Return the group of a plan's samples, none of which is stored.

    Args:
        plan: Of the samples.
        provenance: The group's attribute `eezarr`.
    """
    form = form_of(plan)
    return GroupLayout.laid_out(
        partial(_make_group, plan=plan, form=form, provenance=provenance),
        zarr_format=form.layout.zarr_format,
        pixels=[STATE_NAME, *(spec.name for spec in sample_specs(form))],
    )


def recorded_layouts(location: Location, record: SamplesRecord) -> list[GroupLayout]:
    """Return how the group should be, or nothing where an earlier version, which did not record it, made the store.

    Raises:
        ForeignStore: If the record is damaged.
    """
    if not record.layout:
        return []
    try:
        return [GroupLayout.from_json(json.loads(record.layout))]
    except (AttributeError, BaseZarrError, KeyError, OSError, TypeError, ValueError) as error:
        raise ForeignStore(
            f"The record in {location.url} does not say how the store is laid out.",
            hint="Run its job with --repair.",
        ) from error


def _make_group(location: Location, plan: SamplePlan, form: SampleForm, provenance: dict[str, JSON]) -> None:
    attributes = plain_attributes({"Conventions": "CF-1.11", "eezarr": provenance})
    with tuned_zarr(), quiet():
        group = zarr.create_group(
            location.store, attributes={**attributes}, zarr_format=form.layout.zarr_format, overwrite=False
        )
        make_columns(group, plan)
        for spec in sample_specs(form):
            _make_array(group, form, spec, coordinate_names(plan))


def _make_array(group: zarr.Group, form: SampleForm, spec: ArraySpec, known: tuple[str, ...]) -> None:
    zarr_format = form.layout.zarr_format
    attributes: dict[str, JSON] = {"coordinates": " ".join(known)}
    if spec.name == MASK_NAME:
        attributes |= {"long_name": "whether a pixel is valid", "flag_values": [0, 1], "flag_meanings": "masked valid"}
    if spec.name == TARGET_NAME and form.target is not None:
        attributes |= {"long_name": "label of each pixel", "band": form.target.name}
    if zarr_format == 2:
        attributes["_ARRAY_DIMENSIONS"] = list(spec.dimensions)
    elif spec.fill is not None:
        attributes["_FillValue"] = encoded_fill(spec.fill, np.dtype(spec.dtype))
    group.create_array(
        spec.name,
        shape=spec.shape,
        chunks=spec.chunk,
        shards=spec.shard,
        dtype=spec.dtype,
        fill_value=stored_fill(spec, zarr_format),
        compressors=compressor_of(form.layout.compressor, np.dtype(spec.dtype).itemsize, zarr_format),
        dimension_names=spec.dimensions if zarr_format == 3 else None,
        attributes={**attributes},
    )
