"""Assets in folders and collections, page by page: `listAssets` of v1, and v1alpha's `listImages`.

Both take a filter in the language of https://google.aip.dev/160. `listAssets` reads times and places from the filter,
too, as the official client writes them; `listImages` has parameters of its own, and reads names of properties without
`properties.` before them. They differ at the end of a period: `listAssets` is asked for images that *end* before it, as
the official client asks, `listImages` for those that *start* before it.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/listAssets,
https://developers.google.com/earth-engine/reference/rest/v1alpha/projects.assets/listImages, ee/data.py (`listImages`)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from urllib.parse import quote

from eezarr.earthengine.catalogue import parse_asset
from eezarr.earthengine.names import asset_name
from eezarr.earthengine.places import place_geojson
from eezarr.errors import BadBody, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eezarr.earthengine.catalogue import AssetInfo
    from eezarr.earthengine.client import EarthEngine
    from eezarr.earthengine.places import Place
    from eezarr.earthengine.searchregion import SearchRegion

__all__ = ["AssetPage", "AssetView", "ImageQuery", "ListMethod", "Moment", "list_page", "read_moment"]

AssetView: TypeAlias = Literal["FULL", "BASIC"]
ListMethod: TypeAlias = Literal["listAssets", "listImages"]
Moment: TypeAlias = datetime | date | str
"""A time; without a zone it is UTC. Text is ISO 8601: `2017-04-01`, `2017-04-01T12:00:00Z`."""

MAX_PAGE = {"FULL": 1000, "BASIC": 10_000}
"""The most that one page holds; the service may answer fewer."""

MAX_QUOTED_REGION = 900
"""Characters of a region in a URL: the rest of a request line of 2 kB (name, times, filter, page token) has more."""

_ROOT = re.compile(r"projects/[^/]+(?:/assets/?)?")

_PROPERTY = re.compile(r"(?<![\w.:])(?!(?:AND|OR|NOT)\b)([A-Za-z_]\w*)(?=\s*(?:<=|>=|!=|=|<|>|:))")
"""A name on the left of a comparison; not one inside quotes or after a dot."""
_QUOTED = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')")
_KNOWN = frozenset({"startTime", "endTime", "updateTime", "id", "name", "type", "sizeBytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPage:
    """One page of a listing."""

    assets: tuple[AssetInfo, ...]
    """In the service's order."""
    next_token: str
    """Asks for the page after it; empty: this was the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """Which images of a collection.

    Raises:
        InvalidInput: If a time cannot be read, the period is empty, or the region is no place.
    """

    start: Moment | None = None
    """Images from then on."""
    end: Moment | None = None
    """Images before then."""
    region: Place | None = field(default=None, hash=False)
    """Images that meet it: (lon, lat), (west, south, east, north) or GeoJSON."""
    filter: str | None = None
    """What their properties must be, such as `CLOUDY_PIXEL_PERCENTAGE < 10 AND MGRS_TILE = "10SEG"`."""
    is_by_start: bool = False
    """Whether `listAssets`, too, is asked for images that start before the end, as `ee`'s `filterDate` chooses them."""

    def __post_init__(self) -> None:
        start, end = _moment(self.start), _moment(self.end)
        if start and end and start >= end:
            raise InvalidInput(f"The period from {self.start} to {self.end} is empty.", hint="Give start before end.")
        if self.region is not None:
            place_geojson(self.region)

    def parameters(self, method: ListMethod, view: AssetView = "FULL") -> dict[str, str]:
        """Return the query parameters that say this to a method.

        A region that is too long for a URL is asked for by an outline that contains it, where `chooser` can tell
        afterwards which of the listed images meet it.
        """
        terms = [] if not self.filter else [self.filter if method == "listImages" else _qualified(self.filter)]
        start, end = _moment(self.start), _moment(self.end)
        asked = self._long_region(view)
        outline = None if asked is None else asked.outline()
        shape = None if self.region is None else json.dumps(outline or place_geojson(self.region))
        if method == "listImages":
            found = {"startTime": start, "endTime": end, "region": shape, "filter": " AND ".join(terms)}
            return {name: value for name, value in found.items() if value}
        terms = [f"({term})" if re.search(r"\bOR\b", term) else term for term in terms]
        terms += [f'startTime >= "{start}"'] if start else []
        terms += [f'{"startTime" if self.is_by_start else "endTime"} < "{end}"'] if end else []
        # The geometry is text within text: the service wants single quotes inside, as the official client writes them.
        terms += ['intersects("{}")'.format(shape.replace('"', "'"))] if shape else []
        return {"filter": " AND ".join(terms)} if terms else {}

    def chooser(self, view: AssetView = "FULL") -> Callable[[AssetInfo], bool] | None:
        """Return what tells whether a listed image is meant; None: all are, as the service was asked for them."""
        region = self._long_region(view)
        return None if region is None else lambda image: region.meets(image.geometry)

    def _long_region(self, view: AssetView) -> SearchRegion | None:
        """Return the region if it is too long for a URL, has an area, and what is listed tells where it lies."""
        if self.region is None or view == "BASIC":
            return None
        geometry = place_geojson(self.region)
        if len(quote(json.dumps(geometry))) <= MAX_QUOTED_REGION:
            return None
        from eezarr.earthengine.searchregion import SearchRegion  # noqa: PLC0415 - Shapely, for these only

        try:
            return SearchRegion(geometry)
        except InvalidInput:  # what it is is for the service to say
            return None


