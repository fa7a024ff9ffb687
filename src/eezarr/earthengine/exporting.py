"""Exports: an image, computed as a batch and written to Cloud Storage, Drive, or an asset.

An `ExportRequest` is one intent: it carries the request id that keeps a repeated start from starting twice. Sending the
same record again is safe; a second export of the same image is another record.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.image/export
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from uuid import uuid4

from eezarr.calls import checked_record
from eezarr.earthengine.auth import DRIVE_HINT, DRIVE_SCOPE
from eezarr.earthengine.exportfiles import GeoTiffOptions, TfRecordOptions
from eezarr.earthengine.expression import parse_expression
from eezarr.earthengine.names import asset_name
from eezarr.earthengine.operations import Operation, parse_operation
from eezarr.earthengine.payload import JsonBody
from eezarr.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.client import EarthEngine
    from eezarr.earthengine.expression import Expression, Serializable
    from eezarr.grid import PixelGrid

__all__ = [
    "AssetExport",
    "CloudStorage",
    "Drive",
    "ExportRequest",
    "FileExport",
    "PyramidingPolicy",
    "start_export",
]

PyramidingPolicy: TypeAlias = Literal["MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"]
"""How the coarser levels of an asset are made."""

DEFAULT_MAX_PIXELS = 100_000_000
"""What the service computes at the most unless told otherwise; the same as its own default."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,60}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_MAX_DESCRIPTION = 100
_SCOPES_LACK = re.compile(r"insufficient authentication scopes|ACCESS_TOKEN_SCOPE_INSUFFICIENT")


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStorage:
    """A place in Google Cloud Storage.

    Raises:
        InvalidInput: If the bucket's name is none.
    """

    bucket: str
    """The bucket's name, without `gs://`."""
    prefix: str
    """What the files' names begin with, folders included."""

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise InvalidInput(f"{self.bucket[:100]!r} is no bucket's name.", hint="Give it without `gs://` and path.")

    def to_request(self) -> dict[str, object]:
        """Return the JSON of a file export's destination."""
        return {"cloudStorageDestination": {"bucket": self.bucket, "filenamePrefix": self.prefix}}


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A folder in the Google Drive of whoever exports; a service account has a Drive of its own.

    The one request that starts the export asks for Drive's scope. A person's credentials have it or not.
    """

    prefix: str
    """What the files' names begin with."""
    folder: str | None = None
    """The folder's name; None: the root."""

    def to_request(self) -> dict[str, object]:
        """Return the JSON of a file export's destination."""
        folder = {} if self.folder is None else {"folder": self.folder}
        return {"driveDestination": folder | {"filenamePrefix": self.prefix}}


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class FileExport:
    """Files, in a place."""

    destination: CloudStorage | Drive
    """Where they go."""
    options: GeoTiffOptions | TfRecordOptions = field(default_factory=GeoTiffOptions)
    """Which kind of files, and how they are written."""

    def to_request(self) -> dict[str, object]:
        """Return the JSON of the export's union."""
        return {"fileExportOptions": self.destination.to_request() | self.options.to_request()}


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class AssetExport:
    """An Earth Engine asset.

    Raises:
        InvalidInput: If the name is no asset's in a project.
    """

    name: str
    """`projects/P/assets/…`, or the older `users/…`."""
    overwrite: bool = False
    """Whether an asset that is there is replaced."""
    pyramiding: PyramidingPolicy = "MEAN"
    """How coarser levels are made, for all bands."""
    pyramiding_overrides: Mapping[str, PyramidingPolicy] = field(default_factory=dict, hash=False)
    """The same, for single bands."""

    def __post_init__(self) -> None:
        if not self.name.startswith(("projects/", "users/")):
            raise InvalidInput(
                f"{self.name[:100]!r} cannot be written.", hint="Name it `projects/my-project/assets/…`."
            )
        asset_name(self.name)
        known = get_args(PyramidingPolicy)
        for policy in (self.pyramiding, *dict(self.pyramiding_overrides).values()):
            if policy not in known:
                raise InvalidInput(f"{str(policy)[:40]!r} is no pyramiding policy.", hint=f"Use {', '.join(known)}.")
        object.__setattr__(self, "pyramiding_overrides", MappingProxyType(dict(self.pyramiding_overrides)))

    def to_request(self) -> dict[str, object]:
        """Return the JSON of the export's union."""
        options: dict[str, object] = {
            "earthEngineDestination": {"name": asset_name(self.name), "overwrite": self.overwrite},
            "pyramidingPolicy": self.pyramiding,
        }
        if self.pyramiding_overrides:
            options["pyramidingPolicyOverrides"] = dict(self.pyramiding_overrides)
        return {"assetExportOptions": options}


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """One intent to export an image.

    Raises:
        InvalidInput: If the grid has more pixels than `max_pixels`, or a field is out of its range.
    """

    expression: Expression | Serializable
    """The image: an `ee.Image`, `Image.computed`, or what `parse_expression` made; kept as the last."""
    target: FileExport | AssetExport
    """What is written, and where."""
    grid: PixelGrid | None = None
    """Its pixels. None: the image's own, for images that have an extent; a grid is better, as it says what comes."""
    description: str = ""
    """What people see in the list of operations; default: `eezarr` and the request id."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """A guard against larger exports than intended; checked here already where the grid is known."""
    priority: int | None = None
    """0 to 9999, higher is sooner; None: 100. Other values are for paid projects."""
    workload_tag: str | None = None
    """Tag under which usage is reported, instead of the client's."""
    request_id: str = field(default_factory=lambda: str(uuid4()))
    """Made once per intent: of all requests with one id the service starts one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", parse_expression(self.expression))
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise InvalidInput(
                f"{self.request_id[:80]!r} is no request id.", hint="Use 1 to 60 letters, digits and `-`."
            )
        if len(self.description) > _MAX_DESCRIPTION:
            raise InvalidInput(
                f"The description is {len(self.description)} characters long.", hint=f"Use {_MAX_DESCRIPTION} at most."
            )
        if self.priority is not None and not 0 <= self.priority <= 9999:
            raise InvalidInput(f"The priority {self.priority} cannot be.", hint="Give 0 to 9999.")
        if self.max_pixels < 1 or (self.grid is not None and self.grid.shape.size > self.max_pixels):
            size = "" if self.grid is None else f" The grid has {self.grid.shape.size} pixels."
            raise InvalidInput(
                f"max_pixels is {self.max_pixels}.{size}", hint="Raise `max_pixels` if so large an export is meant."
            )
        if not self.description:
            object.__setattr__(self, "description", f"eezarr {self.request_id}")

    def body(self) -> dict[str, object]:
        """Return the JSON body of image.export."""
        document: dict[str, object] = {
            "expression": json.loads(str(self.expression)),
            "description": self.description,
            "maxPixels": str(self.max_pixels),
            "requestId": self.request_id,
        }
        if self.grid is not None:
            document["grid"] = self.grid.to_request()
        if self.priority is not None:
            document["priority"] = self.priority
        if self.workload_tag is not None:
            document["workloadTag"] = self.workload_tag
        return document | self.target.to_request()


async def start_export(service: EarthEngine, request: ExportRequest) -> Operation:
    """Start an export; one attempt.

    Raises:
        AccessDenied: If it goes to Drive, and the credentials lack the scope and cannot get it.
        EezarrError: As the transport says.
    """
    path, body = f"/v1/{service.parent}/image:export", JsonBody.of(service.constant | request.body())
    is_to_drive = isinstance(request.target, FileExport) and isinstance(request.target.destination, Drive)
    scopes = (DRIVE_SCOPE,) if is_to_drive else ()
    try:
        return parse_operation(await service.transport.call_json("POST", path, body=body, scopes=scopes))
    except AccessDenied as error:
        if is_to_drive and _SCOPES_LACK.search(error.message):
            error.hint = DRIVE_HINT
        raise
