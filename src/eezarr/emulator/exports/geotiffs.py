"""An export as GeoTIFFs: one file, or a lattice of files named by the place of their first pixel.

A file is as large as `tileDimensions` says, else the least multiple of the block that makes it 2 GiB: that fits the
names of large exports that people have published, and is nowhere documented.
Source: https://developers.google.com/earth-engine/guides/exporting_images (names).
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.exports.operation import UNIMPLEMENTED
from eezarr.emulator.exports.place import growing
from eezarr.emulator.exports.source import ExportFailure, ExportSource, Window, require_one_type
from eezarr.emulator.geotiff import no_data_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from rasterio.io import DatasetWriter

    from eezarr.emulator.exports.place import Place
    from eezarr.emulator.exports.request import TiffOptions
    from eezarr.emulator.raster import Plane

_MAX_FILE_BYTES = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One of the files."""

    window: Window
    path: Path
    part: Path
    """Where it grows."""


def tiff_steps(source: ExportSource, options: TiffOptions, place: Place) -> Generator[int, None, None]:
    """Write the files; yield the pixels of each block. No file has its name before all are written.

    Args:
        source: The image.
        options: How.
        place: Where.

    Raises:
        ExportFailure: The image cannot be written, or rasterio is not installed.
    """
    _require_rasterio()
    fill = _fill_value(options, require_one_type(source.dtypes))
    files = _files(source, options, place)
    empty: list[Path] = []
    place.folder.mkdir(parents=True, exist_ok=True)
    try:
        for file in files:
            is_empty = yield from _file_steps(source, options, file, fill)
            if is_empty and options.skips_empty:
                empty.append(file.path)
            elif options.is_cloud_optimized:
                _reorder(file.part)
        for file in files:
            if file.path not in empty:
                file.part.replace(file.path)
    finally:
        for file in files:
            file.part.unlink(missing_ok=True)


def _require_rasterio() -> None:
    if importlib.util.find_spec("rasterio") is None:
        raise ExportFailure("This emulator writes GeoTIFF only where rasterio is installed.", code=UNIMPLEMENTED)


def _files(source: ExportSource, options: TiffOptions, place: Place) -> list[_File]:
    dtypes = source.dtypes
    side = math.ceil(math.sqrt(_MAX_FILE_BYTES / (len(dtypes) * dtypes[0].itemsize)) / options.block) * options.block
    width, height = options.file_size or (side, side)
    is_one = width >= source.grid.width and height >= source.grid.height
    files = []
    for top in range(0, source.grid.height, height):
        for left in range(0, source.grid.width, width):
            path = place.one(".tif") if is_one else place.among(f"{top:010d}-{left:010d}.tif")
            window = Window(
                top=top,
                left=left,
                height=min(height, source.grid.height - top),
                width=min(width, source.grid.width - left),
            )
            files.append(_File(window=window, path=path, part=growing(path)))
    return files


def _file_steps(source: ExportSource, options: TiffOptions, file: _File, fill: float) -> Generator[int, None, bool]:
    """Write one file; answer whether all of it is masked."""
    is_empty = True
    with _opened(source, options, file, fill) as writer:
        for block in file.window.blocks(source.block_side(options.block)):
            planes = source.read(block)
            is_empty = is_empty and not any(plane.valid.any() for plane in planes)
            _write(writer, file, block, _filled(planes, fill))
            yield block.pixels
    return is_empty


def _write(writer: DatasetWriter, file: _File, block: Window, pixels: npt.NDArray[np.generic]) -> None:
    from rasterio.windows import Window as Place  # noqa: PLC0415 - an optional dependency

    place = Place(block.left - file.window.left, block.top - file.window.top, block.width, block.height)
    writer.write(pixels, window=place)


def _filled(planes: Sequence[Plane], fill: float) -> npt.NDArray[np.generic]:
    """Answer (band, height, width) with `fill` where a pixel is masked."""
    pixels = np.stack([plane.values for plane in planes])
    for layer, plane in zip(pixels, planes, strict=True):
        layer[~plane.valid] = fill
    return pixels


def _opened(source: ExportSource, options: TiffOptions, file: _File, fill: float) -> DatasetWriter:
    import rasterio  # noqa: PLC0415 - an optional dependency
    from rasterio.transform import Affine  # noqa: PLC0415 - an optional dependency

    window, grid = file.window, source.grid
    place = grid.part(window.top, window.left, window.height, window.width)
    writer = rasterio.open(
        file.part,
        "w",
        driver="GTiff",
        width=window.width,
        height=window.height,
        count=len(source.bands),
        dtype=source.dtypes[0].name,
        crs=grid.crs,
        transform=Affine(*place.transform),
        nodata=fill,
        interleave="pixel",
        tiled=True,
        blockxsize=options.block,
        blockysize=options.block,
        compress="lzw",
        bigtiff="if_safer",
    )
    for index, band in enumerate(source.bands, start=1):
        writer.set_band_description(index, band.id)
    tags = {key: str(source.properties[key]) for key in options.metadata_keys if key in source.properties}
    writer.update_tags(**tags)
    return writer


def _reorder(path: Path) -> None:
    """Make a written file cloud-optimized: overviews first, and all blocks in order."""
    from rasterio import shutil  # noqa: PLC0415 - an optional dependency

    ordered = path.with_name(f"{path.name}.cog")
    try:
        shutil.copy(path, ordered, driver="COG", compress="LZW", overview_resampling="average")
        ordered.replace(path)
    finally:
        ordered.unlink(missing_ok=True)


def _fill_value(options: TiffOptions, dtype: np.dtype[np.generic]) -> float:
    """Answer what masked pixels hold; the files say so."""
    if options.no_data is None:
        return no_data_of(dtype)
    value = options.no_data
    if dtype.kind in "iu" and not (
        value.is_integer() and np.iinfo(dtype.name).min <= value <= np.iinfo(dtype.name).max
    ):
        raise ExportFailure(f"The no-data value {value:g} cannot be represented in the bands' type ({dtype.name}).")
    return value
