"""Whole jobs of samples: planned, or done; async and sync."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.api.client import Client
from eezarr.api.describing import limits_of
from eezarr.api.jobs import Estimate, estimate_of
from eezarr.api.loops import run_to_end
from eezarr.api.samplefetching import working_size
from eezarr.api.sampling import resolve_samples
from eezarr.calls import checked_arguments
from eezarr.config import SamplesJob
from eezarr.engine.splitting import parts_of
from eezarr.plan import accounted_bytes
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eezarr.earthengine.auth import Credentials
    from eezarr.earthengine.sampling import SampledImages
    from eezarr.events import Observer
    from eezarr.outputs.report import Report
    from eezarr.plan import RequestLimits
    from eezarr.samples import SamplePlan

__all__ = ["SamplesJobPlan", "fetch_samples", "load_samples_job", "plan_samples_job", "run_samples_job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesJobPlan:
    """A job of samples, resolved, and what it will take."""

    job: SamplesJob
    subject: SampledImages
    plan: SamplePlan
    estimate: Estimate


def load_samples_job(job: SamplesJob | Mapping[str, object] | Path | str) -> SamplesJob:
    """Return the job itself, or that of a mapping or a file.

    Raises:
        InvalidInput: If the file makes no job.
    """
    return SamplesJob.of(job)


@checked_arguments
def fetch_samples(
    job: SamplesJob | Mapping[str, object] | Path | str,
    *,
    credentials: Credentials | Path | str | None = None,
    overwrite: bool = False,
    repair: bool = False,
    steal: bool = False,
    observe: Observer = lambda _: None,
) -> Report:
    """Run a job of samples, or resume it; see `run_samples_job`.

    Args:
        job: A job, its sections and keys in a mapping, or the path of a job file.
        credentials: A google-auth object, the path of a key file, `anonymous`, or None to search.
        overwrite: Whether to delete another Zarr group that is at the output.
        repair: Whether to read stored samples first, and fetch those again that are not what was stored.
        steal: Whether to take the store over from a run that is writing it, which then stops.
        observe: Told of every event, in the thread that runs the job.

    Raises:
        Incomplete: If samples could not be had; its report names each.
        EezarrError: If the job had to stop; what is stored stays, and the same job resumes.
    """
    loaded = load_samples_job(job)
    return run_to_end(
        run_samples_job(
            loaded, credentials=credentials, overwrite=overwrite, repair=repair, steal=steal, observe=observe
        )
    )


@checked_arguments
async def run_samples_job(
    job: SamplesJob,
    *,
    credentials: Credentials | Path | str | None = None,
    overwrite: bool = False,
    repair: bool = False,
    steal: bool = False,
    observe: Observer = lambda _: None,
) -> Report:
    """Run a job of samples, or resume it.

    Returns:
        The report of a complete job; its tiles are the samples.

    Raises:
        Incomplete: If samples could not be had; its report names each.
        EezarrError: If the job had to stop; what is stored stays, and the same job resumes.
    """
    job = load_samples_job(job)
    client = Client(project=job.project, credentials=credentials, options=job.fetch, observe=observe)
    await client.require_origin(job.output, overwrite=overwrite)
    async with client:
        resolved = await resolve_samples(job, client, is_probing=True, is_new=overwrite)
        with exhaustion():
            return await client.fetch_sample_plan(
                resolved.subject, resolved.plan, job.output, overwrite=overwrite, repair=repair, steal=steal
            )


@checked_arguments
def plan_samples_job(
    job: SamplesJob | Mapping[str, object] | Path | str, *, credentials: Credentials | Path | str | None = None
) -> SamplesJobPlan:
    """Return what a job of samples would ask for; asks for metadata only, as `resolve_job` does.

    Raises:
        EezarrError: If the job cannot be, or the service refuses what it names.
    """
    return run_to_end(_resolved(load_samples_job(job), credentials))


async def _resolved(job: SamplesJob, credentials: Credentials | Path | str | None) -> SamplesJobPlan:
    async with Client(project=job.project, credentials=credentials, options=job.fetch) as client:
        resolved = await resolve_samples(job, client, is_probing=False)
    plan = resolved.plan
    requests, largest = _requests(plan, limits_of(resolved.subject.limits, job.fetch.limits))
    estimate = estimate_of(plan, job.fetch, requests=requests, largest_request_bytes=largest)
    return SamplesJobPlan(job=job, subject=resolved.subject, plan=plan, estimate=estimate)


def _requests(plan: SamplePlan, limits: RequestLimits) -> tuple[int, int]:
    """How many requests all samples take, and the bytes of the largest as the service counts them.

    Samples of equally many steps take equally many, so one of each kind is looked at.
    """
    wanted = np.flatnonzero(plan.wanted).tolist()
    examples = {plan.steps_of(index): index for index in wanted}
    counts = Counter(map(plan.steps_of, wanted))
    parts = {steps: parts_of(plan.tile(index), working_size(limits), plan.size) for steps, index in examples.items()}
    largest = max(accounted_bytes(part.window.shape, part.wire_bands) for own in parts.values() for part in own)
    return sum(counts[steps] * len(own) for steps, own in parts.items()), largest
