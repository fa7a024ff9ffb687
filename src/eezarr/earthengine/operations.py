"""Operations: what a started export is doing, and how it ended.

Fresh operations lack most fields, and the service leaves out what is empty or false: every field but the name may be
absent. An operation is over when `done` says so, or a state that is an end.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.operations,
https://github.com/google/earthengine-api/blob/master/python/ee/_cloud_api_utils.py (states and their older names)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.earthengine.computing import hint_of
from eezarr.earthengine.payload import JsonBody
from eezarr.earthengine.status import clean
from eezarr.errors import AccessDenied, BadBody, EezarrError, InvalidInput, ServiceRefusal, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.client import EarthEngine

__all__ = [
    "Operation",
    "OperationPage",
    "OperationState",
    "cancel_operation",
    "delete_operation",
    "get_operation",
    "list_operations",
    "operation_name",
    "parse_operation",
    "wait_operation",
]

OperationState: TypeAlias = Literal["PENDING", "RUNNING", "CANCELLING", "SUCCEEDED", "CANCELLED", "FAILED"]

_STATES: dict[str, OperationState] = {
    "PENDING": "PENDING",
    "READY": "PENDING",
    "UNSUBMITTED": "PENDING",
    "RUNNING": "RUNNING",
    "CANCELLING": "CANCELLING",
    "CANCEL_REQUESTED": "CANCELLING",
    "SUCCEEDED": "SUCCEEDED",
    "COMPLETED": "SUCCEEDED",
    "CANCELLED": "CANCELLED",
    "FAILED": "FAILED",
}
_ENDS = frozenset({"SUCCEEDED", "CANCELLED", "FAILED"})

_NAME = re.compile(r"projects/[^/?#:\s]+/operations/[^/?#:\s]+")
_ID = re.compile(r"[^/?#:\s]+")
_CANCELLED, _PERMISSION, _INTERNAL, _UNAVAILABLE, _UNAUTHENTICATED = 1, 7, 13, 14, 16
"""Codes of google.rpc.Code. Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""

