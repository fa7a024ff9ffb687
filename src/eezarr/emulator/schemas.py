"""The messages of the REST surface: which fields a request may have, and of which types.

Source: https://developers.google.com/earth-engine/reference/rest and the messages of the npm package
`@google/earthengine`, whose key lists the tests hold these against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

API = "type.googleapis.com/google.earthengine.v1"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value: `string`, `bool`, `int`, `int64`, `double` or `struct`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a set of names."""

    type_name: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An array of one type."""

    item: Type


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any names and values of one type."""

    value: Type


@dataclass(frozen=True, slots=True)
class Message:
    """An object with known fields; at most one of `one_of`."""

    type_name: str
    fields: Mapping[str, Type]
    one_of: tuple[str, ...] = ()
    union: str = ""
    """What the fields of `one_of` are together."""


Type: TypeAlias = Scalar | Enum | Repeated | MapOf | Message

STRING, BOOL, INT, LONG = Scalar("string"), Scalar("bool"), Scalar("int"), Scalar("int64")
DOUBLE, STRUCT = Scalar("double"), Scalar("struct")

FILE_FORMAT = Enum(
    f"{API}.ImageFileFormat",
    frozenset(
        {
            "IMAGE_FILE_FORMAT_UNSPECIFIED",
            "JPEG",
            "PNG",
            "AUTO_JPEG_PNG",
            "NPY",
            "GEO_TIFF",
            "TF_RECORD_IMAGE",
            "ZIPPED_GEO_TIFF",
            "ZIPPED_GEO_TIFF_PER_BAND",
            "MULTI_BAND_IMAGE_TILE",
        }
    ),
)
GRID = Message(
    f"{API}.PixelGrid",
    {
        "dimensions": Message(f"{API}.GridDimensions", {"width": INT, "height": INT}),
        "affineTransform": Message(
            f"{API}.AffineTransform",
            dict.fromkeys(("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY"), DOUBLE),
        ),
        "crsCode": STRING,
        "crsWkt": STRING,
    },
    one_of=("crsCode", "crsWkt"),
    union="crs",
)
VISUALIZATION = Message(
    f"{API}.VisualizationOptions",
    {
        "ranges": Repeated(Message(f"{API}.DoubleRange", {"min": DOUBLE, "max": DOUBLE})),
        "paletteColors": Repeated(STRING),
        "gamma": DOUBLE,
        "opacity": DOUBLE,
    },
)
EXPRESSION = Message(f"{API}.Expression", {"values": STRUCT, "result": STRING})
VALUE_NODE: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ("constantValue", "integerValue", "bytesValue", "argumentReference", "valueReference"), frozenset[str]()
    ),
    "arrayValue": frozenset({"values"}),
    "dictionaryValue": frozenset({"values"}),
    "functionDefinitionValue": frozenset({"argumentNames", "body"}),
    "functionInvocationValue": frozenset({"functionName", "functionReference", "arguments"}),
}
"""The kinds of an expression's nodes, and the fields of those that are messages; a node is of one kind."""
_PIXELS: dict[str, Type] = {
    "fileFormat": FILE_FORMAT,
    "grid": GRID,
    "bandIds": Repeated(STRING),
    "visualizationOptions": VISUALIZATION,
    "workloadTag": STRING,
}
GET_PIXELS = Message(f"{API}.GetPixelsRequest", {**_PIXELS, "region": STRUCT})
COMPUTE_PIXELS = Message(f"{API}.ComputePixelsRequest", {**_PIXELS, "expression": EXPRESSION})
COMPUTE_VALUE = Message(f"{API}.ComputeValueRequest", {"expression": EXPRESSION, "workloadTag": STRING})
# Thumbnails and maps have no workload tag: it is a parameter of their query.
THUMBNAIL = Message(
    f"{API}.Thumbnail",
    {
        "name": STRING,
        "expression": EXPRESSION,
        "fileFormat": FILE_FORMAT,
        "bandIds": Repeated(STRING),
        "visualizationOptions": VISUALIZATION,
        "grid": GRID,
        "filenamePrefix": STRING,
    },
)
MAP = Message(
    f"{API}.EarthEngineMap",
    {
        "name": STRING,
        "expression": EXPRESSION,
        "fileFormat": FILE_FORMAT,
        "bandIds": Repeated(STRING),
        "visualizationOptions": VISUALIZATION,
    },
)

