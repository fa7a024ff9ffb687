"""The pixel grid: CRS, affine transform, width and height, as the REST API has it.

`translateX/Y` is the outer corner of the top-left pixel (PixelIsArea), so a pixel's centre is at +0.5.
Source: https://developers.google.com/earth-engine/reference/rest/v1/PixelGrid

Pure values: no I/O, no clock. PROJ and numpy are imported by the methods that need them, and by no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Self

from affine import Affine

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, canonical_crs, normal_code, pixel_size
from eezarr.grid.exact import affine_sum, centres
from eezarr.grid.lattice import EDGE_PX, Align, Bounds, snap
from eezarr.grid.rest import read_grid, write_grid
from eezarr.grid.window import Shape2D, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from eezarr.grid.crs import Points
    from eezarr.grid.region import Region

__all__ = ["PixelGrid", "Shape2D", "Window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelGrid:
    """Where pixels are: CRS, affine transform of pixel corners, and size.

    Raises:
        InvalidInput: If a side is not positive, or the transform is not finite or cannot be inverted.
    """

    crs: str
    """An authority code such as `EPSG:32610`, or WKT."""
    transform: Affine
    """Maps (column, row) of pixel corners to (x, y); `Affine(a, b, c, d, e, f)`, in rasterio's order."""
    width: int
    """Pixels per row."""
    height: int
    """Rows."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise _empty(self.height, self.width)
        place = self.transform
        area = place.a * place.e - place.b * place.d
        if area == 0 or not isfinite(area) or not isfinite(place.c) or not isfinite(place.f):
            raise InvalidInput(
                f"The transform {_six(place)} does not map pixels to places.",
                hint="Give six finite numbers (a, b, c, d, e, f) with non-zero pixel sizes, in rasterio's order.",
            )
        if not self.crs.isupper():
            _set(self, "crs", normal_code(self.crs))

    @classmethod
    def of(cls, crs: str, transform: Sequence[float], shape: tuple[int, int]) -> Self:
        """Return the exact grid that a job file states.

        Args:
            crs: An authority code, WKT, or anything that PROJ knows.
            transform: Six numbers in rasterio's order: (a, b, c, d, e, f).
            shape: Height and width in pixels.

        Raises:
            InvalidInput: If the CRS is unknown, or the numbers make no grid.
        """
        if len(transform) != 6 or len(shape) != 2:
            raise InvalidInput(
                f"The transform {tuple(transform)} and shape {tuple(shape)} do not make a grid.",
                hint="Give transform = [a, b, c, d, e, f] in rasterio's order and shape = [height, width].",
            )
        height, width = shape
        return cls(crs=canonical_crs(crs), transform=Affine(*transform), width=width, height=height)

    @classmethod
    def from_region(
        cls,
        region: Region,
        *,
        crs: str,
        resolution: float | tuple[float, float] | None = None,
        scale: float | None = None,
        region_crs: str = LON_LAT,
        align: Align = "lattice",
    ) -> Self:
        """Return the smallest north-up grid that covers a region.

        Args:
            region: (west, south, east, north), or GeoJSON polygons; edges are straight in `region_crs`. In a geographic
                region_crs, west > east is a box across the antimeridian.
            crs: The grid's CRS: an authority code, WKT, or anything that PROJ knows.
            resolution: CRS units per pixel, a number or (x, y). Exactly one of resolution and scale.
            scale: Nominal metres per pixel, as Earth Engine means it: 1 degree is 111 319.49079327358 m.
            region_crs: The region's CRS.
            align: `lattice`: edges on multiples of the resolution from the CRS origin, as Earth Engine's own; `region`:
                starts at the top-left corner of the region's box.

        Raises:
            InvalidInput: If a CRS is unknown, the region is empty or out of its reach, or the pixel size is wrong.
        """
        from eezarr.grid.extent import check_area, region_extent
        from eezarr.grid.region import rings_of

        if align not in ("lattice", "region"):
            raise InvalidInput(f"align is {align!r}.", hint="Choose `lattice` or `region`.")
        code = canonical_crs(crs)
        steps = _steps(resolution, scale, code)
        rings = rings_of(region, region_crs)
        check_area(rings, region_crs, code)
        bounds = region_extent(rings, region_crs, code, tolerance=EDGE_PX * min(steps))
        assert bounds is not None, "without a clip every region has an extent"
        lattice = snap(bounds, steps, align)
        transform = Affine(steps[0], 0.0, lattice.left, 0.0, -steps[1], lattice.top)
        return cls(crs=code, transform=transform, width=lattice.width, height=lattice.height)

    @classmethod
    def from_response(cls, grid: Mapping[str, object]) -> Self:
        """Return the grid that an asset's band metadata states; absent numbers are zero, as the service omits zeros.

        Raises:
            InvalidInput: If the object has no CRS, no dimensions, or a value of the wrong kind.
        """
        crs, numbers, width, height = read_grid(grid)
        return cls(crs=crs, transform=Affine(*numbers), width=width, height=height)

    def to_request(self) -> dict[str, object]:
        """Return the `PixelGrid` JSON object of the REST API, nothing left to a default."""
        return write_grid(self.crs, _six(self.transform), self.width, self.height)

    @property
    def shape(self) -> Shape2D:
        """Height and width in pixels."""
        return Shape2D(self.height, self.width)

    @property
    def is_axis_aligned(self) -> bool:
        """Whether rows run along x and columns along y: coordinates are then one number per row and column."""
        return self.transform.b == 0 and self.transform.d == 0

    @property
    def bounds(self) -> Bounds:
        """The box round the four outer corners, in CRS units; for any rotation and orientation."""
        corners = [self.corner(row, col) for row in (0, self.height) for col in (0, self.width)]
        xs, ys = zip(*corners, strict=True)
        return Bounds(min(xs), min(ys), max(xs), max(ys))

    def corner(self, row: int, col: int) -> tuple[float, float]:
        """Return (x, y) of a pixel's outer corner, computed exactly and rounded once.

        For the pixel in the first row and column it is the transform's origin. Cost: below 1 us.
        """
        transform = self.transform
        return (
            affine_sum(transform.c, transform.a, col, transform.b, row),
            affine_sum(transform.f, transform.e, row, transform.d, col),
        )

    def window(self, window: Window) -> Self:
        """Return the grid of a window of this one.

        The corner is computed exactly and rounded once, so that it does not depend on how a region was cut.
        Cost: some 2 us, of which half is the `Affine`; `corner` alone is a quarter of it.

        Raises:
            InvalidInput: If the window is empty or reaches beyond the grid.
        """
        row, col, height, width = window.row, window.col, window.height, window.width
        if row < 0 or col < 0 or row + height > self.height or col + width > self.width:
            raise InvalidInput(
                f"{window} reaches beyond a grid of {self.shape} pixels.",
                hint="Keep rows and columns inside the grid.",
            )
        if height < 1 or width < 1:
            raise _empty(height, width)
        old = self.transform
        a, b, d, e = old.a, old.b, old.d, old.e
        x = affine_sum(old.c, a, col, b, row)
        y = affine_sum(old.f, e, row, d, col)
        part = object.__new__(type(self))
        _set(part, "crs", self.crs)
        _set(part, "transform", Affine(a, b, x, d, e, y))
        _set(part, "width", width)
        _set(part, "height", height)
        return part

    def x_centres(self) -> NDArray[np.float64]:
        """Return x of the pixel centres, one per column.

        Raises:
            InvalidInput: If the grid is rotated or sheared, so that x depends on the row too.
        """
        self._check_axis_aligned()
        return centres(self.transform.c, self.transform.a, self.width)

    def y_centres(self) -> NDArray[np.float64]:
        """Return y of the pixel centres, one per row, in the order of the rows.

        Raises:
            InvalidInput: If the grid is rotated or sheared, so that y depends on the column too.
        """
        self._check_axis_aligned()
        return centres(self.transform.f, self.transform.e, self.height)

    def to_crs(self, pixels: Points) -> Points:
        """Return the places, shape (n, 2) as (x, y), of pixel coordinates, shape (n, 2) as (column, row)."""
        import numpy as np

        a, b, c, d, e, f = _six(self.transform)
        cols, rows = pixels[:, 0], pixels[:, 1]
        return np.column_stack([a * cols + b * rows + c, d * cols + e * rows + f])

    def to_pixels(self, places: Points) -> Points:
        """Return the pixel coordinates, shape (n, 2) as (column, row), of places; pixel centres are at +0.5."""
        import numpy as np

        a, b, c, d, e, f = _six(self.transform)
        right, down = places[:, 0] - c, places[:, 1] - f
        if b == 0 and d == 0:
            return np.column_stack([right / a, down / e])
        area = a * e - b * d
        return np.column_stack([(e * right - b * down) / area, (a * down - d * right) / area])

    def footprint(self, crs: str = LON_LAT) -> dict[str, object]:
        """Return the ground that the grid covers as a GeoJSON geometry: densified, planar, cut at the antimeridian.

        Raises:
            InvalidInput: If the CRS is unknown, or is projected and cannot show the grid.
        """
        from eezarr.grid.footprint import footprint_geojson

        return footprint_geojson(self, crs)

    def _check_axis_aligned(self) -> None:
        if not self.is_axis_aligned:
            raise InvalidInput(
                "A rotated or sheared grid has no coordinates per row and column.",
                hint="Use its transform, or choose a grid by crs and resolution.",
            )


_set = object.__setattr__
"""How a frozen record is filled. `window` does so itself: a part of a valid grid is valid, and its cost is a tile's."""


def _empty(height: int, width: int) -> InvalidInput:
    return InvalidInput(
        f"A grid of {height} x {width} pixels is empty.",
        hint="Choose a region that covers at least one pixel, or a finer resolution.",
    )


def _six(transform: Affine) -> tuple[float, float, float, float, float, float]:
    return transform.a, transform.b, transform.c, transform.d, transform.e, transform.f


def _steps(resolution: float | Sequence[float] | None, scale: float | None, crs: str) -> tuple[float, float]:
    if (resolution is None) == (scale is None):
        raise InvalidInput(
            "A grid needs exactly one of resolution and scale.",
            hint="Give resolution in units of the CRS, or scale in metres.",
        )
    given = scale if resolution is None else resolution
    pair = (given, given) if isinstance(given, int | float) else tuple(given or ())
    if len(pair) != 2 or not all(isfinite(step) and step > 0 for step in pair):
        raise InvalidInput(f"The pixel size {given!r} is not positive.", hint="Give a number, or [x, y], above zero.")
    if resolution is None:
        return pixel_size(float(pair[0]), crs), pixel_size(float(pair[1]), crs)
    return float(pair[0]), float(pair[1])
