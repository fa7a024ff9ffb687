"""The client: one connection to the service, one gate for all that it asks, and the verbs over them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from eezarr.api.collecting import ArrayKeeper, FetchedTile, QueueKeeper
from eezarr.api.describing import describe, typed_bands
from eezarr.api.resolving import plan_for
from eezarr.config import FetchOptions, StoreOptions
from eezarr.earthengine import EarthEngine, PixelSource, body_capacity
from eezarr.engine import Asker, Gate, ThreadedKeeper, run_tiles
from eezarr.errors import Incomplete, InvalidInput
from eezarr.events import JobEnded, JobStarted, LimitChanged, Restricted
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.outputs.report import Report, Tally, missing_tiles
from eezarr.plan import Budget
from eezarr.retry import RetryPolicy
from eezarr.store import ZarrSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import TypeVar

    import numpy as np
    import numpy.typing as npt

    from eezarr.earthengine import AssetInfo, Image
    from eezarr.earthengine.auth import Credentials
    from eezarr.engine import Failure, Keeper
    from eezarr.events import Event, Observer
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band, Plan, Tile

    T = TypeVar("T")

__all__ = ["Client"]

WRITERS = 2
"""Threads that encode and write. Zarr's pipeline uses threads of its own for the chunks of a tile; on two cores more
than two writers gained nothing, and each costs a tile's memory."""