_SIZE = Message(f"{API}.GridDimensions", {"width": INT, "height": INT})
PYRAMIDING = Enum(
    f"{API}.PyramidingPolicy",
    frozenset({"PYRAMIDING_POLICY_UNSPECIFIED", "MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"}),
)
RESAMPLING = Enum(
    f"{API}.TiffPyramidOptions.ResamplingMethod",
    frozenset(
        {
            "RESAMPLING_METHOD_UNSPECIFIED",
            "NEAREST",
            "AVERAGE",
            "BILINEAR",
            "CUBIC",
            "CUBIC_SPLINE",
            "GAUSS",
            "LANCZOS",
            "MODE",
            "RMS",
        }
    ),
)
_GEO_TIFF = Message(
    f"{API}.GeoTiffImageExportOptions",
    {
        "cloudOptimized": BOOL,
        "tileDimensions": _SIZE,
        "skipEmptyFiles": BOOL,
        "tileSize": INT,
        "noData": Message(f"{API}.Number", {"floatValue": DOUBLE, "integerValue": LONG}),
        "metadataKeys": Repeated(STRING),
        "pyramidOptions": Message(f"{API}.TiffPyramidOptions", {"resamplingMethod": RESAMPLING}),
    },
)
_TF_RECORD = Message(
    f"{API}.TfRecordImageExportOptions",
    {
        "tileDimensions": _SIZE,
        "marginDimensions": _SIZE,
        "compress": BOOL,
        "maxSizeBytes": LONG,
        "defaultValue": DOUBLE,
        "tensorDepths": MapOf(INT),
        "sequenceData": BOOL,
        "collapseBands": BOOL,
        "maxMaskedRatio": DOUBLE,
    },
)
_DRIVE = Message(f"{API}.DriveDestination", {"folder": STRING, "filenamePrefix": STRING})
_CLOUD_STORAGE = Message(
    f"{API}.GcsDestination",
    {
        "bucket": STRING,
        "filenamePrefix": STRING,
        "permissions": Enum(
            f"{API}.TilePermissions", frozenset({"TILE_PERMISSIONS_UNSPECIFIED", "DEFAULT_OBJECT_ACL", "PUBLIC"})
        ),
        "bucketCorsUris": Repeated(STRING),
    },
)
_TO_FILE = Message(
    f"{API}.ImageFileExportOptions",
    {
        "fileFormat": FILE_FORMAT,
        "driveDestination": _DRIVE,
        "cloudStorageDestination": _CLOUD_STORAGE,
        "geoTiffOptions": _GEO_TIFF,
        "tfRecordOptions": _TF_RECORD,
    },
    one_of=("driveDestination", "cloudStorageDestination"),
    union="destination",
)
_TO_ASSET = Message(
    f"{API}.ImageAssetExportOptions",
    {
        "earthEngineDestination": Message(f"{API}.EarthEngineDestination", {"name": STRING, "overwrite": BOOL}),
        "pyramidingPolicy": PYRAMIDING,
        "pyramidingPolicyOverrides": MapOf(PYRAMIDING),
        "tileSize": INT,
    },
)
EXPORT_IMAGE = Message(
    f"{API}.ExportImageRequest",
    {
        "expression": EXPRESSION,
        "description": STRING,
        "maxPixels": LONG,
        "grid": GRID,
        "requestId": STRING,
        "workloadTag": STRING,
        "priority": INT,
        "maxWorkers": INT,
        "fileExportOptions": _TO_FILE,
        "assetExportOptions": _TO_ASSET,
    },
    one_of=("fileExportOptions", "assetExportOptions"),
    union="export_options",
)
# The operation's name is in the path.
WAIT = Message("type.googleapis.com/google.longrunning.WaitOperationRequest", {"timeout": STRING})
NOTHING = Message("type.googleapis.com/google.longrunning.CancelOperationRequest", {})
