"""What the emulator's two halves speak of: grids, planes of pixels, rasters.

The world (scenes, catalogue, interpreter) makes `Raster`s; the server asks them for `Plane`s and writes bytes.
Both halves import this module; it imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class EvaluationError(Exception):
    """The service's answer to an expression that cannot be computed: HTTP 400, `INVALID_ARGUMENT`, this message."""


class AssetNotFound(Exception):
    """No such asset: HTTP 404 from the asset methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A pixel grid as a request states it, completed: nothing is left to default."""

    crs: str
    """`EPSG:n`, another authority code, or WKT."""
    transform: tuple[float, float, float, float, float, float]
    """(scaleX, shearX, translateX, shearY, scaleY, translateY); translate is the outer corner of the first pixel."""
    width: int
    height: int

    def part(self, top: int, left: int, height: int, width: int) -> Grid:
        """Answer a window of the grid, in pixels; it may reach beyond the edges."""
        a, b, c, d, e, f = self.transform
        origin = (c + a * left + b * top, f + d * left + e * top)
        return Grid(crs=self.crs, transform=(a, b, origin[0], d, e, origin[1]), width=width, height=height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One band's answer on one grid."""

    values: npt.NDArray[np.generic]
    """(height, width), the band's dtype. Under the mask: what the world stores there (see `World.under_mask`)."""
    valid: npt.NDArray[np.bool_]
    """(height, width), true where the pixel is not masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterBand:
    """A band as metadata describes it."""

    id: str
    dtype: str
    """NumPy type of the pixels: `uint8` … `float64`; int64 is served as float64, as Earth Engine does."""
    minimum: float | None
    """Lower end of the declared range; None for float and double without range."""
    maximum: float | None
    grid: Grid
    """The band's own (native) grid; a computed image has EPSG:4326 with one-degree pixels, and no real extent."""
    pyramiding: str = "MEAN"


class Raster(Protocol):
    """An image: bands, properties, and pixels on any grid."""

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        """The bands, in order."""
        ...

    @property
    def is_bounded(self) -> bool:
        """Whether the bands' grids have a real extent (false for constants and composites)."""
        ...

    def read(self, grid: Grid, band_ids: Sequence[str]) -> list[Plane]:
        """Answer the bands, in the order asked, nearest neighbour on `grid`; masked outside the footprint."""
        ...

    def info(self) -> dict[str, Json]:
        """Answer what `ee.Image.getInfo()` prints: type, id, version, bands, properties."""
        ...


class World(Protocol):
    """All that can be asked about: assets by name and values of expressions."""

    def asset(self, name: str) -> dict[str, Json]:
        """Answer the EarthEngineAsset JSON of `projects/*/assets/**`; raises `AssetNotFound`."""
        ...

    def children(self, name: str) -> list[dict[str, Json]]:
        """Answer the assets directly inside a collection or folder, ordered by name; raises `AssetNotFound`."""
        ...

    def image(self, name: str) -> Raster:
        """Answer the image of an asset name; raises `AssetNotFound`, or `EvaluationError` if it is no image."""
        ...

    def evaluate(self, expression: Mapping[str, Json]) -> Raster | Json:
        """Answer the value of an `Expression` ({values, result}): an image, or plain JSON for anything else.

        A collection, a geometry or an element is answered as the JSON that `getInfo()` prints of it.
        Raises `EvaluationError` with the service's message.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBand:
    """A band in files."""

    id: str
    values: Path
    """A NPY of (height, width)."""
    valid: Path
    """A NPY of (height, width), bool: true where the pixel is not masked."""
    pyramiding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An exported image, to become an asset."""

    grid: Grid
    bands: tuple[StoredBand, ...]
    properties: Mapping[str, Json]
    version: int
    """Microseconds since 1970."""


class AssetExists(Exception):
    """An asset of that name is there, and may not be overwritten."""


@runtime_checkable
class WritableWorld(Protocol):
    """A world that takes in images."""

    def put_image(self, name: str, image: StoredImage, *, overwrite: bool) -> None:
        """Make `image` the asset `name`; raises `AssetExists`."""
        ...