class Client:
    """Access to Earth Engine for one project: every request of whatever kind passes one gate.

    Use it as an async context manager. Default options are the service's documented quota.

    Args:
        project: The project that computes; default: EARTHENGINE_PROJECT, GOOGLE_CLOUD_PROJECT, else what the
            credentials name.
        credentials: A google-auth object, the path of a key file, `anonymous`, or None to search.
        options: Concurrency, rate, retries, memory.
        api_url: The service, instead of the options'.
        observe: Told of every `Event`, in the loop's thread.

    Raises:
        AccessDenied: On entering, if no credentials or no project are found.
        InvalidInput: On entering, if the address cannot be.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        credentials: Credentials | Path | str | None = None,
        options: FetchOptions | None = None,
        api_url: str | None = None,
        observe: Observer = lambda _: None,
    ) -> None:
        self.options = options or FetchOptions()
        self._project = project
        self._credentials = credentials
        self._api_url = api_url or self.options.api_url
        self._tell = observe
        self._is_restricted = False
        self._closing = AsyncExitStack()
        self._connected: _Connection | None = None

    async def __aenter__(self) -> Self:
        service = await EarthEngine.connect(
            project=self._project,
            credentials=self._credentials,
            api_url=self._api_url,
            is_gzip=self.options.gzip,
            workload_tag=self.options.workload_tag,
            on_restricted=self._on_restricted,
        )
        await self._closing.enter_async_context(service)
        gate = Gate(
            limit=ConcurrencyLimit(ceiling=self.options.max_concurrency),
            rate=RateLimit(self.options.max_requests_per_second),
            on_shrink=lambda limit: self._tell(LimitChanged(limit=limit)),
        )
        policy = RetryPolicy(attempts=self.options.attempts, deadline_s=self.options.deadline_s)
        self._connected = _Connection(
            service=service,
            asker=Asker(
                gate=gate,
                policy=policy,
                observe=self._tell,
                is_in_contact=lambda: service.transport.has_answered,
            ),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connected = None
        await self._closing.aclose()

    # What the REST methods do.

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

    # Pixels.

    async def pixels(self, image: Image, grid: PixelGrid) -> npt.NDArray[np.generic]:
        """Return an image's pixels on a grid, tiled if it must be.

        Returns:
            (band, y, x) array in the bands' common NumPy type, which holds each band's values exactly.

        Raises:
            Incomplete: If tiles are missing; it names them.
            EezarrError: If nothing could be had.
        """
        named, plan = await self._transient_plan(image, grid, None)
        keeper = ArrayKeeper.empty(plan)
        self._require_all(await self._run(plan, plan, named, keeper))
        return keeper.pixels

    async def stream(
        self, image: Image, grid: PixelGrid, *, tile: tuple[int, int] | None = None
    ) -> AsyncIterator[FetchedTile]:
        """Yield tiles with their pixels, as they come; a consumer that is slow slows the asking.

        Args:
            image: What is read.
            grid: Its pixels.
            tile: Height and width of a tile in pixels; None chooses as large as legal.

        Raises:
            Incomplete: At the end, if tiles could not be had; it names them.
            EezarrError: If nothing could be had.
        """
        named, plan = await self._transient_plan(image, grid, tile)
        keeper = QueueKeeper()
        job = asyncio.create_task(keeper.end_after(self._run(plan, plan, named, keeper)))
        try:
            async for fetched in keeper:
                yield fetched
            self._require_all(await job)
        finally:
            job.cancel()
            await asyncio.wait([job])

    async def fetch(
        self,
        image: Image,
        grid: PixelGrid,
        output: str,
        *,
        store: StoreOptions | None = None,
        overwrite: bool = False,
    ) -> Report:
        """Fetch an image on a grid into a Zarr store; the same call resumes what an earlier one began.

        Args:
            image: What is read.
            grid: Its pixels.
            output: A path or a file://, s3://, gs:// or az:// URL.
            store: Layout, chunks, compression.
            overwrite: Whether to delete another Zarr group that is there.

        Returns:
            The report of a complete job.

        Raises:
            Incomplete: If tiles could not be had; its report names each.
            EezarrError: If the job had to stop; what is stored stays, and the same call resumes.
        """
        named, bands = await self._described(image, grid)
        plan = plan_for(named, grid, bands, store=store or StoreOptions(), fetch=self.options, output=output)
        return await self.fetch_plan(named, plan, output, overwrite=overwrite)

    async def fetch_plan(self, image: Image, plan: Plan, output: str, *, overwrite: bool = False) -> Report:
        """Fetch a plan's missing tiles into its store; see `fetch`."""
        clock = asyncio.get_running_loop().time
        start_s, start_bytes = clock(), self._open().service.transport.received_bytes
        tally = Tally()
        sink = await asyncio.to_thread(
            ZarrSink.create, plan, output, image_info=image.describe(), now=datetime.now(UTC), overwrite=overwrite
        )
        resumed = sink.stored_count
        self._tell(
            JobStarted(output=output, tiles_total=plan.tile_count, tiles_resumed=resumed, pixel_bytes=plan.pixel_bytes)
        )
        failures: list[Failure] = []
        if resumed < plan.tile_count:
            async with ThreadedKeeper.over(sink, threads=WRITERS) as keeper:
                tiles = map(plan.tile, sink.missing())
                failures = await self._run(plan, tiles, image, keeper, tally=tally, successes=resumed)
        is_complete = await asyncio.to_thread(sink.finish, datetime.now(UTC))
        report = Report(
            output=output,
            tiles_total=plan.tile_count,
            tiles_written=sink.stored_count - resumed,
            tiles_resumed=resumed,
            requests_sent=tally.sent,
            requests_retried=tally.retried,
            requests_throttled=tally.throttled,
            bytes_received=self._open().service.transport.received_bytes - start_bytes,
            bytes_pixels=tally.pixel_bytes,
            seconds=clock() - start_s,
            missing=missing_tiles(failures),
        )
        self._tell(JobEnded(is_complete=is_complete, seconds=report.seconds))
        self._require_all(failures, report)
        return report

    # Inside.

    async def _ask(self, what: str, call: Callable[[EarthEngine], Awaitable[T]]) -> T:
        connection = self._open()
        return (await connection.asker.ask(what, lambda: call(connection.service))).value

    async def _run(
        self,
        plan: Plan,
        tiles: Iterable[Tile],
        image: Image,
        keeper: Keeper,
        *,
        tally: Observer = lambda _: None,
        successes: int = 0,
    ) -> list[Failure]:
        connection = self._open()

        def observe(event: Event) -> None:
            tally(event)
            self._tell(event)

        budget = Budget(concurrency=self.options.max_concurrency, memory_bytes=int(self.options.memory))
        return await run_tiles(
            tiles,
            source=PixelSource(connection.service, image),
            keeper=keeper,
            asker=replace(connection.asker, observe=observe),
            workers=min(budget.workers(plan.tile_bytes), plan.tile_count),
            buffer_bytes=body_capacity(plan.bands[: plan.bands_per_tile], plan.tile(0).window.shape),
            observe=observe,
            successes=successes,
        )

    async def _described(self, image: Image, grid: PixelGrid) -> tuple[Image, tuple[Band, ...]]:
        described = await describe(self, image)
        described.require_overlap(grid)
        return described.image, await typed_bands(self, described, grid, is_probing=True)

    async def _transient_plan(self, image: Image, grid: PixelGrid, tile: tuple[int, int] | None) -> tuple[Image, Plan]:
        fetch = self.options if tile is None else self.options.model_copy(update={"tile": tile})
        store = StoreOptions(chunk=1 if tile else 256)
        named, bands = await self._described(image, grid)
        return named, plan_for(named, grid, bands, store=store, fetch=fetch, output=None)

    @staticmethod
    def _require_all(failures: list[Failure], report: Report | None = None) -> None:
        if not failures:
            return
        first = "; ".join(f"{item.tile}: {item.error.message}" for item in failures[:5])
        raise Incomplete(
            f"{len(failures)} tiles are missing: {first}{'; …' if len(failures) > 5 else ''}",
            hint="Run the same again: it asks for the missing tiles only.",
            report=report,
        )

    def _open(self) -> _Connection:
        if self._connected is None:
            raise InvalidInput("The client is not open.", hint="Use it as `async with eezarr.Client(...) as client:`.")
        return self._connected

    def _on_restricted(self) -> None:
        if not self._is_restricted:
            self._is_restricted = True
            self._tell(Restricted(status="parallelism_restricted"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    service: EarthEngine
    asker: Asker
