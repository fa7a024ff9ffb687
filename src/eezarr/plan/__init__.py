"""Planning: how a region becomes requests and stored objects. Pure: no I/O, no clock."""

from eezarr.plan.bands import Band, record_dtype
from eezarr.plan.limits import COMPUTE_PIXELS_LIMITS, GET_PIXELS_LIMITS, RequestLimits, accounted_bytes, pixel_cost
from eezarr.plan.model import Plan, StoreLayout, Tile
from eezarr.plan.tiling import Budget, LayoutRequest, Tiling, make_plan

__all__ = [
    "COMPUTE_PIXELS_LIMITS",
    "GET_PIXELS_LIMITS",
    "Band",
    "Budget",
    "LayoutRequest",
    "Plan",
    "RequestLimits",
    "StoreLayout",
    "Tile",
    "Tiling",
    "accounted_bytes",
    "make_plan",
    "pixel_cost",
    "record_dtype",
]
