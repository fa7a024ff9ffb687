"""From a request for pixels to the bytes of its answer: prepare (cheap, decides), then render (heavy, reads).

Both are plain functions of the world; they run in the server's worker threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator import geotiff, npy, pictures
from eezarr.emulator.call import Body
from eezarr.emulator.errors import asset_not_found, invalid
from eezarr.emulator.faults import Fault, corrupted
from eezarr.emulator.grids import completed, stated
from eezarr.emulator.limits import require_legal, served_dtype
from eezarr.emulator.raster import AssetNotFound, EvaluationError, Grid, Json, Plane, Raster, RasterBand, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import TypeIs

    from eezarr.emulator.settings import MethodLimits, UnderMask

_DISPLAY = frozenset({"JPEG", "PNG", "AUTO_JPEG_PNG"})
_ZIPPED = frozenset({"ZIPPED_GEO_TIFF", "ZIPPED_GEO_TIFF_PER_BAND"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelJob:
    """A legal request for pixels, complete."""

    method: str
    subject: str
    """The asset's name, or the expression's JSON."""
    raster: Raster
    bands: tuple[RasterBand, ...]
    grid: Grid
    file_format: str
    visualization: pictures.Visualization | None
    file_prefix: str
    """Name of the files in a zipped answer."""
    accounted_bytes: int


def asset_job(world: World, name: str, message: Mapping[str, Json], limits: MethodLimits) -> PixelJob:
    """Answer the job of a parsed getPixels request.

    Raises:
        ApiError: No such image or band, or the request is too large.
    """
    try:
        raster = world.image(name)
    except AssetNotFound as error:
        raise asset_not_found(name) from error
    except EvaluationError as error:
        raise invalid(str(error)) from error
    return _job("getPixels", name, raster, message, limits)


def expression_job(world: World, method: str, message: Mapping[str, Json], limits: MethodLimits) -> PixelJob:
    """Answer the job of a parsed computePixels or thumbnail request.

    Raises:
        ApiError: The expression cannot be computed or is no image, or the request is too large.
    """
    value = evaluated(world, message)
    if not is_raster(value):
        raise invalid("Expression does not evaluate to an image.")
    return _job(method, json.dumps(message["expression"]), value, message, limits)


def evaluated(world: World, message: Mapping[str, Json]) -> Raster | Json:
    """Answer the value of a parsed request's expression.

    Raises:
        ApiError: 400 with the world's message.
    """
    expression = message.get("expression")
    if not isinstance(expression, dict):
        raise invalid("Expression is required.")
    try:
        return world.evaluate(expression)
    except EvaluationError as error:
        raise invalid(str(error)) from error
    except AssetNotFound as error:
        text = f"Image.load: Image asset '{error}' not found (does not exist or caller does not have access)."
        raise invalid(text) from error


def is_raster(value: Raster | Json) -> TypeIs[Raster]:
    """Answer whether a value is an image."""
    return value is not None and not isinstance(value, bool | int | float | str | list | dict)


def _job(method: str, subject: str, raster: Raster, message: Mapping[str, Json], limits: MethodLimits) -> PixelJob:
    bands = _selected(raster, message.get("bandIds"))
    region = message.get("region")
    grid = completed(stated(message.get("grid")), region, bands[0].grid, is_bounded=raster.is_bounded)
    return PixelJob(
        method=method,
        subject=subject,
        raster=raster,
        bands=bands,
        grid=grid,
        file_format=_file_format(message.get("fileFormat"), method),
        visualization=pictures.visualization(message.get("visualizationOptions")),
        file_prefix=str(message.get("filenamePrefix") or "download"),
        accounted_bytes=require_legal(grid, bands, limits),
    )


def _selected(raster: Raster, band_ids: Json) -> tuple[RasterBand, ...]:
    known = {band.id: band for band in raster.bands}
    names = [str(name) for name in band_ids] if isinstance(band_ids, list) and band_ids else list(known)
    if not names:
        raise invalid("Image has no bands.")
    for name in names:
        if name not in known:
            available = ", ".join(known)
            raise invalid(
                f"Image.select: Band pattern '{name}' did not match any bands. Available bands: [{available}]"
            )
    if len(set(names)) < len(names):
        raise invalid(f"Duplicate band ids: {names}.")
    return tuple(known[name] for name in names)


def _file_format(name: Json, method: str) -> str:
    if name in (None, "IMAGE_FILE_FORMAT_UNSPECIFIED"):
        return "AUTO_JPEG_PNG"
    is_served = name in _DISPLAY | {"NPY", "GEO_TIFF"} or (name in _ZIPPED and method.startswith("thumbnails"))
    if not is_served:
        raise invalid(f"Unsupported file format: {name}.")
    return str(name)


def render(job: PixelJob, under_mask: UnderMask, fault: Fault) -> Body:
    """Read the pixels and write them in the format asked for.

    Raises:
        ApiError: The world cannot compute them, or the format cannot hold them.
    """
    names = [band.id for band in job.bands]
    try:
        planes = job.raster.read(job.grid, names)
    except EvaluationError as error:
        raise invalid(str(error)) from error
    planes = [_served(plane, band, job.grid) for plane, band in zip(planes, job.bands, strict=True)]
    if job.file_format in _DISPLAY:
        data, content_type = pictures.encoded(pictures.painted(planes, job.visualization), job.file_format)
        return Body(parts=(data,), content_type=content_type)
    if job.visualization is not None:
        names, planes = _visual_bands(planes, job.visualization)
    if job.file_format == "NPY":
        pixels = npy.structured(names, [_filled(plane, under_mask, job.grid) for plane in planes])
        parts = corrupted(fault, pixels) if fault.is_npy else npy.encoded(pixels)
        return Body(parts=tuple(parts), content_type="application/octet-stream")
    return _tiff(job, names, planes)


def _tiff(job: PixelJob, names: Sequence[str], planes: Sequence[Plane]) -> Body:
    if job.file_format in _ZIPPED:
        per_band = job.file_format == "ZIPPED_GEO_TIFF_PER_BAND"
        data = geotiff.zipped(names, planes, job.grid, prefix=job.file_prefix, per_band=per_band)
        return Body(parts=(data,), content_type="application/zip")
    data = geotiff.encoded(names, planes, job.grid, marks_masked=job.method.startswith("thumbnails"))
    return Body(parts=(data,), content_type="image/tiff")


def _served(plane: Plane, band: RasterBand, grid: Grid) -> Plane:
    if plane.values.shape != (grid.height, grid.width):
        message = f"the world answered {plane.values.shape} for a grid of {(grid.height, grid.width)}"
        raise ValueError(message)
    values = plane.values.astype(served_dtype(band.dtype), copy=False)
    return plane if values is plane.values else Plane(values=values, valid=plane.valid)


def _visual_bands(planes: Sequence[Plane], options: pictures.Visualization) -> tuple[list[str], list[Plane]]:
    picture = pictures.painted(planes, options)
    valid = picture.alpha > 0
    layers = [Plane(values=picture.rgb[..., index], valid=valid) for index in range(3)]
    return ["vis-red", "vis-green", "vis-blue"], layers


def _filled(plane: Plane, under_mask: UnderMask, grid: Grid) -> npt.NDArray[np.generic]:
    if under_mask == "stored" or bool(plane.valid.all()):
        return plane.values
    values = plane.values.copy()
    rows, columns = np.nonzero(~plane.valid)
    values[rows, columns] = 0 if under_mask == "zero" else _noise(grid, rows, columns).astype(values.dtype)
    return values


def _noise(grid: Grid, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
    """Answer numbers from 1 to 127 that depend on a pixel's place alone, so that tiling does not change them."""
    a, b, c, d, e, f = grid.transform
    pixel = max(abs(a), abs(b), abs(d), abs(e))
    # In eighths of a pixel: rounding of the tile's origin does not reach them.
    x = np.rint((a * (columns + 0.5) + b * (rows + 0.5) + c) / pixel * 8).astype(np.int64).view(np.uint64)
    y = np.rint((d * (columns + 0.5) + e * (rows + 0.5) + f) / pixel * 8).astype(np.int64).view(np.uint64)
    mixed = (x * np.uint64(0x9E3779B97F4A7C15)) ^ (y * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(33)) % np.uint64(127) + np.uint64(1)
