"""The image of an export: computed when the operation runs, read in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.emulator.answers import evaluated, is_raster
from eezarr.emulator.errors import ApiError
from eezarr.emulator.exports.operation import INVALID_ARGUMENT, Failure
from eezarr.emulator.grids import completed, stated
from eezarr.emulator.limits import served_dtype
from eezarr.emulator.raster import EvaluationError, Grid, Json, Plane, Raster, RasterBand, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from eezarr.emulator.exports.request import ExportRequest

_BLOCK_BYTES = 64 * 2**20
_TYPE_NAMES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip


class ExportFailure(Exception):
    """An operation that ends without a result."""

    def __init__(self, message: str, code: int = INVALID_ARGUMENT) -> None:
        """Fail with a text, and a code of google.rpc."""
        super().__init__(message)
        self.failure = Failure(code=code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some of a grid's pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.height * self.width

    def blocks(self, side: int) -> Iterator[Window]:
        """Answer squares of `side` pixels that cover the window, row by row; smaller ones at its far edges."""
        for top in range(0, self.height, side):
            for left in range(0, self.width, side):
                yield Window(
                    top=self.top + top,
                    left=self.left + left,
                    height=min(side, self.height - top),
                    width=min(side, self.width - left),
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportSource:
    """The image to export, on its grid."""

    raster: Raster
    bands: tuple[RasterBand, ...]
    grid: Grid
    properties: Mapping[str, Json]

    @property
    def dtypes(self) -> tuple[np.dtype[np.generic], ...]:
        """Types of the bands as they are written."""
        return tuple(served_dtype(band.dtype) for band in self.bands)

    @property
    def window(self) -> Window:
        """All of the grid."""
        return Window(top=0, left=0, height=self.grid.height, width=self.grid.width)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel with all its bands, mask bytes included."""
        return sum(dtype.itemsize + 1 for dtype in self.dtypes)

    def block_side(self, multiple: int) -> int:
        """Answer the side of blocks to work in: a multiple of `multiple`, within the memory of an export."""
        return multiple * max(1, int((_BLOCK_BYTES / self.pixel_bytes) ** 0.5) // multiple)

    def read(self, window: Window) -> list[Plane]:
        """Answer all bands of a window.

        Raises:
            ExportFailure: They cannot be computed.
        """
        grid = self.grid.part(window.top, window.left, window.height, window.width)
        try:
            planes = self.raster.read(grid, [band.id for band in self.bands])
        except EvaluationError as error:
            raise ExportFailure(str(error)) from error
        return [
            Plane(values=plane.values.astype(dtype, copy=False), valid=plane.valid)
            for plane, dtype in zip(planes, self.dtypes, strict=True)
        ]


def export_source(world: World, request: ExportRequest) -> ExportSource:
    """Answer the image that a request is about.

    Raises:
        ExportFailure: It cannot be computed, has no end, or is too large.
    """
    try:
        value = evaluated(world, request.message)
        if not is_raster(value):
            raise ExportFailure("Expression does not evaluate to an image.")
        bands = tuple(value.bands)
        if not bands:
            raise ExportFailure("Image has no bands.")
        grid = completed(stated(request.message.get("grid")), None, bands[0].grid, is_bounded=value.is_bounded)
    except ApiError as error:
        raise ExportFailure(error.message) from error
    pixels = grid.width * grid.height
    if pixels > request.max_pixels:
        raise ExportFailure(
            f"Export too large: specified {pixels} pixels (max: {request.max_pixels}). Specify higher maxPixels value"
            " if you intend to export a large area."
        )
    properties = value.info().get("properties")
    return ExportSource(
        raster=value, bands=bands, grid=grid, properties=properties if isinstance(properties, dict) else {}
    )


def require_one_type(dtypes: Sequence[np.dtype[np.generic]]) -> np.dtype[np.generic]:
    """Answer the type of all bands.

    Raises:
        ExportFailure: They differ: a file has one.
    """
    for dtype in dtypes[1:]:
        if dtype != dtypes[0]:
            names = f"{_TYPE_NAMES[dtypes[0].name]} and {_TYPE_NAMES[dtype.name]}"
            raise ExportFailure(f"Exported bands must have compatible data types; found inconsistent types: {names}.")
    return dtypes[0]
