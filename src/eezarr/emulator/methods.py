"""The REST methods over a world: each answers a call with a body, or raises what the service would say."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from eezarr.emulator import answers, discovery, payload, schemas
from eezarr.emulator.auth import require_readable
from eezarr.emulator.call import Body, Call, json_body
from eezarr.emulator.errors import ApiError, asset_not_found
from eezarr.emulator.exports.methods import ExportMethods
from eezarr.emulator.faults import require_computable
from eezarr.emulator.grids import map_tile
from eezarr.emulator.latency import metadata_latency_s, pixel_latency_s
from eezarr.emulator.listing import list_assets, list_images
from eezarr.emulator.raster import AssetNotFound, Json, World
from eezarr.emulator.stats import Counters, PixelRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eezarr.emulator.answers import PixelJob
    from eezarr.emulator.exports.office import ExportOffice

_MAX_PICTURES = 1000
_T = TypeVar("_T")


class Methods:
    """What can be asked of a world. Evaluation runs in threads, so the loop keeps answering."""

    def __init__(
        self,
        world: World,
        counters: Counters,
        exports: ExportOffice,
        *,
        workers: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Serve `world`; what is answered is counted in `counters`, batch exports go to `exports`."""
        self._world = world
        self._counters = counters
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="emulator")
        self._pictures: OrderedDict[str, dict[str, Json]] = OrderedDict()
        self._handlers: dict[str, Callable[[Call], Awaitable[Body]]] = {
            "getPixels": self._get_pixels,
            "computePixels": self._compute_pixels,
            "thumbnails.getPixels": self._thumbnail_pixels,
            "thumbnails.create": self._create_thumbnail,
            "maps.create": self._create_map,
            "maps.tiles.get": self._map_tile,
            "value.compute": self._compute_value,
            "listImages": self._list_images,
            "listAssets": self._list_assets,
            "algorithms": self._algorithms,
            "assets.get": self._get_asset,
            **ExportMethods(exports).handlers(),
        }

    async def answer(self, call: Call) -> Body:
        """Answer a call, after its latency.

        Raises:
            ApiError: What the service would say.
        """
        return await self._handlers[call.route.name](call)

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, function: Callable[[], _T]) -> _T:
        """Answer what `function` answers, from one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def _get_pixels(self, call: Call) -> Body:
        require_readable(call.settings.auth, call.name)

        def prepare() -> PixelJob:
            message = payload.parsed(call.payload, schemas.GET_PIXELS)
            return answers.asset_job(self._world, call.name, message, call.settings.limits.get_pixels)

        return await self._pixels(call, prepare)

    async def _compute_pixels(self, call: Call) -> Body:
        def prepare() -> PixelJob:
            message = payload.parsed(call.payload, schemas.COMPUTE_PIXELS)
            return answers.expression_job(self._world, call.route.name, message, call.settings.limits.compute_pixels)

        return await self._pixels(call, prepare)

    async def _thumbnail_pixels(self, call: Call) -> Body:
        message = self._pictures.get(call.name)
        if message is None:
            raise ApiError(code=404, message=f"Thumbnail '{call.name}' not found.")
        limits = call.settings.limits.compute_pixels
        return await self._pixels(call, lambda: answers.expression_job(self._world, call.route.name, message, limits))

    async def _pixels(self, call: Call, prepare: Callable[[], PixelJob]) -> Body:
        job = await self.in_thread(prepare)
        area = job.grid.width * job.grid.height
        require_computable(call.settings.faults.rules, job.subject, area)
        self._counters.recent.append(_record(job))
        latency_s = pixel_latency_s(
            call.settings.latency,
            accounted_bytes=job.accounted_bytes,
            pixels=area,
            request=call.identity,
            attempt=call.attempt,
        )
        # The wait comes before the read: pixels in memory are those being sent, not those being waited for.
        await self._wait(latency_s)
        body = await self.in_thread(lambda: answers.render(job, call.settings.under_mask, call.fault))
        self._counters.pixel_requests += 1
        self._counters.pixels_served += area
        return body

    async def _create_thumbnail(self, call: Call) -> Body:
        payload.require_workload_tag(call.query.get("workloadTag"))

        def prepare() -> dict[str, Json]:
            message = payload.parsed(call.payload, schemas.THUMBNAIL)
            answers.expression_job(self._world, "thumbnails", message, call.settings.limits.compute_pixels)
            return message

        return json_body({"name": self._keep(f"{call.name}/thumbnails", await self._after_latency(call, prepare))})

    async def _create_map(self, call: Call) -> Body:
        payload.require_workload_tag(call.query.get("workloadTag"))
        message = await self._after_latency(call, lambda: payload.parsed(call.payload, schemas.MAP))
        return json_body({"name": self._keep(f"{call.name}/maps", message)})

    def _keep(self, parent: str, message: dict[str, Json]) -> str:
        """Answer the name under which a picture can be fetched, for as long as there is room for it."""
        name = f"{parent}/{uuid4().hex}"
        self._pictures[name] = message
        if len(self._pictures) > _MAX_PICTURES:
            self._pictures.popitem(last=False)
        return name

    async def _map_tile(self, call: Call) -> Body:
        name, _, place = call.name.partition("/tiles/")
        message = self._pictures.get(name)
        if message is None:
            raise ApiError(code=404, message=f"Map '{name}' not found.")
        zoom, column, row = (int(number) for number in place.split("/"))
        tile = {**message, "grid": map_tile(zoom, column, row)}
        limits = call.settings.limits.compute_pixels
        return await self._pixels(call, lambda: answers.expression_job(self._world, call.route.name, tile, limits))

    async def _compute_value(self, call: Call) -> Body:
        def compute() -> Json:
            message = payload.parsed(call.payload, schemas.COMPUTE_VALUE)
            value = answers.evaluated(self._world, message)
            return value.info() if answers.is_raster(value) else value

        value = await self._after_latency(call, compute)
        return json_body({"result": value})

    async def _list_assets(self, call: Call) -> Body:
        return json_body(await self._after_latency(call, lambda: list_assets(self._world, call.name, call.query)))

    async def _list_images(self, call: Call) -> Body:
        return json_body(await self._after_latency(call, lambda: list_images(self._world, call.name, call.query)))

    async def _get_asset(self, call: Call) -> Body:
        require_readable(call.settings.auth, call.name)
        try:
            return json_body(await self._after_latency(call, lambda: self._world.asset(call.name)))
        except AssetNotFound as error:
            raise asset_not_found(call.name) from error

    async def _algorithms(self, call: Call) -> Body:
        return Body(parts=(await self._after_latency(call, discovery.algorithms),), content_type="application/json")

    async def _after_latency(self, call: Call, function: Callable[[], _T]) -> _T:
        await self._wait(metadata_latency_s(call.settings.latency, request=call.identity, attempt=call.attempt))
        return await self.in_thread(function)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)


def _record(job: PixelJob) -> PixelRequest:
    return PixelRequest(
        method=job.method,
        subject=job.subject if job.method == "getPixels" else "expression",
        bands=tuple(band.id for band in job.bands),
        crs=job.grid.crs,
        transform=job.grid.transform,
        width=job.grid.width,
        height=job.grid.height,
        accounted_bytes=job.accounted_bytes,
    )
