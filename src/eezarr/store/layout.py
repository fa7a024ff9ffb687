"""From a plan to Zarr arrays: names, shapes, chunks, shards, types, compressors. Nothing is written here.

Law: a write unit (a chunk, or a shard where there are shards) belongs to one tile; the plan sees to it, and
`check_ownership` checks it again at each write, because four writers that share a unit lose 75 % of its pixels
without an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput, StoreError
from eezarr.plan import MASK_DTYPE
from eezarr.store.names import check_node_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from eezarr.plan import Band, Field, Fill, Plan, Tile

__all__ = [
    "MASK_NAME",
    "STACKED_NAME",
    "ArraySpec",
    "Target",
    "array_specs",
    "check_names",
    "check_ownership",
    "targets",
]

STACKED_NAME = "pixels"
"""The one array of the layout `stacked`."""
MASK_NAME = "mask"
"""The array of masks, where the job keeps them: 1 where a pixel is valid."""

_TAKEN_NAMES = {"x", "y", "band", "time", "image_ids", "spatial_ref", STACKED_NAME, MASK_NAME, "zarr.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """One array of pixels as it shall be in the store."""

    name: str
    """Name of the node in the group."""
    dtype: str
    """NumPy name of the pixel type."""
    dimensions: tuple[str, ...]
    """Names of the axes: y and x; before them time, where there is time, and band, where an array has several."""
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    """A stored object's pixels where chunks are sharded, else None."""
    fill: Fill | None
    """The declared nodata value, if any."""

    @property
    def unit(self) -> tuple[int, ...]:
        """What is stored as one object: the shard, else the chunk."""
        return self.shard or self.chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where some of a tile's fields are stored."""

    array: int
    """Position in `array_specs`."""
    window: tuple[slice, ...]
    """The part of the array."""
    fields: tuple[Field, ...]
    """What the planes of the window are, in C order of its leading axes."""

    def of_cell(self, rows: slice, cols: slice) -> Target:
        """Return the part of the window in a cell, whose rows and columns count from the window's own."""
        top, left = (span.start for span in self.window[-2:])
        inside = slice(top + rows.start, top + rows.stop), slice(left + cols.start, left + cols.stop)
        return replace(self, window=(*self.window[:-2], *inside))

    @property
    def shape(self) -> tuple[int, ...]:
        """The window's shape."""
        return tuple(span.stop - span.start for span in self.window)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The little-endian type of its pixels."""
        return self.fields[0].wire.wire_dtype


def array_specs(plan: Plan) -> tuple[ArraySpec, ...]:
    """Return the arrays that hold a plan's pixels: one per band, or the stacked one; then the one of masks, if any.

    Raises:
        InvalidInput: If names, types, fills or the layout cannot become Zarr arrays.
    """
    _check_layout(plan)
    fills = plan.masking.fills if plan.masking.mode == "fill" else [None] * len(plan.bands)
    if plan.layout.kind == "bands":
        check_names(plan)
        arrays = [_spec(plan, band.name, band.dtype, fill=fill) for band, fill in zip(plan.bands, fills, strict=True)]
    else:
        dtype, fill = _one_dtype(plan.bands), _one_fill(fills)
        arrays = [_spec(plan, STACKED_NAME, dtype, fill=fill, bands_per_chunk=plan.layout.bands_per_chunk)]
    if plan.masking.mode == "band":
        per_chunk = None if plan.masking.is_shared else plan.layout.bands_per_chunk
        arrays.append(_spec(plan, MASK_NAME, MASK_DTYPE, fill=None, bands_per_chunk=per_chunk))
    return tuple(arrays)


def _spec(plan: Plan, name: str, dtype: str, *, fill: Fill | None, bands_per_chunk: int | None = None) -> ArraySpec:
    """One array; `bands_per_chunk` if it has an axis of bands."""
    chunk_y, shard_y = _side(plan.grid.height, plan.layout.chunk.height, plan.tile_shape.height)
    chunk_x, shard_x = _side(plan.grid.width, plan.layout.chunk.width, plan.tile_shape.width)
    names, sides, chunks = ["y", "x"], [plan.grid.height, plan.grid.width], [chunk_y, chunk_x]
    shards = [shard_y, shard_x]
    if bands_per_chunk is not None:
        bands = min(bands_per_chunk, len(plan.bands))
        names, sides = ["band", *names], [len(plan.bands), *sides]
        chunks, shards = [bands, *chunks], [bands, *shards]
    if plan.steps is not None:
        names, sides = ["time", *names], [len(plan.steps), *sides]
        chunks, shards = [1, *chunks], [1, *shards]
    return ArraySpec(
        name=name,
        dtype=dtype,
        dimensions=tuple(names),
        shape=tuple(sides),
        chunk=tuple(chunks),
        shard=tuple(shards) if plan.layout.is_sharded else None,
        fill=fill,
    )


def targets(plan: Plan, tile: Tile) -> list[Target]:
    """Return where a tile's pixels and masks are stored."""
    span = (tile.window.rows, tile.window.cols)
    during = (slice(tile.steps.start, tile.steps.stop),) if tile.selection.has_time else ()
    bands = slice(tile.first_band, tile.first_band + len(tile.bands))
    fields = tile.fields
    if plan.layout.kind == "bands":
        by_band: dict[int, list[Field]] = {}
        for asked in _of_kind(fields, "pixels"):
            by_band.setdefault(asked.band, []).append(asked)
        found = [Target(array=band, window=(*during, *span), fields=tuple(its)) for band, its in by_band.items()]
    else:
        found = [Target(array=0, window=(*during, bands, *span), fields=_of_kind(fields, "pixels"))]
    if plan.masking.mode == "band":
        array = len(plan.bands) if plan.layout.kind == "bands" else 1
        shared = _of_kind(fields, "shared mask")
        if shared:
            found.append(Target(array=array, window=(*during, *span), fields=shared))
        elif not plan.masking.is_shared:
            found.append(Target(array=array, window=(*during, bands, *span), fields=_of_kind(fields, "mask")))
    return found


