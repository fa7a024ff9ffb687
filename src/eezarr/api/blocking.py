"""The synchronous face: runs the async functions to their end, also where a loop runs already (notebooks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.api.jobs import load_job, resolve_job, run_job
from eezarr.api.loops import run_to_end
from eezarr.calls import checked_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eezarr.api.jobs import JobPlan
    from eezarr.config import Job
    from eezarr.earthengine.auth import Credentials
    from eezarr.events import Observer
    from eezarr.outputs.report import Report

__all__ = ["fetch", "plan_job"]


@checked_arguments
def fetch(
    job: Job | Mapping[str, object] | Path | str,
    *,
    credentials: Credentials | Path | str | None = None,
    overwrite: bool = False,
    repair: bool = False,
    steal: bool = False,
    observe: Observer = lambda _: None,
) -> Report:
    """Run a job, or resume it; see `run_job`.

    Args:
        job: A job, its sections and keys in a mapping, or the path of a job file.
        credentials: A google-auth object, the path of a key file, `anonymous`, or None to search.
        overwrite: Whether to delete another Zarr group that is at the output.
        repair: Whether to read stored tiles first, and fetch those again that are not what was stored.
        steal: Whether to take the store over from a run that is writing it, which then stops.
        observe: Told of every event, in the thread that runs the job.

    Raises:
        Incomplete: If tiles could not be had; its report names each.
        EezarrError: If the job had to stop; what is stored stays, and the same job resumes.
    """
    return run_to_end(
        run_job(
            load_job(job), credentials=credentials, overwrite=overwrite, repair=repair, steal=steal, observe=observe
        )
    )


@checked_arguments
def plan_job(
    job: Job | Mapping[str, object] | Path | str, *, credentials: Credentials | Path | str | None = None
) -> JobPlan:
    """Return what a job would ask for; see `resolve_job`.

    Raises:
        EezarrError: If the job cannot be, or the service refuses what it names.
    """
    return run_to_end(resolve_job(load_job(job), credentials=credentials))
