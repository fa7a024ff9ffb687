"""Completing the pixel grid of a request that leaves part of it out.

What is missing is native: the CRS, the lattice and the extent of the first band asked for. A region, where there is
one, replaces the extent by its bounding box in the output CRS. Dimensions with a region rescale that box.
Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/getPixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from eezarr.emulator.errors import invalid
from eezarr.emulator.raster import Grid, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

Transform: TypeAlias = tuple[float, float, float, float, float, float]
Box: TypeAlias = tuple[float, float, float, float]

# Earth Engine's metres in a degree: 2 pi x 6 378 137 / 360.
_METRES_PER_DEGREE = 111_319.49079327358
# A box's edge this near a pixel's edge (in pixels) is on it.
_ON_EDGE = 1e-6
_EDGE_POINTS = 20
# Half the side of the web map's square: pi x 6 378 137 m.
_MERCATOR_EDGE = 20_037_508.342789244
_TERMS = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedGrid:
    """What a request says of its grid; `None` where it says nothing."""

    crs: str | None
    transform: Transform | None
    size: tuple[int, int] | None
    """(width, height)."""


def stated(message: Json) -> StatedGrid:
    """Answer the grid of a parsed `PixelGrid`; numbers that are left out of an affine transform are zero.

    Raises:
        ApiError: The transform cannot be inverted, or a dimension is not positive.
    """
    if not isinstance(message, dict):
        return StatedGrid(crs=None, transform=None, size=None)
    crs = message.get("crsCode") or message.get("crsWkt")
    return StatedGrid(
        crs=crs if isinstance(crs, str) else None,
        transform=_stated_transform(message.get("affineTransform")),
        size=_stated_size(message.get("dimensions")),
    )


def map_tile(zoom: int, column: int, row: int) -> dict[str, Json]:
    """Answer the `PixelGrid` of a web map's tile: 256 x 256 pixels of the Mercator square, row 0 in the north.

    Raises:
        ApiError: There is no such tile.
    """
    count = 2 ** min(zoom, 32)
    if zoom > 24 or not 0 <= row < count:
        raise invalid(f"Invalid tile: {zoom}/{column}/{row}.")
    side = 2 * _MERCATOR_EDGE / count
    left = -_MERCATOR_EDGE + (column % count) * side
    transform: dict[str, Json] = {"scaleX": side / 256, "scaleY": -side / 256}
    transform |= {"translateX": left, "translateY": _MERCATOR_EDGE - row * side}
    size: dict[str, Json] = {"width": 256, "height": 256}
    return {"crsCode": "EPSG:3857", "affineTransform": transform, "dimensions": size}


def _stated_transform(message: Json) -> Transform | None:
    if not isinstance(message, dict) or not message:
        return None
    terms = [message.get(name, 0.0) for name in _TERMS]
    a, b, c, d, e, f = (float(term) if isinstance(term, int | float) else 0.0 for term in terms)
    determinant = a * e - b * d
    if determinant == 0 or not math.isfinite(determinant + c + f):
        raise invalid("Pixel grid affine transform must be invertible.")
    return a, b, c, d, e, f


def _stated_size(message: Json) -> tuple[int, int] | None:
    if not isinstance(message, dict):
        return None
    width, height = message.get("width", 0), message.get("height", 0)
    if not isinstance(width, int) or not isinstance(height, int) or width == height == 0:
        return None
    if width <= 0 or height <= 0:
        raise invalid(f"Pixel grid dimensions ({width}x{height}) must be positive.")
    return width, height


def completed(grid: StatedGrid, region: Json, native: Grid, *, is_bounded: bool) -> Grid:
    """Answer the whole grid.

    Args:
        grid: What the request states.
        region: GeoJSON in longitude and latitude, or `None`.
        native: The grid of the first band asked for.
        is_bounded: Whether `native` has a real extent.

    Raises:
        ApiError: The extent is neither stated nor known, or a CRS cannot be read.
    """
    crs = grid.crs or native.crs
    if grid.transform and grid.size and region is None:
        return _grid(crs, grid.transform, *grid.size)
    if region is None and not is_bounded:
        raise invalid("Unable to export unbounded image.")
    box = _native_box(native, crs) if region is None else _region_box(region, crs)
    if grid.size and region is not None:
        return _rescaled(crs, box, *grid.size)
    lattice = grid.transform or _native_lattice(native, crs, box)
    if grid.size:
        return _grid(crs, lattice, *grid.size)
    if region is None and grid.transform is None and _same_crs(crs, native.crs):
        return _grid(crs, native.transform, native.width, native.height)
    return _snapped(crs, box, lattice)


def _grid(crs: str, transform: Transform, width: int, height: int) -> Grid:
    return Grid(crs=crs, transform=transform, width=width, height=height)


def _rescaled(crs: str, box: Box, width: int, height: int) -> Grid:
    west, south, east, north = box
    if east <= west or north <= south:
        raise invalid("The region has no area; it cannot be rescaled to the dimensions of the grid.")
    return _grid(crs, ((east - west) / width, 0.0, west, 0.0, (south - north) / height, north), width, height)


def _snapped(crs: str, box: Box, lattice: Transform) -> Grid:
    """Answer the whole pixels of `lattice` that cover `box`."""
    a, b, c, d, e, f = lattice
    determinant = a * e - b * d
    corners = [(x - c, y - f) for x in box[::2] for y in box[1::2]]
    columns = [(e * x - b * y) / determinant for x, y in corners]
    rows = [(a * y - d * x) / determinant for x, y in corners]
    left, top = math.floor(min(columns) + _ON_EDGE), math.floor(min(rows) + _ON_EDGE)
    right, bottom = math.ceil(max(columns) - _ON_EDGE), math.ceil(max(rows) - _ON_EDGE)
    origin = (a * left + b * top + c, d * left + e * top + f)
    return _grid(crs, (a, b, origin[0], d, e, origin[1]), max(1, right - left), max(1, bottom - top))


def _native_lattice(native: Grid, crs: str, box: Box) -> Transform:
    """Answer the native lattice; in another CRS, one of its nominal scale through the box's north-west corner."""
    if _same_crs(crs, native.crs):
        return native.transform
    a, _, _, d, _, _ = native.transform
    scale = math.hypot(a, d) * (_METRES_PER_DEGREE if _is_geographic(native.crs) else 1.0)
    scale /= _METRES_PER_DEGREE if _is_geographic(crs) else 1.0
    return scale, 0.0, box[0], 0.0, -scale, box[3]


