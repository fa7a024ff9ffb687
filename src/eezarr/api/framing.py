"""Which pixels a picture has: a whole scene or a region at a size, or a patch from a corner at a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.calls import checked_arguments
from eezarr.earthengine import Image
from eezarr.errors import InvalidInput
from eezarr.grid import Bounds, PixelGrid, canonical_crs
from eezarr.grid.crs import is_number, pixel_size
from eezarr.grid.extent import check_area, region_extent
from eezarr.grid.region import rings_of

if TYPE_CHECKING:
    from eezarr.api.service import Service
    from eezarr.earthengine.image import ImageLike
    from eezarr.grid import CrsLike
    from eezarr.grid.region import Region

__all__ = ["frame_corner", "frame_image", "frame_region", "lon_lat_box"]

_LON_LAT = "EPSG:4326"


@checked_arguments
def frame_corner(corner: tuple[float, float], *, crs: CrsLike, scale: float, size: tuple[int, int]) -> PixelGrid:
    """Return the grid of so many pixels down and right from a corner, as the guide's computation has it.

    Args:
        corner: x and y of the top-left pixel's outer corner, in the CRS.
        crs: The grid's CRS.
        scale: Nominal metres per pixel.
        size: Height and width in pixels.

    Raises:
        InvalidInput: If the CRS is unknown or the scale cannot be.
    """
    try:
        left, top = map(float, corner)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{str(corner)[:100]!r} is no corner.", hint="Give (x, y), in the CRS.") from error
    step = pixel_size(scale, canonical_crs(crs))
    return PixelGrid.of(crs, (step, 0.0, left, 0.0, -step, top), size)


@checked_arguments
def frame_region(
    region: Region, *, crs: CrsLike = _LON_LAT, size: int | None = None, scale: float | None = None
) -> PixelGrid:
    """Return the grid of a region's box: of a size along its longer side, or at a scale on the CRS's lattice.

    With a size, the box is divided exactly, as the service rescales it: pixels are nearly square.

    Raises:
        InvalidInput: If not exactly one of size and scale is given, or the region cannot be shown in the CRS.
    """
    if (size is None) == (scale is None):
        raise InvalidInput("A picture has a size or a scale.", hint="Give exactly one of the two.")
    if size is None:
        return PixelGrid.from_region(region, crs=crs, scale=scale)
    if not is_number(size) or size < 1:
        raise InvalidInput(f"{str(size)[:100]!r} is no size.", hint="Give pixels along the longer side.")
    code = canonical_crs(crs)
    rings = rings_of(region, _LON_LAT)
    check_area(rings, _LON_LAT, code)
    # A ten-thousandth of a metre or so, in the units of the CRS.
    box = region_extent(rings, _LON_LAT, code, tolerance=pixel_size(1e-4, code))
    assert box is not None, "without a clip every region has an extent"
    return _divided(code, box, int(size))


@checked_arguments
async def frame_image(
    service: Service,
    image: ImageLike,
    *,
    crs: CrsLike | None = None,
    size: int | None = None,
    scale: float | None = None,
) -> PixelGrid:
    """Return the grid of a whole asset, as its first band has it.

    Raises:
        InvalidInput: If the image is computed or its asset has no grid; it needs a region then.
        ServiceRefusal: If there is no such asset.
    """
    image = Image.of(image)
    if image.asset_name is None:
        raise InvalidInput("A computed image has no extent that is known.", hint="Give a region, or a corner.")
    asset = await service.get_asset(image.asset_name)
    bands = asset.bands if image.bands is None else tuple(asset.band(name) for name in image.bands)
    native = next((band.grid for band in bands if band.grid is not None), None)
    if native is None:
        raise InvalidInput(f"{asset.id} has no grid of its own.", hint="Name an image, or give a region.")
    if size is not None and (crs is None or canonical_crs(crs) == native.crs) and native.is_axis_aligned:
        return _divided(native.crs, native.bounds, size)
    return frame_region(native.footprint(), crs=crs or native.crs, size=size, scale=scale)


def lon_lat_box(region: Region, region_crs: str) -> tuple[float, float, float, float]:
    """Return the box around a region: west, south, east, north in degrees.

    Raises:
        InvalidInput: If the region is invalid, or crosses the antimeridian.
    """
    # A ten-thousandth of a metre or so.
    box = region_extent(rings_of(region, region_crs), canonical_crs(region_crs), _LON_LAT, tolerance=1e-9)
    assert box is not None, "without a clip every region has an extent"
    return box.min_x, box.min_y, box.max_x, box.max_y


def _divided(crs: str, box: Bounds, size: int) -> PixelGrid:
    x_side, y_side = box.max_x - box.min_x, box.max_y - box.min_y
    step = max(x_side, y_side) / size
    width, height = max(1, round(x_side / step)), max(1, round(y_side / step))
    transform = (x_side / width, 0.0, box.min_x, 0.0, -y_side / height, box.max_y)
    return PixelGrid.of(crs, transform, (height, width))
