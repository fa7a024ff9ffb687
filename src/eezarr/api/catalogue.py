"""Looking: one asset, or the many of a folder or collection, page after page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from eezarr.api.connection import Connection
from eezarr.calls import checked_methods
from eezarr.earthengine.catalogue import JsonObject
from eezarr.earthengine.listing import ImageQuery, list_page
from eezarr.earthengine.names import asset_name
from eezarr.errors import BadBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from eezarr.earthengine import AssetInfo
    from eezarr.earthengine.listing import AssetView, ListMethod, Moment
    from eezarr.earthengine.places import Place

__all__ = ["Catalogue"]


@checked_methods
class Catalogue(Connection):
    """The REST methods that describe assets; see `Connection` for the arguments."""

    async def get_asset(self, asset: str, *, refresh: bool = False) -> AssetInfo:
        """Return an asset's metadata (`assets.get`), which is kept for the client's life.

        Args:
            asset: Asset id or resource name.
            refresh: Whether to ask anew, for this asset and all else that is kept.

        Raises:
            EezarrError: `ServiceRefusal` if there is no such asset.
        """
        if refresh:
            self.descriptions.forget()
        return await self.descriptions.get(
            ("asset", asset_name(asset)),
            lambda: self._ask(f"assets.get {asset}", lambda service: service.get_asset(asset)),
        )

    async def list_assets(
        self,
        parent: str,
        *,
        filter: str | None = None,  # noqa: A002 - the REST API's own name
        view: AssetView = "FULL",
        page_size: int | None = None,
    ) -> AsyncIterator[AssetInfo]:
        """Yield the assets of a folder or collection (`assets.listAssets`), however many; stop whenever you like.

        Args:
            parent: Asset id or name of a folder or collection, or `projects/P` for a project's root.
            filter: In the service's own words; applied to image collections only, as the service does.
            view: BASIC leaves out all but type, name and id.
            page_size: Assets of one request; default: as many as the service answers.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        parameters = {} if filter is None else {"filter": filter}
        async for page in self._pages(parent, parameters, method="listAssets", view=view, page_size=page_size):
            for asset in page:
                yield asset

    async def list_images(
        self,
        collection: str,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        region: Place | None = None,
        filter: str | None = None,  # noqa: A002 - the REST API's own name
        view: AssetView = "FULL",
        page_size: int | None = None,
        method: ListMethod = "listAssets",
    ) -> AsyncIterator[AssetInfo]:
        """Yield the images of a collection that meet all conditions, however many; stop whenever you like.

        Args:
            collection: Asset id or name of an image collection.
            start: Images that start then or later; without a zone UTC.
            end: Images that end before then (`listAssets`), or start before then (`listImages`).
            region: Images that meet (lon, lat), (west, south, east, north) or GeoJSON.
            filter: What properties must be, `properties.` before their names left out: `CLOUDY_PIXEL_PERCENTAGE < 10`.
            view: BASIC leaves out all but type, name and id.
            page_size: Images of one request; default: as many as the service answers.
            method: `listAssets` (v1) asks as the official client does; `listImages` (v1alpha) as the Quickstart does.

        Raises:
            InvalidInput: If a time or the region cannot be read.
            EezarrError: What the last attempt failed with.
        """
        query = ImageQuery(start=start, end=end, region=region, filter=filter)
        async for asset in self._images(collection, query, method=method, view=view, page_size=page_size):
            yield asset

    async def query_images(self, collection: str, query: ImageQuery) -> tuple[AssetInfo, ...]:
        """Return the images that a query means, with all that metadata says of them but their documents.

        The listing is kept for the client's life.

        Raises:
            EezarrError: What the last attempt failed with.
        """

        async def ask() -> tuple[AssetInfo, ...]:
            images = self._images(collection, query, method="listAssets", view="FULL", page_size=None)
            return tuple([replace(image, raw=JsonObject()) async for image in images])

        return await self.descriptions.get(("listing", asset_name(collection), query), ask)

    async def _images(
        self, collection: str, query: ImageQuery, *, method: ListMethod, view: AssetView, page_size: int | None
    ) -> AsyncIterator[AssetInfo]:
        is_meant = query.chooser(view)
        parameters = query.parameters(method, view)
        pages = self._pages(collection, parameters, method=method, view=view, page_size=page_size)
        async for page in pages:
            # A thousand footprints take a third of a second.
            chosen = page if is_meant is None else await asyncio.to_thread(_chosen, page, is_meant)
            for asset in chosen:
                yield asset

    async def _pages(
        self, parent: str, parameters: Mapping[str, str], *, method: ListMethod, view: AssetView, page_size: int | None
    ) -> AsyncIterator[tuple[AssetInfo, ...]]:
        token = ""
        while True:
            asked = token
            page = await self._ask(
                f"{method} {parent}",
                lambda service: list_page(
                    service,
                    parent,
                    parameters,
                    method=method,
                    view=view,
                    page_size=page_size,
                    token=asked,  # noqa: B023 - awaited within the turn
                ),
            )
            yield page.assets
            if not page.next_token:
                return
            if page.next_token == token:
                raise BadBody(
                    f"{method} of {parent} answered the same page token twice.",
                    hint="Check that `api_url` names an Earth Engine.",
                )
            token = page.next_token


def _chosen(page: Sequence[AssetInfo], is_meant: Callable[[AssetInfo], bool]) -> list[AssetInfo]:
    return [asset for asset in page if is_meant(asset)]
