"""What an export asks for, checked; what only the computation can tell fails the operation later.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.image/export.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.emulator.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.raster import Json

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,60}")
_BUCKET = re.compile(r"[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9]")
_MAX_PIXELS = 100_000_000
_PRIORITY = 100
_BLOCK = 256
_MAX_RECORD_FILE = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffOptions:
    """How GeoTIFFs are written."""

    is_cloud_optimized: bool
    file_size: tuple[int, int] | None
    """(width, height) of the files that an image is cut into; `None`: as large as a file may be."""
    skips_empty: bool
    """Whether files without a valid pixel are left out."""
    block: int
    """Pixels per side of the blocks within a file."""
    no_data: float | None
    metadata_keys: tuple[str, ...]
    """Properties of the image that become tags of the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """How TFRecords are written."""

    patch: tuple[int, int]
    """(width, height)."""
    margin: tuple[int, int]
    """(width, height) that a patch grows by, half on each side."""
    is_compressed: bool
    max_bytes: int
    """Of a file before compression."""
    default: float
    """Value of masked pixels."""
    max_masked: float
    """Patches with a larger share of masked pixels are left out."""
    unsupported: tuple[str, ...]
    """Options that were asked for and that this emulator does not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """Files in a bucket or in Drive."""

    place: Literal["cloud", "drive"]
    folder: str
    """The bucket, or the folder in Drive (empty: its root)."""
    prefix: str
    options: TiffOptions | RecordOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetTarget:
    """An asset."""

    name: str
    overwrite: bool
    policy: str
    overrides: tuple[tuple[str, str], ...]
    """Pyramiding policies of single bands."""


Target: TypeAlias = FileTarget | AssetTarget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportRequest:
    """A request to export an image."""

    project: str
    request_id: str
    """Empty: the request cannot be told from its repetition."""
    content: str
    """The whole request as canonical JSON."""
    description: str
    priority: int
    max_pixels: int
    message: Mapping[str, Json]
    """Holds the expression and the grid."""
    target: Target


def export_request(project: str, message: Mapping[str, Json]) -> ExportRequest:
    """Answer a parsed request.

    Raises:
        ApiError: 400, something in it cannot be.
    """
    if not isinstance(message.get("expression"), dict):
        raise invalid("Expression is required.")
    request_id = _text(message, "requestId")
    if request_id and not _REQUEST_ID.fullmatch(request_id):
        raise invalid("Invalid request_id: it may contain a..z, A..Z, 0-9 or '-' and be at most 60 characters long.")
    priority = _number(message, "priority", _PRIORITY)
    if not 0 <= priority <= 9999:
        raise invalid(f"Invalid priority: {priority:g}. It must be an integer between 0 and 9999.")
    description = _text(message, "description")
    return ExportRequest(
        project=project,
        request_id=request_id,
        content=json.dumps(message, sort_keys=True),
        description=description,
        priority=int(priority),
        max_pixels=int(_number(message, "maxPixels", _MAX_PIXELS)) or _MAX_PIXELS,
        message=message,
        target=_target(message, description),
    )


def _target(message: Mapping[str, Json], description: str) -> Target:
    to_file, to_asset = message.get("fileExportOptions"), message.get("assetExportOptions")
    if isinstance(to_file, dict):
        return _file_target(to_file, description)
    if isinstance(to_asset, dict):
        return _asset_target(to_asset)
    raise invalid("Export options are required: fileExportOptions or assetExportOptions.")


def _asset_target(options: Mapping[str, Json]) -> AssetTarget:
    destination = _child(options, "earthEngineDestination")
    name = _text(destination, "name")
    if not re.fullmatch(r"projects/[^/]+/assets/[^:]+", name):
        raise invalid(f"Invalid asset name: '{name}'. It must be of the form 'projects/*/assets/**'.")
    overrides = _child(options, "pyramidingPolicyOverrides")
    policy = _text(options, "pyramidingPolicy")
    return AssetTarget(
        name=name,
        overwrite=destination.get("overwrite") is True,
        policy="MEAN" if policy in ("", "PYRAMIDING_POLICY_UNSPECIFIED") else policy,
        overrides=tuple((band, str(each)) for band, each in overrides.items()),
    )


def _file_target(options: Mapping[str, Json], description: str) -> FileTarget:
    cloud, drive = options.get("cloudStorageDestination"), options.get("driveDestination")
    destination = cloud if isinstance(cloud, dict) else drive
    if not isinstance(destination, dict):
        raise invalid("A destination is required: cloudStorageDestination or driveDestination.")
    is_cloud = destination is cloud
    folder = _text(destination, "bucket" if is_cloud else "folder")
    if is_cloud and not _BUCKET.fullmatch(folder):
        raise invalid(f"Invalid Cloud Storage bucket name: '{folder}'.")
    prefix = _text(destination, "filenamePrefix") or description or "export"
    if any(part in ("", ".", "..") for part in prefix.rstrip("/").split("/")) or "\0" in prefix:
        raise invalid(f"Invalid file name prefix: '{prefix}'.")
    return FileTarget(
        place="cloud" if is_cloud else "drive",
        folder=folder if is_cloud else folder.replace("/", "_").strip("."),
        # Drive has no paths: a slash is part of a name there, and cannot be in one here.
        prefix=prefix if is_cloud else prefix.replace("/", "_"),
        options=_format_options(options),
    )


def _format_options(options: Mapping[str, Json]) -> TiffOptions | RecordOptions:
    file_format = _text(options, "fileFormat")
    if file_format in ("", "IMAGE_FILE_FORMAT_UNSPECIFIED", "GEO_TIFF"):
        return _tiff_options(_child(options, "geoTiffOptions"))
    if file_format == "TF_RECORD_IMAGE":
        return _record_options(_child(options, "tfRecordOptions"))
    raise invalid(f"Unsupported file format: {file_format}. Images are exported as GEO_TIFF or TF_RECORD_IMAGE.")


def _tiff_options(options: Mapping[str, Json]) -> TiffOptions:
    no_data = _child(options, "noData")
    if "integerValue" in no_data:
        raise invalid("Invalid no_data: only float_value is supported.")
    block = int(_number(options, "tileSize", _BLOCK)) or _BLOCK
    if block % 16 or not 0 < block <= 4096:
        raise invalid(f"Invalid tile_size: {block}. It must be a multiple of 16.")
    size = _size(options, "tileDimensions")
    if size and (size[0] % block or size[1] % block):
        raise invalid(
            f"Invalid tile_dimensions: {size[0]}x{size[1]}. Both must be multiples of the tile size ({block})."
        )
    keys = options.get("metadataKeys")
    return TiffOptions(
        is_cloud_optimized=options.get("cloudOptimized") is True,
        file_size=size,
        skips_empty=options.get("skipEmptyFiles") is True,
        block=block,
        no_data=_number(no_data, "floatValue", 0.0) if no_data else None,
        metadata_keys=tuple(str(key) for key in keys) if isinstance(keys, list) else (),
    )


def _record_options(options: Mapping[str, Json]) -> RecordOptions:
    unsupported = tuple(name for name in ("tensorDepths", "sequenceData", "collapseBands") if options.get(name))
    return RecordOptions(
        patch=_size(options, "tileDimensions") or (_BLOCK, _BLOCK),
        margin=_size(options, "marginDimensions") or (0, 0),
        is_compressed=options.get("compress") is True,
        max_bytes=int(_number(options, "maxSizeBytes", _MAX_RECORD_FILE)) or _MAX_RECORD_FILE,
        default=_number(options, "defaultValue", 0.0),
        max_masked=_number(options, "maxMaskedRatio", 1.0),
        unsupported=unsupported,
    )


def _size(options: Mapping[str, Json], name: str) -> tuple[int, int] | None:
    """Answer (width, height) if both are given."""
    size = _child(options, name)
    width, height = int(_number(size, "width", 0)), int(_number(size, "height", 0))
    if width < 0 or height < 0 or (width == 0) != (height == 0):
        raise invalid(f"Invalid dimensions: {width}x{height}.")
    return (width, height) if width else None


def _child(message: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def _text(message: Mapping[str, Json], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def _number(message: Mapping[str, Json], name: str, default: float) -> float:
    value = message.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default
