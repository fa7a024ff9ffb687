"""What one request may hold, and how the service counts it.

The service counts `width * height * (item size + 1)` for each band: one mask byte per pixel and band, whatever
the file format, uncompressed, and refuses what is over. Limits are inclusive.
Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels,
https://github.com/google/Xee/pull/210 (the mask byte) and the refusals quoted there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eezarr.grid import Shape2D
    from eezarr.plan.bands import Band

__all__ = ["COMPUTE_PIXELS_LIMITS", "GET_PIXELS_LIMITS", "RequestLimits", "accounted_bytes", "pixel_cost"]

MASK_BYTES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The most that one request of one method may ask for.

    Raises:
        InvalidInput: If a limit is not positive.
    """

    max_bytes: int
    """Accounted bytes (pixels and mask bytes, uncompressed), inclusive."""
    max_side: int
    """Pixels in either dimension, inclusive."""
    max_bands: int = 1024
    """Bands, inclusive."""

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_side, self.max_bands) < 1:
            raise InvalidInput(f"{self} admits no request.", hint="Give limits of at least one.")

    def admits(self, shape: Shape2D, bands: Iterable[Band]) -> bool:
        """Return whether one request may ask for these bands on a grid of this shape."""
        listed = tuple(bands)
        return (
            len(listed) <= self.max_bands
            and max(shape.height, shape.width) <= self.max_side
            and accounted_bytes(shape, listed) <= self.max_bytes
        )


GET_PIXELS_LIMITS = RequestLimits(max_bytes=32 << 20, max_side=10_000)
"""Source: the reference page of projects.assets.getPixels that the project was founded on (32 MB, 10000 pixels)."""

COMPUTE_PIXELS_LIMITS = RequestLimits(max_bytes=48 << 20, max_side=32_768)
"""Source: the reference page of projects.image.computePixels (48 MB, 32K); the live texts say 50331648 and 32768."""


def pixel_cost(bands: Iterable[Band]) -> int:
    """Return the bytes that the service counts for one pixel of all these bands."""
    return sum(band.itemsize + MASK_BYTES for band in bands)


def accounted_bytes(shape: Shape2D, bands: Iterable[Band]) -> int:
    """Return the bytes that the service counts for these bands on a grid of this shape."""
    return shape.size * pixel_cost(bands)
