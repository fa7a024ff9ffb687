"""Pixel grids: what they are, and how a region, a resolution or an asset becomes one."""

from eezarr.grid.coverage import Coverage
from eezarr.grid.crs import CrsLike, canonical_crs, crs_text, crs_wkt, is_utm, parse_crs
from eezarr.grid.lattice import Align, Bounds
from eezarr.grid.model import PixelGrid, Shape2D, Window
from eezarr.grid.native import crop_native, footprints_overlap

__all__ = [
    "Align",
    "Bounds",
    "Coverage",
    "CrsLike",
    "PixelGrid",
    "Shape2D",
    "Window",
    "canonical_crs",
    "crop_native",
    "crs_text",
    "crs_wkt",
    "footprints_overlap",
    "is_utm",
    "parse_crs",
]