async def list_page(
    service: EarthEngine,
    parent: str,
    parameters: Mapping[str, str],
    *,
    method: ListMethod = "listAssets",
    view: AssetView = "FULL",
    page_size: int | None = None,
    token: str = "",
) -> AssetPage:
    """Return one page; one attempt.

    Raises:
        InvalidInput: If the parent can be none, or the method, the view or the page's size are none.
        EezarrError: `BadBody` if the answer is no page; else as the transport says.
    """
    for word, words in ((method, get_args(ListMethod)), (view, get_args(AssetView))):
        if word not in words:
            raise InvalidInput(f"There is no {str(word)[:40]!r} among {', '.join(words)}.", hint="Choose one of them.")
    if page_size is not None and page_size < 1:
        raise InvalidInput(f"A page of {page_size} assets cannot be.", hint="Give a page_size of one or more.")
    query = dict(parameters)
    query |= {"view": view} if view != "FULL" else {}
    query |= {"pageSize": str(page_size or MAX_PAGE[view])}
    query |= {"pageToken": token} if token else {}
    version = "v1alpha" if method == "listImages" else "v1"
    answer = await service.transport.call_json("GET", f"/{version}/{_parent(parent)}:{method}", query=query)
    listed = answer.get("images" if method == "listImages" else "assets", [])
    following = answer.get("nextPageToken", "")
    if not isinstance(listed, list) or not isinstance(following, str):
        raise BadBody(f"{method} of {parent} answered no page.", hint="Check that `api_url` names an Earth Engine.")
    # listImages leaves out the type: all that it lists are images.
    base = {"type": "IMAGE"} if method == "listImages" else {}
    documents = [base | asset if isinstance(asset, dict) else {} for asset in listed]
    return AssetPage(assets=tuple(map(parse_asset, documents)), next_token=following)


def _parent(parent: str) -> str:
    if _ROOT.fullmatch(parent):
        return parent.split("/assets", maxsplit=1)[0]
    return asset_name(parent)


def read_moment(moment: object) -> datetime:
    """Return a time in UTC.

    Raises:
        InvalidInput: If it is none.
    """
    try:
        time = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError as error:
        raise InvalidInput(
            f"{moment!r} is no time.", hint="Write it as `2017-04-01` or `2017-04-01T12:00:00Z`."
        ) from error
    if not isinstance(time, date):
        raise InvalidInput(
            f"A {type(moment).__name__} is no time.", hint="Write it as `2017-04-01` or `2017-04-01T12:00:00Z`."
        )
    if not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day, tzinfo=UTC)
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{moment} is in no year from 1 to 9999 in UTC.", hint="Give another time.") from error


def _moment(moment: Moment | None) -> str | None:
    """Return the time as the official client writes it; None if there is none."""
    return None if moment is None else read_moment(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _qualified(text: str) -> str:
    """Return a filter with `properties.` before names, as `listAssets` wants it and people leave it out."""
    pieces = _QUOTED.split(text)
    pieces[::2] = [_PROPERTY.sub(_with_prefix, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _with_prefix(found: re.Match[str]) -> str:
    return found[1] if found[1] in _KNOWN else f"properties.{found[1]}"
