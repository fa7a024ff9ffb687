"""Google Earth Engine pixels into chunked Zarr: exact, resumable, as fast as the quota allows.

Names are imported when first used: describing a job costs no network library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.api import Client, Estimate, FetchedTile, JobPlan, fetch, plan_job, resolve_job, run_job
    from eezarr.config import FetchOptions, Job, StoreOptions
    from eezarr.earthengine import AssetInfo, Image
    from eezarr.errors import (
        AccessDenied,
        BadBody,
        EezarrError,
        ForeignStore,
        Incomplete,
        InvalidInput,
        Retryable,
        ServiceRefusal,
        StoreError,
        Throttled,
        TooHeavy,
        Unreachable,
    )
    from eezarr.grid import PixelGrid, Shape2D, Window
    from eezarr.outputs.report import MissingTile, Report
    from eezarr.plan import Band, Plan, Tile
    from eezarr.store import StoredJob, open_store

__version__ = version("eezarr")

_HOMES = {
    "eezarr.api": ("Client", "Estimate", "FetchedTile", "JobPlan", "fetch", "plan_job", "resolve_job", "run_job"),
    "eezarr.config": ("FetchOptions", "Job", "StoreOptions"),
    "eezarr.earthengine": ("AssetInfo", "Image"),
    "eezarr.errors": (
        "AccessDenied",
        "BadBody",
        "EezarrError",
        "ForeignStore",
        "Incomplete",
        "InvalidInput",
        "Retryable",
        "ServiceRefusal",
        "StoreError",
        "Throttled",
        "TooHeavy",
        "Unreachable",
    ),
    "eezarr.grid": ("PixelGrid", "Shape2D", "Window"),
    "eezarr.outputs.report": ("MissingTile", "Report"),
    "eezarr.plan": ("Band", "Plan", "Tile"),
    "eezarr.store": ("StoredJob", "open_store"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDenied",
    "AssetInfo",
    "BadBody",
    "Band",
    "Client",
    "EezarrError",
    "Estimate",
    "FetchOptions",
    "FetchedTile",
    "ForeignStore",
    "Image",
    "Incomplete",
    "InvalidInput",
    "Job",
    "JobPlan",
    "MissingTile",
    "PixelGrid",
    "Plan",
    "Report",
    "Retryable",
    "ServiceRefusal",
    "Shape2D",
    "StoreError",
    "StoreOptions",
    "StoredJob",
    "Throttled",
    "Tile",
    "TooHeavy",
    "Unreachable",
    "Window",
    "__version__",
    "fetch",
    "open_store",
    "plan_job",
    "resolve_job",
    "run_job",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'eezarr' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