def _of_kind(fields: Iterable[Field], kind: str) -> tuple[Field, ...]:
    return tuple(asked for asked in fields if asked.kind == kind)


def check_ownership(spec: ArraySpec, tile: Tile, window: tuple[slice, ...]) -> None:
    """Refuse a write that does not cover whole write units.

    Raises:
        StoreError: If a side of the window starts or ends inside a unit; nothing was written.
    """
    for span, unit, side in zip(window, spec.unit, spec.shape, strict=True):
        if span.start % unit or not span.start < span.stop <= side or (span.stop % unit and span.stop != side):
            raise StoreError(
                f"{tile} does not own whole write units of {spec.unit} in {spec.name!r}, so it was not written.",
                hint="This is a defect of the plan: please report it with the job file.",
            )


def _side(side: int, chunk: int, tile: int) -> tuple[int, int]:
    """Chunk and shard along one axis: no larger than the data needs; a tile that spans the axis is one shard."""
    clipped = min(chunk, side)
    return clipped, (tile if tile < side else math.ceil(side / clipped) * clipped)


def _check_layout(plan: Plan) -> None:
    names = [band.name for band in plan.bands]
    if not names or len(set(names)) != len(names):
        raise InvalidInput(f"The bands {names} are none, or not distinct.", hint="Name each band once.")
    if plan.layout.is_sharded and plan.layout.zarr_format == 2:
        raise InvalidInput("Zarr format 2 has no shards.", hint="Set format = 3, or shard = false.")


def check_names(plan: Plan) -> None:
    """Check that a plan's bands can be stored under their names.

    Raises:
        InvalidInput: If one cannot; it says why, and what to do.
    """
    if plan.layout.kind == "bands":
        check_node_names((band.name for band in plan.bands), taken=_TAKEN_NAMES)


def _one_dtype(bands: tuple[Band, ...]) -> str:
    by_type: dict[str, list[str]] = {}
    for band in bands:
        by_type.setdefault(band.dtype, []).append(band.name)
    if len(by_type) > 1:
        listed = "; ".join(f"{dtype}: {', '.join(names)}" for dtype, names in by_type.items())
        raise InvalidInput(
            f"A stacked array has one type, the bands have several ({listed}).",
            hint='Set layout = "bands", choose bands of one type, or cast them in an expression.',
        )
    return next(iter(by_type))


def _one_fill(fills: Iterable[Fill | None]) -> Fill | None:
    declared = {repr(fill): fill for fill in fills}
    if len(declared) > 1:
        raise InvalidInput(
            f"A stacked array has one fill, the bands have several ({', '.join(declared)}).",
            hint='Declare the same fill for all bands, or set layout = "bands".',
        )
    return next(iter(declared.values()))
