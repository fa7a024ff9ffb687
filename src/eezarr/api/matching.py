"""Which images of a collection each site has: listed once for all of them, then found by place and date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from affine import Affine

from eezarr.api.series import list_series
from eezarr.earthengine.collection import common_bands, start_of
from eezarr.earthengine.listing import read_moment
from eezarr.earthengine.sampling import image_table
from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid
from eezarr.grid.crs import LON_LAT
from eezarr.samples import PatchIndex, Wanted, match_images
from eezarr.samples.steps import EPOCH, NO_TIME, milliseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from eezarr.api.client import Client
    from eezarr.api.patches import PlacedSites
    from eezarr.earthengine import AssetInfo
    from eezarr.earthengine.collection import CommonBands, Cube
    from eezarr.earthengine.listing import ImageQuery
    from eezarr.earthengine.series import ImageCollection
    from eezarr.samples import SampleSteps

__all__ = ["MatchedSeries", "match_series"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSeries:
    """A collection, and which of its images each sample reads."""

    cube: Cube
    """Of all images that are read."""
    common: CommonBands
    """What metadata says of their bands."""
    steps: SampleSteps


async def match_series(
    client: Client,
    series: ImageCollection,
    placed: PlacedSites,
    *,
    nearest: int | None,
    window_days: int | None,
) -> MatchedSeries:
    """Return which images of a collection each sample reads.

    Raises:
        InvalidInput: If a site has no date where one is needed, no image is there for any of them, or images differ in
            their bands.
        EezarrError: What the last attempt of the listing failed with.
    """
    dates = None if nearest is None and window_days is None else _dates(placed)
    patches = PatchIndex.of(placed.grids)
    query = series.query if dates is None or window_days is None else _narrowed(series.query, dates, window_days)
    images = await list_series(client, replace(series, query=query), _place(patches))
    images = _with_bands(images, series)
    if dates is not None:
        for image in images:
            start_of(image)  # what has no time is told, however images are grouped
    table = image_table(images, series.group)
    wanted = Wanted(dates=dates, nearest=nearest, window_ms=None if window_days is None else window_days * _DAY_MS)
    steps = match_images(patches, table, wanted)
    if not steps.names:
        raise InvalidInput(
            f"No image of {series.name} shows any of the {len(placed.rows)} sites.",
            hint="Widen the period, window_days or the filter, or check the sites.",
        )
    read = set(steps.names)
    cube, common = series.assemble([image for image in images if image.name in read])
    return MatchedSeries(cube=cube, common=common, steps=steps)


def _with_bands(images: tuple[AssetInfo, ...], series: ImageCollection) -> tuple[AssetInfo, ...]:
    """Leave out images that lack a band before any is chosen, where the job says so."""
    if series.missing != "skip" or not images:
        return images
    return common_bands(images, series.bands, cast=dict(series.cast), missing="skip").images


def _dates(placed: PlacedSites) -> NDArray[np.int64]:
    facts = placed.sites.attributes
    if facts.dates is None:
        raise InvalidInput(
            "nearest and window_days need the sites' own dates.", hint="Name the column that holds them: date."
        )
    dates = milliseconds(facts.dates)
    lacking = dates == NO_TIME
    if lacking.any():
        raise InvalidInput(
            f"The site {facts.ids[int(lacking.argmax())]!r} has no date ({int(lacking.sum())} such sites).",
            hint="Give each site a date, or leave out nearest and window_days.",
        )
    return dates


def _narrowed(query: ImageQuery, dates: NDArray[np.int64], window_days: int) -> ImageQuery:
    """Only the period that the windows of all sites are in; its end is exclusive, theirs are not."""
    first, last = (EPOCH + timedelta(milliseconds=int(date)) for date in (dates.min(), dates.max()))
    start, end = first - timedelta(days=window_days), last + timedelta(days=window_days, milliseconds=1)
    if query.start is not None:
        start = max(start, read_moment(query.start))
    if query.end is not None:
        end = min(end, read_moment(query.end))
    return replace(query, start=start, end=end)


def _place(patches: PatchIndex) -> dict[str, object] | None:
    """The box round all patches, densified, since the service takes edges for geodesics; None: all the Earth."""
    box = patches.box()
    if box is None:
        return None
    west, south, east, north = box
    transform = Affine(east - west, 0.0, west, 0.0, south - north, north)
    return PixelGrid(crs=LON_LAT, transform=transform, width=1, height=1).footprint()
