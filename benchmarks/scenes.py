"""The pixels of all benchmarks: a window of one synthetic scene, and the oracle for it, read from the world directly.

The oracle passes no HTTP, no codec and no client. It is computed once and kept in the cache folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import cache_folder

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BANDS", "CRS", "ORIGIN", "SCENE", "Region", "interleaved_pixels"]

SCENE = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
CRS = "EPSG:32610"
ORIGIN = (499980, 4200000)
"""x and y of the outer corner of the scene's top-left pixel."""
BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12", "B1", "B9")
_VERSION = 1
"""Raised when the synthetic scenes change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A square window of the scene, from its top-left corner on."""

    side: int
    """Pixels."""
    band_count: int

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of its bands."""
        return BANDS[: self.band_count]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all its pixels, uncompressed."""
        return self.side**2 * self.band_count * 2

    def expected(self) -> dict[str, npt.NDArray[np.uint16]]:
        """Return what each band's pixels must be."""
        return {band: _plane(band, self.side) for band in self.bands}


def interleaved_pixels(region: Region) -> npt.NDArray[np.void]:
    """Return (height, width) structured pixels, one field a band: the records of an NPY body."""
    planes = region.expected()
    pixels = np.empty((region.side, region.side), [(band, "<u2") for band in planes])
    for band, plane in planes.items():
        pixels[band] = plane
    return pixels


def _plane(band: str, side: int) -> npt.NDArray[np.uint16]:
    path = cache_folder() / f"oracle-{_VERSION}-{band}-{side}.npy"
    if not path.exists():
        _compute(side, BANDS[:4] if band in BANDS[:4] else BANDS[4:])  # bands of one scene share most of the work
    plane: npt.NDArray[np.uint16] = np.load(path, mmap_mode="r")
    return plane


def _compute(side: int, bands: tuple[str, ...]) -> None:
    from eezarr.emulator.raster import Grid  # noqa: PLC0415 - only where nothing is cached
    from eezarr.emulator.world import SyntheticWorld  # noqa: PLC0415

    image = SyntheticWorld().image(f"projects/earthengine-public/assets/{SCENE}")
    grid = Grid(crs=CRS, transform=(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), width=side, height=side)
    for band, plane in zip(bands, image.read(grid, bands), strict=True):
        path = cache_folder() / f"oracle-{_VERSION}-{band}-{side}.npy"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, plane.values.astype("<u2", copy=False))
        partial.replace(path)
