"""Time series: which images there are, what they have in common, and the types of what is made of them.

All that can be wrong with a collection is found here, before any pixel is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.api.describing import DescribedImage
from eezarr.earthengine import Image
from eezarr.earthengine.packing import step_bytes
from eezarr.earthengine.payload import MAX_REQUEST_BYTES
from eezarr.errors import InvalidInput
from eezarr.grid import parse_crs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.api.client import Client
    from eezarr.config import CollectionOptions
    from eezarr.earthengine import AssetInfo
    from eezarr.earthengine.collection import CommonBands, Cube
    from eezarr.earthengine.places import Place
    from eezarr.earthengine.series import ImageCollection
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band, Masking

__all__ = ["describe_cube", "list_series", "most_steps", "require_one_lattice", "series_of"]

_MEASURED_STEPS = 64
"""Steps whose expressions are measured, those of the longest names: the rest can be little longer."""
_ROOM_BYTES = 64 << 10
"""Of a request: its grid, its format, a workload tag."""

_ON_LATTICE_PX = 1e-6
"""How far apart the corners of two grids' pixels may lie, and be the same pixels: 1/120 of a degree and 0.0083333333
are one size where a grid is small."""


def series_of(options: CollectionOptions) -> ImageCollection:
    """Return the time series that a job's `[collection]` says.

    Raises:
        InvalidInput: If it cannot be.
    """
    return Image.collection(
        options.id,
        start=options.start,
        end=options.end,
        filter=options.filter,
        bands=options.bands,
        group=options.group,
        reduce=options.reduce,
        cast=options.cast,
        missing=options.missing,
    )


async def list_series(client: Client, series: ImageCollection, place: Place | None) -> tuple[AssetInfo, ...]:
    """Return the images of a series that meet a place.

    Images are chosen by when they start, as `ee.ImageCollection.filterDate` chooses them: `listAssets` by itself would
    leave out those that end after the period does.

    Raises:
        EezarrError: What the last attempt failed with.
    """
    query = series.query if series.query.region is not None else replace(series.query, region=place)
    return await client.query_images(series.name, query)


async def describe_cube(client: Client, cube: Cube, common: CommonBands) -> DescribedImage:
    """Return the image of a cube's first step with what is foretold of its types; asks for no pixel.

    Metadata foretells them where images are read as they are; a reduction has types of its own, which its description
    foretells.

    Raises:
        ServiceRefusal: If the service refuses the expression.
    """
    image = Image(graph=cube.step_expression(cube.steps[0]), bands=cube.bands)
    told, is_certain = dict(zip(common.names, common.dtypes, strict=True)), common.is_certain
    if cube.applied is not None or common.bands is None:
        described = await client.describe_bands(image)
        told, is_certain = {band.id: band.dtype for band in described}, all(band.is_certain for band in described)
    types = tuple((name, told.get(name)) for name in cube.bands)
    return DescribedImage(image=image, asset=None, types=types, is_certain=is_certain)


def most_steps(cube: Cube, bands: Sequence[Band], masking: Masking) -> int:
    """Return how many steps of a cube fit into one request's expression; one at least."""
    by_length = sorted(range(len(cube.steps)), key=lambda step: -sum(map(len, cube.steps[step].images)))
    images = cube.images(by_length[:_MEASURED_STEPS])
    longest = max(step_bytes(image, bands=bands, masking=masking) for image in images.values())
    return max(1, (MAX_REQUEST_BYTES - _ROOM_BYTES) // longest)


def require_one_lattice(images: Sequence[AssetInfo], band: str, *, is_cropped: bool) -> PixelGrid:
    """Return the native grid that all images' bands of a name lie on, as the first has it.

    Args:
        images: With bands.
        band: Whose grid.
        is_cropped: Whether a region cuts the grid; if not, all images must have the same extent, too.

    Raises:
        InvalidInput: If an image has another lattice: its pixels would be shifted.
    """
    first: PixelGrid | None = None
    for image in images:
        grid = image.band(band).grid
        if grid is None:
            raise InvalidInput(f"Band {band!r} of {image.id} has no grid of its own.", hint="Give crs and resolution.")
        first = first or grid
        if not _is_same_lattice(first, grid, is_cropped=is_cropped):
            raise InvalidInput(
                f"Band {band!r} of {image.id} lies on another grid ({grid.crs[:40]}, {grid.bounds}) than that of "
                f"{images[0].id} ({first.crs[:40]}, {first.bounds}).",
                hint="Give crs and resolution, or a filter for images of one grid (for Sentinel-2: MGRS_TILE).",
            )
    assert first is not None, "a series has images"
    return first


def _is_same_lattice(one: PixelGrid, other: PixelGrid, *, is_cropped: bool) -> bool:
    if one.crs != other.crs and parse_crs(one.crs) != parse_crs(other.crs):
        return False
    height, width = other.height, other.width
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)
    found = one.to_pixels(other.to_crs(corners))
    first = np.round(found[0])
    if not (np.abs(found - corners - first) <= _ON_LATTICE_PX).all():
        return False
    return is_cropped or (not first.any() and one.shape == other.shape)
