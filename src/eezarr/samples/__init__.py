"""Datasets for machine learning: sites, their patches' grids, splits and order; and what their pixels amount to.

Pure but for `reading` and `geoparquet`, which open the files of sites.
"""

from eezarr.samples.columns import SiteColumns
from eezarr.samples.footprints import PatchIndex
from eezarr.samples.gridding import UTM, PatchGrids, patch_grid, patch_grids
from eezarr.samples.matching import ImageTable, Wanted, match_images
from eezarr.samples.order import shard_ranges, shuffled
from eezarr.samples.plan import SampleLayout, SamplePlan, SplitFacts
from eezarr.samples.reading import read_sites
from eezarr.samples.sites import Attributes, PolygonTable, Site, SiteTable
from eezarr.samples.splits import Splits, assign_splits
from eezarr.samples.statistics import BandStatistics, PixelStatistics
from eezarr.samples.steps import SampleSteps
from eezarr.samples.strategies import Centroid, GridPoints, RandomPoints, Strategy, StratifiedPoints, draw_sites

__all__ = [
    "UTM",
    "Attributes",
    "BandStatistics",
    "Centroid",
    "GridPoints",
    "ImageTable",
    "PatchGrids",
    "PatchIndex",
    "PixelStatistics",
    "PolygonTable",
    "RandomPoints",
    "SampleLayout",
    "SamplePlan",
    "SampleSteps",
    "Site",
    "SiteColumns",
    "SiteTable",
    "SplitFacts",
    "Splits",
    "Strategy",
    "StratifiedPoints",
    "Wanted",
    "assign_splits",
    "draw_sites",
    "match_images",
    "patch_grid",
    "patch_grids",
    "read_sites",
    "shard_ranges",
    "shuffled",
]
