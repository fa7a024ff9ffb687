"""One Cloud Optimized GeoTIFF, written window by window in bounded memory, and read back before it counts.

    windows  ->  a tiled, uncompressed file  ->  GDAL's COG driver (overviews, compression, order)  ->  read back

All that is temporary lies in a folder beside the output, which goes with the block: so a failure leaves nothing, and
the output appears whole or not at all. Cost: free space for the uncompressed pixels, beside the output.

Law: GDAL tells of a full disk while it closes a file, and then to nobody. So the finished file is read once more, and
the CRC32C of all its pixels compared with that of what was written.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import google_crc32c
import numpy as np

from eezarr.errors import EezarrError, InvalidInput, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy.typing as npt
    from rasterio.io import DatasetReader, DatasetWriter

    from eezarr.grid import PixelGrid, Window
    from eezarr.plan import Fill

__all__ = ["Compression", "FileSpec", "Layers", "Resampling", "require_rasterio", "write_file"]

Compression: TypeAlias = Literal["deflate", "zstd", "lzw", "none"]
Resampling: TypeAlias = Literal["average", "nearest"]

_CACHE_BYTES = 128 << 20
"""GDAL's cache of blocks; its default is a twentieth of the machine."""
_BLOCKS_BYTES = 32 << 20
"""The most that the pixels of all bands in a block may hold, since GDAL before 3.11 keeps them together."""
_VALID, _MASKED = 255, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """A file as it shall be."""

    path: Path
    """The file; its folder exists."""
    grid: PixelGrid
    """Its pixels."""
    bands: tuple[str, ...]
    """Names, which become the bands' descriptions."""
    dtype: str
    """NumPy name of the type of all bands."""
    nodata: Fill | None
    """The value of masked pixels, if one is declared."""
    has_mask: bool
    """Whether the file keeps one mask for all bands."""
    compression: Compression
    resampling: Resampling
    """How the overviews are made."""
    tags: tuple[tuple[str, str], ...] = ()
    """Metadata of the file."""

    @property
    def block(self) -> int:
        """Pixels per side of the file's tiles."""
        per_pixel = len(self.bands) * np.dtype(self.dtype).itemsize
        return next((side for side in (512, 256) if side * side * per_pixel <= _BLOCKS_BYTES), 128)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layers:
    """Some bands of a window."""

    window: Window
    first_band: int
    """Position of the first of them in the file."""
    pixels: npt.NDArray[np.generic]
    """(band, height, width), in the file's type."""
    mask: npt.NDArray[np.bool_] | None
    """(height, width): where a pixel is valid, with the last bands of a window; None where it is not known yet."""


def require_rasterio() -> None:
    """Check that GeoTIFF files can be written at all.

    Raises:
        InvalidInput: If rasterio is not installed.
    """
    try:
        import rasterio  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise InvalidInput("GeoTIFF files need rasterio.", hint="Run: pip install 'eezarr[geotiff]'.") from error


def write_file(spec: FileSpec, layers: Iterable[Layers], *, on_stage: Callable[[str], None] = lambda _: None) -> None:
    """Write a Cloud Optimized GeoTIFF; it is there under its name when this returns, and not before. Blocks.

    Args:
        spec: The file; one that is there is replaced.
        layers: All its windows, one in memory at a time.
        on_stage: Told what is done after the last window is written.

    Raises:
        InvalidInput: If rasterio is not installed, or GDAL has no such type or compression.
        StoreError: If the file cannot be written, or is not what was written when it is read back.
    """
    require_rasterio()
    import rasterio  # noqa: PLC0415 - an extra

    with (
        _file_errors(spec.path),
        tempfile.TemporaryDirectory(dir=spec.path.parent, prefix=f".{spec.path.name}.") as own,
    ):
        plain, optimized = Path(own, "plain.tif"), Path(own, "cloud-optimized.tif")
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_PAM_ENABLED=False):
            places, written = _write_plain(spec, plain, layers)
            on_stage("makes it cloud-optimized")
            _optimize(spec, plain, optimized)
            plain.unlink()
            on_stage("reads it back")
            with rasterio.open(optimized) as file:
                _check(spec, file, places, written)
        optimized.replace(spec.path)


