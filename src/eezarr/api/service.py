"""What the REST methods do, one verb each: paced and retried like all requests, errors ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.api.catalogue import Catalogue
from eezarr.api.exports import Exports
from eezarr.calls import checked_methods
from eezarr.earthengine.pixelrequest import PixelRequest
from eezarr.earthengine.thumbnails import create_thumbnail, get_thumbnail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine import AssetBand, Image
    from eezarr.earthengine.pixelrequest import RequestKind
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band

__all__ = ["Service"]


@checked_methods
class Service(Catalogue, Exports):
    """Earth Engine's REST methods for one project; see `Connection` for the arguments."""

    async def get_pixels(self, asset: str, request: PixelRequest | Mapping[str, object]) -> bytes:
        """Return the body that `assets.getPixels` answers, in the format that the request names.

        Args:
            asset: Asset id or resource name.
            request: What is asked; a mapping goes out as it is, unchecked.

        Raises:
            InvalidInput: If the request contradicts itself; nothing was sent.
            EezarrError: What the last attempt failed with.
        """
        body = _body(request, "getPixels")
        return await self._ask(f"getPixels {asset}", lambda service: service.get_pixels(asset, body))

    async def compute_pixels(self, request: PixelRequest | Mapping[str, object]) -> bytes:
        """Return the body that `image.computePixels` answers, in the format that the request names.

        Args:
            request: What is asked, the expression included; a mapping goes out as it is, unchecked.

        Raises:
            InvalidInput: If the request contradicts itself; nothing was sent.
            EezarrError: What the last attempt failed with.
        """
        body = _body(request, "computePixels")
        return await self._ask("computePixels", lambda service: service.compute_pixels(body))

    async def compute_value(self, expression: object) -> object:
        """Return the JSON value of an expression (`value.compute`).

        Args:
            expression: An `ee` object, or an Expression as JSON text or objects.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask("value:compute", lambda service: service.compute_value(expression))

    async def create_thumbnail(self, request: PixelRequest | Mapping[str, object]) -> str:
        """Return the name of a new thumbnail (`thumbnails.create`): whoever has it can get its pixels, for some hours.

        Args:
            request: What is shown, the expression included; a mapping goes out as it is, unchecked.

        Raises:
            InvalidInput: If the request contradicts itself; nothing was sent.
            EezarrError: What the last attempt failed with.
        """
        body = _body(request, "thumbnails.create")
        tag = request.workload_tag if isinstance(request, PixelRequest) else None
        return await self._ask("thumbnails.create", lambda service: create_thumbnail(service, body, workload_tag=tag))

    async def get_thumbnail(self, name: str) -> bytes:
        """Return a thumbnail's pixels (`thumbnails.getPixels`), in the format that it was made for.

        Raises:
            EezarrError: `ServiceRefusal` if there is none, or no more.
        """
        return await self._ask(f"thumbnails.getPixels {name}", lambda service: get_thumbnail(service, name))

    async def probe_bands(self, image: Image, grid: PixelGrid | None) -> tuple[Band, ...]:
        """Return the image's bands with the types in which the service answers them, from one pixel.

        Args:
            image: What is asked.
            grid: Where the pixel is: its middle. None: an asset's own first pixel.

        Raises:
            EezarrError: What the last attempt failed with.
        """
        return await self._ask("one pixel", lambda service: service.probe_bands(image, grid))

    async def describe_bands(self, image: Image) -> tuple[AssetBand, ...]:
        """Return the bands of a computed image from its description, without grids; asks for no pixel.

        The description is kept for the client's life.

        Raises:
            ServiceRefusal: If the service refuses the expression.
        """
        return await self.descriptions.get(
            ("bands", image.graph),
            lambda: self._ask("value:compute of the image", lambda service: service.describe_bands(image)),
        )


def _body(request: PixelRequest | Mapping[str, object], kind: RequestKind) -> Mapping[str, object]:
    return request.body(kind) if isinstance(request, PixelRequest) else request
