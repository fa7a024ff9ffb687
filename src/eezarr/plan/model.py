"""A plan: which pixels are asked for by which request, and which stored objects they become.

A plan is a value. Its tiles are computed when asked for, so a plan of a billion tiles costs what a plan of one costs.

Two rules make tiling safe, and a plan that breaks one cannot be made:

1. Every tile is legal: within the byte, side and band limits of its method.
2. Every tile covers whole write units (chunks, or one shard), or reaches the grid's edge where a unit is cut short;
   so every stored object has one writer, and no lock or read-modify-write exists.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.plan.fields import Field, Selection
from eezarr.plan.limits import accounted_bytes
from eezarr.plan.masking import NO_MASKING, Masking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from eezarr.grid import Coverage
    from eezarr.plan.bands import Band
    from eezarr.plan.steps import Step

__all__ = ["Compressor", "LayoutKind", "Plan", "StoreLayout", "Tile", "ZarrFormat"]

LayoutKind: TypeAlias = Literal["bands", "stacked"]
Compressor: TypeAlias = Literal["auto", "zstd", "none"]
ZarrFormat: TypeAlias = Literal[2, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLayout:
    """How pixels are laid out in the store."""

    kind: LayoutKind = "bands"
    """`bands`: one array (y, x) a band, named as the band. `stacked`: one array `pixels` (band, y, x)."""
    chunk: Shape2D = Shape2D(1024, 1024)
    """Pixels of one chunk."""
    bands_per_chunk: int = 1
    """Bands of one chunk: 1 for `bands`; for `stacked` as many as a tile has."""
    is_sharded: bool = False
    """Whether a whole tile is one stored object (a shard of chunks) per array."""
    compressor: Compressor = "auto"
    """`auto`: blosc lz4, bitshuffle for 1- and 2-byte types, shuffle for the rest."""
    zarr_format: ZarrFormat = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One request's worth of pixels: what is asked for, and where it is stored."""

    index: int
    """Position in the plan, from 0; the tile's name in marks, events and reports."""
    window: Window
    """The tile's pixels within the plan's grid, and within the stored arrays' (y, x)."""
    region: PixelGrid = field(repr=False)
    """The plan's grid, which the window is in."""
    selection: Selection
    """What is asked for there; shared with other tiles."""
    name: str = ""
    """What messages call it; default: by its place in the grid."""

    @property
    def grid(self) -> PixelGrid:
        """The tile's own pixel grid, as the request states it; made when asked for, since most are asked for once."""
        return self.region.window(self.window)

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands that are stored, in this order."""
        return self.selection.bands

    @property
    def first_band(self) -> int:
        """Position of the tile's first band in the plan's bands, and in a stacked array's band axis."""
        return self.selection.first_band

    @property
    def steps(self) -> range:
        """Positions in the plan's time steps; (0,) where there is no time."""
        return self.selection.steps

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is asked for: pixels and masks, step by step, in the order of the request and the answer."""
        return self.selection.fields

    @property
    def wire_bands(self) -> tuple[Band, ...]:
        """The bands of the request and the answer, in order."""
        return self.selection.wire_bands

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixels that are stored of it, uncompressed; its body holds masks and labels, too."""
        return self.window.shape.size * len(self.steps) * sum(band.itemsize for band in self.bands)

    def at(self, window: Window) -> Tile:
        """Return a part of this tile: the same bands in another window of the region."""
        return replace(self, window=window)

    def during(self, steps: range) -> Tile:
        """Return a part of this tile: the same window and bands at some of its time steps."""
        return replace(self, selection=replace(self.selection, steps=steps))

    def of_bands(self, first: int, stop: int) -> Tile:
        """Return a part of this tile: some of its bands, counted within it, in the same window at the same steps."""
        selection = self.selection
        part = replace(selection, bands=selection.bands[first:stop], first_band=selection.first_band + first)
        return replace(self, selection=part)

    def __str__(self) -> str:
        if self.name:
            return self.name
        end_row, end_col = self.window.row + self.window.height, self.window.col + self.window.width
        steps = f"steps {self.steps.start}-{self.steps.stop}, " if self.selection.has_time else ""
        return (
            f"tile {self.index} ({steps}rows {self.window.row}-{end_row}, columns {self.window.col}-{end_col}, "
            f"bands {', '.join(band.name for band in self.bands[:6])}{', …' if len(self.bands) > 6 else ''})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """How a plan is cut, computed once: a plan of a billion tiles makes each of them from it."""

    rows: int
    cols: int
    selections: tuple[tuple[Selection, ...], ...]
    """What is asked for of each place: a request for each group of bands, at each span of time."""
    tile_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Grid, bands, time steps, tile shape and store layout; made by `make_plan`, which makes only legal ones.

    Raises:
        InvalidInput: If a tile would not cover whole write units.
    """

    image_key: str
    """What is read, in one canonical string: an asset name, an expression, or a collection with how it is reduced."""
    grid: PixelGrid
    """The grid of the whole region."""
    bands: tuple[Band, ...]
    """All bands, in stored order."""
    layout: StoreLayout
    """How they are stored."""
    tile_shape: Shape2D
    """A tile's pixels; tiles at the right and bottom edge are cut short."""
    bands_per_tile: int
    """Bands of one request; the last group can have fewer."""
    steps: tuple[Step, ...] | None = None
    """The time axis; None for an image."""
    step_starts: tuple[int, ...] = (0,)
    """The first step of each request of one place; a request's steps end where the next one's begin."""
    masking: Masking = NO_MASKING
    """What becomes of masked pixels."""
    coverage: Coverage | None = field(default=None, repr=False)
    """The region's shape where it is a polygon: tiles that it does not touch are not wanted."""
    is_clipped: bool = False
    """Whether pixels outside of the coverage count as masked."""
    _cut: _Cut = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = (
            (self.tile_shape.height, self.layout.chunk.height, self.grid.height),
            (self.tile_shape.width, self.layout.chunk.width, self.grid.width),
        )
        if any(tile % chunk and tile < side for tile, chunk, side in pairs):
            raise InvalidInput(
                f"A tile of {self.tile_shape} pixels cuts chunks of {self.layout.chunk}.",
                hint="Make each side of the tile a multiple of the chunk's.",
            )
        if self.layout.kind == "stacked" and self.layout.bands_per_chunk != self.bands_per_tile:
            raise InvalidInput(
                f"A tile of {self.bands_per_tile} bands cuts chunks of {self.layout.bands_per_chunk} bands.",
                hint="Ask for as many bands at a time as a chunk holds.",
            )
        edges = (*self.step_starts, self.step_count)
        if edges[0] != 0 or any(first >= following for first, following in pairwise(edges)):
            raise InvalidInput(
                f"The time steps {self.step_starts} of {self.step_count} are no cut.", hint="Start at 0, and ascend."
            )
        object.__setattr__(self, "_cut", self._cut_up(edges))

    def _cut_up(self, step_edges: tuple[int, ...]) -> _Cut:
        rows = -(-self.grid.height // self.tile_shape.height)
        cols = -(-self.grid.width // self.tile_shape.width)
        clip = self.coverage if self.is_clipped else None
        selections = tuple(
            tuple(
                Selection(
                    bands=self.bands[first : first + self.bands_per_tile],
                    first_band=first,
                    steps=range(start, stop),
                    has_time=self.steps is not None,
                    masking=self.masking,
                    clip=clip,
                )
                for first in range(0, len(self.bands), self.bands_per_tile)
            )
            for start, stop in pairwise(step_edges)
        )
        tile_count = rows * cols * len(selections) * len(selections[0])
        return _Cut(rows=rows, cols=cols, selections=selections, tile_count=tile_count)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return self._cut.rows

    @property
    def cols(self) -> int:
        """Tiles from left to right."""
        return self._cut.cols

    @property
    def band_groups(self) -> int:
        """Requests that one place takes at one time, because its bands do not fit into one."""
        return len(self._cut.selections[0])

    @property
    def step_count(self) -> int:
        """Time steps; 1 where there is no time."""
        return 1 if self.steps is None else len(self.steps)

    @property
    def tile_count(self) -> int:
        """All tiles, those that are not wanted included."""
        return self._cut.tile_count

    @property
    def wanted_count(self) -> int:
        """The tiles that are asked for: all, or those that the region's polygon touches."""
        if self.coverage is None:
            return self.tile_count
        places = _touched_places(self.coverage, self.grid.shape, self.tile_shape)
        return places * self.band_groups * len(self.step_starts)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the bands' pixels in all wanted tiles, uncompressed: what the tiles' `pixel_bytes` sum up to."""
        return self._wanted_pixels * self.step_count * sum(band.itemsize for band in self.bands)

    @property
    def body_bytes(self) -> int:
        """Bytes of all that is asked for, masks included: what bodies hold next to their headers, uncompressed."""
        a_step = (replace(group, steps=range(1)).wire_bands for group in self._cut.selections[0])
        return self._wanted_pixels * self.step_count * sum(band.itemsize for bands in a_step for band in bands)

    @property
    def _wanted_pixels(self) -> int:
        """Pixels of one band at one time in the tiles that are asked for."""
        if self.coverage is None:
            return self.grid.shape.size
        return _touched_pixels(self.coverage, self.grid.shape, self.tile_shape)

    @property
    def tile_bytes(self) -> int:
        """Bytes of the largest tile, masks included: what a body holds next to its header."""
        return max(self.largest_tile.size * sum(band.itemsize for band in bands) for bands in self.request_bands)

    @property
    def largest_request_bytes(self) -> int:
        """Bytes of the largest request as the service counts them: pixels and mask bytes."""
        return max(accounted_bytes(self.largest_tile, bands) for bands in self.request_bands)

    @property
    def largest_tile(self) -> Shape2D:
        """The pixels of a tile that no edge cuts short, as far as the grid has one."""
        return Shape2D(min(self.tile_shape.height, self.grid.height), min(self.tile_shape.width, self.grid.width))

    @property
    def request_bands(self) -> tuple[tuple[Band, ...], ...]:
        """What the largest request of each group of bands asks for: pixels and masks, at as many steps as any has."""
        longest = max(self._cut.selections, key=lambda groups: len(groups[0].steps))
        return tuple(group.wire_bands for group in longest)

    def tile(self, index: int) -> Tile:
        """Return the tile at a position: by time, then rows, then columns, then band groups.

        Raises:
            IndexError: If the index is not in `range(tile_count)`.
        """
        if not 0 <= index < self.tile_count:
            raise IndexError(index)
        line, place = divmod(index, self.cols * self.band_groups)
        (tile,) = self._tiles_in_line(line, (place,))
        return tile

    def _tiles_in_line(self, line: int, places: Iterable[int]) -> Iterator[Tile]:
        """Yield tiles of one line, which is all columns and band groups of one row at one time, by their place in it.

        What they have in common is computed once: a plan's tiles are made one by one, up to a billion of them.
        """
        cut, grid, shape = self._cut, self.grid, self.tile_shape
        span, row = divmod(line, cut.rows)
        selections = cut.selections[span]
        group_count = len(selections)
        first = line * cut.cols * group_count
        top = row * shape.height
        height, width, grid_width = min(shape.height, grid.height - top), shape.width, grid.width
        for place in places:
            col, group = divmod(place, group_count)
            left = col * width
            yield Tile(
                index=first + place,
                window=Window(row=top, col=left, height=height, width=min(width, grid_width - left)),
                region=grid,
                selection=selections[group],
            )

    def is_wanted(self, index: int) -> bool:
        """Return whether a tile is asked for: whether the region's polygon, if it is one, touches it."""
        if self.coverage is None:
            return True
        line, col = divmod(index // self.band_groups, self.cols)
        return bool(_touched_row(self.coverage, self.grid.shape, self.tile_shape, line % self.rows)[col])

    def __iter__(self) -> Iterator[Tile]:
        """Yield all wanted tiles in order, one at a time."""
        per_line = self.cols * self.band_groups
        for line in range(self.rows * len(self.step_starts)):
            places, first = range(per_line), line * per_line
            wanted = places if self.coverage is None else (place for place in places if self.is_wanted(first + place))
            yield from self._tiles_in_line(line, wanted)

    @property
    def lineage(self) -> str:
        """A hash of all that changes pixels or their place, but the time axis; 32 hexadecimal digits.

        A cube that grows keeps it. The tile shape is left out: how a region is cut changes no pixel, so a job can be
        resumed with another concurrency or memory budget. The store remembers the cut that its marks count in.
        """
        return _digest(
            self.image_key,
            self.grid.crs,
            [float(value).hex() for value in tuple(self.grid.transform)[:6]],
            [self.grid.width, self.grid.height],
            [[band.name, band.dtype] for band in self.bands],
            [self.layout.kind, self.layout.chunk.height, self.layout.chunk.width, self.layout.bands_per_chunk],
            [self.layout.is_sharded, self.layout.compressor, self.layout.zarr_format],
            [self.masking.mode, [float(fill).hex() for fill in self.masking.fills], self.masking.is_shared],
            [self.coverage.digest if self.coverage is not None else None, self.is_clipped],
            self.steps is not None,
        )

    @property
    def cut(self) -> str:
        """What marks count in: the plan and the way it is cut, which its hashes leave out.

        The time axis is left out: a cube that grows gets new tiles after the old ones, whose marks stay.
        """
        return f"{self.lineage} {self.tile_shape} {self.bands_per_tile}"

    @property
    def fingerprint(self) -> str:
        """A hash of all that changes pixels or their place, time included; 32 hexadecimal digits."""
        return _digest(self.lineage, [step.facts for step in self.steps or ()])


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, ensure_ascii=True).encode()).hexdigest()[:32]


@lru_cache(maxsize=64)
def _touched_row(coverage: Coverage, grid: Shape2D, tile: Shape2D, row: int) -> npt.NDArray[np.bool_]:
    """Which tiles of a row a region touches; consecutive tiles ask for the same row."""
    top = row * tile.height
    edges = np.append(np.arange(0, grid.width, tile.width), grid.width)
    return coverage.touched(range(top, min(top + tile.height, grid.height)), edges)


@lru_cache(maxsize=4)
def _touched_places(coverage: Coverage, grid: Shape2D, tile: Shape2D) -> int:
    rows = -(-grid.height // tile.height)
    return sum(int(_touched_row(coverage, grid, tile, row).sum()) for row in range(rows))


@lru_cache(maxsize=4)
def _touched_pixels(coverage: Coverage, grid: Shape2D, tile: Shape2D) -> int:
    widths = np.diff(np.append(np.arange(0, grid.width, tile.width), grid.width))
    tops = range(0, grid.height, tile.height)
    return sum(
        min(tile.height, grid.height - top) * int(widths[_touched_row(coverage, grid, tile, row)].sum())
        for row, top in enumerate(tops)
    )