_Place: TypeAlias = "tuple[Window, int, int, bool]"
"""A window, its first band, how many bands, and whether its mask comes with them."""


def _write_plain(spec: FileSpec, path: Path, layers: Iterable[Layers]) -> tuple[list[_Place], int]:
    """Write the pixels; return what was written where, and the CRC32C of all of it in this order."""
    import rasterio  # noqa: PLC0415 - an extra

    places: list[_Place] = []
    crc = 0
    with rasterio.open(path, "w", **_profile(spec)) as file:
        _describe(spec, file)
        for part in layers:
            numbers = list(range(part.first_band + 1, part.first_band + 1 + len(part.pixels)))
            file.write(part.pixels, numbers, window=_slices(part.window))
            crc = int(google_crc32c.extend(crc, np.ascontiguousarray(part.pixels)))
            if part.mask is not None:
                mask = np.where(part.mask, np.uint8(_VALID), np.uint8(_MASKED))
                file.write_mask(mask, window=_slices(part.window))
                crc = int(google_crc32c.extend(crc, mask))
            places.append((part.window, part.first_band, len(part.pixels), part.mask is not None))
    return places, crc


def _profile(spec: FileSpec) -> dict[str, object]:
    from rasterio.crs import CRS  # noqa: PLC0415 - an extra

    return {
        "driver": "GTiff",
        "height": spec.grid.height,
        "width": spec.grid.width,
        "count": len(spec.bands),
        "dtype": spec.dtype,
        "crs": CRS.from_user_input(spec.grid.crs),
        "transform": spec.grid.transform,
        "nodata": spec.nodata,
        "tiled": True,
        "blockxsize": spec.block,
        "blockysize": spec.block,
        "interleave": "band",
        "BIGTIFF": "IF_NEEDED",
    }


def _describe(spec: FileSpec, file: DatasetWriter) -> None:
    file.descriptions = spec.bands
    file.update_tags(**dict(spec.tags))


def _optimize(spec: FileSpec, plain: Path, optimized: Path) -> None:
    from rasterio.shutil import copy  # noqa: PLC0415 - an extra

    options: Mapping[str, object] = {
        "COMPRESS": spec.compression.upper(),
        "BLOCKSIZE": spec.block,
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
        "OVERVIEW_RESAMPLING": spec.resampling.upper(),
        **({} if spec.compression == "none" else {"PREDICTOR": "YES"}),
    }
    copy(str(plain), str(optimized), driver="COG", **options)


def _check(spec: FileSpec, file: DatasetReader, places: Iterable[_Place], written: int) -> None:
    if file.crs is None:
        raise InvalidInput(
            f"GeoTIFF has no words for the CRS of {spec.path}.", hint="Fetch the region in a CRS with an EPSG code."
        )
    crc = 0
    for window, first, count, has_mask in places:
        numbers = list(range(first + 1, first + 1 + count))
        crc = int(google_crc32c.extend(crc, np.ascontiguousarray(file.read(numbers, window=_slices(window)))))
        if has_mask:
            crc = int(google_crc32c.extend(crc, np.ascontiguousarray(file.read_masks(1, window=_slices(window)))))
    if crc != written:
        raise StoreError(
            f"{spec.path} is not what was written when it is read back.",
            hint="Check that there is free space beside it, for the uncompressed pixels, too.",
        )


def _slices(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row, window.row + window.height), (window.col, window.col + window.width)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Translate what rasterio and the file system raise; GDAL's own errors have no public base class."""
    try:
        yield
    except EezarrError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}.", hint="Free space, or name another file."
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith("rasterio"):
            raise
        raise StoreError(f"{path} cannot be written: {error}.", hint="Free space, or name another file.") from error
