"""Pictures and GeoTIFF files of any size: one request where it fits, tiles put together where it does not.

A picture that fits into one request is the service's own file. A larger one is asked for as numbers, stretched by the
service's `Image.visualize`, so that its tiles fit together; PNG and JPEG are then put together in memory (4 bytes a
pixel), GeoTIFF files window by window.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import numpy as np

from eezarr.api.describing import describe, typed_bands
from eezarr.calls import checked_arguments
from eezarr.earthengine import Image
from eezarr.earthengine.pixelrequest import PixelRequest
from eezarr.earthengine.visualization import PICTURE_BANDS, Visualization, picture_expression
from eezarr.errors import InvalidInput, StoreError
from eezarr.outputs.geotiff import BLOCK, GeoTiffWriter

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from eezarr.api.client import Client
    from eezarr.earthengine.image import ImageLike
    from eezarr.grid import PixelGrid

__all__ = ["write_geotiff", "write_thumbnail"]

_FORMATS: dict[str, Literal["PNG", "JPEG", "GEO_TIFF"]] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "GEO_TIFF",
    ".tiff": "GEO_TIFF",
}
_WIDEST_BYTES = 9
"""A pixel of the widest type with its mask byte: whoever stays within the limit with it, stays within it with any."""
_MAX_JPEG_SIDE = 65_500
"""Source: https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/src/jmorecfg.h (`JPEG_MAX_DIMENSION`)"""


@checked_arguments
async def write_thumbnail(
    client: Client, image: ImageLike, grid: PixelGrid, path: Path, *, visualization: Visualization | None = None
) -> None:
    """Write a picture of an image, of any size; the file's suffix says which kind: png, jpg, tif.

    Masked pixels are transparent in PNG, black in JPEG, and in GeoTIFF transparent with a visualization and as the
    service answers them without.

    Raises:
        InvalidInput: If the suffix or the bands cannot be shown.
        StoreError: If the file cannot be written.
        Incomplete: If tiles could not be had; no file is written.
        EezarrError: If nothing could be had.
    """
    image = Image.of(image)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"{path.name} is of no known kind.", hint=f"End it with {', '.join(_FORMATS)}.")
    if kind == "GEO_TIFF":
        shown = image if visualization is None else await _visualized(client, image, visualization)
        await write_geotiff(client, shown, grid, path)
        return
    image = await _with_shown_bands(client, image)
    if kind == "JPEG" and max(grid.height, grid.width) > _MAX_JPEG_SIDE:
        raise InvalidInput(f"JPEG holds no {grid.shape} pixels.", hint="Write PNG or GeoTIFF.")
    if _is_one_request(image, grid):
        body = await _own_picture(client, image, grid, kind, visualization)
    else:
        shown = await _visualized(client, image, visualization or Visualization())
        body = await asyncio.to_thread(_encoded, await _pasted(client, shown, grid), kind)
    try:
        await asyncio.to_thread(path.write_bytes, body)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.", hint="Give a file that can.") from error


@checked_arguments
async def write_geotiff(client: Client, image: ImageLike, grid: PixelGrid, path: Path) -> None:
    """Write an image's values to a GeoTIFF of any size, tile by tile; it appears under its name when it is whole.

    Raises:
        InvalidInput: If rasterio is not installed.
        StoreError: If the file cannot be written.
        Incomplete: If tiles could not be had; no file is written.
        EezarrError: If nothing could be had.
    """
    described = await describe(client, image)
    described.require_overlap(grid)
    bands = await typed_bands(client, described, grid, is_probing=True)
    with GeoTiffWriter(path, grid, bands) as writer:
        async for fetched in client.stream(described.image, grid):
            tile = fetched.tile
            assert tile.window.row % BLOCK == tile.window.col % BLOCK == 0
            await asyncio.to_thread(writer.write, tile.window, tile.first_band, fetched.pixels)


async def _with_shown_bands(client: Client, image: Image) -> Image:
    """Return the image with its bands named, one or three."""
    named = image if image.bands is not None else (await describe(client, image)).image
    bands = named.bands or ()
    if len(bands) not in (1, 3):
        raise InvalidInput(
            f"A picture shows one band or three, not {len(bands)}.", hint=f"Choose of {', '.join(bands[:60])}."
        )
    return named


def _is_one_request(image: Image, grid: PixelGrid) -> bool:
    count = len(image.bands or ())
    return (
        grid.shape.size * count * _WIDEST_BYTES <= image.limits.max_bytes
        and max(grid.height, grid.width) <= image.limits.max_side
    )


async def _own_picture(
    client: Client, image: Image, grid: PixelGrid, kind: Literal["PNG", "JPEG"], shown: Visualization | None
) -> bytes:
    request = PixelRequest(file_format=kind, bands=image.bands, grid=grid, visualization=shown, expression=image.graph)
    if image.graph is None and image.asset_name is not None:
        return await client.get_pixels(image.asset_name, request)
    return await client.compute_pixels(request)


async def _visualized(client: Client, image: Image, shown: Visualization) -> Image:
    bands = image.bands or (await describe(client, image)).image.bands
    assert bands is not None
    return Image.expression(picture_expression(image.computed, bands, shown), bands=PICTURE_BANDS)


async def _pasted(client: Client, image: Image, grid: PixelGrid) -> npt.NDArray[np.uint8]:
    """Return (y, x, red-green-blue-alpha)."""
    canvas = np.zeros((grid.height, grid.width, len(PICTURE_BANDS)), np.uint8)
    async for fetched in client.stream(image, grid):
        tile = fetched.tile
        last = tile.first_band + len(tile.bands)
        canvas[tile.window.rows, tile.window.cols, tile.first_band : last] = np.moveaxis(fetched.pixels, 0, -1)
    return canvas


def _encoded(canvas: npt.NDArray[np.uint8], kind: Literal["PNG", "JPEG"]) -> bytes:
    import io  # noqa: PLC0415 - in a thread, with Pillow

    from PIL import Image as Picture  # noqa: PLC0415 - pictures only

    stream = io.BytesIO()
    is_opaque = kind == "JPEG" or bool((canvas[..., 3] == 255).all())
    Picture.fromarray(np.ascontiguousarray(canvas[..., :3]) if is_opaque else canvas).save(stream, kind)
    return stream.getvalue()
