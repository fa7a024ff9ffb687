"""Cutting a region into requests: bands, time steps and tiles, all legal and within the memory budget.

All is counted in write units (chunks): a tile is so many chunks high and so many wide, and nothing else is tried. Where
a request has room for the whole grid, it takes as many time steps of a cube as fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.grid import Shape2D
from eezarr.plan.fields import Selection
from eezarr.plan.limits import accounted_bytes, pixel_cost
from eezarr.plan.masking import NO_MASKING
from eezarr.plan.model import Plan, StoreLayout
from eezarr.plan.sizing import Candidates

if TYPE_CHECKING:
    from eezarr.grid import Coverage, PixelGrid
    from eezarr.plan.bands import Band
    from eezarr.plan.limits import RequestLimits
    from eezarr.plan.masking import Masking
    from eezarr.plan.model import Compressor, LayoutKind, ZarrFormat
    from eezarr.plan.steps import Step

__all__ = ["Budget", "LayoutRequest", "Tiling", "make_plan"]

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
    step_starts: tuple[int, ...] = (0,)
    """The first time step of each request of one place."""
    step_count: int = 1
    """Time steps that there were; a cube that grows gets new requests for what comes after them."""


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
    steps: tuple[Step, ...] | None = None,
    max_steps: int | None = None,
    masking: Masking = NO_MASKING,
    coverage: Coverage | None = None,
    is_clipped: bool = False,
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
        steps: The time axis of a cube; None for an image.
        max_steps: Time steps of one request at the most, because an expression has a limit, too; None: no such limit.
        masking: What becomes of masked pixels.
        coverage: The region's shape, where tiles that it does not touch are not wanted.
        is_clipped: Whether pixels outside of it count as masked.

    Raises:
        InvalidInput: If bands are missing, doubled or (stacked) of several types; if the tile cuts chunks or is
            over a limit; if one chunk is over a limit or the memory budget.
    """
    _check_bands(bands, layout)
    cutter = _Cutter(
        bands=bands,
        masking=masking,
        step_count=None if steps is None else len(steps),
        grid=grid.shape,
        chunk=layout.chunk_shape,
        limits=limits,
        budget=budget,
    )
    tiling = cutter.continued(recorded, max_steps) if recorded is not None else cutter.cut(tile, max_steps)
    plan = Plan(
        image_key=image_key,
        grid=grid,
        bands=bands,
        layout=StoreLayout(
            kind=layout.kind,
            chunk=layout.chunk_shape,
            bands_per_chunk=tiling.bands_per_tile if layout.kind == "stacked" else 1,
            is_sharded=layout.is_sharded,
            compressor=layout.compressor,
            zarr_format=layout.zarr_format,
        ),
        tile_shape=tiling.tile_shape,
        bands_per_tile=tiling.bands_per_tile,
        steps=steps,
        step_starts=tiling.step_starts,
        masking=masking,
        coverage=coverage,
        is_clipped=is_clipped,
    )
    _check_legal(plan, limits)
    _check_memory(plan, budget)
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutter:
    """Cuts a region into requests."""

    bands: tuple[Band, ...]
    masking: Masking
    step_count: int | None
    """Time steps; None for an image."""
    grid: Shape2D
    chunk: Shape2D
    limits: RequestLimits
    budget: Budget

    def cut(self, tile: Shape2D | None, max_steps: int | None) -> Tiling:
        """Return the tiling that is best, or with a tile's pixels given."""
        if tile is not None:
            _check_tile(tile, self.chunk, self.grid)
            per_tile = self._bands_per_tile(_clip(tile, self.grid), "tile")
        elif self._steps > 1 and self._fits_whole():
            tile, per_tile = self._whole(), len(self.bands)
        else:
            per_tile, max_steps = self._bands_per_tile(_clip(self.chunk, self.grid), "chunk"), 1
            tile = self._best_shape(per_tile)
        starts = tuple(range(0, self._steps, self._steps_per_tile(tile, per_tile, max_steps)))
        return Tiling(tile_shape=tile, bands_per_tile=per_tile, step_starts=starts, step_count=self._steps)

    def continued(self, recorded: Tiling, max_steps: int | None) -> Tiling:
        """Return a recorded tiling, with new requests for the time steps that were not there."""
        more = self._steps - recorded.step_count
        starts = tuple(start for start in recorded.step_starts if start < self._steps)
        if more > 0:
            most = self._steps_per_tile(recorded.tile_shape, recorded.bands_per_tile, max_steps, more)
            starts = (*starts, *range(recorded.step_count, self._steps, most))
        return Tiling(
            tile_shape=recorded.tile_shape,
            bands_per_tile=recorded.bands_per_tile,
            step_starts=starts,
            step_count=self._steps,
        )

    def _fits_whole(self) -> bool:
        """Whether one request may ask for the whole grid at one time: then dates are packed, and places are not cut."""
        (asked,) = self._asked(len(self.bands))
        itemsize = self.grid.size * sum(band.itemsize for band in asked)
        return self.limits.admits(self.grid, asked) and self.budget.affords(itemsize, self._steps)

    def _whole(self) -> Shape2D:
        """The whole grid, in whole chunks."""
        chunk, grid = self.chunk, self.grid
        return Shape2D(-(-grid.height // chunk.height) * chunk.height, -(-grid.width // chunk.width) * chunk.width)

    @property
    def _steps(self) -> int:
        return 1 if self.step_count is None else self.step_count

    def _asked(self, per_tile: int) -> list[tuple[Band, ...]]:
        """What the requests of one place ask for, with so many bands each and at one time."""
        return [
            Selection(
                bands=self.bands[first : first + per_tile],
                first_band=first,
                has_time=self.step_count is not None,
                masking=self.masking,
            ).wire_bands
            for first in range(0, len(self.bands), per_tile)
        ]

    def _steps_per_tile(self, tile: Shape2D, per_tile: int, max_steps: int | None, count: int | None = None) -> int:
        """The most steps, in groups as even as can be, whose requests are legal and within the memory budget.

        One where a place takes several requests at one time: they are as large as legal already.
        """
        shape, count = _clip(tile, self.grid), self._steps if count is None else count
        if self.step_count is None or per_tile < len(self.bands):
            return 1
        places = -(-self.grid.height // tile.height) * -(-self.grid.width // tile.width)
        (asked,) = self._asked(per_tile)
        cost, itemsize = shape.size * pixel_cost(asked), shape.size * sum(band.itemsize for band in asked)
        most = min(count, self.limits.max_bytes // cost, self.limits.max_bands // len(asked), max_steps or count)
        while most > 1 and not self.budget.affords(itemsize * most, -(-count // most) * places):
            most -= 1
        groups = -(-count // max(1, most))
        return -(-count // groups)

    def _bands_per_tile(self, shape: Shape2D, what: str) -> int:
        """The most bands, in groups as even as can be, whose requests of this shape are legal."""
        limits = self.limits
        if max(shape.height, shape.width) > limits.max_side:
            raise InvalidInput(
                f"A tile of {shape} pixels is over the limit of {limits.max_side} pixels a side.",
                hint=f"Give a tile or chunk of at most {limits.max_side} pixels a side.",
            )
        for groups in range(-(-len(self.bands) // limits.max_bands), len(self.bands) + 1):
            per_tile = -(-len(self.bands) // groups)
            if all(limits.admits(shape, asked) for asked in self._asked(per_tile)):
                return per_tile
        asked, band = max(zip(self._asked(1), self.bands, strict=True), key=lambda pair: pixel_cost(pair[0]))
        side = int((limits.max_bytes / pixel_cost(asked)) ** 0.5)
        raise InvalidInput(
            f"One {what} of {shape} pixels of band {band.name!r} ({band.dtype}){', with its mask,' * (len(asked) > 1)} "
            f"counts {accounted_bytes(shape, asked)} bytes; a request may count {limits.max_bytes}.",
            hint=f"Give a {what} of at most {side // 256 * 256 or side} pixels a side.",
        )

    def _best_shape(self, per_tile: int) -> Shape2D:
        """The legal shape within the memory budget whose requests are expected to be done first; see `sizing`."""
        asked = self._asked(per_tile)
        candidates = Candidates(
            grid=self.grid,
            chunk=self.chunk,
            most_pixels=self.limits.max_bytes // max(map(pixel_cost, asked)),
            most_side=self.limits.max_side,
            pixel_bytes=max(sum(band.itemsize for band in bands) for bands in asked),
            requests_per_place=len(asked) * self._steps,
        )
        return candidates.fastest(self.budget.concurrency, self.budget.affords)


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
    shape = plan.largest_tile
    for bands in plan.request_bands:
        if not limits.admits(shape, bands):
            raise InvalidInput(
                f"A tile of {shape} pixels with {len(bands)} bands counts {accounted_bytes(shape, bands)} bytes; "
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
