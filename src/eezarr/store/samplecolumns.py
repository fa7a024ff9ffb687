"""What is known of each sample, as columns beside its pixels: site, label, split, grid, times, and other properties.

Law: a column has one type, text, int64 or float64; no value is an empty text, or NaN. Times are int64, in milliseconds
since 1970, and no value is the least number there is, which readers of CF take for NaT.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from eezarr.samples.steps import NO_TIME, milliseconds
from eezarr.store.arrays import compressor_of
from eezarr.store.metadata import least_likely, time_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    import zarr

    from eezarr.samples import SamplePlan, SampleSteps
    from eezarr.samples.sites import Column
    from eezarr.store.arrays import PixelArray
    from eezarr.store.metadata import JSON

__all__ = [
    "COLUMN_NAMES",
    "LABEL_NAMES",
    "MISSING",
    "NO_TIME",
    "PROPERTIES",
    "STATE_NAME",
    "STORED",
    "UNAVAILABLE",
    "coordinate_names",
    "make_columns",
]

STATE_NAME = "state"
MISSING, STORED, UNAVAILABLE = 0, 1, 2
"""What `state` says of a sample."""
PROPERTIES = "properties"
"""The group below which all other columns of the sites are."""

COLUMN_NAMES = (
    "id", "label", "split", "site", "longitude", "latitude", "crs", "transform", "date", "times", "image_ids", "band",
    STATE_NAME, PROPERTIES,
)  # fmt: skip
"""All nodes that are no pixels."""

LABEL_NAMES = ("label", "split", PROPERTIES)
"""Those that pixels do not depend on."""

_ROWS = 1 << 16
"""Rows of a chunk, where a column has several numbers a sample, and of what is held at a time."""
_MAX_WHOLE = 2**53
"""Up to here float64 holds every whole number."""


def coordinate_names(plan: SamplePlan) -> tuple[str, ...]:
    """Return the names of the columns that say what a sample of a plan is, as the arrays' `coordinates` list them."""
    facts = plan.sites.attributes
    names: tuple[str, ...] = ("id", "site", "longitude", "latitude", "crs")
    names += ("label",) if facts.labels is not None else ()
    names += ("split",) if plan.splits is not None else ()
    names += ("date",) if facts.dates is not None else ()
    names += ("times",) if plan.has_time else ()
    return (*names, "image_ids") if plan.steps is not None else names


def make_columns(group: zarr.Group, plan: SamplePlan) -> None:
    """Write the columns of a plan into a group that has none of them."""
    facts = plan.sites.attributes
    lon_lat = plan.sites.lon_lat()
    grids = plan.grids
    _make(group, "id", _texts(facts.ids), {"long_name": "name of the site"})
    _make(group, "site", plan.rows, {"long_name": "row of the sites table, from 0"})
    _make(group, "longitude", lon_lat[:, 0], {"standard_name": "longitude", "units": "degrees_east"})
    _make(group, "latitude", lon_lat[:, 1], {"standard_name": "latitude", "units": "degrees_north"})
    crs = _texts(np.array(grids.crs, dtype=object)[grids.zone])
    _make(group, "crs", crs, {"long_name": "CRS of the patch"})
    if facts.dates is not None:
        _make(group, "date", milliseconds(facts.dates), _time("time of the site"))
    _make_labels(group, plan)
    _make(group, "band", _texts(np.array([band.name for band in plan.bands], dtype=object)), {}, axes=("band",))
    _make(group, STATE_NAME, _states(plan), _STATE)
    _make_transforms(group, plan)
    if plan.has_time:
        _make_times(group, plan)
    if plan.steps is not None:
        _make_image_ids(group, plan, plan.steps)


def _make_labels(group: zarr.Group, plan: SamplePlan) -> None:
    """Write the columns that no pixel depends on: `LABEL_NAMES`."""
    facts = plan.sites.attributes
    if facts.labels is not None:
        _make(group, "label", _plain(facts.labels), {"long_name": facts.label_name or "label"})
    if plan.splits is not None:
        names = np.array(plan.splits.names, dtype=object)
        _make(group, "split", _texts(names[plan.splits.index]), {"long_name": "split of the dataset"})
    if facts.properties:
        group.create_group(PROPERTIES)
    for name, values, told in _properties(plan):
        _make(group, f"{PROPERTIES}/{name}", values, {"long_name": told})


_STATE: dict[str, JSON] = {
    "long_name": "whether the sample is there",
    "flag_values": [MISSING, STORED, UNAVAILABLE],
    "flag_meanings": "missing stored unavailable",
}


def _states(plan: SamplePlan) -> npt.NDArray[np.uint8]:
    return np.where(plan.wanted, MISSING, UNAVAILABLE).astype(np.uint8)


