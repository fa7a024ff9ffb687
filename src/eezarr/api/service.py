"""What the REST methods do, one verb each: paced and retried like all requests, errors ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.api.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine import AssetInfo, Image
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band

__all__ = ["Service"]


class Service(Connection):
    """Earth Engine's REST methods for one project; see `Connection` for the arguments."""

    async def get_asset(self, asset: str) -> AssetInfo:
        """Return an asset's metadata (`assets.get`).

        Raises:
            EezarrError: `ServiceRefusal` if there is no such asset.
        """
        return await self._ask(f"assets.get {asset}", lambda service: service.get_asset(asset))

    async def get_pixels(self, asset: str, request: Mapping[str, object]) -> bytes:
        """Return the body that `assets.getPixels` answers to a request, in the format that it names.

        Args:
            asset: Asset id or resource name.
            request: The method's JSON body: `fileFormat`, `grid`, `region`, `bandIds`, `visualizationOptions`.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask(f"getPixels {asset}", lambda service: service.get_pixels(asset, request))

    async def compute_pixels(self, request: Mapping[str, object]) -> bytes:
        """Return the body that `image.computePixels` answers to a request, in the format that it names.

        Args:
            request: The method's JSON body: `expression`, `fileFormat`, `grid`, `bandIds`, `visualizationOptions`.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask("computePixels", lambda service: service.compute_pixels(request))

    async def compute_value(self, expression: object) -> object:
        """Return the JSON value of an expression (`value.compute`).

        Args:
            expression: An `ee` object, or an Expression as JSON text or objects.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask("value:compute", lambda service: service.compute_value(expression))

    # What an image is.

    async def probe_bands(self, image: Image, grid: PixelGrid | None) -> tuple[Band, ...]:
        """Return the image's bands with the types in which the service answers them, from one pixel.

        Args:
            image: What is asked.
            grid: Where the pixel is: its middle. None: an asset's own first pixel.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask("one pixel", lambda service: service.probe_bands(image, grid))

    async def describe_bands(self, image: Image) -> tuple[tuple[str, str | None], ...]:
        """Return names and NumPy types of a computed image's bands from its description; asks for no pixel.

        Raises:
            ServiceRefusal: If the service refuses the expression.
        """
        return await self._ask("value:compute of the image", lambda service: service.describe_bands(image))
