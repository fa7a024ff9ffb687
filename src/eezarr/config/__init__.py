"""The job file: TOML in, one frozen record out, every mistake named before anything is sent.

A key that does not exist is an error that names the nearest one that does. Paths of other files (an expression, a
recipe, a region, sites) are relative to the job file; the output is relative to where the command runs.

Names are imported when first used: a client needs two of the sections, and no job file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eezarr.config.collection import CollectionOptions
    from eezarr.config.export import ExportOptions, GeoTiffSection, TfRecordSection
    from eezarr.config.fetch import FetchOptions, LimitOptions
    from eezarr.config.grid import GridOptions
    from eezarr.config.image import ImageOptions, OneImage
    from eezarr.config.jobfile import JobFile
    from eezarr.config.jobs import ExportJob, Job, PixelJob
    from eezarr.config.kinds import load_any_job
    from eezarr.config.mask import MaskOptions
    from eezarr.config.output import output_name
    from eezarr.config.samples import LabelImageOptions, PolygonOptions, SampleOptions, SamplesJob, SplitOptions
    from eezarr.config.schema import json_schema
    from eezarr.config.store import SampleStoreOptions, StoreOptions

_HOMES = {
    "collection": ("CollectionOptions",),
    "export": ("ExportOptions", "GeoTiffSection", "TfRecordSection"),
    "fetch": ("FetchOptions", "LimitOptions"),
    "grid": ("GridOptions",),
    "image": ("ImageOptions", "OneImage"),
    "jobfile": ("JobFile",),
    "jobs": ("ExportJob", "Job", "PixelJob"),
    "kinds": ("load_any_job",),
    "mask": ("MaskOptions",),
    "output": ("output_name",),
    "samples": ("LabelImageOptions", "PolygonOptions", "SampleOptions", "SamplesJob", "SplitOptions"),
    "schema": ("json_schema",),
    "store": ("SampleStoreOptions", "StoreOptions"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CollectionOptions",
    "ExportJob",
    "ExportOptions",
    "FetchOptions",
    "GeoTiffSection",
    "GridOptions",
    "ImageOptions",
    "Job",
    "JobFile",
    "LabelImageOptions",
    "LimitOptions",
    "MaskOptions",
    "OneImage",
    "PixelJob",
    "PolygonOptions",
    "SampleOptions",
    "SampleStoreOptions",
    "SamplesJob",
    "SplitOptions",
    "StoreOptions",
    "TfRecordSection",
    "json_schema",
    "load_any_job",
    "output_name",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
