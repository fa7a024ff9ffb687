"""Images: named bands with types, properties, a footprint; and the rules of types.

Law (types): integers are ranges. A value's NumPy type is the smallest that holds its range; what exceeds 32 bits is
served as float64. The union of two integer types is the hull of their ranges; with a float32, integers of up to 16
bits give float32 and wider ones float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.geometry import EVERYWHERE, Geometry, Projection, lonlat, of_grid
from eezarr.emulator.raster import EvaluationError, Grid, Json, RasterBand
from eezarr.emulator.sampling import inverted, moved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.emulator.pixels import Pixels

UNBOUNDED = Grid(crs="EPSG:4326", transform=(1.0, 0.0, -180.0, 0.0, -1.0, 90.0), width=360, height=180)
"""The grid of bands that have none: constants and composites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelType:
    """A NumPy type with the range that is known of its values."""

    dtype: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_integer(self) -> bool:
        """Answer whether pixels are integers."""
        return np.dtype(self.dtype).kind in "iu"

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        precision = {"float32": "float", "float64": "double"}.get(self.dtype, "int")
        answer: dict[str, Json] = {"type": "PixelType", "precision": precision}
        if self.minimum is not None and self.maximum is not None:
            whole = precision == "int"
            answer["min"] = int(self.minimum) if whole else float(self.minimum)
            answer["max"] = int(self.maximum) if whole else float(self.maximum)
        return answer


FLOAT, DOUBLE, TRUTH = (
    PixelType(dtype="float32"),
    PixelType(dtype="float64"),
    PixelType(dtype="uint8", minimum=0, maximum=1),
)


def of_range(minimum: float, maximum: float) -> PixelType:
    """Answer the smallest integer type that holds a range; float64 beyond 32 bits."""
    names = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
    for name in names if minimum < 0 else names[1::2] + names[4:5]:
        limits = np.iinfo(name)
        if limits.min <= minimum and maximum <= limits.max:
            return PixelType(dtype=name, minimum=minimum, maximum=maximum)
    return PixelType(dtype="float64", minimum=minimum, maximum=maximum)


def of_dtype(dtype: str) -> PixelType:
    """Answer a NumPy type with its whole range; floats have none."""
    if np.dtype(dtype).kind not in "iu":
        return PixelType(dtype=dtype)
    limits = np.iinfo(dtype)
    return PixelType(dtype=dtype, minimum=float(limits.min), maximum=float(limits.max))


def of_number(value: float) -> PixelType:
    """Answer the type of a constant: a range of one value for an integer, float64 for the rest."""
    if isinstance(value, int) or (float(value).is_integer() and not isinstance(value, float)):
        return of_range(value, value)
    return PixelType(dtype="float64", minimum=value, maximum=value)


def union(first: PixelType, second: PixelType) -> PixelType:
    """Answer a type that holds both: see the module's law."""
    lows, highs = (first.minimum, second.minimum), (first.maximum, second.maximum)
    low = None if lows[0] is None or lows[1] is None else min(lows[0], lows[1])
    high = None if highs[0] is None or highs[1] is None else max(highs[0], highs[1])
    if first.is_integer and second.is_integer and low is not None and high is not None:
        return of_range(low, high)
    return PixelType(dtype=float_for(first, second), minimum=low, maximum=high)


def float_for(*types: PixelType) -> str:
    """Answer float32 if it holds every type exactly, else float64."""
    exact = all(np.can_cast(kind.dtype, "float32", "safe") for kind in types)
    return "float32" if exact else "float64"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """A band of an image, not yet computed."""

    id: str
    type: PixelType
    pixels: Pixels
    grid: Grid = UNBOUNDED
    is_bounded: bool = False
    """Whether `grid` has a real extent."""
    extent: Grid | None = None
    """What is delivered where nobody states a grid, if not all of `grid`: a part of its lattice, or beyond it."""
    footprint: Pixels | None = None
    """Valid where the image exists at all; None: everywhere."""
    pyramiding: str = "MEAN"
    sentinel: float | None = None
    """What a stored band holds under its mask; None for computed bands."""

    def described(self) -> RasterBand:
        """Answer the band as metadata describes it."""
        return RasterBand(
            id=self.id,
            dtype=self.type.dtype,
            minimum=self.type.minimum,
            maximum=self.type.maximum,
            grid=self.extent or self.grid,
            pyramiding=self.pyramiding,
        )

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        answer: dict[str, Json] = {"id": self.id, "data_type": self.type.info()}
        if self.extent is not None:
            answer |= {"dimensions": [self.extent.width, self.extent.height], "origin": self._origin(self.extent)}
        elif self.is_bounded:
            answer["dimensions"] = [self.grid.width, self.grid.height]
        projection = self.projection.info()
        answer |= {"crs": projection.get("crs", projection.get("wkt")), "crs_transform": projection["transform"]}
        return answer

    def _origin(self, extent: Grid) -> Json:
        """Answer the column and row, on the band's projection, of the first pixel of an extent."""
        x, y = moved(
            inverted(self.projection.transform), np.array([extent.transform[2]]), np.array([extent.transform[5]])
        )
        return [round(float(x[0])), round(float(y[0]))]

    @property
    def projection(self) -> Projection:
        """The default projection: WGS84 with pixels of one degree for bands without a grid."""
        if self.grid == UNBOUNDED:
            return Projection()
        return Projection(crs=self.grid.crs, transform=self.grid.transform)

    def computed(self, kind: PixelType, pixels: Pixels) -> Band:
        """Answer a band of the same name and place with other pixels."""
        return replace(self, type=kind, pixels=pixels, sentinel=None, pyramiding="MEAN")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """An image: bands, properties, where it is."""

    bands: tuple[Band, ...]
    properties: Mapping[str, Json] = field(default_factory=dict)
    id: str | None = None
    version: int | None = None
    geometry: Geometry | None = None
    """The footprint; None: that of the first band's grid."""

    @property
    def names(self) -> tuple[str, ...]:
        """Answer the names of the bands, in order."""
        return tuple(band.id for band in self.bands)

    @property
    def footprint(self) -> Geometry:
        """Where the image is, lon/lat."""
        if self.geometry is not None:
            return self.geometry
        bounded = [band.grid for band in self.bands if band.is_bounded]
        return lonlat(of_grid(bounded[0])) if bounded else EVERYWHERE

    def band(self, name: str) -> Band:
        """Answer a band by name.

        Raises:
            EvaluationError: if there is none.
        """
        for band in self.bands:
            if band.id == name:
                return band
        raise EvaluationError(
            f"Image.select: Band pattern '{name}' did not match any bands. Available bands: [{', '.join(self.names)}]"
        )

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        answer: dict[str, Json] = {"type": "Image", "bands": [band.info() for band in self.bands]}
        if self.id is not None:
            answer["id"] = self.id
        if self.version is not None:
            answer["version"] = self.version
        if self.properties:
            answer["properties"] = dict(self.properties)
        return answer


def with_names(bands: Sequence[Band], names: Sequence[str]) -> tuple[Band, ...]:
    """Answer bands renamed, in order."""
    return tuple(replace(band, id=name) for band, name in zip(bands, names, strict=True))


def unique_names(bands: Sequence[Band]) -> tuple[Band, ...]:
    """Answer bands with `_1`, `_2`, … added to names already taken, as Earth Engine does."""
    answer: list[Band] = []
    taken: set[str] = set()
    for band in bands:
        name, count = band.id, 0
        while name in taken:
            count += 1
            name = f"{band.id}_{count}"
        taken.add(name)
        answer.append(band if name == band.id else replace(band, id=name))
    return tuple(answer)
