"""Assets that are not Sentinel-2: elevations of the whole globe, and an image of every pixel type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eezarr.emulator.images import Band, Image, of_dtype
from eezarr.emulator.pixels import Array, Run, StoredPixels
from eezarr.emulator.planet import heights
from eezarr.emulator.raster import Grid, Json, Plane
from eezarr.emulator.terrain import hashed
from eezarr.emulator.texture import Indices

ETOPO, SRTM, MIXED = "NOAA/NGDC/ETOPO1", "USGS/SRTMGL1_003", "projects/eezarr/assets/mixed"

Maker = Callable[[Indices, Indices], tuple[Array, npt.NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeBand:
    """Stored pixels that a function of row and column makes."""

    grid: Grid
    make: Maker
    """Takes rows (height,) and columns (width,); answers values and validity (height, width)."""

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer pixels."""
        del run
        values, valid = self.make(rows, cols)
        return Plane(values=values, valid=valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extent:
    """1 on every pixel of a grid: the footprint of an image that fills it."""

    grid: Grid

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer ones."""
        del run
        shape = (len(rows), len(cols))
        return Plane(values=np.ones(shape, np.uint8), valid=np.ones(shape, np.bool_))


def stored_band(name: str, dtype: str, grid: Grid, make: Maker, *, policy: str = "MEAN", sentinel: float = 0) -> Band:
    """Answer a band of made pixels."""
    kind = of_dtype(dtype)
    return Band(
        id=name,
        type=kind,
        pixels=StoredPixels(stored=MadeBand(grid=grid, make=make), dtype=dtype, policy=policy),
        grid=grid,
        is_bounded=True,
        footprint=StoredPixels(stored=Extent(grid=grid), dtype="uint8", policy="SAMPLE"),
        pyramiding=policy,
        sentinel=sentinel,
    )


def etopo() -> Image:
    """Answer elevation of the globe, float32 metres, one arc-minute, below zero in the sea."""
    side = 1 / 60

    def make(rows: Indices, cols: Indices) -> tuple[Array, npt.NDArray[np.bool_]]:
        values = heights(rows, cols, 60, 90)
        return values, np.ones(values.shape, np.bool_)

    grid = Grid(crs="EPSG:4326", transform=(side, 0.0, -180.0, 0.0, -side, 90.0), width=21_600, height=10_800)
    bands = (stored_band("bedrock", "float32", grid, make), stored_band("ice_surface", "float32", grid, make))
    return Image(bands=bands, properties={"system:index": "ETOPO1"}, id=ETOPO, version=1_641_990_767_055_141)


def srtm() -> Image:
    """Answer elevation of the land between 60 N and 56 S, int16 metres, 30 arc-seconds; the sea is masked."""
    side = 1 / 120

    def make(rows: Indices, cols: Indices) -> tuple[Array, npt.NDArray[np.bool_]]:
        metres = heights(rows, cols, 120, 60)
        return metres.astype(np.int16), metres >= 0

    grid = Grid(crs="EPSG:4326", transform=(side, 0.0, -180.0, 0.0, -side, 60.0), width=43_200, height=13_920)
    bands = (stored_band("elevation", "int16", grid, make, sentinel=-32768),)
    return Image(bands=bands, properties={"system:index": "SRTMGL1_003"}, id=SRTM, version=1_641_990_053_291_277)


_MIXED = {
    "u8": ("uint8", 0), "i8": ("int8", -128), "i16": ("int16", -32768), "u16": ("uint16", 0),
    "i32": ("int32", -(2**31)), "u32": ("uint32", 0), "f32": ("float32", -9999), "f64": ("float64", -9999),
    "i64": ("float64", -(2**53)),
}  # fmt: skip


def _mixed_maker(seed: int, dtype: str, is_long: bool) -> Maker:
    """Values that use their type's whole range; masked in blocks that differ by band."""
    target = np.dtype(dtype)

    def make(rows: Indices, cols: Indices) -> tuple[Array, npt.NDArray[np.bool_]]:
        bits = hashed(rows[:, None], cols[None, :], 100 + seed)
        holes = hashed(rows[:, None] // 24, cols[None, :] // 24, 200 + seed)
        valid = (holes & np.uint32(7)) != 0
        if target.kind in "iu":
            whole = np.dtype(f"u{target.itemsize}")
            return (bits >> np.uint32(32 - 8 * target.itemsize)).astype(whole).view(target), valid
        if is_long:
            return np.asarray(bits.astype(np.float64) * 2**20 - 2.0**51), valid
        return ((bits / 2.0**32 - 0.5) * 2e4).astype(target), valid

    return make


def mixed() -> Image:
    """Answer an image of nine bands of nine types, 10 m, 3000 x 2000 pixels; `i64` is int64, served as float64."""
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 550_000.0, 0.0, -10.0, 4_150_000.0), width=3000, height=2000)
    bands = []
    for seed, (name, (dtype, sentinel)) in enumerate(_MIXED.items()):
        make = _mixed_maker(seed, dtype, name == "i64")
        bands.append(stored_band(name, dtype, grid, make, policy="SAMPLE", sentinel=sentinel))
    properties: dict[str, Json] = {"system:index": "mixed", "system:time_start": 1_577_836_800_000}
    return Image(bands=tuple(bands), properties=properties, id=MIXED, version=1_577_836_800_000_000)
