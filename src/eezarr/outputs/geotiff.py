"""GeoTIFF files, written window by window: memory is a tile's, whatever the file's size (extra `geotiff`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from eezarr.errors import InvalidInput, StoreError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from eezarr.grid import PixelGrid, Window
    from eezarr.plan import Band

__all__ = ["BLOCK", "GeoTiffWriter"]

BLOCK = 256
"""Pixels per side of the file's tiles; windows cover whole ones, so that none is compressed twice."""

_INTERPRETATIONS = {"red": "red", "green": "green", "blue": "blue", "alpha": "alpha"}


class GeoTiffWriter:
    """A GeoTIFF under way; it appears under its name when it is whole. Use it as a context manager; blocks.

    Args:
        path: The file.
        grid: Its pixels.
        bands: Its bands; all are stored in their common type, which holds each one's values exactly.

    Raises:
        InvalidInput: If rasterio is not installed.
        StoreError: On entering, if the file cannot be written.
    """

    def __init__(self, path: Path, grid: PixelGrid, bands: tuple[Band, ...]) -> None:
        try:
            import rasterio  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InvalidInput("GeoTIFF files need rasterio.", hint="Run: pip install 'eezarr[geotiff]'.") from error
        import numpy as np  # noqa: PLC0415 - with rasterio

        self._path, self._part = path, path.with_name(f".{path.name}.part")
        self._bands = bands
        self._rasterio = rasterio
        self._dtype = np.result_type(*(band.dtype for band in bands))
        self._profile = {
            "driver": "GTiff",
            "height": grid.height,
            "width": grid.width,
            "count": len(bands),
            "dtype": self._dtype.name,
            "crs": grid.crs,
            "transform": grid.transform,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "interleave": "band",
            "compress": "deflate",
            "BIGTIFF": "IF_SAFER",
        }

    def __enter__(self) -> Self:
        try:
            self._file = self._rasterio.open(self._part, "w", **self._profile)
        except (OSError, self._rasterio.errors.RasterioError) as error:
            raise StoreError(f"{self._path} cannot be written: {error}.", hint="Give a file that can.") from error
        self._file.descriptions = tuple(band.name for band in self._bands)
        if all(band.name in _INTERPRETATIONS for band in self._bands):
            kinds = self._rasterio.enums.ColorInterp
            self._file.colorinterp = tuple(kinds[_INTERPRETATIONS[band.name]] for band in self._bands)
        return self

    def write(self, window: Window, first_band: int, pixels: npt.NDArray[np.generic]) -> None:
        """Write (band, y, x) pixels to their place.

        Raises:
            StoreError: If they cannot be written.
        """
        from rasterio.windows import Window as Place  # noqa: PLC0415 - an extra

        place = Place(window.col, window.row, window.width, window.height)  # type: ignore[no-untyped-call,unused-ignore]
        numbers = [first_band + 1 + offset for offset in range(len(pixels))]
        try:
            self._file.write(pixels.astype(self._dtype, copy=False), numbers, window=place)
        except (OSError, self._rasterio.errors.RasterioError) as error:
            raise StoreError(
                f"{self._path} cannot be written: {error}.", hint="Free space, or name another."
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)
