"""Images and place: projections, shapes, coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.geometry import Projection, lonlat, of_grid
from eezarr.emulator.images import DOUBLE, FLOAT, Band, Image
from eezarr.emulator.nodes import Bilinear, Clipped, Computed, Coordinate, Reprojected
from eezarr.emulator.raster import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function
    from eezarr.emulator.geometry import Geometry
    from eezarr.emulator.pixels import Array
    from eezarr.emulator.values import Value


def pixel_lonlat(arguments: Arguments) -> Value:
    """Answer bands longitude and latitude, degrees, double."""
    del arguments
    names = ("longitude", "latitude")
    return Image(bands=tuple(Band(id=name, type=DOUBLE, pixels=Coordinate(axis=k)) for k, name in enumerate(names)))


def pixel_coordinates(arguments: Arguments) -> Value:
    """Answer bands x and y in the pixels of a projection, double."""
    projection = arguments.projection("projection")
    a, b, c, d, e, f = projection.transform
    scale = a * e - b * d
    x, y = Coordinate(axis=0, crs=projection.crs), Coordinate(axis=1, crs=projection.crs)

    def col(east: Array, north: Array) -> Array:
        return np.asarray((e * (np.asarray(east, float) - c) - b * (np.asarray(north, float) - f)) / scale)

    def row(east: Array, north: Array) -> Array:
        return np.asarray((a * (np.asarray(north, float) - f) - d * (np.asarray(east, float) - c)) / scale)

    nodes = [Computed(inputs=(x, y), dtype="float64", function=function) for function in (col, row)]
    return Image(bands=tuple(Band(id=name, type=DOUBLE, pixels=node) for name, node in zip("xy", nodes, strict=True)))


# A shape's edge this near a pixel's edge (in pixels) is on it.
_ON_EDGE = 1e-6


def _covering(shape: Geometry, projection: Projection) -> Grid:
    """The pixels of a projection's lattice that a shape's bounding box touches, first row first."""
    west, north, east, south = shape.bounds(projection)
    left, top = int(np.floor(west + _ON_EDGE)), int(np.floor(north + _ON_EDGE))
    right, bottom = int(np.ceil(east - _ON_EDGE)), int(np.ceil(south - _ON_EDGE))
    whole = Grid(crs=projection.crs, transform=projection.transform, width=0, height=0)
    return whole.part(top, left, max(1, bottom - top), max(1, right - left))


def clip(arguments: Arguments) -> Value:
    """Mask what lies outside a shape; the shape is the new footprint, its bounding box the new extent."""
    image, shape = arguments.image("input"), arguments.geometry("geometry")
    bands = []
    for band in image.bands:
        extent = None if shape.is_everywhere else _covering(shape, band.projection)
        bands.append(replace(band, pixels=Clipped(of=band.pixels, geometry=shape), extent=extent))
    return replace(image, bands=tuple(bands), geometry=shape)


def _on_grid(band: Band, grid: Grid) -> Band:
    clipped = Clipped(of=band.pixels, geometry=of_grid(grid))
    return replace(band, pixels=clipped, grid=grid, is_bounded=True, extent=None, footprint=None)


def clip_to_bounds_and_scale(arguments: Arguments) -> Value:
    """Clip to a shape's bounding box (the footprint's without one), on the projection, scaled to a size if given."""
    image = arguments.image("input")
    shape = arguments.geometry("geometry") if arguments.has("geometry") else image.footprint
    if shape.is_everywhere:
        return image
    projection = image.bands[0].projection if image.bands else Projection()
    if arguments.has("scale"):
        projection = projection.at_scale(float(arguments.number("scale")))
    west, south, east, north = shape.bounds(replace(projection, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)))
    a, _, c, _, e, f = projection.transform
    width, height = _sizes(arguments, (east - west) / abs(a), (north - south) / abs(e))
    if arguments.has("scale") or not any(arguments.has(name) for name in ("width", "height", "maxDimension")):
        left, top = np.floor((west - c) / abs(a) + _ON_EDGE), np.floor((f - north) / abs(e) + _ON_EDGE)
        width = int(np.ceil((east - c) / abs(a) - _ON_EDGE) - left)
        height = int(np.ceil((f - south) / abs(e) - _ON_EDGE) - top)
        transform = (abs(a), 0.0, c + left * abs(a), 0.0, -abs(e), f - top * abs(e))
    else:
        transform = ((east - west) / width, 0.0, west, 0.0, (south - north) / height, north)
    grid = Grid(crs=projection.crs, transform=transform, width=width, height=height)
    return replace(image, bands=tuple(_on_grid(band, grid) for band in image.bands), geometry=lonlat(of_grid(grid)))


def _sizes(arguments: Arguments, width: float, height: float) -> tuple[int, int]:
    """Width and height in pixels of a box of the given native size, as the arguments scale it."""
    if arguments.has("maxDimension"):
        scale = float(arguments.number("maxDimension")) / max(width, height)
    elif arguments.has("width"):
        scale = float(arguments.number("width")) / width
    elif arguments.has("height"):
        scale = float(arguments.number("height")) / height
    else:
        scale = 1.0
    if arguments.has("width") and arguments.has("height"):
        return int(arguments.number("width")), int(arguments.number("height"))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _wanted_projection(arguments: Arguments) -> Projection:
    """The projection that `crs`, `crsTransform` and `scale` name together."""
    projection = arguments.projection("crs")
    if arguments.has("crsTransform"):
        a, b, c, d, e, f = arguments.numbers("crsTransform")
        return Projection(crs=projection.crs, transform=(a, b, c, d, e, f))
    if arguments.has("scale"):
        return projection.at_scale(float(arguments.number("scale")))
    return projection


def _shifted_grid(band: Band, projection: Projection) -> Grid:
    """A grid on a projection; its size is that of the band if it lies on the same one."""
    own = band.projection
    same = own.crs == projection.crs and own.transform == projection.transform and band.is_bounded
    size = (band.grid.width, band.grid.height) if same else (1, 1)
    return Grid(crs=projection.crs, transform=projection.transform, width=size[0], height=size[1])


def reproject(arguments: Arguments) -> Value:
    """Compute the image on a projection's pixels, nearest neighbour from there on."""
    image, projection = arguments.image("image"), _wanted_projection(arguments)
    footprint = image.footprint
    bands = []
    for band in image.bands:
        grid = _shifted_grid(band, projection)
        node = Reprojected(of=band.pixels, projection=projection)
        extent = None if grid.width > 1 or footprint.is_everywhere else _covering(footprint, projection)
        is_bounded = band.is_bounded and grid.width > 1
        bands.append(replace(band, pixels=node, grid=grid, is_bounded=is_bounded, extent=extent))
    return replace(image, bands=tuple(bands), geometry=image.footprint if image.bands else image.geometry)


