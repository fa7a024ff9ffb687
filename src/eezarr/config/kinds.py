"""Which kind of job a file holds, where a command takes several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.config.jobfile import job_name, read_toml
from eezarr.config.jobs import Job
from eezarr.config.samples import SamplesJob

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_any_job"]


def load_any_job(path: Path) -> Job | SamplesJob:
    """Return the job of a TOML file: with `[samples]` one of `eezarr samples`, else one of `eezarr fetch`.

    Raises:
        InvalidInput: If the file cannot be read, is no TOML, or says something that makes no job.
    """
    data = read_toml(path)
    kind = SamplesJob if "samples" in data else Job
    return kind.parse(data, name=job_name(path), folder=path.parent)
