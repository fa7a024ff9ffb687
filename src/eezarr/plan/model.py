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
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.plan.limits import accounted_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.plan.bands import Band

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
    first_band: int
    """Position of the tile's first band in the plan's bands, and in a stacked array's band axis."""
    bands: tuple[Band, ...]
    """The bands asked for, in this order."""
    region: PixelGrid = field(repr=False)
    """The plan's grid, which the window is in."""

    @property
    def grid(self) -> PixelGrid:
        """The tile's own pixel grid, as the request states it; made when asked for, since most are asked for once."""
        return self.region.window(self.window)

    def at(self, window: Window) -> Tile:
        """Return a part of this tile: the same bands in another window of the region."""
        return replace(self, window=window)

    def __str__(self) -> str:
        end_row, end_col = self.window.row + self.window.height, self.window.col + self.window.width
        return (
            f"tile {self.index} (rows {self.window.row}-{end_row}, columns {self.window.col}-{end_col}, "
            f"bands {', '.join(band.name for band in self.bands[:6])}{', …' if len(self.bands) > 6 else ''})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Grid, bands, tile shape and store layout; made by `make_plan`, which makes only legal ones.

    Raises:
        InvalidInput: If a tile would not cover whole write units.
    """

    image_key: str
    """What is read, in one canonical string: an asset name or an expression, with its mask mode."""
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

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.grid.height // self.tile_shape.height)

    @property
    def cols(self) -> int:
        """Tiles from left to right."""
        return -(-self.grid.width // self.tile_shape.width)

    @property
    def band_groups(self) -> int:
        """Requests that one place takes, because its bands do not fit into one."""
        return -(-len(self.bands) // self.bands_per_tile)

    @property
    def tile_count(self) -> int:
        """All tiles."""
        return self.rows * self.cols * self.band_groups

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all pixels, uncompressed, without masks."""
        return self.grid.shape.size * sum(band.itemsize for band in self.bands)

    @property
    def tile_bytes(self) -> int:
        """Bytes of the pixels of the largest tile, without masks: what a body holds next to its header."""
        return self.largest_tile.size * max(sum(band.itemsize for band in group) for group in self.groups)

    @property
    def largest_request_bytes(self) -> int:
        """Bytes of the largest request as the service counts them: pixels and mask bytes."""
        return max(accounted_bytes(self.largest_tile, group) for group in self.groups)

    @property
    def largest_tile(self) -> Shape2D:
        """The pixels of a tile that no edge cuts short, as far as the grid has one."""
        return Shape2D(min(self.tile_shape.height, self.grid.height), min(self.tile_shape.width, self.grid.width))

    @property
    def groups(self) -> tuple[tuple[Band, ...], ...]:
        """The bands of each request that one place takes."""
        starts = range(0, len(self.bands), self.bands_per_tile)
        return tuple(self.bands[start : start + self.bands_per_tile] for start in starts)

    def tile(self, index: int) -> Tile:
        """Return the tile at a position: by rows, then columns, then band groups.

        Raises:
            IndexError: If the index is not in `range(tile_count)`.
        """
        if not 0 <= index < self.tile_count:
            raise IndexError(index)
        place, group = divmod(index, self.band_groups)
        row, col = divmod(place, self.cols)
        top, left = row * self.tile_shape.height, col * self.tile_shape.width
        window = Window(
            row=top,
            col=left,
            height=min(self.tile_shape.height, self.grid.height - top),
            width=min(self.tile_shape.width, self.grid.width - left),
        )
        first = group * self.bands_per_tile
        return Tile(
            index=index,
            window=window,
            first_band=first,
            bands=self.bands[first : first + self.bands_per_tile],
            region=self.grid,
        )

    def __iter__(self) -> Iterator[Tile]:
        """Yield all tiles in order, one at a time."""
        return (self.tile(index) for index in range(self.tile_count))

    @property
    def fingerprint(self) -> str:
        """A hash of all that changes pixels or their place; 32 hexadecimal digits.

        The tile shape is left out: how a region is cut changes no pixel, so a job can be resumed with another
        concurrency or memory budget. The store remembers the tile shape that its marks count in.
        """
        facts = (
            self.image_key,
            self.grid.crs,
            [float(value).hex() for value in tuple(self.grid.transform)[:6]],
            [self.grid.width, self.grid.height],
            [[band.name, band.dtype] for band in self.bands],
            [self.layout.kind, self.layout.chunk.height, self.layout.chunk.width, self.layout.bands_per_chunk],
            [self.layout.is_sharded, self.layout.compressor, self.layout.zarr_format],
        )
        return hashlib.sha256(json.dumps(facts, ensure_ascii=True).encode()).hexdigest()[:32]
