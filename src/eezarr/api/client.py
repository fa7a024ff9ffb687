"""The client: whole regions of pixels, however many requests they take, into memory, a stream, or a store."""

from __future__ import annotations

import asyncio
import warnings
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from eezarr.api.coarsening import overview_methods
from eezarr.api.collecting import ArrayKeeper, FetchedTile, QueueKeeper
from eezarr.api.describing import describe, learnt_types, limits_of
from eezarr.api.origin import require_possible_origin
from eezarr.api.resolving import bands_of, masking_of, plan_for, resolve_series
from eezarr.api.running import Noted, Runner, require_all
from eezarr.api.samplefetching import SampleFetcher
from eezarr.api.sampling import resolve_sites
from eezarr.api.series import describe_cube
from eezarr.api.service import Service
from eezarr.calls import checked_methods
from eezarr.config import FetchOptions, SampleStoreOptions, StoreOptions, output_name
from eezarr.earthengine import Image
from eezarr.earthengine.series import ImageCollection
from eezarr.engine import ThreadedKeeper, held
from eezarr.events import JobEnded, JobStarted
from eezarr.notices import EezarrWarning
from eezarr.outputs.report import Report, Tally, missing_tiles
from eezarr.samples.overlaps import overlap_notice
from eezarr.store import ZarrSink, recorded_origin
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from os import PathLike

    import numpy as np
    import numpy.typing as npt

    from eezarr.api.patches import Patches
    from eezarr.config import MaskOptions
    from eezarr.earthengine.image import ImageLike
    from eezarr.earthengine.sampling import SampledImages
    from eezarr.earthengine.source import Subject, SubjectLike
    from eezarr.engine import Failure, Keeper
    from eezarr.events import Event
    from eezarr.grid import PixelGrid
    from eezarr.plan import Band, Plan, Tile
    from eezarr.samples import SamplePlan, SiteTable
    from eezarr.store import Resampling

__all__ = ["Client"]

WRITERS = 2
"""Threads that encode and write. Zarr's pipeline uses threads of its own for the chunks of a tile; on two cores more
than two writers gained nothing, and each costs a tile's memory."""


