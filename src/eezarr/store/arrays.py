"""Making and opening the Zarr group and its arrays, coordinates included."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from eezarr.errors import StoreError
from eezarr.grid import parse_crs
from eezarr.store.attributes import plain_attributes
from eezarr.store.chunks import BLOSC_LEVEL, ZSTD_LEVEL, is_bitwise
from eezarr.store.failures import storage_errors
from eezarr.store.metadata import (
    array_attributes,
    axis_attributes,
    grid_mapping_attributes,
    least_likely,
    pixel_centres,
    scaling_attributes,
    step_images,
    step_times,
    stored_fill,
    time_attributes,
)
from eezarr.store.tuning import tuned_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyproj import CRS
    from zarr.types import AnyArray

    from eezarr.plan import Plan
    from eezarr.plan.model import Compressor
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = [
    "PixelArray",
    "compressor_of",
    "consolidate",
    "grow_group",
    "make_group",
    "open_arrays",
    "quiet",
    "replace_attributes",
]

PixelArray: TypeAlias = "AnyArray"

_COORDINATE_CHUNK = 1 << 20


def make_group(
    location: Location, plan: Plan, specs: Sequence[ArraySpec], attributes: dict[str, JSON], path: str = ""
) -> None:
    """Create the group, or the one at a path below it, its arrays and its coordinates where none of them are.

    Raises:
        InvalidInput: If the grid's CRS is unknown.
        StoreError: If the storage fails.
    """
    crs = parse_crs(plan.grid.crs)
    with storage_errors(location.url, "lay out the store"), tuned_zarr(), quiet():
        group = zarr.create_group(
            location.store, path=path, attributes=attributes, zarr_format=plan.layout.zarr_format, overwrite=False
        )
        for spec in specs:
            attributed = array_attributes(spec, plan.grid, crs, plan.layout.zarr_format)
            _make_pixels(group, plan, spec, attributed | scaling_attributes(plan, spec))
        _make_coordinates(group, plan, crs)
        if any("band" in spec.dimensions for spec in specs):
            names = np.array([band.name for band in plan.bands], dtype=np.dtypes.StringDType())
            label: dict[str, JSON] = {"long_name": "band name"}
            _make_coordinate(group, "band", dtype="str", attributes=label, shape=names.shape)[:] = names


def grow_group(location: Location, plan: Plan, specs: Sequence[ArraySpec], path: str = "") -> None:
    """Lengthen the time axis of all arrays to the plan's; what is there stays. Done twice, it does nothing more.

    Raises:
        StoreError: If the storage fails.
    """
    steps = plan.steps or ()
    with storage_errors(location.url, "lengthen the time axis"), tuned_zarr(), quiet():
        group = zarr.open_group(location.store, path=path, mode="r+", use_consolidated=False)
        for spec in specs:
            array = group[spec.name]
            assert isinstance(array, zarr.Array)
            array.resize(spec.shape)
        for name, values in (("time", step_times(steps)), ("image_ids", step_images(steps))):
            coordinate = group[name]
            assert isinstance(coordinate, zarr.Array)
            coordinate.resize(values.shape)
            coordinate[:] = values


def open_arrays(location: Location, specs: Sequence[ArraySpec], path: str = "") -> tuple[PixelArray, ...]:
    """Return the arrays of pixels, tuned for whole-chunk reads and writes.

    Raises:
        StoreError: If one is absent, or has another shape, type or chunk than it should.
    """
    with storage_errors(location.url, "open the arrays"), tuned_zarr(), quiet():
        group = zarr.open_group(location.store, path=path, mode="r" if location.store.read_only else "r+")
        try:
            nodes = [group[spec.name] for spec in specs]
        except KeyError as error:
            raise StoreError(
                f"The array {error} is not in {location.url} any more.",
                hint="Run its job with --repair: what is missing is written again, and its tiles are fetched.",
            ) from error
    arrays: list[PixelArray] = []
    for spec, node in zip(specs, nodes, strict=True):
        found = (node.shape, node.chunks, node.shards, node.dtype.name) if isinstance(node, zarr.Array) else None
        if not isinstance(node, zarr.Array) or found != (spec.shape, spec.chunk, spec.shard, spec.dtype):
            raise StoreError(
                f"The array {spec.name} in {location.url} was altered: it is {found}.",
                hint="Run its job with --repair: its document is written again, and damaged tiles are fetched.",
            )
        location.bounds.add(node)
        arrays.append(node)
    return tuple(arrays)


def consolidate(location: Location, path: str = "") -> None:
    """Gather all metadata in one object, so that readers need one request and see names in a fixed order.

    Raises:
        StoreError: If the storage fails.
    """
    if not location.store.supports_consolidated_metadata:
        return
    with storage_errors(location.url, "consolidate the metadata"), quiet():
        zarr.consolidate_metadata(location.store, path=path or None)


def replace_attributes(location: Location, attributes: dict[str, JSON]) -> None:
    """Set these attributes of the group, objects as JSON text, leave its others, and consolidate again.

    Raises:
        StoreError: If the storage fails.
    """
    with storage_errors(location.url, "write the group's attributes"), quiet():
        # Consolidated metadata that is there stays in the document: a crash before the next line leaves a sound store.
        zarr.open_group(location.store, mode="r+").update_attributes({**plain_attributes(attributes)})
    consolidate(location)


def _make_pixels(group: zarr.Group, plan: Plan, spec: ArraySpec, attributes: dict[str, JSON]) -> None:
    zarr_format = plan.layout.zarr_format
    if zarr_format == 2:
        attributes["_ARRAY_DIMENSIONS"] = list(spec.dimensions)
    group.create_array(
        spec.name,
        shape=spec.shape,
        chunks=spec.chunk,
        shards=spec.shard,
        dtype=spec.dtype,
        fill_value=stored_fill(spec, zarr_format),
        compressors=compressor_of(plan.layout.compressor, np.dtype(spec.dtype).itemsize, zarr_format),
        dimension_names=spec.dimensions if zarr_format == 3 else None,
        attributes={**attributes},
    )


def _make_coordinates(group: zarr.Group, plan: Plan, crs: CRS) -> None:
    place = grid_mapping_attributes(plan.grid, crs)
    _make_coordinate(group, "spatial_ref", dtype="int64", attributes=place)[...] = crs.to_epsg() or 0
    if plan.grid.is_axis_aligned:
        for axis, side in (("y", plan.grid.height), ("x", plan.grid.width)):
            facts = axis_attributes(crs, axis)
            array = _make_coordinate(group, axis, dtype="float64", attributes=facts, shape=(side,))
            for part, centres in pixel_centres(plan.grid, axis):
                array[part] = centres
    if plan.steps is not None:
        times, images = step_times(plan.steps), step_images(plan.steps)
        _make_coordinate(group, "time", dtype="int64", attributes=time_attributes(), shape=times.shape)[:] = times
        label: dict[str, JSON] = {"long_name": "images of the time step, one a line"}
        ids = _make_coordinate(group, "image_ids", dtype="str", attributes=label, shape=images.shape, axis="time")
        ids[:] = images


def _make_coordinate(
    group: zarr.Group,
    name: str,
    *,
    dtype: str,
    attributes: dict[str, JSON],
    shape: tuple[int, ...] = (),
    axis: str | None = None,
) -> PixelArray:
    is_old = group.metadata.zarr_format == 2
    dimensions = (axis or name,) if shape else ()
    old_names: dict[str, JSON] = {"_ARRAY_DIMENSIONS": list(dimensions)} if is_old else {}
    return group.create_array(
        name,
        shape=shape,
        chunks=tuple(min(side, _COORDINATE_CHUNK) for side in shape),
        dtype=dtype,
        fill_value=None if is_old else "" if dtype == "str" else least_likely(np.dtype(dtype)),
        compressors=None,
        dimension_names=None if is_old else dimensions,
        attributes={**attributes, **old_names},
    )


def compressor_of(name: Compressor, itemsize: int, zarr_format: int) -> BloscCodec | ZstdCodec | dict[str, JSON] | None:
    """Return the compressor of an array of pixels.

    The type size is stated: Blosc's shuffles do nothing for the rest of a record that they take for bytes.
    """
    bitwise = is_bitwise(itemsize)
    if name == "none":
        return None
    if zarr_format == 2:
        if name == "zstd":
            return {"id": "zstd", "level": ZSTD_LEVEL}
        return {"id": "blosc", "cname": "lz4", "clevel": BLOSC_LEVEL, "shuffle": 2 if bitwise else 1, "blocksize": 0}
    if name == "zstd":
        return ZstdCodec(level=ZSTD_LEVEL)
    shuffle: Literal["bitshuffle", "shuffle"] = "bitshuffle" if bitwise else "shuffle"
    return BloscCodec(cname="lz4", clevel=BLOSC_LEVEL, shuffle=shuffle, typesize=itemsize)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep two warnings of Zarr from our users: both are about what we chose and every tested reader reads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", UserWarning)
        warnings.filterwarnings("ignore", r"Object at \.eezarr is not recognized", UserWarning)
        yield