def _make_transforms(group: zarr.Group, plan: SamplePlan) -> None:
    grids = plan.grids
    width, height = grids.resolution
    values = np.zeros((len(plan), 6))
    values[:, 0], values[:, 4] = width, -height
    values[:, 2], values[:, 5] = grids.left, grids.top
    told: dict[str, JSON] = {"long_name": "affine transform of the patch: a, b, c, d, e, f of rasterio"}
    _make(group, "transform", values, told, axes=("sample", "coefficient"))


def _make_times(group: zarr.Group, plan: SamplePlan) -> None:
    assert plan.steps is not None, "time is of steps"
    shape = (len(plan), plan.step_count)
    times = np.full(shape, NO_TIME, dtype=np.int64)
    times[np.arange(shape[1]) < plan.steps.counts[:, None]] = plan.steps.times
    _make(group, "times", times, _time("time of the image"), axes=("sample", "time"))


def _make_image_ids(group: zarr.Group, plan: SamplePlan, steps: SampleSteps) -> None:
    """Write which images each sample is of: by step where there is time, else all of them."""
    axes = ("sample", "time") if plan.has_time else ("sample",)
    told: dict[str, JSON] = {"long_name": f"images of the {'time step' if plan.has_time else 'sample'}, one a line"}
    shape = (len(plan), steps.most)[: len(axes)]
    array = _create(group, "image_ids", shape=shape, dtype="str", attributes=told, axes=axes)
    for first in range(0, len(plan), _ROWS):
        rows = range(first, min(first + _ROWS, len(plan)))
        texts = np.full((len(rows), *shape[1:]), "", dtype=np.dtypes.StringDType())
        for row, sample in enumerate(rows):
            own = steps.texts(sample)
            texts.reshape(len(rows), -1)[row, : len(own)] = own
        array[rows.start : rows.stop] = texts


def _properties(plan: SamplePlan) -> Iterator[tuple[str, npt.NDArray[np.generic], str]]:
    """The other columns, each with a name that a Zarr node may have."""
    used: set[str] = set()
    for name, values in plan.sites.attributes.properties.items():
        safe = "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in name)[:60]
        safe = safe.strip() if not safe.startswith((".", "__")) else f"p{safe}"
        safe = safe or "column"
        while safe in used or safe == "zarr.json":
            safe += "_"
        used.add(safe)
        yield safe, _plain(values), name


def _plain(column: Column) -> npt.NDArray[np.generic]:
    """Return a column of a file as one that is stored."""
    if column.dtype.kind in "if":
        return column
    values = column.tolist()
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, bool | int | float) for value in given):
        is_whole = all(isinstance(value, bool | int) for value in given)
        if is_whole and len(given) == len(values):
            return np.array(values, dtype=np.int64)
        if all(abs(value) <= _MAX_WHOLE or isinstance(value, float) for value in given):
            return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return _texts(column)


def _texts(column: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    texts = [
        "" if value is None else value if isinstance(value, str) else json.dumps(value) for value in column.tolist()
    ]
    return np.array(texts, dtype=np.dtypes.StringDType())


def _time(name: str) -> dict[str, JSON]:
    facts = time_attributes()
    return {"long_name": name, "units": facts["units"], "calendar": facts["calendar"]}


def _make(
    group: zarr.Group,
    name: str,
    values: npt.NDArray[np.generic],
    attributes: dict[str, JSON],
    axes: Sequence[str] = ("sample",),
) -> None:
    dtype = "str" if values.dtype.kind == "T" else values.dtype.name
    array = _create(group, name, shape=values.shape, dtype=dtype, attributes=attributes, axes=axes)
    array[...] = values


def _create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    attributes: dict[str, JSON],
    axes: Sequence[str],
) -> PixelArray:
    is_old = group.metadata.zarr_format == 2
    # A state that is not there says that its sample is missing.
    fill: float | str | None = None if is_old else "" if dtype == "str" else 0
    if fill == 0 and dtype != "uint8":
        fill = least_likely(np.dtype(dtype))
    if "units" in attributes and dtype == "int64":
        fill = NO_TIME
        attributes = attributes if is_old else {**attributes, "_FillValue": NO_TIME}
    old_names: dict[str, JSON] = {"_ARRAY_DIMENSIONS": list(axes)} if is_old else {}
    rows = shape[0] if len(shape) == 1 else min(shape[0], _ROWS)
    return group.create_array(
        name,
        shape=shape,
        chunks=(rows, *shape[1:]),
        dtype=dtype,
        fill_value=fill,
        compressors=compressor_of("zstd", 8, group.metadata.zarr_format),
        dimension_names=None if is_old else tuple(axes),
        attributes={**attributes, **old_names},
    )
