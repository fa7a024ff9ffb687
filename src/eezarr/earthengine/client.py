"""Earth Engine's REST methods, one attempt each.

Retries, pacing and concurrency are the engine's. What is constant over a plan's tiles is encoded once.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from eezarr.earthengine.address import HIGH_VOLUME_URL, Address
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.catalogue import parse_asset, parse_image_info
from eezarr.earthengine.codec import MAX_HEADER_BYTES, decode_pixels, describe_npy
from eezarr.earthengine.credentials import find_credentials, find_project
from eezarr.earthengine.expression import parse_expression
from eezarr.earthengine.names import asset_name, project_name
from eezarr.earthengine.payload import JsonBody, PixelTemplate
from eezarr.earthengine.transport import Transport
from eezarr.errors import BadBody, InvalidInput
from eezarr.grid import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from eezarr.earthengine.auth import Credentials
    from eezarr.earthengine.catalogue import AssetBand, AssetInfo
    from eezarr.earthengine.compression import GzipMode
    from eezarr.earthengine.expression import Expression
    from eezarr.earthengine.image import Image
    from eezarr.earthengine.session import Timeouts
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band, Tile
    from eezarr.protocols import Memory, Pixels

__all__ = ["EarthEngine", "PreparedImage"]

_VERSION = "v1"
_MAX_RAW_BYTES = 64 << 20
"""Above the service's 48 MiB of pixels, with room for a format's own bytes."""

_TAG = re.compile(r"[a-z0-9](?:[-_a-z0-9]{0,61}[a-z0-9])?")
"""A workload tag, as the official client checks it. Source: ee/data.py, `_WorkloadTag`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """An image made ready for many requests."""

    path: str
    """Where its pixels are asked for."""
    template: PixelTemplate
    """The request body but for the grid and the bands."""
    is_computed: bool
    """Whether the service computes it, and so may be silent for minutes."""
    is_packed: bool = False
    """Whether its bands are what a request asks for, all of them, in order: then they need not be named."""