@checked_methods
class Client(Service):
    """Access to Earth Engine for one project: every request of whatever kind passes one gate.

    Use it as an async context manager; see `Connection` for the arguments. Its REST methods are `Service`'s.
    """

    async def pixels(
        self, image: SubjectLike, grid: PixelGrid, *, mask: MaskOptions | None = None, refresh: bool = False
    ) -> npt.NDArray[np.generic]:
        """Return an image's pixels on a grid, tiled if it must be.

        Args:
            image: What is read: an `Image`, `Image.collection(...)` or an `ee.Image`.
            grid: Its pixels.
            mask: What becomes of masked pixels; None: what the service answers for them.
            refresh: Whether to ask anew for what describes images, which is otherwise kept for the client's life.

        Returns:
            (band, y, x) array, or (time, band, y, x) of a collection, in the bands' common NumPy type, which holds each
            band's values exactly. With the mask mode `band` it is a `numpy.ma.MaskedArray`.

        Raises:
            Incomplete: If tiles are missing; it names them.
            EezarrError: If nothing could be had.
        """
        if refresh:
            self.descriptions.forget()
        subject, plan = await self._transient_plan(image, grid, None, mask)
        keeper = ArrayKeeper.empty(plan)
        require_all(await self._run(plan, plan, subject, keeper))
        return keeper.result

    async def stream(
        self,
        image: SubjectLike,
        grid: PixelGrid,
        *,
        tile: tuple[int, int] | None = None,
        mask: MaskOptions | None = None,
        refresh: bool = False,
    ) -> AsyncIterator[FetchedTile]:
        """Yield tiles with their pixels, as they come; a consumer that is slow slows the asking.

        Args:
            image: What is read: an `Image`, `Image.collection(...)` or an `ee.Image`.
            grid: Its pixels.
            tile: Height and width of a tile in pixels; None chooses what is expected to be done first.
            mask: What becomes of masked pixels; None: what the service answers for them.
            refresh: Whether to ask anew for what describes images, as in `pixels`.

        Raises:
            Incomplete: At the end, if tiles could not be had; it names them.
            EezarrError: If nothing could be had.
        """
        if refresh:
            self.descriptions.forget()
        subject, plan = await self._transient_plan(image, grid, tile, mask)
        keeper = QueueKeeper()
        job = asyncio.create_task(keeper.end_after(self._run(plan, plan, subject, keeper)))
        try:
            async for fetched in keeper:
                yield fetched
            require_all(await job)
        finally:
            job.cancel()
            await asyncio.wait([job])

    async def fetch(
        self,
        image: SubjectLike,
        grid: PixelGrid,
        output: str | PathLike[str],
        *,
        store: StoreOptions | None = None,
        mask: MaskOptions | None = None,
        overwrite: bool = False,
        refresh: bool = False,
        steal: bool = False,
    ) -> Report:
        """Fetch an image or a collection on a grid into a Zarr store; the same call resumes what an earlier one began.

        Args:
            image: What is read: an `Image`, `Image.collection(...)` or an `ee.Image`.
            grid: Its pixels.
            output: A path or a file://, s3://, gs:// or az:// URL.
            store: Layout, chunks, compression.
            mask: What becomes of masked pixels; None: what the service answers for them.
            overwrite: Whether to delete another Zarr group that is there.
            refresh: Whether to ask anew for what describes images, as in `pixels`.
            steal: Whether to take the store over from a run that is writing it, which then stops.

        Returns:
            The report of a complete job.

        Raises:
            Incomplete: If tiles could not be had; its report names each.
            EezarrError: If the job had to stop; what is stored stays, and the same call resumes.
        """
        output = output_name(output)
        await self.require_origin(output, overwrite=overwrite)
        if refresh:
            self.descriptions.forget()
        store = store or StoreOptions()
        subject, bands = await self._described(image, grid, mask, store=store, output=output, is_new=overwrite)
        plan = plan_for(
            subject,
            grid,
            bands,
            store=store,
            fetch=self.options,
            output=output,
            masking=masking_of(mask, bands),
        )
        with exhaustion():
            return await self.fetch_plan(
                subject, plan, output, overwrite=overwrite, steal=steal, overviews=store.overviews
            )

    async def fetch_plan(
        self,
        subject: Subject,
        plan: Plan,
        output: str,
        *,
        overwrite: bool = False,
        repair: bool = False,
        steal: bool = False,
        overviews: bool | Resampling = False,
    ) -> Report:
        """Fetch a plan's missing tiles into its store, its overviews built as they land; see `fetch`.

        With `repair`, stored tiles are read first, and those that are not what was stored are missing, too.
        """
        clock = asyncio.get_running_loop().time
        start_s, tally = clock(), Tally()
        methods = await overview_methods(self, subject, plan, overviews)
        await self.learn_origin()
        opening = partial(
            ZarrSink.create,
            plan,
            output,
            image_info=subject.describe(),
            origin=self.origin,
            now=datetime.now(UTC),
            overwrite=overwrite,
            repair=repair,
            steal=steal,
            overviews=methods,
        )
        async with held(opening) as sink:
            if repair:
                await asyncio.to_thread(sink.unmark_altered)
            resumed = sink.stored_count
            self._tell(
                JobStarted(
                    output=output,
                    tiles_total=plan.wanted_count,
                    tiles_resumed=resumed,
                    pixel_bytes=plan.pixel_bytes,
                    body_bytes=plan.body_bytes,
                )
            )
            failures: list[Failure] = []
            if resumed < plan.wanted_count:
                await asyncio.to_thread(sink.begin_overviews, methods)
                async with ThreadedKeeper.over(sink, threads=WRITERS) as keeper:
                    tiles = map(plan.tile, sink.missing())
                    failures = await self._run(plan, tiles, subject, keeper, tally=tally, successes=resumed, noted=sink)
            is_complete = await asyncio.to_thread(sink.finish, datetime.now(UTC), overviews=methods)
        report = Report(
            output=output,
            tiles_total=plan.wanted_count,
            tiles_written=sink.stored_count - resumed,
            tiles_resumed=resumed,
            requests_sent=tally.sent,
            requests_retried=tally.retried,
            requests_throttled=tally.throttled,
            requests_split=tally.split,
            bytes_received=tally.received_bytes,
            bytes_pixels=tally.pixel_bytes,
            bytes_bodies=tally.body_bytes,
            seconds=clock() - start_s,
            missing=missing_tiles(failures),
        )
        self._tell(JobEnded(is_complete=is_complete, seconds=report.seconds))
        require_all(failures, report)
        return report

    async def fetch_samples(
        self,
        image: SubjectLike,
        sites: SiteTable,
        output: str | PathLike[str],
        *,
        patches: Patches,
        label_image: ImageLike | None = None,
        store: SampleStoreOptions | None = None,
        mask: MaskOptions | None = None,
        overwrite: bool = False,
        refresh: bool = False,
        steal: bool = False,
    ) -> Report:
        """Fetch patches round sites into one store; the same call resumes what an earlier one began.

        Args:
            image: What is read: an `Image`, an `ee.Image`, or `Image.collection(...)`, of which each site has images of
                its own.
            sites: Their places; `read_sites` reads them from a file.
            output: A path or a file://, s3://, gs:// or az:// URL.
            patches: Size, CRS, resolution, splits and order.
            label_image: An image of one band, of which a patch is stored as each sample's `target`.
            store: Shards and compression.
            mask: What becomes of masked pixels; None: what the service answers for them.
            overwrite: Whether to delete another Zarr group that is there.
            refresh: Whether to ask anew for what describes images, as in `pixels`.
            steal: Whether to take the store over from a run that is writing it, which then stops.

        Returns:
            The report of a complete job; its tiles are the samples.

        Raises:
            Incomplete: If samples could not be had; its report names each.
            EezarrError: If the job had to stop; what is stored stays, and the same call resumes.
        """
        output = output_name(output)
        await self.require_origin(output, overwrite=overwrite)
        if refresh:
            self.descriptions.forget()
        resolved = await resolve_sites(
            self,
            image,
            sites,
            patches,
            label_image=label_image,
            store=store or SampleStoreOptions(),
            mask=mask,
            is_probing=True,
            output=output,
            is_new=overwrite,
        )
        with exhaustion():
            return await self.fetch_sample_plan(
                resolved.subject, resolved.plan, output, overwrite=overwrite, steal=steal
            )

    async def fetch_sample_plan(
        self,
        subject: SampledImages,
        plan: SamplePlan,
        output: str,
        *,
        overwrite: bool = False,
        repair: bool = False,
        steal: bool = False,
    ) -> Report:
        """Fetch a plan's missing samples into its store; see `fetch_samples`.

        With `repair`, stored samples are read first, and those that are not what was stored are missing, too. Warns of
        splits whose samples share ground.
        """
        if notice := overlap_notice(plan.overlaps):
            warnings.warn(EezarrWarning(notice), stacklevel=2)
        limits = limits_of(subject.limits, self.options.limits)
        await self.learn_origin()
        fetcher = SampleFetcher(link=self._open(), options=self.options, limits=limits, tell=self._tell)
        return await fetcher.fetch(subject, plan, output, overwrite=overwrite, repair=repair, steal=steal)

    async def require_origin(self, output: str, *, overwrite: bool = False) -> None:
        """Check, before anything is asked for, that a store's pixels may be of this service.

        Raises:
            ForeignStore: If they are of another one, and are not to be overwritten.
            StoreError: If the storage fails.
        """
        if not overwrite:
            require_possible_origin(self._api_url, await asyncio.to_thread(recorded_origin, output), output)

    async def read_tiles(
        self, subject: Subject, plan: Plan | SamplePlan, tiles: Iterable[Tile], keeper: Keeper
    ) -> None:
        """Ask for some of a plan's tiles, and hand each to a keeper.

        Raises:
            Incomplete: If tiles could not be had; it names them.
            EezarrError: If nothing could be had.
        """
        require_all(await self._run(plan, tiles, subject, keeper))

    # Inside.

    async def _run(
        self,
        plan: Plan | SamplePlan,
        tiles: Iterable[Tile],
        subject: Subject,
        keeper: Keeper,
        *,
        tally: Tally | None = None,
        successes: int = 0,
        noted: Noted | None = None,
    ) -> list[Failure]:
        counted = tally or Tally()

        def observe(event: Event) -> None:
            counted(event)
            self._tell(event)

        runner = Runner(
            link=self._open(), options=self.options, observe=observe, noted=noted, on_received=counted.on_received
        )
        return await runner.run(plan, tiles, subject, keeper, successes=successes)

    async def _described(
        self,
        image: SubjectLike,
        grid: PixelGrid,
        mask: MaskOptions | None,
        *,
        store: StoreOptions,
        output: str | None = None,
        is_new: bool = False,
    ) -> tuple[Subject, tuple[Band, ...]]:
        mode = mask.mode if mask is not None else "none"
        if isinstance(image, ImageCollection):
            found = await resolve_series(self, image, grid)
            if not isinstance(found, Image):
                cube, common = found
                described = await describe_cube(self, cube, common)
                learnt = await learnt_types(output, store, cube.key, is_new=is_new, widened=cube.widened)
                return cube, await bands_of(self, described, grid, mask, is_probing=True, learnt=learnt)
            image = found
        image = Image.of(image)
        described = await describe(self, image if mode == "none" else image.through_computing())
        described.require_overlap(grid)
        learnt = await learnt_types(output, store, described.image.key, is_new=is_new)
        return described.image, await bands_of(self, described, grid, mask, is_probing=True, learnt=learnt)

    async def _transient_plan(
        self, image: SubjectLike, grid: PixelGrid, tile: tuple[int, int] | None, mask: MaskOptions | None
    ) -> tuple[Subject, Plan]:
        fetch = self.options
        if tile is not None:
            fetch = FetchOptions(**{**fetch.model_dump(exclude_unset=True), "tile": tile})
        store = StoreOptions(chunk=1 if tile else 256)
        subject, bands = await self._described(image, grid, mask, store=store)
        # Whatever the mode says of one mask for all: in memory each band has its own.
        each = mask.model_copy(update={"per_band": True}) if mask is not None and mask.mode == "band" else mask
        masking = masking_of(each, bands)
        return subject, plan_for(subject, grid, bands, store=store, fetch=fetch, output=None, masking=masking)
