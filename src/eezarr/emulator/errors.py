"""What the service says when it says no: codes, statuses and texts, as its clients have recorded them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Json

_RPC_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}

RATE_TEXT = "Too Many Requests: Request was rejected because the request rate or concurrency limit was exceeded."
MINUTE_TEXT = (
    "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests per minute per user'"
    " of service 'earthengine.googleapis.com' for consumer 'project_number:1'."
)
MEMORY_TEXT = "User memory limit exceeded."
TIMEOUT_TEXT = "Computation timed out."

_UNAUTHENTICATED_TEXT = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_QUOTA_PROJECT_TEXT = (
    "Your application is authenticating by using local Application Default Credentials. The earthengine.googleapis.com"
    " API requires a quota project, which is not set by default. To learn how to set your quota project, see"
    " https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds ."
)
_PAGE = """<!DOCTYPE html>
<html lang=en>
  <meta charset=utf-8>
  <title>Error {code} ({reason})!!1</title>
  <p><b>{code}.</b> <ins>That's an error.</ins>
  <p>{text}  <ins>That's all we know.</ins>
"""


@dataclass(slots=True, kw_only=True)
class ApiError(Exception):
    """A refusal, as the REST surface words it."""

    code: int
    """HTTP status."""
    message: str
    details: list[Json] = field(default_factory=list)
    retry_after_s: int | None = None

    def body(self) -> bytes:
        """Answer the JSON of the reply."""
        error: dict[str, Json] = {"code": self.code, "message": self.message, "status": _RPC_STATUS[self.code]}
        if self.details:
            error["details"] = self.details
        return json.dumps({"error": error}, indent=2).encode()


def invalid(message: str) -> ApiError:
    """Answer a 400 with this text."""
    return ApiError(code=400, message=message)


def bad_fields(violations: Sequence[tuple[str, str]]) -> ApiError:
    """Answer the 400 of a payload with bad fields: (field, description) of each."""
    listed: list[Json] = [
        {"field": name, "description": text} if name else {"description": text} for name, text in violations
    ]
    detail: Json = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": listed}
    return ApiError(code=400, message="\n".join(text for _, text in violations), details=[detail])


def unauthenticated() -> ApiError:
    """Answer the 401 of a missing, unknown or expired token."""
    return ApiError(code=401, message=_UNAUTHENTICATED_TEXT)


def needs_quota_project() -> ApiError:
    """Answer the 403 of user credentials without `x-goog-user-project`."""
    return ApiError(code=403, message=_QUOTA_PROJECT_TEXT, details=[_reason("SERVICE_DISABLED", {})])


def insufficient_scopes() -> ApiError:
    """Answer the 403 of a token whose scopes do not cover Earth Engine."""
    return ApiError(
        code=403,
        message="Request had insufficient authentication scopes.",
        details=[_reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT", {})],
    )


def service_disabled(project: str) -> ApiError:
    """Answer the 403 of a project in which the API is not enabled."""
    url = f"https://console.developers.google.com/apis/api/earthengine.googleapis.com/overview?project={project}"
    message = (
        f"Google Earth Engine API has not been used in project {project} before or it is disabled. Enable it by"
        f" visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action to"
        " propagate to our systems and retry."
    )
    return ApiError(
        code=403, message=message, details=[_reason("SERVICE_DISABLED", {"consumer": f"projects/{project}"})]
    )


def project_denied(project: str) -> ApiError:
    """Answer the 403 of a project that the caller may not use."""
    message = (
        f"Caller does not have required permission to use project {project}. Grant the caller the"
        " roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use permission,"
        f" by visiting https://console.developers.google.com/iam-admin/iam/project?project={project} and then retry."
        " Propagation of the new permission may take a few minutes."
    )
    return ApiError(
        code=403, message=message, details=[_reason("USER_PROJECT_DENIED", {"consumer": f"projects/{project}"})]
    )


def asset_denied(name: str) -> ApiError:
    """Answer the 403 of an asset that the caller may not read."""
    return ApiError(
        code=403, message=f"Permission 'earthengine.assets.get' denied on resource '{name}' (or it may not exist)."
    )


def asset_not_found(name: str) -> ApiError:
    """Answer the 404 of the asset methods."""
    return ApiError(code=404, message=f"Asset '{name}' not found.")


def operation_not_found(name: str) -> ApiError:
    """Answer the 404 of the operation methods."""
    return ApiError(code=404, message=f"Operation '{name}' not found.")


def html_page(code: int, reason: str, text: str) -> bytes:
    """Answer an error page as a Google front end writes it."""
    return _PAGE.format(code=code, reason=reason, text=text).encode()


def _reason(reason: str, metadata: dict[str, Json]) -> Json:
    """Answer a google.rpc.ErrorInfo."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "earthengine.googleapis.com", **metadata},
    }
