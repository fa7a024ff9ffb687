"""Samples into a store: what of the memory budget stored objects take while they fill, and who is told of what."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from eezarr.api.running import Runner, require_all
from eezarr.engine import ThreadedKeeper, held
from eezarr.engine.splitting import WorkingSize
from eezarr.errors import InvalidInput
from eezarr.events import JobEnded, JobStarted, TileFailed
from eezarr.outputs.report import Report, Tally, missing_tiles
from eezarr.store import SamplesSink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eezarr.api.connection import Link
    from eezarr.config import FetchOptions
    from eezarr.earthengine.sampling import SampledImages
    from eezarr.engine import Failure
    from eezarr.events import Event, Observer
    from eezarr.plan import RequestLimits
    from eezarr.samples import SamplePlan

__all__ = ["SampleFetcher", "working_size"]

WRITERS = 2
"""Threads that encode and write, as for tiles."""

_SHARD_SHARE = 4
"""Shards that fill take a quarter of the memory budget at the most."""


def working_size(limits: RequestLimits) -> WorkingSize:
    """Return what one request for a sample may ask for: a larger sample is asked for in parts."""
    return WorkingSize(max_bytes=limits.max_bytes, max_side=limits.max_side, max_bands=limits.max_bands)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFetcher:
    """Fetches samples over an open connection."""

    link: Link
    options: FetchOptions
    limits: RequestLimits
    tell: Observer
    """Told of every event."""

    async def fetch(
        self, subject: SampledImages, plan: SamplePlan, output: str, *, overwrite: bool, repair: bool, steal: bool
    ) -> Report:
        """Fetch a plan's missing samples into its store; see `Client.fetch_samples`."""
        clock = asyncio.get_running_loop().time
        start_s, tally, most_open = clock(), Tally(), self._most_open(plan)
        self._check_memory(plan, most_open)
        opening = partial(
            SamplesSink.create,
            plan,
            output,
            image_info=subject.describe(),
            origin=self.link.service.transport.origin,
            now=datetime.now(UTC),
            overwrite=overwrite,
            repair=repair,
            steal=steal,
            most_open=most_open,
        )
        async with held(opening) as sink:
            if repair:
                await asyncio.to_thread(sink.unmark_altered)
            resumed = sink.stored_count
            self.tell(
                JobStarted(
                    output=output,
                    tiles_total=plan.wanted_count,
                    tiles_resumed=resumed,
                    pixel_bytes=plan.pixel_bytes,
                    body_bytes=plan.body_bytes,
                )
            )
            failures: list[Failure] = []
            missing: Iterable[int] = sink.missing() if resumed < plan.wanted_count else ()
            while (first := next(iter(missing := iter(missing)), None)) is not None:
                failures += await self._run(
                    subject, plan, sink, chain([first], missing), tally=tally, most_open=most_open
                )
                # A stored object that was to be completed turned out damaged.
                missing = sink.take_lost()
            is_complete = await asyncio.to_thread(sink.finish, datetime.now(UTC))
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
        self.tell(JobEnded(is_complete=is_complete, seconds=report.seconds))
        require_all(failures, report, noun="samples")
        return report

    async def _run(
        self,
        subject: SampledImages,
        plan: SamplePlan,
        sink: SamplesSink,
        missing: Iterable[int],
        *,
        tally: Tally,
        most_open: int,
    ) -> list[Failure]:
        def observe(event: Event) -> None:
            tally(event)
            if isinstance(event, TileFailed):
                sink.give_up(event.tile)
            self.tell(event)

        runner = replace(self._runner(plan, most_open, observe), noted=sink, on_received=tally.on_received)
        async with ThreadedKeeper.over(sink, threads=WRITERS) as keeper:
            try:
                tiles = map(plan.tile, missing)
                return await runner.run(plan, tiles, subject, keeper, successes=sink.stored_count)
            finally:
                # However it ends: what is in memory is not asked for again.
                await asyncio.to_thread(sink.store_all)

    def _most_open(self, plan: SamplePlan) -> int:
        """How many stored objects may fill at the same time."""
        share = int(self.options.memory) // _SHARD_SHARE
        return max(1, min(share // plan.unit_bytes, self.options.max_concurrency))

    def _runner(self, plan: SamplePlan, most_open: int, observe: Observer) -> Runner:
        """Return what runs the samples, within the memory that stored objects leave."""
        # Open ones, one for each writer, and as much again for what Zarr encodes of those being written.
        held = 0 if plan.layout.per_shard is None else (most_open + 2 * WRITERS) * plan.unit_bytes
        return Runner(
            link=self.link,
            options=self.options,
            observe=observe,
            size=working_size(self.limits),
            reserved_bytes=held,
        )

    def _check_memory(self, plan: SamplePlan, most_open: int) -> None:
        if self._runner(plan, most_open, self.tell).budget.workers(plan.tile_bytes) < 1:
            raise InvalidInput(
                f"A sample holds {plan.tile_bytes} bytes and a stored object {plan.unit_bytes}; several of each are "
                f"more than the memory budget of {int(self.options.memory)} bytes.",
                hint="Give more memory, or fewer samples a shard.",
            )
