"""The public verbs: the async client, whole jobs, and the synchronous face over them.

Names are imported when first used: what only asks for metadata does not pay for Zarr.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.api.blocking import fetch, plan_job
    from eezarr.api.client import Client
    from eezarr.api.collecting import FetchedTile
    from eezarr.api.exporting import export, run_export
    from eezarr.api.framing import frame_corner, frame_image, frame_region
    from eezarr.api.jobs import Estimate, JobPlan, resolve_job, run_job
    from eezarr.api.patches import Patches
    from eezarr.api.pictures import write_geotiff, write_thumbnail
    from eezarr.api.samplejobs import SamplesJobPlan, fetch_samples, plan_samples_job, run_samples_job
    from eezarr.api.service import Service

_HOMES = {
    "blocking": ("fetch", "plan_job"),
    "client": ("Client",),
    "collecting": ("FetchedTile",),
    "exporting": ("export", "run_export"),
    "framing": ("frame_corner", "frame_image", "frame_region"),
    "jobs": ("Estimate", "JobPlan", "resolve_job", "run_job"),
    "patches": ("Patches",),
    "pictures": ("write_geotiff", "write_thumbnail"),
    "samplejobs": ("SamplesJobPlan", "fetch_samples", "plan_samples_job", "run_samples_job"),
    "service": ("Service",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Client",
    "Estimate",
    "FetchedTile",
    "JobPlan",
    "Patches",
    "SamplesJobPlan",
    "Service",
    "export",
    "fetch",
    "fetch_samples",
    "frame_corner",
    "frame_image",
    "frame_region",
    "plan_job",
    "plan_samples_job",
    "resolve_job",
    "run_export",
    "run_job",
    "run_samples_job",
    "write_geotiff",
    "write_thumbnail",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
