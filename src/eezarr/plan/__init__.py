"""Planning: how a region becomes requests and stored objects. Pure: no I/O, no clock."""

from eezarr.plan.bands import DTYPES, Band, record_dtype
from eezarr.plan.fields import MASK_DTYPE, Field, Selection
from eezarr.plan.limits import COMPUTE_PIXELS_LIMITS, GET_PIXELS_LIMITS, RequestLimits, accounted_bytes, pixel_cost
from eezarr.plan.masking import NO_MASKING, Fill, Masking, MaskMode, make_masking
from eezarr.plan.model import Plan, StoreLayout, Tile
from eezarr.plan.steps import Step
from eezarr.plan.tiling import Budget, LayoutRequest, Tiling, make_plan

__all__ = [
    "COMPUTE_PIXELS_LIMITS",
    "DTYPES",
    "GET_PIXELS_LIMITS",
    "MASK_DTYPE",
    "NO_MASKING",
    "Band",
    "Budget",
    "Field",
    "Fill",
    "LayoutRequest",
    "MaskMode",
    "Masking",
    "Plan",
    "RequestLimits",
    "Selection",
    "Step",
    "StoreLayout",
    "Tile",
    "Tiling",
    "accounted_bytes",
    "make_masking",
    "make_plan",
    "pixel_cost",
    "record_dtype",
]
