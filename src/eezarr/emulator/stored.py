"""Exported images as assets: NPY files that are mapped, never loaded whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.globes import Extent
from eezarr.emulator.images import Band, Image, of_dtype
from eezarr.emulator.pixels import Run, StoredPixels
from eezarr.emulator.raster import Grid, Plane
from eezarr.emulator.texture import is_consecutive

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.emulator.raster import StoredBand, StoredImage
    from eezarr.emulator.texture import Indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedBand:
    """A band in two NPY files, opened anew for each block."""

    values: Path
    valid: Path
    grid: Grid

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer the pixels at every pair of rows and columns."""
        del run
        return Plane(values=_picked(self.values, rows, cols), valid=_picked(self.valid, rows, cols).astype(np.bool_))


def _picked(path: Path, rows: Indices, cols: Indices) -> npt.NDArray[np.generic]:
    array: npt.NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    if is_consecutive(rows) and is_consecutive(cols):
        return np.array(array[int(rows[0]) : int(rows[-1]) + 1, int(cols[0]) : int(cols[-1]) + 1])
    return np.array(array[np.ix_(rows, cols)])


def image_of_files(image: StoredImage, identifier: str) -> Image:
    """Answer an exported image as the catalogue holds it."""
    bands = tuple(_band(band, image.grid) for band in image.bands)
    properties = {**image.properties, "system:index": identifier.rsplit("/", 1)[-1]}
    return Image(bands=bands, properties=properties, id=identifier, version=image.version)


def _band(stored: StoredBand, grid: Grid) -> Band:
    dtype = np.load(stored.values, mmap_mode="r", allow_pickle=False).dtype.name
    mapped = MappedBand(values=stored.values, valid=stored.valid, grid=grid)
    return Band(
        id=stored.id,
        type=of_dtype(dtype),
        pixels=StoredPixels(stored=mapped, dtype=dtype, policy=stored.pyramiding),
        grid=grid,
        is_bounded=True,
        footprint=StoredPixels(stored=Extent(grid=grid), dtype="uint8", policy="SAMPLE"),
        pyramiding=stored.pyramiding,
        sentinel=0,
    )
