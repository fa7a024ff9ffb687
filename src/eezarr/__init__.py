"""Google Earth Engine pixels into chunked Zarr: exact, resumable, as fast as the quota allows.

Names are imported when first used: describing a job costs no network library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.api import (
        Client,
        Estimate,
        FetchedTile,
        JobPlan,
        Patches,
        SamplesJobPlan,
        Service,
        export,
        fetch,
        fetch_samples,
        frame_corner,
        frame_image,
        frame_region,
        plan_job,
        plan_samples_job,
        resolve_job,
        run_export,
        run_job,
        run_samples_job,
        write_geotiff,
        write_thumbnail,
    )
    from eezarr.config import ExportJob, FetchOptions, Job, MaskOptions, SamplesJob, SampleStoreOptions, StoreOptions
    from eezarr.earthengine import (
        AssetExport,
        AssetInfo,
        CloudStorage,
        Drive,
        ExportRequest,
        FileExport,
        GeoTiffOptions,
        Image,
        Operation,
        PartialGrid,
        PixelRequest,
        TfRecordOptions,
        Visualization,
        parse_expression,
    )
    from eezarr.errors import (
        AccessDenied,
        BadBody,
        EezarrError,
        ForeignStore,
        Incomplete,
        InvalidCall,
        InvalidInput,
        NetworkBlocked,
        Outage,
        Retryable,
        ServiceRefusal,
        StoreError,
        Throttled,
        TooHeavy,
        Unreachable,
    )
    from eezarr.grid import PixelGrid, Shape2D, Window
    from eezarr.notices import EezarrWarning
    from eezarr.outputs.report import MissingTile, Report
    from eezarr.plan import Band, Plan, Tile
    from eezarr.samples import SiteColumns, SiteTable, SplitFacts, read_sites
    from eezarr.store import BandSummary, SamplesStore, StoredJob, open_samples, open_store

    __version__: str

_HOMES = {
    "eezarr.api": (
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
    ),
    "eezarr.config": (
        "ExportJob",
        "FetchOptions",
        "Job",
        "MaskOptions",
        "SampleStoreOptions",
        "SamplesJob",
        "StoreOptions",
    ),
    "eezarr.earthengine": (
        "AssetExport",
        "AssetInfo",
        "CloudStorage",
        "Drive",
        "ExportRequest",
        "FileExport",
        "GeoTiffOptions",
        "Image",
        "Operation",
        "PartialGrid",
        "PixelRequest",
        "TfRecordOptions",
        "Visualization",
        "parse_expression",
    ),
    "eezarr.errors": (
        "AccessDenied",
        "BadBody",
        "EezarrError",
        "ForeignStore",
        "Incomplete",
        "InvalidCall",
        "InvalidInput",
        "NetworkBlocked",
        "Outage",
        "Retryable",
        "ServiceRefusal",
        "StoreError",
        "Throttled",
        "TooHeavy",
        "Unreachable",
    ),
    "eezarr.notices": ("EezarrWarning",),
    "eezarr.grid": ("PixelGrid", "Shape2D", "Window"),
    "eezarr.outputs.report": ("MissingTile", "Report"),
    "eezarr.plan": ("Band", "Plan", "Tile"),
    "eezarr.samples": ("SiteColumns", "SiteTable", "SplitFacts", "read_sites"),
    "eezarr.store": ("BandSummary", "SamplesStore", "StoredJob", "open_samples", "open_store"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDenied",
    "AssetExport",
    "AssetInfo",
    "BadBody",
    "Band",
    "BandSummary",
    "Client",
    "CloudStorage",
    "Drive",
    "EezarrError",
    "EezarrWarning",
    "Estimate",
    "ExportJob",
    "ExportRequest",
    "FetchOptions",
    "FetchedTile",
    "FileExport",
    "ForeignStore",
    "GeoTiffOptions",
    "Image",
    "Incomplete",
    "InvalidCall",
    "InvalidInput",
    "Job",
    "JobPlan",
    "MaskOptions",
    "MissingTile",
    "NetworkBlocked",
    "Operation",
    "Outage",
    "PartialGrid",
    "Patches",
    "PixelGrid",
    "PixelRequest",
    "Plan",
    "Report",
    "Retryable",
    "SampleStoreOptions",
    "SamplesJob",
    "SamplesJobPlan",
    "SamplesStore",
    "Service",
    "ServiceRefusal",
    "Shape2D",
    "SiteColumns",
    "SiteTable",
    "SplitFacts",
    "StoreError",
    "StoreOptions",
    "StoredJob",
    "TfRecordOptions",
    "Throttled",
    "Tile",
    "TooHeavy",
    "Unreachable",
    "Visualization",
    "Window",
    "__version__",
    "export",
    "fetch",
    "fetch_samples",
    "frame_corner",
    "frame_image",
    "frame_region",
    "open_samples",
    "open_store",
    "parse_expression",
    "plan_job",
    "plan_samples_job",
    "read_sites",
    "resolve_job",
    "run_export",
    "run_job",
    "run_samples_job",
    "write_geotiff",
    "write_thumbnail",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("eezarr")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'eezarr' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