def _native_box(native: Grid, crs: str) -> Box:
    a, b, c, d, e, f = native.transform
    corners = [(0, 0), (native.width, 0), (native.width, native.height), (0, native.height), (0, 0)]
    ring = [(a * u + b * v + c, d * u + e * v + f) for u, v in corners]
    return _bounds([ring], native.crs, crs)


def _region_box(region: Json, crs: str) -> Box:
    lines = list(_lines(region))
    if not lines:
        raise invalid("Invalid region: a GeoJSON geometry with coordinates is needed.")
    return _bounds(lines, "EPSG:4326", crs)


def _lines(geometry: Json) -> Iterator[list[tuple[float, float]]]:
    """Answer the runs of positions in a GeoJSON object."""
    if isinstance(geometry, dict):
        for name in ("coordinates", "geometry", "geometries", "features"):
            yield from _lines(geometry.get(name))
    elif isinstance(geometry, list) and geometry:
        if all(isinstance(value, int | float) for value in geometry):
            yield [_position(geometry)]
        elif all(_is_position(value) for value in geometry):
            yield [_position(value) for value in geometry]
        else:
            for item in geometry:
                yield from _lines(item)


def _is_position(value: Json) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(isinstance(number, int | float) for number in value)


def _position(value: Json) -> tuple[float, float]:
    if isinstance(value, list) and len(value) >= 2:
        x, y = value[0], value[1]
        if isinstance(x, int | float) and isinstance(y, int | float):
            return float(x), float(y)
    raise invalid("Invalid region: a position needs two numbers.")


def _bounds(lines: list[list[tuple[float, float]]], source: str, target: str) -> Box:
    xs: list[float] = []
    ys: list[float] = []
    for line in lines:
        points = line if _same_crs(source, target) else list(_densified(line))
        xs.extend(x for x, _ in points)
        ys.extend(y for _, y in points)
    if not _same_crs(source, target):
        xs, ys = _projected(xs, ys, source, target)
    if not all(map(math.isfinite, xs + ys)):
        raise invalid(f"The region cannot be projected to {target}.")
    return min(xs), min(ys), max(xs), max(ys)


def _densified(line: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for (x0, y0), (x1, y1) in pairwise(line):
        for step in range(_EDGE_POINTS):
            share = step / _EDGE_POINTS
            yield x0 + share * (x1 - x0), y0 + share * (y1 - y0)
    yield line[-1]


def _projected(xs: list[float], ys: list[float], source: str, target: str) -> tuple[list[float], list[float]]:
    from pyproj import Transformer  # noqa: PLC0415 - pyproj takes 0.1 s
    from pyproj.exceptions import CRSError  # noqa: PLC0415 - pyproj takes 0.1 s

    try:
        transformer = Transformer.from_crs(source, target, always_xy=True)
    except CRSError as error:
        raise _bad_crs(target) from error
    projected_xs, projected_ys = transformer.transform(xs, ys)
    return list(projected_xs), list(projected_ys)


def _same_crs(first: str, second: str) -> bool:
    return first == second or first.upper() == second.upper()


def _is_geographic(crs: str) -> bool:
    from pyproj import CRS  # noqa: PLC0415 - pyproj takes 0.1 s
    from pyproj.exceptions import CRSError  # noqa: PLC0415 - pyproj takes 0.1 s

    try:
        return bool(CRS.from_user_input(crs).is_geographic)
    except CRSError as error:
        raise _bad_crs(crs) from error


def _bad_crs(crs: str) -> Exception:
    return invalid(f"Projection: The CRS of a map projection could not be parsed: '{crs}'.")
