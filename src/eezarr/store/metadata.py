"""What readers need to place, name and mask the pixels: CF, GeoTransform and the `proj:` and `spatial:` conventions.

Every reader has its own source of truth, so each is written: xarray, rioxarray and odc-geo read the CF grid mapping
and the coordinates; GDAL too, but GDAL 3.13 loses the CF grid mapping where metadata is consolidated and looks at the
attributes of the array instead (a group's are not enough).

Rule: attributes are numbers, text, or lists of these, as NetCDF and GeoTIFF hold nothing else and plain readers copy
them all. So the conventions' own attributes are written, and the list `zarr_conventions` that registers them is not: it
holds objects. Nor is GDAL's `_CRS` in format 2, an object, which only GDAL before 3.10 needed.
Source: https://github.com/zarr-conventions/spatial, https://github.com/zarr-conventions/geo-proj,
https://cfconventions.org/cf-conventions/cf-conventions.html, https://gdal.org/en/stable/drivers/raster/zarr.html
"""

from __future__ import annotations

import base64
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from eezarr.store.attributes import JSON, plain_attributes
from eezarr.store.layout import MASK_NAME, STACKED_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from pyproj import CRS

    from eezarr.grid import PixelGrid
    from eezarr.plan import Plan, Step
    from eezarr.store.layout import ArraySpec

__all__ = [
    "JSON",
    "array_attributes",
    "axis_attributes",
    "encoded_fill",
    "grid_mapping_attributes",
    "group_attributes",
    "least_likely",
    "pixel_centres",
    "scaling_attributes",
    "step_images",
    "step_times",
    "stored_fill",
    "time_attributes",
]

_CENTRES_AT_ONCE = 1 << 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def group_attributes(grid: PixelGrid, crs: CRS, provenance: dict[str, JSON]) -> dict[str, JSON]:
    """Return the attributes of the group: conventions, place, and where the pixels come from."""
    return plain_attributes({"Conventions": "CF-1.11", **_convention_attributes(grid, crs), "eezarr": provenance})


def array_attributes(spec: ArraySpec, grid: PixelGrid, crs: CRS, zarr_format: int) -> dict[str, JSON]:
    """Return the attributes of an array of pixels.

    `_FillValue` is there only for a declared fill: it makes xarray turn integers into floats. In format 2 xarray
    takes it from the array's own `fill_value`; in format 3 it refuses a float that is not base64.
    """
    attributes: dict[str, JSON] = {
        "grid_mapping": "spatial_ref",
        "coordinates": "spatial_ref image_ids" if "time" in spec.dimensions else "spatial_ref",
        **_convention_attributes(grid, crs),
    }
    if spec.name == MASK_NAME:
        attributes |= {"long_name": "whether a pixel is valid", "flag_values": [0, 1], "flag_meanings": "masked valid"}
    if zarr_format != 2 and spec.fill is not None:
        attributes["_FillValue"] = encoded_fill(spec.fill, np.dtype(spec.dtype))
    return attributes


def scaling_attributes(plan: Plan, spec: ArraySpec) -> dict[str, JSON]:
    """Return scale and offset of an array's bands, where they are known: a number each, or a list with one a band.

    Not CF's `scale_factor` and `add_offset`: readers apply those, and integers would become floats unasked.
    """
    if all(band.scale is None for band in plan.bands):
        return {}
    if spec.name == STACKED_NAME:
        return {
            "scale": [1.0 if band.scale is None else band.scale for band in plan.bands],
            "offset": [0.0 if band.offset is None else band.offset for band in plan.bands],
        }
    own = next((band for band in plan.bands if band.name == spec.name and band.scale is not None), None)
    return {} if own is None else {"scale": own.scale, "offset": 0.0 if own.offset is None else own.offset}


def stored_fill(spec: ArraySpec, zarr_format: int) -> int | float | None:
    """Return the array's `fill_value`: the declared fill; else in format 3, which needs one, the least likely value.

    GDAL takes a `fill_value` of format 3 for nodata, declared or not, and 0 is a common value. Where there is no mask
    there is no valid pixel, so an undeclared mask is 0. In format 2 a `fill_value` is a nodata value to xarray, too, so
    an undeclared one must not be there.
    """
    if spec.fill is not None:
        return spec.fill
    if zarr_format == 2:
        return None
    return 0 if spec.name == MASK_NAME else least_likely(np.dtype(spec.dtype))


