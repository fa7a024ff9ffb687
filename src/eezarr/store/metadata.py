"""What readers need to place, name and mask the pixels: CF, GeoTransform and the `proj:` and `spatial:` conventions.

Every reader has its own source of truth, so each is written: xarray, rioxarray and odc-geo read the CF grid mapping
and the coordinates; GDAL 3.12 too; GDAL 3.13 loses the CF grid mapping where metadata is consolidated and reads the
conventions of the array instead (a group's are not enough); GDAL 3.6 reads only `_CRS`, in format 2.

A convention is known by its uuid (GDAL) or by its name: exactly `proj:`, with the colon, for rioxarray 0.23.
Source: https://github.com/zarr-conventions/spatial, https://github.com/zarr-conventions/geo-proj,
https://cfconventions.org/cf-conventions/cf-conventions.html, https://gdal.org/en/stable/drivers/raster/zarr.html
"""

from __future__ import annotations

import base64
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

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
    "pixel_centres",
    "scaling_attributes",
    "step_images",
    "step_times",
    "stored_fill",
    "time_attributes",
]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

_CONVENTIONS: list[JSON] = [
    {
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "name": "proj:",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/geo-proj/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/geo-proj/blob/v1/README.md",
        "description": "Coordinate reference system information for geospatial data",
    },
    {
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "name": "spatial:",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
        "description": "Spatial coordinate information",
    },
]

_CENTRES_AT_ONCE = 1 << 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def group_attributes(grid: PixelGrid, crs: CRS, provenance: dict[str, JSON]) -> dict[str, JSON]:
    """Return the attributes of the group: conventions, place, and where the pixels come from."""
    return {"Conventions": "CF-1.11", **_convention_attributes(grid, crs), "eezarr": provenance}


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
    if zarr_format == 2:
        attributes["_CRS"] = {"wkt": crs.to_wkt()}
    elif spec.fill is not None:
        attributes["_FillValue"] = encoded_fill(spec.fill, np.dtype(spec.dtype))
    return attributes


def scaling_attributes(plan: Plan, spec: ArraySpec) -> dict[str, JSON]:
    """Return scale and offset of an array's bands, where they are known: a number each, or a list with one a band.

    Not CF's `scale_factor` and `add_offset`: readers apply those, and integers would become floats unasked.
    """
    if all(band.scale is None for band in plan.bands):
        return {}
    if spec.name == STACKED_NAME:
        return {"scale": [band.scale for band in plan.bands], "offset": [band.offset for band in plan.bands]}
    own = next((band for band in plan.bands if band.name == spec.name and band.scale is not None), None)
    return {} if own is None else {"scale": own.scale, "offset": own.offset}


def stored_fill(spec: ArraySpec, zarr_format: int) -> int | float | None:
    """Return the array's `fill_value`: the declared fill; else NaN or 0, which format 3 needs, and None in format 2.

    In format 2 a `fill_value` is a nodata value to xarray, so an undeclared one must not be there.
    """
    if spec.fill is not None:
        return spec.fill
    if zarr_format == 2:
        return None
    return math.nan if np.dtype(spec.dtype).kind == "f" else 0


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
        "zarr_conventions": _CONVENTIONS,
        "proj:wkt2": crs.to_wkt(),
        "spatial:dimensions": ["y", "x"],
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
