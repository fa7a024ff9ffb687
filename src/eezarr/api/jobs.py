"""Whole jobs: what a job file says, planned or done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.api.client import Client
from eezarr.api.resolving import resolve
from eezarr.calls import checked_arguments
from eezarr.config import Job
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eezarr.config import FetchOptions
    from eezarr.earthengine.auth import Credentials
    from eezarr.earthengine.source import Subject
    from eezarr.events import Observer
    from eezarr.outputs.report import Report
    from eezarr.plan import Plan
    from eezarr.samples import SamplePlan

__all__ = ["Estimate", "JobPlan", "estimate_of", "load_job", "resolve_job", "run_job"]

REQUEST_S = 0.5
"""Assumed seconds for a request by itself. Source: 16 threads had 47 tiles of 512 x 512 in a second (datensee)."""
MEGABYTE_S = 0.1
"""Assumed seconds for each megabyte of its body on top; computed images can take many times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan will take, by assumptions that `eezarr plan` prints beside it."""

    requests: int
    pixel_bytes: int
    """Of the pixels, uncompressed; masks and labels are not counted."""
    body_bytes: int
    """Of all that is asked for, masks and labels included, uncompressed."""
    largest_request_bytes: int
    """As the service counts: pixels and mask bytes."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A job, resolved, and what it will take."""

    job: Job
    subject: Subject
    """What is read: an image or a cube."""
    plan: Plan
    estimate: Estimate


def load_job(job: Job | Mapping[str, object] | Path | str) -> Job:
    """Return the job itself, or that of a mapping or a file.

    Raises:
        InvalidInput: If the file makes no job.
    """
    return Job.of(job)


@checked_arguments
async def resolve_job(job: Job, *, credentials: Credentials | Path | str | None = None) -> JobPlan:
    """Return what a job would ask for.

    Asks for metadata only, which foretells the types of bands, but for one pixel where it does not tell a type. A store
    that was begun knows them.

    Raises:
        EezarrError: If the job cannot be, or the service refuses what it names.
    """
    job = load_job(job)
    async with Client(project=job.project, credentials=credentials, options=job.fetch) as client:
        resolved = await resolve(job, client, is_probing=False)
    plan = resolved.plan
    estimate = estimate_of(
        plan, job.fetch, requests=plan.wanted_count, largest_request_bytes=plan.largest_request_bytes
    )
    return JobPlan(job=job, subject=resolved.subject, plan=plan, estimate=estimate)


@checked_arguments
async def run_job(
    job: Job,
    *,
    credentials: Credentials | Path | str | None = None,
    overwrite: bool = False,
    repair: bool = False,
    steal: bool = False,
    observe: Observer = lambda _: None,
) -> Report:
    """Run a job, or resume it.

    Returns:
        The report of a complete job.

    Raises:
        Incomplete: If tiles could not be had; its report names each.
        EezarrError: If the job had to stop; what is stored stays, and the same job resumes.
    """
    job = load_job(job)
    client = Client(project=job.project, credentials=credentials, options=job.fetch, observe=observe)
    # Before credentials are looked for: those of another service may be lacking for good.
    await client.require_origin(job.output, overwrite=overwrite)
    async with client:
        resolved = await resolve(job, client, is_probing=True, is_new=overwrite)
        with exhaustion():
            return await client.fetch_plan(
                resolved.subject,
                resolved.plan,
                job.output,
                overwrite=overwrite,
                repair=repair,
                steal=steal,
                overviews=job.store.overviews,
            )


def estimate_of(plan: Plan | SamplePlan, fetch: FetchOptions, *, requests: int, largest_request_bytes: int) -> Estimate:
    """Return what requests take in rounds, each as long as its base and its body, but no faster than the rate."""
    slots = max(1, min(fetch.max_concurrency, requests))
    busy_s = requests * REQUEST_S + plan.body_bytes / 1e6 * MEGABYTE_S
    return Estimate(
        requests=requests,
        pixel_bytes=plan.pixel_bytes,
        body_bytes=plan.body_bytes,
        largest_request_bytes=largest_request_bytes,
        seconds=max(busy_s / slots, requests / fetch.max_requests_per_second),
    )
