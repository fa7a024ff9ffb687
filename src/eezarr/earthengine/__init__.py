"""Earth Engine's REST API: what is asked, how it is answered, and every way in which it is not.

The only package that imports aiohttp's client and google-auth. Each call is one attempt: retries, pacing and
concurrency are the engine's. What needs aiohttp or google-auth is imported on first use, so that
describing an image stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from eezarr.earthengine.catalogue import AssetBand, AssetInfo, parse_asset
from eezarr.earthengine.codec import body_capacity, decode_pixels, describe_npy
from eezarr.earthengine.expression import Expression, load_expression, parse_expression, select
from eezarr.earthengine.image import Image, PixelMethod
from eezarr.earthengine.names import asset_id, asset_name, project_name

if TYPE_CHECKING:
    from eezarr.earthengine.client import EarthEngine, PreparedImage
    from eezarr.earthengine.exportfiles import GeoTiffOptions, TfRecordOptions
    from eezarr.earthengine.exporting import AssetExport, CloudStorage, Drive, ExportRequest, FileExport
    from eezarr.earthengine.operations import Operation
    from eezarr.earthengine.pixelrequest import PartialGrid, PixelRequest
    from eezarr.earthengine.session import Timeouts
    from eezarr.earthengine.source import PixelSource
    from eezarr.earthengine.transport import Transport
    from eezarr.earthengine.visualization import Visualization

__all__ = [
    "AssetBand",
    "AssetExport",
    "AssetInfo",
    "CloudStorage",
    "Drive",
    "EarthEngine",
    "ExportRequest",
    "Expression",
    "FileExport",
    "GeoTiffOptions",
    "Image",
    "Operation",
    "PartialGrid",
    "PixelMethod",
    "PixelRequest",
    "PixelSource",
    "PreparedImage",
    "TfRecordOptions",
    "Timeouts",
    "Transport",
    "Visualization",
    "asset_id",
    "asset_name",
    "body_capacity",
    "decode_pixels",
    "describe_npy",
    "load_expression",
    "parse_asset",
    "parse_expression",
    "project_name",
    "select",
]

_LAZY = {
    "AssetExport": "exporting",
    "CloudStorage": "exporting",
    "Drive": "exporting",
    "EarthEngine": "client",
    "ExportRequest": "exporting",
    "FileExport": "exporting",
    "GeoTiffOptions": "exportfiles",
    "Operation": "operations",
    "PartialGrid": "pixelrequest",
    "PixelRequest": "pixelrequest",
    "PixelSource": "source",
    "PreparedImage": "client",
    "TfRecordOptions": "exportfiles",
    "Timeouts": "session",
    "Transport": "transport",
    "Visualization": "visualization",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
