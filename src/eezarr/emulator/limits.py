"""How large a request for pixels may be.

Size is accounted, not measured: for each band, width x height x (item size + 1), the one being the mask byte.
Source: https://github.com/google/Xee/pull/210 (`ImageUtils.enforceRequestedSizeLimits`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Grid, RasterBand
    from eezarr.emulator.settings import MethodLimits


def served_dtype(dtype: str) -> np.dtype[np.generic]:
    """Answer the little-endian type in which a band travels; int64 travels as float64."""
    kind = np.dtype(dtype)
    if kind.kind in "iu" and kind.itemsize == 8:
        kind = np.dtype(np.float64)
    if kind.kind == "b":
        kind = np.dtype(np.uint8)
    return kind.newbyteorder("<")


def accounted_bytes(grid: Grid, bands: Sequence[RasterBand]) -> int:
    """Answer the size of a request as the service accounts it."""
    return grid.width * grid.height * sum(served_dtype(band.dtype).itemsize + 1 for band in bands)


def require_legal(grid: Grid, bands: Sequence[RasterBand], limits: MethodLimits) -> int:
    """Answer the accounted bytes of a request.

    Raises:
        ApiError: A limit is exceeded; the text names the request's figure and the limit.
    """
    if len(bands) > limits.max_bands:
        raise invalid(f"Number of bands ({len(bands)}) must be less than or equal to {limits.max_bands}.")
    if max(grid.width, grid.height) > limits.max_side:
        raise invalid(
            f"Pixel grid dimensions ({grid.width}x{grid.height}) must be less than or equal to {limits.max_side}."
        )
    size = accounted_bytes(grid, bands)
    if size > limits.max_bytes:
        raise invalid(f"Total request size ({size} bytes) must be less than or equal to {limits.max_bytes} bytes.")
    return size


def payload_too_large(max_bytes: int) -> ApiError:
    """Answer the 400 of a request whose body is too long."""
    return invalid(f"Request payload size exceeds the limit: {max_bytes} bytes.")
