"""The store: pixels into a Zarr group, durable marks of what is there, and the metadata that readers need.

The only package that imports zarr.
"""

from eezarr.store.overview import Overview
from eezarr.store.sink import ZarrSink, recorded_tiling
from eezarr.store.stored import StoredJob, open_store

__all__ = ["Overview", "StoredJob", "ZarrSink", "open_store", "recorded_tiling"]
