"""From a plan to Zarr arrays: names, shapes, chunks, shards, types, compressors. Nothing is written here.

Law: a write unit (a chunk, or a shard where there are shards) belongs to one tile; the plan sees to it, and
`check_ownership` checks it again at each write, because four writers that share a unit lose 75 % of its pixels
without an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.plan import Band, Plan, Tile

__all__ = ["STACKED_NAME", "ArraySpec", "Fill", "array_specs", "check_ownership", "targets"]

Fill: TypeAlias = int | float
"""A declared nodata value."""

STACKED_NAME = "pixels"
"""The one array of the layout `stacked`."""

_TAKEN_NAMES = {"x", "y", "band", "time", "spatial_ref", STACKED_NAME, "mask", "zarr.json"}
_MAX_NAME_BYTES = 200
"""A file name holds 255 bytes on common file systems, and a temporary file's is longer than the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """One array of pixels as it shall be in the store."""

    name: str
    """Name of the node in the group."""
    dtype: str
    """NumPy name of the pixel type."""
    dimensions: tuple[str, ...]
    """Names of the axes: (y, x) or (band, y, x)."""
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


def array_specs(plan: Plan, fills: Mapping[str, Fill]) -> tuple[ArraySpec, ...]:
    """Return the arrays that hold a plan's pixels: one per band, or the stacked one.

    Args:
        plan: What is stored.
        fills: Declared nodata values by band name; bands that are absent declare none.

    Raises:
        InvalidInput: If names, types, fills or the layout cannot become Zarr arrays.
    """
    _check_layout(plan)
    fills = _stored_fills(plan, fills)
    chunk_y, shard_y = _side(plan.grid.height, plan.layout.chunk.height, plan.tile_shape.height)
    chunk_x, shard_x = _side(plan.grid.width, plan.layout.chunk.width, plan.tile_shape.width)
    is_sharded = plan.layout.is_sharded
    if plan.layout.kind == "bands":
        _check_names(plan)
        return tuple(
            ArraySpec(
                name=band.name,
                dtype=band.dtype,
                dimensions=("y", "x"),
                shape=(plan.grid.height, plan.grid.width),
                chunk=(chunk_y, chunk_x),
                shard=(shard_y, shard_x) if is_sharded else None,
                fill=fills.get(band.name),
            )
            for band in plan.bands
        )
    bands = min(plan.layout.bands_per_chunk, len(plan.bands))
    return (
        ArraySpec(
            name=STACKED_NAME,
            dtype=_one_dtype(plan.bands),
            dimensions=("band", "y", "x"),
            shape=(len(plan.bands), plan.grid.height, plan.grid.width),
            chunk=(bands, chunk_y, chunk_x),
            shard=(bands, shard_y, shard_x) if is_sharded else None,
            fill=_one_fill(plan.bands, fills),
        ),
    )


def targets(plan: Plan, tile: Tile) -> list[tuple[int, tuple[slice, ...]]]:
    """Return where a tile's pixels are stored: positions in `array_specs`, and the window of each array."""
    span = (tile.window.rows, tile.window.cols)
    stop = tile.first_band + len(tile.bands)
    if plan.layout.kind == "bands":
        return [(position, span) for position in range(tile.first_band, stop)]
    return [(0, (slice(tile.first_band, stop), *span))]


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


def _check_names(plan: Plan) -> None:
    for name in (band.name for band in plan.bands):
        if name in _TAKEN_NAMES or name.startswith(("__", ".")):
            reason = "is taken or reserved in a Zarr group"
        elif any(character in "/\\" or not character.isprintable() for character in name):
            reason = "has a character that no Zarr node name has"
        elif len(name.encode()) > _MAX_NAME_BYTES:
            reason = f"has more than {_MAX_NAME_BYTES} bytes"
        else:
            continue
        raise InvalidInput(
            f"The band name {name!r} {reason}.",
            hint='Rename the band in the expression, or set layout = "stacked", where names are only labels.',
        )


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


def _stored_fills(plan: Plan, fills: Mapping[str, Fill]) -> dict[str, Fill]:
    """The fills as their bands' types hold them: 0.1 in float32 is 0.10000000149011612."""
    dtypes = {band.name: np.dtype(band.dtype) for band in plan.bands}
    stored: dict[str, Fill] = {}
    for name, fill in fills.items():
        if name not in dtypes:
            raise InvalidInput(f"A fill is declared for {name!r}, which is no band.", hint=f"Bands: {list(dtypes)}.")
        value = _value(fill, dtypes[name])
        if value is None:
            raise InvalidInput(
                f"The fill {fill!r} is no value of band {name!r} ({dtypes[name]}).",
                hint="Choose a fill that the band's type can hold.",
            )
        stored[name] = value
    return stored


def _value(fill: Fill, dtype: np.dtype[np.generic]) -> Fill | None:
    if dtype.kind == "f":
        try:
            with np.errstate(over="ignore"):
                value = float(np.array(fill, dtype))
        except OverflowError:
            return None
        return None if math.isinf(value) and math.isfinite(fill) else value
    limits = np.iinfo(dtype.name)
    return int(fill) if math.isfinite(fill) and fill == int(fill) and limits.min <= fill <= limits.max else None


def _one_fill(bands: tuple[Band, ...], fills: Mapping[str, Fill]) -> Fill | None:
    declared = {repr(fills.get(band.name)): fills.get(band.name) for band in bands}
    if len(declared) > 1:
        raise InvalidInput(
            f"A stacked array has one fill, the bands have several ({', '.join(declared)}).",
            hint='Declare the same fill for all bands, or set layout = "bands".',
        )
    return next(iter(declared.values()))