_FAILURE_HINTS = (
    (r"Reprojection output too large", "Ask for a coarser grid, or do without `reproject()`."),
    (r"out of memory|memory limit|timed out", "Compute less per pixel, or export it in parts."),
    (r"[Ii]nternal error|unavailable", "Export it again; https://status.earthengine.app tells of outages."),
    (r"bucket|[Ss]torage", "Check the bucket's name, and that the account may write there."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One batch operation, as it was when asked for."""

    name: str
    """`projects/P/operations/ID`."""
    state: OperationState
    """PENDING if the service does not say."""
    description: str = ""
    """What its starter called it."""
    type: str = ""
    """EXPORT_IMAGE, INGEST_IMAGE, …; empty if the service does not say."""
    progress: float | None = None
    """0 to 1; None if the service does not say."""
    created: datetime | None = None
    """When it was made, with zone."""
    updated: datetime | None = None
    """When it last changed, with zone."""
    attempt: int | None = None
    """Which of up to five attempts runs."""
    destinations: tuple[str, ...] = ()
    """Where its results are."""
    eecu_seconds: float | None = None
    """What it has used."""
    error_code: int = 0
    """A google.rpc code; 0: none."""
    error_message: str = ""
    """Why it failed."""

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDS

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def require_success(self) -> None:
        """Check that it succeeded.

        Raises:
            ServiceRefusal: If it failed or was cancelled.
            AccessDenied: If it may not read or write what it should.
            Unreachable: If the service itself broke: another export can succeed.
        """
        if self.state != "SUCCEEDED":
            raise self._failure()

    def to_json(self) -> dict[str, object]:
        """Return what people ask for, by our own names."""
        return {
            "name": self.name,
            "state": self.state,
            "description": self.description,
            "type": self.type,
            "progress": self.progress,
            "created": self.created and self.created.isoformat(),
            "updated": self.updated and self.updated.isoformat(),
            "attempt": self.attempt,
            "destinations": list(self.destinations),
            "eecu_seconds": self.eecu_seconds,
            "error": {"code": self.error_code, "message": self.error_message} if self.error_code else None,
        }

    def _failure(self) -> EezarrError:
        if self.state not in {"FAILED", "CANCELLED"}:
            return InvalidInput(f"The operation {self.name} is not over.", hint="Wait for it with wait_operation.")
        if self.state == "CANCELLED" or self.error_code == _CANCELLED:
            return ServiceRefusal(f"The operation {self.name} was cancelled.", hint="Export it again.", status=499)
        message = f"The operation {self.name} failed: {self.error_message or 'the service does not say why'}"
        own = next((hint for text, hint in _FAILURE_HINTS if re.search(text, self.error_message)), None)
        hint = hint_of(self.error_message) or own
        if self.error_code in {_PERMISSION, _UNAUTHENTICATED}:
            return AccessDenied(
                message, hint=hint or "Check that the account may read the images and write the result."
            )
        if self.error_code in {_INTERNAL, _UNAVAILABLE}:
            return Unreachable(message, hint=hint or "Export it again.")
        return ServiceRefusal(message, hint=hint or "Change what the message names, and export it again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPage:
    """One page of a project's operations."""

    operations: tuple[Operation, ...]
    """Newest first, as the service lists them; other people's, too."""
    next_token: str
    """Asks for the page after it; empty: this was the last."""


def operation_name(operation: str, parent: str) -> str:
    """Return the resource name of an operation's name or id.

    Args:
        operation: `projects/P/operations/ID`, or `ID`.
        parent: `projects/P`, for an id.

    Raises:
        InvalidInput: If it can be neither.
    """
    if _NAME.fullmatch(operation):
        return operation
    if not _ID.fullmatch(operation):
        raise InvalidInput(
            f"{operation[:200]!r} is no operation.",
            hint="Give its name, `projects/P/operations/ID`, or its id, as `eezarr operations list` shows it.",
        )
    return f"{parent}/operations/{operation}"


async def get_operation(service: EarthEngine, operation: str) -> Operation:
    """Return an operation as it is now; one attempt.

    Raises:
        EezarrError: `ServiceRefusal` if there is none; else as the transport says.
    """
    path = f"/v1/{operation_name(operation, service.parent)}"
    return parse_operation(await service.transport.call_json("GET", path))


async def wait_operation(service: EarthEngine, operation: str, *, timeout_s: float) -> Operation:
    """Return an operation when it is over, or as it is when the time is (`operations.wait`); one attempt.

    The service does its best only: it may answer at once. The time must be below the silence that is borne, a minute.

    Raises:
        EezarrError: `ServiceRefusal` if there is none, or no such method; else as the transport says.
    """
    path, body = f"/v1/{operation_name(operation, service.parent)}:wait", JsonBody.of({"timeout": f"{timeout_s:.3f}s"})
    return parse_operation(await service.transport.call_json("POST", path, body=body))


async def list_operations(service: EarthEngine, *, page_size: int = 500, token: str = "") -> OperationPage:
    """Return a page of the project's operations; one attempt.

    Raises:
        EezarrError: `BadBody` if the answer is no page; else as the transport says.
    """
    if page_size < 1:
        raise InvalidInput(f"A page of {page_size} operations cannot be.", hint="Give a page_size of one or more.")
    query = {"pageSize": str(page_size)} | ({"pageToken": token} if token else {})
    answer = await service.transport.call_json("GET", f"/v1/{service.parent}/operations", query=query)
    listed, following = answer.get("operations", []), answer.get("nextPageToken", "")
    if not isinstance(listed, list) or not isinstance(following, str):
        raise _unreadable("no page of operations")
    return OperationPage(operations=tuple(map(parse_operation, listed)), next_token=following)


async def cancel_operation(service: EarthEngine, operation: str) -> None:
    """Ask for an operation to be cancelled; it ends some time later. One attempt.

    Raises:
        EezarrError: `ServiceRefusal` if there is none; else as the transport says.
    """
    path = f"/v1/{operation_name(operation, service.parent)}:cancel"
    await service.transport.call_json("POST", path, body=JsonBody.of({}))


async def delete_operation(service: EarthEngine, operation: str) -> None:
    """Remove an operation that is over from the list; one attempt.

    Raises:
        EezarrError: `ServiceRefusal` if there is none; else as the transport says.
    """
    await service.transport.call_json("DELETE", f"/v1/{operation_name(operation, service.parent)}")


def parse_operation(document: object) -> Operation:
    """Return the record of an Operation.

    Raises:
        BadBody: If it has no name.
    """
    fields = _object(document)
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise _unreadable(f"no operation: {clean(str(document))[:100]}")
    metadata, error = _object(fields.get("metadata")), _object(fields.get("error"))
    code = error.get("code")
    attempt = metadata.get("attempt")
    uris = metadata.get("destinationUris")
    return Operation(
        name=name,
        state=_state(fields, metadata, error),
        description=_text(metadata.get("description")),
        type=_text(metadata.get("type")),
        progress=_number(metadata.get("progress")),
        created=_time(metadata.get("createTime")),
        updated=_time(metadata.get("updateTime")),
        attempt=attempt if isinstance(attempt, int) else None,
        destinations=tuple(map(_text, uris)) if isinstance(uris, list) else (),
        eecu_seconds=_number(metadata.get("batchEecuUsageSeconds")),
        error_code=code if isinstance(code, int) else (2 if error else 0),
        error_message=clean(_text(error.get("message"))),
    )


def _state(fields: Mapping[str, object], metadata: Mapping[str, object], error: Mapping[str, object]) -> OperationState:
    """What is done ended by its error or without one, whatever the metadata say that may lag behind."""
    stated = _STATES.get(str(metadata.get("state")), "PENDING")
    if fields.get("done") is not True:
        return stated
    if error:
        return "CANCELLED" if error.get("code") == _CANCELLED else "FAILED"
    return stated if stated in _ENDS else "SUCCEEDED"


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    # Operations that have not begun show the epoch.
    return None if time.year == 1970 else (time if time.tzinfo else time.replace(tzinfo=UTC))


def _unreadable(what: str) -> BadBody:
    return BadBody(f"The service answered with {what}.", hint="Check that `api_url` names an Earth Engine.")
