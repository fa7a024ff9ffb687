"""Pages of assets: `listAssets` and `listImages`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from eezarr.emulator.errors import asset_not_found, invalid
from eezarr.emulator.filters import Predicate, compiled, geometry_of, timestamp, within
from eezarr.emulator.raster import AssetNotFound, Json, World

if TYPE_CHECKING:
    from collections.abc import Mapping

# https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/listAssets
_MAX_PAGE_BASIC = 10_000
_MAX_PAGE = 1_000
_BASIC = ("type", "name", "id")


def list_assets(world: World, parent: str, query: Mapping[str, str]) -> dict[str, Json]:
    """Answer a page of the assets in `parent`; filters apply to image collections only, folders show basics only.

    Raises:
        ApiError: No such parent, or a parameter cannot be read.
    """
    is_collection = _asset(world, parent).get("type") == "IMAGE_COLLECTION"
    keep = [compiled(query.get("filter", ""))] if is_collection else []
    basic = not is_collection or query.get("view", "").startswith("BASIC")
    return _page(world, parent, query, keep, field="assets", basic=basic)


def list_images(world: World, parent: str, query: Mapping[str, str]) -> dict[str, Json]:
    """Answer a page of the images in a collection that start in [startTime, endTime) and meet the region.

    Raises:
        ApiError: No such parent, or a parameter cannot be read.
    """
    _asset(world, parent)
    keep = [compiled(query.get("filter", "")), _started(query.get("startTime"), query.get("endTime"))]
    if query.get("region"):
        keep.append(within(geometry_of(query["region"])))
    reply = _page(world, parent, query, keep, field="images", basic=query.get("view", "").startswith("BASIC"))
    # Images, all of them: the service does not say so of each.
    listed = reply.get("images", [])
    for image in listed if isinstance(listed, list) else []:
        if isinstance(image, dict):
            image.pop("type", None)
    return reply


def _asset(world: World, name: str) -> dict[str, Json]:
    if name.count("/") < 3:
        return {"type": "FOLDER"}
    try:
        return world.asset(name)
    except AssetNotFound as error:
        raise asset_not_found(name) from error


def _started(first: str | None, last: str | None) -> Predicate:
    start = timestamp(first) if first else None
    end = timestamp(last) if last else None

    def holds(asset: Mapping[str, Json]) -> bool:
        if start is None and end is None:
            return True
        found = asset.get("startTime")
        if not isinstance(found, str):
            return False
        moment = timestamp(found)
        return (start is None or moment >= start) and (end is None or moment < end)

    return holds


def _page(
    world: World, parent: str, query: Mapping[str, str], keep: list[Predicate], *, field: str, basic: bool
) -> dict[str, Json]:
    try:
        children = world.children(parent)
    except AssetNotFound as error:
        raise asset_not_found(parent) from error
    matching = [child for child in children if all(passes(child) for passes in keep)]
    shown: list[Json] = [
        {name: value for name, value in child.items() if not basic or name in _BASIC} for child in matching
    ]
    return paged(shown, query, field=field, max_size=_MAX_PAGE_BASIC if basic else _MAX_PAGE)


def paged(items: list[Json], query: Mapping[str, str], *, field: str, max_size: int) -> dict[str, Json]:
    """Answer the page of `items` that `pageSize` and `pageToken` ask for, and the token of the next one.

    Raises:
        ApiError: One of them cannot be read.
    """
    start, size = _offset(query.get("pageToken", "")), _page_size(query.get("pageSize", ""), max_size)
    shown = items[start : start + size]
    reply: dict[str, Json] = {field: shown} if shown else {}
    if start + size < len(items):
        reply["nextPageToken"] = base64.urlsafe_b64encode(f"after:{start + size}".encode()).decode()
    return reply


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("after:"))
    except ValueError as error:
        raise invalid("Invalid page token.") from error


def _page_size(text: str, limit: int) -> int:
    try:
        size = int(text or 0)
    except ValueError as error:
        raise invalid(f"Invalid value at 'page_size' (TYPE_INT32), \"{text}\"") from error
    return min(size, limit) if size > 0 else limit