class EarthEngine:
    """One project's access to the service: each method asks once, and raises one of our errors.

    Args:
        transport: How it is reached; closed with this object.
        project: The project that computes.
        workload_tag: Tag under which the project's usage is reported.

    Raises:
        InvalidInput: If the project or the tag cannot be.
    """

    def __init__(self, transport: Transport, *, project: str, workload_tag: str | None = None) -> None:
        if workload_tag is not None and not _TAG.fullmatch(workload_tag):
            raise InvalidInput(
                f"{workload_tag[:80]!r} is not a workload tag.",
                hint="Use 1 to 63 lower-case letters, digits, `-` and `_`, with a letter or digit at both ends.",
            )
        self.project = project
        self.transport = transport
        self.parent = project_name(project)
        """`projects/P`: what computations, thumbnails, exports and operations belong to."""
        self.constant: dict[str, object] = {} if workload_tag is None else {"workloadTag": workload_tag}
        """What every request that computes holds."""

    @classmethod
    async def connect(
        cls,
        *,
        project: str | None = None,
        credentials: Credentials | Path | str | None = None,
        api_url: str = HIGH_VOLUME_URL,
        timeouts: Timeouts | None = None,
        gzip: GzipMode = False,
        workload_tag: str | None = None,
        on_restricted: Callable[[], None] | None = None,
    ) -> Self:
        """Find credentials and project; the first request opens the connection and fetches the token.

        Args:
            project: Project id; None to look in the environment and the credentials.
            credentials: A google-auth object, a key file's path, `anonymous`, or None to search.
            api_url: Base URL of the service.
            timeouts: How long silence is borne.
            gzip: Whether to ask for compressed bodies: always, never, or where it is measured to pay.
            workload_tag: Tag under which the project's usage is reported.
            on_restricted: Told whenever the service says that the project's parallelism is restricted.

        Raises:
            AccessDenied: If no credentials or no project are found.
            InvalidInput: If an argument cannot be, or a token would travel in the clear.
        """
        address = Address(api_url)
        found = await asyncio.to_thread(find_credentials, credentials, is_local=address.is_loopback)
        named = await asyncio.to_thread(find_project, project, found)
        transport = Transport(
            address,
            TokenSource(found),
            project=named,
            timeouts=timeouts,
            gzip=gzip,
            on_restricted=on_restricted,
        )
        return cls(transport, project=named, workload_tag=workload_tag)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.transport.aclose()

    async def get_asset(self, asset: str) -> AssetInfo:
        """Return an asset's metadata (`assets.get`).

        Raises:
            EezarrError: `ServiceRefusal` if there is no such asset; else as the transport says.
        """
        return parse_asset(await self.transport.call_json("GET", f"/{_VERSION}/{asset_name(asset)}"))

    async def get_pixels(self, asset: str, request: Mapping[str, object], *, max_bytes: int = _MAX_RAW_BYTES) -> bytes:
        """Return the body that `assets.getPixels` answers, in the format that the request names.

        Raises:
            EezarrError: As the transport says.
        """
        body = JsonBody.of(self.constant | dict(request))
        path = f"/{_VERSION}/{asset_name(asset)}:getPixels"
        return await self.transport.receive_bytes(path, body, max_bytes=max_bytes, is_computed=False)

    async def compute_pixels(self, request: Mapping[str, object], *, max_bytes: int = _MAX_RAW_BYTES) -> bytes:
        """Return the body that `image.computePixels` answers, in the format that the request names.

        Raises:
            EezarrError: As the transport says.
        """
        body = JsonBody.of(self.constant | dict(request))
        path = f"/{_VERSION}/{self.parent}/image:computePixels"
        return await self.transport.receive_bytes(path, body, max_bytes=max_bytes)

    async def compute_value(self, expression: object) -> object:
        """Return the JSON value that `value.compute` makes of an expression, or of any ee object.

        Raises:
            EezarrError: `BadBody` if the answer has no result; else as the transport says.
        """
        graph: object = json.loads(parse_expression(expression, kind=None))
        body = JsonBody.of(self.constant | {"expression": graph})
        path = f"/{_VERSION}/{self.parent}/value:compute"
        answer = await self.transport.call_json("POST", path, body=body, is_computed=True)
        if "result" not in answer:
            raise BadBody(
                "value:compute answered without a result.", hint="Check that `api_url` names an Earth Engine."
            )
        return answer["result"]

    async def describe_bands(self, image: Image) -> tuple[AssetBand, ...]:
        """Return the bands of a computed image from its description, without grids; asks for no pixel.

        Raises:
            InvalidInput: If the image is not computed, or the expression makes no image.
            EezarrError: `ServiceRefusal` if the expression cannot be computed; else as the transport says.
        """
        if image.graph is None:
            raise InvalidInput("A stored image is described by its asset.", hint="Use get_asset.")
        return parse_image_info(await self.compute_value(image.graph))

    def prepare(self, image: Image) -> PreparedImage:
        """Return an image made ready for many requests: its expression is encoded here, once.

        Raises:
            InvalidInput: If its expression is longer than a request may be.
        """
        constant = self.constant | {"fileFormat": "NPY"}
        if image.graph is None:
            path = f"/{_VERSION}/{image.asset_name}:getPixels"
            template = PixelTemplate(constant)
        else:
            path = f"/{_VERSION}/{self.parent}/image:computePixels"
            template = PixelTemplate(constant, expression=image.graph)
        return PreparedImage(path=path, template=template, is_computed=image.graph is not None)

    def prepare_packed(self, expression: Expression) -> PreparedImage:
        """Return a packed expression made ready for many requests; its bands are all asked for.

        Raises:
            InvalidInput: If it is longer than a request may be.
        """
        template = PixelTemplate(self.constant | {"fileFormat": "NPY"}, expression=expression)
        path = f"/{_VERSION}/{self.parent}/image:computePixels"
        return PreparedImage(path=path, template=template, is_computed=True, is_packed=True)

    async def read_tile(
        self,
        image: PreparedImage,
        tile: Tile,
        memory: Memory,
        *,
        on_received: Callable[[int], None] = lambda _: None,
    ) -> Pixels:
        """Return a tile's pixels, received into the memory, as a view of it.

        Args:
            image: What is read.
            tile: Which of its pixels and bands.
            memory: At least the bytes of `body_capacity`; longer bodies than legal ones are refused all the same.
            on_received: Told of the response's bytes as they came over the wire, however it ends.

        Returns:
            (height, width) structured array, one little-endian field per wire band; dies with the memory's next use.

        Raises:
            EezarrError: `Retryable` if asking again can help, `TooHeavy` if a smaller tile can, others are final.
        """
        bands = tile.wire_bands
        body = image.template.body(tile.grid, None if image.is_packed else [band.name for band in bands])
        buffer, length = await self.transport.receive(
            image.path, body, memory, is_computed=image.is_computed, on_received=on_received
        )
        return decode_pixels(buffer, length, bands=bands, shape=tile.window.shape)

    async def probe_bands(self, image: Image, grid: PixelGrid | None = None) -> tuple[Band, ...]:
        """Return the bands with the types in which the service answers them, learnt by asking for one pixel.

        Args:
            image: What is asked.
            grid: Where the pixel is: the middle of it. None takes an asset's own first pixel.

        Raises:
            InvalidInput: If an expression is probed without a grid, or the asset is no image with a grid.
            EezarrError: As `read_tile`.
        """
        place = _middle(grid) if grid is not None else await self._first_pixel(image)
        prepared = self.prepare(image)
        body = prepared.template.body(place, image.bands)
        answer = await self.transport.receive_bytes(
            prepared.path, body, max_bytes=2 * MAX_HEADER_BYTES, is_computed=prepared.is_computed
        )
        bands, shape = describe_npy(answer)
        names = tuple(band.name for band in bands)
        if shape.size != 1 or (image.bands is not None and names != image.bands):
            raise BadBody(
                f"One pixel of {image.bands or 'all bands'} was asked for; {shape} of {names[:20]} came.",
                hint="Check that `api_url` names an Earth Engine.",
            )
        return bands

    async def _first_pixel(self, image: Image) -> PixelGrid:
        if image.asset_name is None:
            raise InvalidInput(
                "A computed image has no place of its own to be probed at.", hint="Give the grid that it is read on."
            )
        asset = await self.get_asset(image.asset_name)
        if asset.type != "IMAGE":
            raise InvalidInput(
                f"{asset.id} is {asset.type or 'of no known type'}, not IMAGE.",
                hint="Name one image of it, or use [collection] for a time series.",
            )
        bands = asset.bands if image.bands is None else tuple(asset.band(band) for band in image.bands)
        grid = next((band.grid for band in bands if band.grid is not None), None)
        if grid is None:
            raise InvalidInput(f"{asset.id} has no pixel grid of its own.", hint="Give the grid that it is read on.")
        return grid.window(Window(row=0, col=0, height=1, width=1))


def _middle(grid: PixelGrid) -> PixelGrid:
    return grid.window(Window(row=grid.height // 2, col=grid.width // 2, height=1, width=1))
