"""The pixel grid: CRS, affine transform, width and height, as the REST API has it.

`translateX/Y` is the outer corner of the top-left pixel (PixelIsArea), so a pixel's centre is at +0.5.
Source: https://developers.google.com/earth-engine/reference/rest/v1/PixelGrid

Pure values: no I/O, no clock. PROJ and numpy are imported by the methods that need them, and by no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from math import floor, isfinite, pi
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from affine import Affine

from eezarr.calls import checked_calls
from eezarr.errors import InvalidInput
from eezarr.grid.crs import (
    LON_LAT,
    UTM,
    canonical_crs,
    crs_text,
    is_number,
    is_utm,
    normal_code,
    parse_crs,
    pixel_size,
    projector,
    short_name,
    utm_zone,
)
from eezarr.grid.exact import affine_sum, centres
from eezarr.grid.lattice import EDGE_PX, Align, Bounds, snap
from eezarr.grid.rest import read_grid, write_grid
from eezarr.grid.window import Shape2D, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from eezarr.grid.crs import CrsLike, Points
    from eezarr.grid.region import Region

__all__ = ["PixelGrid", "Shape2D", "Window", "check_steps"]

_MAX_DEGREES = 10
"""A pixel's side: larger ones are metres taken for degrees."""


@checked_calls
@dataclass(frozen=True, slots=True, kw_only=True)
class PixelGrid:
    """Where pixels are: CRS, affine transform of pixel corners, and size.

    Raises:
        InvalidInput: If a side is not a positive whole number, or the transform is not finite or cannot be inverted.
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
        for name, kind, taken in _TAKEN:
            value = getattr(self, name)
            if type(value) is not kind:
                _set(self, name, taken(value))
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
    def of(cls, crs: CrsLike, transform: Sequence[float], shape: tuple[int, int]) -> Self:
        """Return the exact grid that a job file states.

        Args:
            crs: An authority code or its number, WKT, a `pyproj.CRS`, or another CRS with `to_wkt()`.
            transform: Six numbers in rasterio's order: (a, b, c, d, e, f).
            shape: Height and width in pixels.

        Raises:
            InvalidInput: If the CRS is unknown, or the numbers make no grid.
        """
        place = _affine(transform)
        try:
            height, width = shape
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"The shape {shape!r} is not two numbers.", hint="Give shape = [height, width], in pixels."
            ) from error
        return cls(crs=canonical_crs(crs), transform=place, width=width, height=height)

    @classmethod
    def from_region(
        cls,
        region: Region,
        *,
        crs: CrsLike,
        resolution: float | tuple[float, float] | None = None,
        scale: float | None = None,
        region_crs: CrsLike = LON_LAT,
        align: Align = "lattice",
    ) -> Self:
        """Return the smallest north-up grid that covers a region.

        Args:
            region: (west, south, east, north), or GeoJSON polygons; edges are straight in `region_crs`. In a geographic
                region_crs, west > east is a box across the antimeridian.
            crs: The grid's CRS: an authority code or its number, WKT, a `pyproj.CRS`, another CRS with `to_wkt()`, or
                `utm`: the zone of the region's middle.
            resolution: CRS units per pixel, a number or (x, y). Exactly one of resolution and scale.
            scale: Nominal metres per pixel, as Earth Engine means it: 1 degree is 111 319.49079327358 m.
            region_crs: The region's CRS.
            align: `lattice`: edges on multiples of the resolution from the CRS origin, as Earth Engine's own; `region`:
                starts at the top-left corner of the region's box.

        Raises:
            InvalidInput: If a CRS is unknown, the region is empty or out of its reach, or the pixel size is wrong: not
                positive, a resolution larger than the region, or, in degrees, than 10.
        """
        from eezarr.grid.extent import check_area, region_extent
        from eezarr.grid.region import rings_of

        if align not in ("lattice", "region"):
            raise InvalidInput(f"align is {align!r}.", hint="Choose `lattice` or `region`.")
        region_crs = canonical_crs(region_crs)
        rings = rings_of(region, region_crs)
        if is_utm(crs):
            box = region_extent(rings, region_crs, LON_LAT, tolerance=1e-9)
            assert box is not None, "without a clip every region has an extent"
            crs = utm_zone((box.min_x + box.max_x) / 2, (box.min_y + box.max_y) / 2)
        code = canonical_crs(crs)
        steps = _steps(resolution, scale, code)
        check_area(rings, region_crs, code)
        bounds = region_extent(rings, region_crs, code, tolerance=EDGE_PX * min(steps))
        assert bounds is not None, "without a clip every region has an extent"
        check_steps(steps, code, bounds if scale is None else None)
        lattice = snap(bounds, steps, align)
        transform = Affine(steps[0], 0.0, lattice.left, 0.0, -steps[1], lattice.top)
        return cls(crs=code, transform=transform, width=lattice.width, height=lattice.height)

    @classmethod
    def around(
        cls,
        lon: float,
        lat: float,
        *,
        size: int | tuple[int, int],
        crs: CrsLike = UTM,
        resolution: float | tuple[float, float] | None = None,
        scale: float | None = None,
    ) -> Self:
        """Return the grid of a patch round a place, on the lattice of `from_region`: patches that overlap share pixels.

        A side of an odd number of pixels has the place's pixel in its middle, an even one the nearest lattice line.

        Args:
            lon: Longitude of the place, in degrees.
            lat: Its latitude.
            size: Pixels per side, or height and width.
            crs: The grid's CRS, as for `from_region`; default: the place's UTM zone.
            resolution: CRS units per pixel, a number or (x, y). Exactly one of resolution and scale.
            scale: Nominal metres per pixel.

        Raises:
            InvalidInput: If the place is not on the Earth, the CRS is unknown or cannot show it, or a number is wrong.
        """
        import numpy as np

        if not (is_number(lon) and is_number(lat) and abs(lon) <= 360 and abs(lat) <= 90):
            raise InvalidInput(
                f"({lon!r}, {lat!r}) is no longitude and latitude.", hint="Give degrees, longitude first."
            )
        sides = tuple(size) if isinstance(size, Iterable) else (size, size)
        if len(sides) != 2:
            raise InvalidInput(f"The size {size!r} is no size.", hint="Give pixels per side, or (height, width).")
        height, width = _whole("height", sides[0]), _whole("width", sides[1])
        code = utm_zone(lon, lat) if is_utm(crs) else canonical_crs(crs)
        steps = _steps(resolution, scale, code)
        check_steps(steps, code)
        x, y = projector(LON_LAT, code)(np.array([(lon, lat)], dtype=np.float64))[0].tolist()
        col = floor(x / steps[0] - (width - 1) / 2 + EDGE_PX)
        row = floor(-y / steps[1] - (height - 1) / 2 + EDGE_PX)
        transform = Affine(steps[0], 0.0, col * steps[0], 0.0, -steps[1], -row * steps[1] + 0.0)
        return cls(crs=code, transform=transform, width=width, height=height)

    @classmethod
    def from_geobox(cls, geobox: GeoBox) -> Self:
        """Return the grid of an `odc.geo` GeoBox.

        Raises:
            InvalidInput: If it is none, or has no CRS.
        """
        transform = getattr(geobox, "transform", None) or getattr(geobox, "affine", None)
        crs, shape = getattr(geobox, "crs", None), getattr(geobox, "shape", None)
        if transform is None or crs is None or shape is None:
            raise InvalidInput(
                f"{type(geobox).__name__} is no GeoBox with a CRS.", hint="Give an `odc.geo.geobox.GeoBox`."
            )
        return cls.of(crs, tuple(transform)[:6], tuple(shape))

    def to_geobox(self) -> GeoBox:
        """Return the grid as a GeoBox, as odc-geo, odc-stac and datacube take it.

        Raises:
            InvalidInput: If odc-geo is not installed.
        """
        try:
            from odc.geo.geobox import GeoBox
        except ImportError as error:
            raise InvalidInput("odc-geo is not installed.", hint="Run `pip install odc-geo`.") from error
        return GeoBox((self.height, self.width), self.transform, parse_crs(self.crs).to_wkt())

    @classmethod
    def like(cls, source: object) -> Self:
        """Return the grid that something else is on, so that its pixels can be laid over each other.

        Args:
            source: The path or URL of a store; the path of a file that rasterio reads (extra `geotiff`); an open store,
                rasterio dataset, GeoBox, or a Dataset or DataArray of xarray (extra `xarray`).

        Raises:
            InvalidInput: If it has no grid.
            StoreError: If the store cannot be read.
        """
        if isinstance(source, str | PathLike):
            return cls._of_place(fspath(source))
        planned = getattr(getattr(source, "plan", None), "grid", source)
        if isinstance(planned, PixelGrid):
            return cls(crs=planned.crs, transform=planned.transform, width=planned.width, height=planned.height)
        if hasattr(source, "xindexes"):  # a Dataset or a DataArray
            import_module("rioxarray")  # gives xarray's objects the accessor
            raster = getattr(source, "rio", None)
            crs = getattr(raster, "crs", None)
            transform, shape = (
                (None, None) if raster is None or crs is None else (raster.transform(), raster.shape[-2:])
            )
        else:
            crs, transform, shape = (getattr(source, name, None) for name in ("crs", "transform", "shape"))
        if crs is None or transform is None or shape is None:
            raise InvalidInput(
                f"{type(source).__name__} has no pixel grid.",
                hint="Give a store, a raster file, or what rasterio or xarray opened with its CRS.",
            )
        return cls.of(crs, tuple(transform)[:6], shape)

    @classmethod
    def _of_place(cls, place: str) -> Self:
        if not Path(place).is_file():
            # By name: the grid is below the store, and this one verb looks up to it.
            return cls.like(import_module("eezarr.store").open_store(place))
        try:
            rasterio = import_module("rasterio")
        except ImportError as error:
            raise InvalidInput(
                f"Reading {place} takes rasterio, which is not installed.", hint="Run `pip install eezarr[geotiff]`."
            ) from error
        try:
            with rasterio.open(place) as file:
                return cls.like(file)
        except rasterio.errors.RasterioIOError as error:
            raise InvalidInput(f"{place} is no raster: {error}.", hint="Give a raster file, or a store.") from error

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
        try:
            row, col, height, width = window.row, window.col, window.height, window.width
        except AttributeError as error:
            raise InvalidInput(f"A {type(window).__name__} is no window.", hint="Give an `eezarr.Window`.") from error
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

    def footprint(self, crs: CrsLike = LON_LAT) -> dict[str, object]:
        """Return the ground that the grid covers as a GeoJSON geometry: densified, planar, cut at the antimeridian.

        Raises:
            InvalidInput: If the CRS is unknown, or is projected and cannot show the grid.
        """
        from eezarr.grid.footprint import footprint_geojson

        return footprint_geojson(self, crs_text(crs))

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
    pair = given if isinstance(given, tuple | list) else (given, given)
    if len(pair) != 2 or not all(is_number(step) and step > 0 for step in pair):
        raise InvalidInput(f"The pixel size {given!r} is not positive.", hint="Give a number, or [x, y], above zero.")
    if resolution is None:
        return pixel_size(float(pair[0]), crs), pixel_size(float(pair[1]), crs)
    return float(pair[0]), float(pair[1])


def check_steps(steps: tuple[float, float], crs: str, bounds: Bounds | None = None) -> None:
    """Check that pixels are not so large that other units were meant.

    Args:
        steps: Width and height of a pixel, in CRS units.
        crs: Whose units.
        bounds: The region's box, if a pixel must not be larger.

    Raises:
        InvalidInput: If a pixel is larger than the region, or, in a geographic CRS, than 10 degrees.
    """
    parsed = parse_crs(crs)
    unit = {"degree": "degrees", "metre": "metres"}.get(name := parsed.axis_info[0].unit_name, name)
    most = _MAX_DEGREES * pi / 180 / float(parsed.axis_info[0].unit_conversion_factor)
    larger_than = None
    if parsed.is_geographic and max(steps) > most * (1 + EDGE_PX):
        larger_than = f"{_MAX_DEGREES} degrees"
    elif bounds is not None:
        width, height = bounds.max_x - bounds.min_x, bounds.max_y - bounds.min_y
        if steps[0] * (1 - EDGE_PX) > width and steps[1] * (1 - EDGE_PX) > height:
            larger_than = f"the region, which is {width:.3g} by {height:.3g}"
    if larger_than is not None:
        meant = "for metres" if parsed.is_geographic else "where so large a pixel is meant"
        raise InvalidInput(
            f"A pixel of {steps[0]:g} by {steps[1]:g} {unit} is larger than {larger_than}.",
            hint=f"The resolution is in the units of {short_name(crs)}; {meant} give scale = {steps[0]:g}.",
        )


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidInput(f"The {name} {value!r} is no whole number.", hint="Give pixels.")
    return int(value)


def _affine(transform: object) -> Affine:
    numbers = tuple(transform) if isinstance(transform, Iterable) and not isinstance(transform, str) else ()
    numbers = numbers[:6] if len(numbers) == 9 and isinstance(transform, Affine) else numbers
    if len(numbers) != 6 or not all(map(is_number, numbers)):
        raise InvalidInput(
            f"The transform {transform!r} is not six finite numbers.",
            hint="Give transform = [a, b, c, d, e, f] in rasterio's order.",
        )
    return Affine(*map(float, numbers))


_TAKEN: tuple[tuple[str, type, Callable[[object], object]], ...] = (
    ("crs", str, lambda crs: crs_text(cast("CrsLike", crs))),
    ("transform", Affine, _affine),
    ("width", int, lambda side: _whole("width", side)),
    ("height", int, lambda side: _whole("height", side)),
)
"""What a grid's fields are made of where they come in another type."""
