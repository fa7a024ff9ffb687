"""How large a tile is: as large as legal, small enough to keep every slot busy, within the memory budget.

All is counted in write units (chunks): a tile is so many chunks high and so many wide, and nothing else is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.grid import Shape2D
from eezarr.plan.limits import accounted_bytes, pixel_cost
from eezarr.plan.model import Plan, StoreLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.grid import PixelGrid
    from eezarr.plan.bands import Band
    from eezarr.plan.limits import RequestLimits
    from eezarr.plan.model import Compressor, LayoutKind, ZarrFormat

__all__ = ["Budget", "LayoutRequest", "Tiling", "make_plan"]

TILES_PER_SLOT = 2
"""With fewer than two tiles a slot, the slots that finish first stand idle while the last tiles run."""

WRITER_SHARE = 4
"""Tiles in hand beyond the slots: being written, while others are out. As many tiles' worth of memory again is kept
back for what writing needs: planar copies and encoded chunks."""

PARTS_SHARE = 1.5
"""What a tile holds at the most, in its own bytes: asked for in parts, it holds itself and half of its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """The cut of a region into tiles."""

    tile_shape: Shape2D
    """A tile's pixels, whole chunks."""
    bands_per_tile: int
    """Bands of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the tiles in flight may use."""

    concurrency: int = 40
    """Requests at a time at the most. Default: the service's quota per project.
    Source: https://developers.google.com/earth-engine/guides/usage"""
    memory_bytes: int = 2 << 30
    """Bytes that all tiles in flight may hold together."""

    def workers(self, tile_bytes: int) -> int:
        """Return how many tiles may be in hand at once (asked for or being written); 0 if not even one may."""
        affordable = int((self.memory_bytes - WRITER_SHARE * tile_bytes) / (PARTS_SHARE * tile_bytes))
        return max(0, min(self.concurrency + WRITER_SHARE, affordable))

    def affords(self, tile_bytes: int, tile_count: int) -> bool:
        """Return whether so many tiles, or as many of them as there are slots, may be in hand at once."""
        return self.workers(tile_bytes) >= min(self.concurrency, tile_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRequest:
    """The store layout as a job asks for it, before a tiling completes it."""

    kind: LayoutKind = "bands"
    chunk: int | None = None
    """Pixels per side; None: 1024 for `bands`, 512 for `stacked`, where a chunk holds all bands."""
    is_sharded: bool = False
    compressor: Compressor = "auto"
    zarr_format: ZarrFormat = 3

    @property
    def chunk_shape(self) -> Shape2D:
        """The chunk's pixels."""
        side = self.chunk or (1024 if self.kind == "bands" else 512)
        return Shape2D(side, side)


def make_plan(
    *,
    image_key: str,
    grid: PixelGrid,
    bands: tuple[Band, ...],
    limits: RequestLimits,
    layout: LayoutRequest,
    budget: Budget,
    tile: Shape2D | None = None,
    recorded: Tiling | None = None,
) -> Plan:
    """Return the plan for a region.

    Args:
        image_key: What is read, in one canonical string.
        grid: The region's grid.
        bands: The bands in stored order.
        limits: Of the method that will be used.
        layout: How to store.
        budget: Concurrency and memory.
        tile: A tile's pixels; None chooses.
        recorded: The tiling of a store that is to be resumed; it wins over everything else, since marks count in it.

    Raises:
        InvalidInput: If bands are missing, doubled or (stacked) of several types; if the tile cuts chunks or is
            over a limit; if one chunk is over a limit or the memory budget.
    """
    _check_bands(bands, layout)
    chunk = layout.chunk_shape
    if recorded is not None:
        tiling = recorded
    elif tile is not None:
        _check_tile(tile, chunk, grid.shape)
        tiling = Tiling(tile_shape=tile, bands_per_tile=_bands_per_tile(bands, limits, _clip(tile, grid.shape), layout))
    else:
        per_tile = _bands_per_tile(bands, limits, _clip(chunk, grid.shape), layout)
        groups = tuple(band_groups(bands, per_tile))
        tiling = Tiling(tile_shape=_best_shape(grid.shape, chunk, groups, limits, budget), bands_per_tile=per_tile)
    plan = Plan(
        image_key=image_key,
        grid=grid,
        bands=bands,
        layout=StoreLayout(
            kind=layout.kind,
            chunk=chunk,
            bands_per_chunk=tiling.bands_per_tile if layout.kind == "stacked" else 1,
            is_sharded=layout.is_sharded,
            compressor=layout.compressor,
            zarr_format=layout.zarr_format,
        ),
        tile_shape=tiling.tile_shape,
        bands_per_tile=tiling.bands_per_tile,
    )
    _check_legal(plan, limits)
    _check_memory(plan, budget)
    return plan


def band_groups(bands: tuple[Band, ...], per_tile: int) -> Iterator[tuple[Band, ...]]:
    """Yield the bands of each request of one place."""
    return (bands[start : start + per_tile] for start in range(0, len(bands), per_tile))


def _check_bands(bands: tuple[Band, ...], layout: LayoutRequest) -> None:
    names = [band.name for band in bands]
    if not names:
        raise InvalidInput("No band is asked for.", hint="Name at least one band.")
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubled:
        raise InvalidInput(f"Bands are asked for twice: {', '.join(doubled)}.", hint="Name each band once.")
    types = {band.dtype for band in bands}
    if layout.kind == "stacked" and len(types) > 1:
        listed = ", ".join(f"{band.name} {band.dtype}" for band in bands[:8])
        raise InvalidInput(
            f"A stacked store has one type, but the bands have several: {listed}.",
            hint='Use layout = "bands", choose bands of one type, or cast them in an expression.',
        )


def _bands_per_tile(bands: tuple[Band, ...], limits: RequestLimits, shape: Shape2D, layout: LayoutRequest) -> int:
    """The most bands, in groups as even as can be, whose requests of this shape are legal."""
    if max(shape.height, shape.width) > limits.max_side:
        raise InvalidInput(
            f"A tile of {shape} pixels is over the limit of {limits.max_side} pixels a side.",
            hint=f"Give a tile or chunk of at most {limits.max_side} pixels a side.",
        )
    fewest = -(-len(bands) // limits.max_bands)
    for groups in range(fewest, len(bands) + 1):
        per_tile = -(-len(bands) // groups)
        if all(limits.admits(shape, group) for group in band_groups(bands, per_tile)):
            return per_tile
    dearest = max(bands, key=lambda band: band.itemsize)
    side = int((limits.max_bytes / pixel_cost([dearest])) ** 0.5)
    what = "chunk" if shape == _clip(layout.chunk_shape, shape) else "tile"
    raise InvalidInput(
        f"One {what} of {shape} pixels of band {dearest.name!r} ({dearest.dtype}) counts "
        f"{accounted_bytes(shape, [dearest])} bytes; a request may count {limits.max_bytes}.",
        hint=f"Give a {what} of at most {side // 256 * 256 or side} pixels a side.",
    )


def _best_shape(
    grid: Shape2D, chunk: Shape2D, groups: tuple[tuple[Band, ...], ...], limits: RequestLimits, budget: Budget
) -> Shape2D:
    """The legal shape with the fewest tiles that still gives every slot two tiles, or one, or else the fewest of all.

    Among those within 2 % of the fewest it is the squarest: a long tile reads more of the service's own blocks.
    """
    most_pixels = limits.max_bytes // max(pixel_cost(group) for group in groups)
    pixel_bytes = max(sum(band.itemsize for band in group) for group in groups)
    counted = [
        (-(-grid.height // shape.height) * -(-grid.width // shape.width) * len(groups), shape)
        for shape in _shapes(grid, chunk, most_pixels, limits.max_side)
    ]
    candidates = [
        (count, shape) for count, shape in counted if budget.affords(_clip(shape, grid).size * pixel_bytes, count)
    ]
    for target in (TILES_PER_SLOT * budget.concurrency, budget.concurrency, 0):
        enough = [item for item in candidates if item[0] >= target]
        if enough:
            fewest = min(count for count, _ in enough)
            near = [(count, _clip(shape, grid), shape) for count, shape in enough if count <= fewest * 1.02]
            return min(near, key=lambda item: (abs(item[1].height - item[1].width), item[0], item[1].size))[2]
    return chunk


def _shapes(grid: Shape2D, chunk: Shape2D, most_pixels: int, most_side: int) -> Iterator[Shape2D]:
    """All shapes of whole chunks that hold at most so many pixels; the single chunk always."""
    yield chunk
    for width in range(chunk.width, grid.width + chunk.width, chunk.width):
        clipped_width = min(width, grid.width)
        if clipped_width > most_side or clipped_width * min(chunk.height, grid.height) > most_pixels:
            return
        most_height = min(most_pixels // clipped_width, most_side)
        last = -(-grid.height // chunk.height) if most_height >= grid.height else most_height // chunk.height
        for count in range(1, last + 1):
            yield Shape2D(count * chunk.height, width)


def _check_tile(tile: Shape2D, chunk: Shape2D, grid: Shape2D) -> None:
    sides = ((tile.height, chunk.height, grid.height), (tile.width, chunk.width, grid.width))
    if min(tile.height, tile.width) < 1 or any(t % c and t < g for t, c, g in sides):
        nearest = [max(1, round(t / c)) * c for t, c, _ in sides]
        raise InvalidInput(
            f"A tile of [{tile.height}, {tile.width}] pixels is no whole number of {chunk} chunks; two tiles would "
            "write one stored object.",
            hint=f"Use tile = {nearest}, or another chunk.",
        )


def _check_legal(plan: Plan, limits: RequestLimits) -> None:
    shape = _clip(plan.tile_shape, plan.grid.shape)
    for group in band_groups(plan.bands, plan.bands_per_tile):
        if not limits.admits(shape, group):
            raise InvalidInput(
                f"A tile of {shape} pixels with {len(group)} bands counts {accounted_bytes(shape, group)} bytes; "
                f"a request may have {limits.max_bytes} bytes, {limits.max_side} pixels a side, "
                f"{limits.max_bands} bands.",
                hint='Give a smaller tile, or tile = "auto"; a store made with this tile must be made anew.',
            )


def _check_memory(plan: Plan, budget: Budget) -> None:
    if budget.workers(plan.tile_bytes) < 1:
        needed = int(plan.tile_bytes * (PARTS_SHARE + WRITER_SHARE))
        raise InvalidInput(
            f"One tile holds {plan.tile_bytes} bytes; with the room to write it, that is more than the memory budget "
            f"of {budget.memory_bytes} bytes.",
            hint=f"Give memory = {-(-needed // (1 << 20))}MiB or more, or a smaller tile or chunk.",
        )


def _clip(shape: Shape2D, grid: Shape2D) -> Shape2D:
    return Shape2D(min(shape.height, grid.height), min(shape.width, grid.width))