def least_likely(dtype: np.dtype[np.generic]) -> int | float:
    """Return the value of a type that data least likely has: the unsigned maximum, the signed minimum, NaN."""
    if dtype.kind == "f":
        return math.nan
    bits = 8 * dtype.itemsize
    return (1 << bits) - 1 if dtype.kind == "u" else -(1 << (bits - 1))


def grid_mapping_attributes(grid: PixelGrid, crs: CRS) -> dict[str, JSON]:
    """Return the attributes of the scalar `spatial_ref`: the CF grid mapping, WKT, and GDAL's GeoTransform."""
    a, b, c, d, e, f = _coefficients(grid)
    return {
        **crs.to_cf(),
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(map(repr, (c, a, b, f, d, e))),
    }


def axis_attributes(crs: CRS, axis: str) -> dict[str, JSON]:
    """Return the CF attributes (standard name, units) of the coordinate along `x` or `y`."""
    for attributes in crs.cs_to_cf():
        if attributes.get("axis") == axis.upper():
            return dict(attributes)
    return {"axis": axis.upper()}


def pixel_centres(grid: PixelGrid, axis: str) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Yield the coordinates of pixel centres along an axis (`x` or `y`) as (n,) float64, with their place, in parts.

    `c + (i + 0.5) * a`, as rasterio and rioxarray compute it. Only an axis-aligned grid has them: where rows are
    sheared or rotated, no one number belongs to a column, so such a store has no `x` and `y`, and the GeoTransform
    and `spatial:transform` say where its pixels are (to rioxarray, and to GDAL from 3.13 on).
    """
    assert grid.is_axis_aligned, grid
    a, _, c, _, e, f = _coefficients(grid)
    origin, step, side = (c, a, grid.width) if axis == "x" else (f, e, grid.height)
    for start in range(0, side, _CENTRES_AT_ONCE):
        part = slice(start, min(start + _CENTRES_AT_ONCE, side))
        yield part, origin + (np.arange(part.start, part.stop, dtype=np.float64) + 0.5) * step


def time_attributes() -> dict[str, JSON]:
    """Return the CF attributes of the coordinate `time`: milliseconds, the service's own resolution."""
    return {
        "standard_name": "time",
        "axis": "T",
        "units": "milliseconds since 1970-01-01",
        "calendar": "proleptic_gregorian",
    }


def step_times(steps: Sequence[Step]) -> npt.NDArray[np.int64]:
    """Return the times of steps as (n,) int64: milliseconds since 1970."""
    return np.array([(step.time - _EPOCH) // timedelta(milliseconds=1) for step in steps], np.int64)


def step_images(steps: Sequence[Step]) -> npt.NDArray[np.generic]:
    """Return the images of steps as (n,) texts: their resource names, one a line."""
    return np.array(["\n".join(step.images) for step in steps], dtype=np.dtypes.StringDType())


def _convention_attributes(grid: PixelGrid, crs: CRS) -> dict[str, JSON]:
    attributes: dict[str, JSON] = {
        "proj:wkt2": crs.to_wkt(),
        "spatial:transform_type": "affine",
        "spatial:transform": list(_coefficients(grid)),
        "spatial:shape": [grid.height, grid.width],
        "spatial:bbox": list(_bounds(grid)),
        "spatial:registration": "pixel",
    }
    authority = crs.to_authority(min_confidence=100)
    if authority is not None:
        attributes["proj:code"] = ":".join(authority)
    return attributes


def _coefficients(grid: PixelGrid) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = (float(value) for value in tuple(grid.transform)[:6])
    return a, b, c, d, e, f


def _bounds(grid: PixelGrid) -> tuple[float, float, float, float]:
    """West, south, east, north of all corners."""
    a, b, c, d, e, f = _coefficients(grid)
    corners = [(col, row) for col in (0, grid.width) for row in (0, grid.height)]
    xs = [c + a * col + b * row for col, row in corners]
    ys = [f + d * col + e * row for col, row in corners]
    return min(xs), min(ys), max(xs), max(ys)


def encoded_fill(fill: float, dtype: np.dtype[np.generic]) -> JSON:
    """Return a fill as xarray's FillValueCoder writes it: floats as base64 of a little-endian double."""
    if dtype.kind == "f":
        return base64.standard_b64encode(struct.pack("<d", fill)).decode()
    return int(fill)
