"""Whether a store still equals the service: some of its tiles or samples are asked for again.

Law: which ones is drawn anew each time, so that checking again checks more. Samples are asked for by themselves, one
time step at a time, by what the store says of each: nothing of the job's packing, sites or listing is used.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eezarr.api.client import Client
from eezarr.api.describing import limits_of
from eezarr.api.loops import run_to_end
from eezarr.api.origin import require_same_origin
from eezarr.api.samplefetching import working_size
from eezarr.config import FetchOptions
from eezarr.earthengine import Image
from eezarr.earthengine.sampling import SampledImages
from eezarr.earthengine.source import described_subject
from eezarr.engine.splitting import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eezarr.engine.splitting import WorkingSize
    from eezarr.plan import Tile
    from eezarr.protocols import Pixels
    from eezarr.samples import SamplePlan
    from eezarr.store import StoredJob, StoredSamples

__all__ = ["compare_samples_with_service", "compare_with_service"]


def compare_with_service(
    job: StoredJob, count: int, *, project: str | None = None, api_url: str | None = None
) -> tuple[list[Tile], list[Tile]]:
    """Ask the service for some stored tiles again.

    Args:
        job: The store.
        count: How many tiles; all if it has no more.
        project: The project that asks; None: as for a job that names none.
        api_url: The service; None: `EEZARR_API_URL`, else Earth Engine.

    Returns:
        The tiles that were asked for, and those of them whose pixels are not what was stored.

    Raises:
        Incomplete: If a tile could not be had.
        ForeignStore: If the store's pixels are of another service.
        EezarrError: If nothing could be had.
    """
    return run_to_end(_compare(job, count, _client(project, api_url)))


def compare_samples_with_service(
    job: StoredSamples, count: int, *, project: str | None = None, api_url: str | None = None
) -> tuple[list[int], dict[int, tuple[str, ...]]]:
    """Ask the service for some stored samples again, each by itself; those that are not there are left out.

    Args:
        job: The store.
        count: How many samples; all if it has no more.
        project: The project that asks; None: as for a job that names none.
        api_url: The service; None: `EEZARR_API_URL`, else Earth Engine.

    Returns:
        The samples that were asked for, and those of them that are not what is stored, with the arrays that differ.

    Raises:
        InvalidInput: If the store does not say what it was read from.
        Incomplete: If a sample could not be had.
        ForeignStore: If the store's pixels are of another service.
        EezarrError: If nothing could be had.
    """
    return run_to_end(_compare_samples(job, count, _client(project, api_url)))


def _client(project: str | None, api_url: str | None) -> Client:
    return Client(project=project, options=FetchOptions.model_validate({"api_url": api_url} if api_url else {}))


def _drawn(stored: Iterable[int], count: int) -> list[int]:
    """So many of the stored ones, in order."""
    known = list(stored)
    return sorted(random.sample(known, min(count, len(known))))


async def _compare(job: StoredJob, count: int, connecting: Client) -> tuple[list[Tile], list[Tile]]:
    plan = job.plan
    tiles = [plan.tile(index) for index in _drawn(job.stored(), count)]
    keeper = _Comparer(job)
    await connecting.require_origin(job.url)
    async with connecting as client:
        await client.read_tiles(described_subject(job.image, plan.bands, plan.steps), plan, tiles, keeper)
        if tiles:
            require_same_origin(client.origin, job.origin, job.url)
    return tiles, keeper.different


async def _compare_samples(
    job: StoredSamples, count: int, connecting: Client
) -> tuple[list[int], dict[int, tuple[str, ...]]]:
    samples = _drawn(job.stored(), count)
    if not samples:
        return [], {}
    plan = await asyncio.to_thread(job.plan_of, samples)
    subject = _sampled(job, plan)
    keeper = _SampleComparer(job, samples)
    await connecting.require_origin(job.url)
    async with connecting as client:
        size = working_size(limits_of(subject.limits, client.options.limits))
        tiles = (part for place, sample in enumerate(samples) for part in _requests(plan, place, sample, size))
        await client.read_tiles(subject, plan, tiles, keeper)
        require_same_origin(client.origin, job.origin, job.url)
    return samples, {sample: tuple(sorted(names)) for sample, names in sorted(keeper.different.items())}


def _sampled(job: StoredSamples, plan: SamplePlan) -> SampledImages:
    """What the samples of a plan are read from, as the job described it."""
    read = described_subject(job.image, plan.bands, None if plan.steps is None else plan.steps.of(0))
    told, labels = job.image.get("label_image"), None
    if isinstance(told, dict) and plan.target is not None:
        described = described_subject(told, [plan.target], None)
        labels = described if isinstance(described, Image) else None
    if isinstance(read, Image):
        return SampledImages(image=read, label_image=labels)
    return SampledImages(cube=read, steps=plan.steps, label_image=labels)


def _requests(plan: SamplePlan, place: int, sample: int, size: WorkingSize) -> Iterator[Tile]:
    """One request for each step of a sample; more only where a step by itself is more than a request may hold."""
    whole = replace(plan.tile(place), name=f"sample {sample} (site {plan.sites.attributes.ids[place]!r})")
    for step in whole.steps:
        yield from parts_of(whole.during(range(step, step + 1)), size, plan.size)


@dataclass(slots=True)
class _Comparer:
    """A keeper that keeps nothing: it notes the tiles that are not what was stored."""

    job: StoredJob
    different: list[Tile] = field(default_factory=list)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Compare the tile with its checksum."""
        if not await asyncio.to_thread(self.job.is_equal, tile, pixels):
            self.different.append(tile)


@dataclass(slots=True)
class _SampleComparer:
    """A keeper that keeps nothing: it notes the arrays in which a sample is not what is stored."""

    job: StoredSamples
    samples: Sequence[int]
    """The positions in the store of those that are asked for."""
    different: dict[int, set[str]] = field(default_factory=dict)

    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Compare a part of a sample with the stored one."""
        sample = self.samples[tile.index]
        names = await asyncio.to_thread(self.job.differing, sample, tile, pixels)
        if names:
            self.different.setdefault(sample, set()).update(names)
