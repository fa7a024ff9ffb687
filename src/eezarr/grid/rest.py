"""The REST API's `PixelGrid` object: how it is written, and how an asset's metadata is read.

Source: https://developers.google.com/earth-engine/reference/rest/v1/PixelGrid
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_grid", "write_grid"]

_AFFINE_KEYS = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")


def write_grid(crs: str, coefficients: Sequence[float], width: int, height: int) -> dict[str, object]:
    """Return the JSON object, nothing left to a default; coefficients in rasterio's order."""
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {key: float(value) for key, value in zip(_AFFINE_KEYS, coefficients, strict=True)},
        "crsCode" if _is_code(crs) else "crsWkt": crs,
    }


def read_grid(grid: object) -> tuple[str, tuple[float, ...], int, int]:
    """Return CRS, six coefficients, width and height; absent numbers are zero, as the service omits zeros.

    Raises:
        InvalidInput: If the object has no CRS, no dimensions, or a value of the wrong kind.
    """
    if not isinstance(grid, Mapping):
        raise InvalidInput(
            f"A {type(grid).__name__} is no pixel grid.", hint="Give the object `PixelGrid` of the REST API."
        )
    try:
        affine = _record(grid["affineTransform"])
        dimensions = _record(grid["dimensions"])
        crs = grid.get("crsCode") or grid["crsWkt"]
        numbers = tuple(_number(affine.get(key, 0)) for key in _AFFINE_KEYS)
        width, height = (int(_number(dimensions[key])) for key in ("width", "height"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"This pixel grid cannot be read: {dict(grid)!r}.",
            hint="It needs `crsCode` or `crsWkt`, `affineTransform` and `dimensions`.",
        ) from error
    return str(crs), numbers, width, height


def _is_code(crs: str) -> bool:
    return ":" in crs and "[" not in crs


def _record(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(value)
    return float(value)
