"""The store: pixels into a Zarr group, durable marks of what is there, and the metadata that readers need.

The only package that imports zarr.
"""

from eezarr.store.damage import damaged_nodes
from eezarr.store.halving import Resampling
from eezarr.store.levels import resampling_of
from eezarr.store.overview import Overview
from eezarr.store.sampled import SamplesStore, open_samples
from eezarr.store.samplegroup import holds_samples
from eezarr.store.samplesink import SamplesSink
from eezarr.store.sink import ZarrSink, recorded_bands, recorded_origin, recorded_tiling
from eezarr.store.stored import StoredJob, open_store
from eezarr.store.storedsamples import StoredSamples, open_stored_samples, recorded_sample_bands
from eezarr.store.summaries import BandSummary

__all__ = [
    "BandSummary",
    "Overview",
    "Resampling",
    "SamplesSink",
    "SamplesStore",
    "StoredJob",
    "StoredSamples",
    "ZarrSink",
    "damaged_nodes",
    "holds_samples",
    "open_samples",
    "open_store",
    "open_stored_samples",
    "recorded_bands",
    "recorded_origin",
    "recorded_sample_bands",
    "recorded_tiling",
    "resampling_of",
]