def set_default_projection(arguments: Arguments) -> Value:
    """Name the projection of a composite; pixels stay."""
    image, projection = arguments.image("image"), _wanted_projection(arguments)
    grid = Grid(crs=projection.crs, transform=projection.transform, width=1, height=1)
    return replace(image, bands=tuple(replace(band, grid=grid, is_bounded=False, extent=None) for band in image.bands))


def resample(arguments: Arguments) -> Value:
    """Interpolate when pixels are asked on another grid: bilinear; bicubic is computed as bilinear."""
    image, mode = arguments.image("image"), arguments.text("mode", "bilinear")
    if mode not in ("bilinear", "bicubic"):
        arguments.fail(f"Invalid interpolation mode: {mode}")
    bands = []
    for band in image.bands:
        kind = FLOAT if band.type.dtype in ("uint8", "int8", "uint16", "int16", "float32") else DOUBLE
        kind = replace(kind, minimum=band.type.minimum, maximum=band.type.maximum)
        smooth = Bilinear(of=band.pixels, projection=band.projection)
        node = Computed(inputs=(smooth,), dtype=kind.dtype, function=lambda values: values)
        bands.append(band.computed(kind, node) if band.is_bounded else band)
    return replace(image, bands=tuple(bands))


def _projection(arguments: Arguments) -> Value:
    image = arguments.image("image")
    projections = {band.projection for band in image.bands}
    if len(projections) != 1:
        arguments.fail(
            "The bands of the specified image contains different projections. Use Image.select to pick a single band."
        )
    return projections.pop()


FUNCTIONS: Mapping[str, Function] = {
    "Image.pixelLonLat": pixel_lonlat,
    "Image.pixelCoordinates": pixel_coordinates,
    "Image.clip": clip,
    "Image.clipToBoundsAndScale": clip_to_bounds_and_scale,
    "Image.reproject": reproject,
    "Image.setDefaultProjection": set_default_projection,
    "Image.resample": resample,
    "Image.projection": _projection,
    "Image.geometry": lambda arguments: arguments.image("feature").footprint,
}
"""Image.clip, Image.reproject, …"""
