"""Pixels as GeoTIFF, plain or zipped. Needs rasterio (extra `geotiff`)."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Grid, Plane


def encoded(names: Sequence[str], planes: Sequence[Plane], grid: Grid, *, marks_masked: bool) -> bytes:
    """Answer one file with all bands in their common type.

    Args:
        names: Of the bands; they become the bands' descriptions.
        planes: In the same order.
        grid: Becomes the file's CRS and transform.
        marks_masked: Write masked pixels as the type's no-data value and tag it, as thumbnails do.

    Raises:
        ApiError: 501, rasterio is not installed.
    """
    try:
        from rasterio.errors import NotGeoreferencedWarning  # noqa: PLC0415 - an optional dependency
        from rasterio.io import MemoryFile  # noqa: PLC0415 - an optional dependency
        from rasterio.transform import Affine  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise ApiError(code=501, message="This emulator writes GeoTIFF only where rasterio is installed.") from error
    layers = _layers(planes, marks_masked=marks_masked)
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(layers),
            dtype=layers[0].dtype.name,
            crs=grid.crs,
            transform=Affine(*grid.transform),
            nodata=no_data_of(layers[0].dtype) if marks_masked else None,
            interleave="pixel",
        ) as file:
            for index, (name, layer) in enumerate(zip(names, layers, strict=True), start=1):
                file.write(layer, index)
                file.set_band_description(index, name)
        return bytes(memory.read())


def zipped(names: Sequence[str], planes: Sequence[Plane], grid: Grid, *, prefix: str, per_band: bool) -> bytes:
    """Answer an archive of one GeoTIFF, or of one per band."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        if per_band:
            for name, plane in zip(names, planes, strict=True):
                archive.writestr(f"{prefix}.{name}.tif", encoded([name], [plane], grid, marks_masked=True))
        else:
            archive.writestr(f"{prefix}.tif", encoded(names, planes, grid, marks_masked=True))
    return stream.getvalue()


def _layers(planes: Sequence[Plane], *, marks_masked: bool) -> list[npt.NDArray[np.generic]]:
    dtype = np.result_type(*[plane.values.dtype for plane in planes])
    layers = [np.asarray(plane.values, dtype) for plane in planes]
    if marks_masked:
        fill = np.asarray(no_data_of(dtype)).astype(dtype)
        layers = [np.where(plane.valid, layer, fill) for plane, layer in zip(planes, layers, strict=True)]
    return layers


def no_data_of(dtype: np.dtype[np.generic]) -> float:
    """Answer what masked pixels of a type hold in a file, where nothing else is asked for."""
    if dtype.kind == "f":
        return -np.inf
    return float(np.iinfo(dtype.name).min)
