"""A band: its name and the type in which the service answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eezarr.calls import checked_calls
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DTYPES", "Band", "record_dtype"]

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
"""What NPY answers hold; int64 bands are served as float64 (geedim and GDAL observed it on the live service)."""


@checked_calls
@dataclass(frozen=True, slots=True)
class Band:
    """One band of an image.

    Raises:
        InvalidInput: If the name is empty, or the type is none that the service answers.
    """

    name: str
    """The band's id, as in `bandIds`."""
    dtype: str
    """NumPy name of the pixel type: one of int8, uint8, int16, uint16, int32, uint32, float32, float64."""
    scale: float | None = field(default=None, compare=False, kw_only=True)
    """What a stored value is multiplied with to be a quantity, where that is known: kept as an attribute only."""
    offset: float | None = field(default=None, compare=False, kw_only=True)
    """What is added then."""

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("A band has no name.", hint="Name every band.")
        if self.dtype not in DTYPES:
            raise InvalidInput(
                f"Band {self.name!r} has the type {self.dtype!r}, which no answer of the service holds.",
                hint=f"Cast the band to one of {', '.join(DTYPES)}.",
            )

    @property
    def itemsize(self) -> int:
        """Bytes per pixel, without the mask byte."""
        return np.dtype(self.dtype).itemsize

    @property
    def wire_dtype(self) -> np.dtype[np.generic]:
        """The little-endian type of the band's field in an NPY body."""
        return np.dtype(self.dtype).newbyteorder("<")


def record_dtype(bands: Iterable[Band]) -> np.dtype[np.void]:
    """Return the structured type of an NPY body of these bands: one packed field per band, in this order."""
    return np.dtype([(band.name, band.wire_dtype) for band in bands])
