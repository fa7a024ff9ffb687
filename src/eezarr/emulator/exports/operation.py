"""An operation: what is known of an export at one time, and the JSON that says so.

Law: what is empty is left out, as protocol buffers leave it out: `done` while it is false, `progress` while it is 0,
and, in the reply that starts an operation, all but type, description, priority and creation time.
Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.operations, OperationMetadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from eezarr.emulator.raster import Json

State: TypeAlias = Literal["PENDING", "RUNNING", "CANCELLING", "SUCCEEDED", "CANCELLED", "FAILED"]

_METADATA = "type.googleapis.com/google.earthengine.v1.OperationMetadata"
_RESPONSE = "type.googleapis.com/google.earthengine.v1.ExportImageResponse"
CANCELLED, INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL = 1, 3, 7, 12, 13
"""Codes of google.rpc."""

STAGES = ("Create List of Assets", "Write Files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an operation has no result."""

    code: int
    """Of google.rpc."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One export."""

    name: str
    """`projects/P/operations/ID`."""
    description: str
    priority: int
    created_s: float
    """Seconds since the epoch, as all times here."""
    updated_s: float
    started_s: float | None = None
    ended_s: float | None = None
    state: State = "PENDING"
    done_pixels: int = 0
    total_pixels: int = 0
    """Of the grid; 0 while it is not known."""
    destinations: tuple[str, ...] = ()
    failure: Failure | None = None
    eecu_s: float = 0.0
    """Seconds of Earth Engine compute units, at the emulator's own rate."""

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("SUCCEEDED", "CANCELLED", "FAILED")

    @property
    def progress(self) -> float:
        """Share of the pixels that are written."""
        return self.done_pixels / self.total_pixels if self.total_pixels else 0.0

    def started(self) -> dict[str, Json]:
        """Answer the JSON of the reply that starts it: hardly anything."""
        metadata: dict[str, Json] = {
            "@type": _METADATA,
            "type": "EXPORT_IMAGE",
            "description": self.description,
            "priority": self.priority,
            "createTime": _timestamp(self.created_s),
        }
        return {"name": self.name, "metadata": {name: value for name, value in metadata.items() if value != ""}}

    def info(self) -> dict[str, Json]:
        """Answer the JSON of every other reply."""
        metadata: dict[str, Json] = {
            "@type": _METADATA,
            "state": self.state,
            "description": self.description,
            "type": "EXPORT_IMAGE",
            "priority": self.priority,
            "createTime": _timestamp(self.created_s),
            "updateTime": _timestamp(self.updated_s),
            # What has not started, started in 1970.
            "startTime": _timestamp(self.started_s or 0.0),
            "endTime": "" if self.ended_s is None else _timestamp(self.ended_s),
            "progress": self.progress,
            "stages": self._stages(),
            "attempt": 0 if self.started_s is None else 1,
            "destinationUris": list(self.destinations),
            "batchEecuUsageSeconds": round(self.eecu_s, 3),
        }
        answer: dict[str, Json] = {"name": self.name}
        answer["metadata"] = {name: value for name, value in metadata.items() if value not in ("", 0, [])}
        if self.is_done:
            answer["done"] = True
        if self.failure is not None:
            answer["error"] = {"code": self.failure.code, "message": self.failure.message}
        elif self.state == "SUCCEEDED":
            answer["response"] = {"@type": _RESPONSE}
        return answer

    def _stages(self) -> list[Json]:
        if self.started_s is None:
            return []
        counts = ((int(self.total_pixels > 0), 1), (self.done_pixels, self.total_pixels))
        stages: list[Json] = []
        for label, (done, total) in zip(STAGES, counts, strict=True):
            stage: dict[str, Json] = {"displayName": label}
            # A number, and a 64-bit integer as text: so the service has them.
            stage |= {"completeWorkUnits": done} if done else {}
            stage |= {"totalWorkUnits": str(total)} if total else {}
            stages.append(stage)
        return stages


def _timestamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
