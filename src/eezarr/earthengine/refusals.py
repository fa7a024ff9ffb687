"""The table of refusals: which answer of the service is which of our errors, and where that is known from.

Rows are tried from top to bottom and the first that fits decides, so what is certain (a text) stands above what is
general (a status). Texts are matched by their stable parts, never by a word such as "exceed" alone: taking
"Quota exceeded" for a size error makes a client answer a 429 with more requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.earthengine.computing import COMPUTING
from eezarr.errors import AccessDenied, BadBody, EezarrError, ServiceRefusal, Throttled, TooHeavy, Unreachable

if TYPE_CHECKING:
    from eezarr.errors import DenialScope

__all__ = ["REFUSALS", "Refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One row: a kind of answer, and what it means."""

    name: str
    """What tests and people call it."""
    error: type[EezarrError]
    """What is raised."""
    hint: str
    """What to do now."""
    source: str
    """Where the answer is documented or was seen."""
    statuses: tuple[range, ...] = (range(400, 600),)
    """HTTP statuses that it comes with."""
    text: re.Pattern[str] | None = None
    """Found in the message; groups `bytes` and `side` are the limit that it states. None: any message."""
    reasons: frozenset[str] = frozenset()
    """Machine-readable reasons or statuses, one of which the answer gives. Empty: any."""
    scope: DenialScope = "account"
    """What a denied access says about other requests; see `AccessDenied`."""

    def fits(self, status: int, message: str, reasons: frozenset[str]) -> bool:
        """Return whether an answer is of this kind."""
        return (
            any(status in statuses for statuses in self.statuses)
            and (self.text is None or self.text.search(message) is not None)
            and (not self.reasons or not self.reasons.isdisjoint(reasons))
        )


def _only(*statuses: int) -> tuple[range, ...]:
    return tuple(range(status, status + 1) for status in statuses)


_SLOWER = "The engine slows down by itself; lower `max_concurrency` if other programs use the same project."
_AGAIN = "Try again later; https://status.earthengine.app tells of outages."
_SMALLER = "Ask for smaller tiles (`tile`), or for less computation per pixel."
_LIMIT = "Ask for smaller tiles: the engine does so by itself, at the limit that is stated."

_USAGE = "https://developers.google.com/earth-engine/guides/usage"
_EE_PY = "https://github.com/google/earthengine-api/blob/master/python/ee/data.py"
_DEBUGGING = "https://developers.google.com/earth-engine/guides/debugging"
_ERRORS = "https://cloud.google.com/apis/design/errors"
_CODES = "https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"
_ACCESS = "https://developers.google.com/earth-engine/guides/access"

_THROTTLING = (
    Refusal(
        name="daily quota",
        error=AccessDenied,
        text=re.compile(r"daily_eecu_usage_time|[Qq]uota exceeded .*per day|[Dd]aily [Ll]imit [Ee]xceeded"),
        scope="project",
        hint="It is reset at midnight Pacific time; or ask the project's administrator to raise it.",
        source=_USAGE,
    ),
    Refusal(
        name="queue full",
        error=ServiceRefusal,
        text=re.compile(r"Too many tasks already in the queue"),
        hint="Wait until some have ended, or cancel some: `eezarr operations` lists them.",
        source="https://developers.google.com/earth-engine/guides/usage",
    ),
    Refusal(
        name="request id",
        error=ServiceRefusal,
        text=re.compile(r"already started with the given request_id"),
        hint="It has started: `eezarr operations` lists it; for another export use another request id.",
        source="https://developers.google.com/earth-engine/reference/rest/v1/projects.image/export",
    ),
    Refusal(name="429", error=Throttled, statuses=_only(429), hint=_SLOWER, source=_USAGE),
    Refusal(
        name="rate limit reason",
        error=Throttled,
        reasons=frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}),
        hint=_SLOWER,
        source="https://github.com/googleapis/google-api-python-client/blob/main/googleapiclient/http.py",
    ),
    Refusal(
        name="throttling text",
        error=Throttled,
        text=re.compile(
            r"Too [Mm]any (?:concurrent aggregations|[Rr]equests)|Earth Engine (?:memory )?capacity exceeded"
            r"|request rate or concurrency limit was exceeded|Quota exceeded for quota metric"
        ),
        hint=_SLOWER,
        source=_DEBUGGING,
    ),
)

_SIZES = (
    Refusal(
        name="request bytes",
        error=TooHeavy,
        text=re.compile(r"Total request size \(\d+ bytes\) must be less than or equal to (?P<bytes>\d{1,15}) bytes"),
        hint=_LIMIT,
        source="https://github.com/google/Xee/issues/50",
    ),
    Refusal(
        name="grid dimensions",
        error=TooHeavy,
        text=re.compile(r"Pixel grid dimensions \(\d+x\d+\) must be less than or equal to (?P<side>\d{1,15})"),
        hint=_LIMIT,
        source="https://github.com/google/Xee/issues/85",
    ),
    Refusal(
        name="memory",
        error=TooHeavy,
        text=re.compile(r"User memory limit exceeded"),
        hint=_SMALLER,
        source="https://github.com/gee-community/geemap/issues/1465",
    ),
    Refusal(
        name="computation time",
        error=TooHeavy,
        text=re.compile(r"Computation timed out"),
        hint=_SMALLER,
        source="https://github.com/gee-community/geemap/issues/1790",
    ),
    Refusal(
        name="intermediate image",
        error=TooHeavy,
        text=re.compile(r"Output of image computation is too large|Reprojection output too large"),
        hint=_SMALLER,
        source=_DEBUGGING,
    ),
    Refusal(
        name="bands",
        error=ServiceRefusal,
        text=re.compile(r"Number of bands \(\d+\) must be less than or equal to \d+"),
        hint="Ask for fewer bands at a time.",
        source="https://github.com/leftfield-geospatial/geedim/issues/10",
    ),
    Refusal(
        name="payload",
        error=ServiceRefusal,
        text=re.compile(r"Request payload size exceeds the limit"),
        hint="Make the expression smaller: put large geometries and tables into an asset and load that.",
        source="https://github.com/gee-community/geemap/issues/1092",
    ),
)

_BACKEND = (
    Refusal(
        name="already exists",
        error=ServiceRefusal,
        statuses=_only(409),
        text=re.compile(r"[Aa]lready exists|ALREADY_EXISTS"),
        hint="Choose another name, or delete what is there.",
        source=_CODES,
    ),
    Refusal(
        name="backend reason",
        error=Unreachable,
        reasons=frozenset(
            {"backendError", "internalError", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"}
        ),
        hint=_AGAIN,
        source="https://cloud.google.com/storage/docs/json_api/v1/status-codes",
    ),
)

_ACCESS_REFUSALS = (
    Refusal(
        name="credentials",
        error=AccessDenied,
        statuses=_only(401),
        hint="Sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key "
        "file that is good for this service.",
        source=_ERRORS,
    ),
    Refusal(
        name="service disabled",
        error=AccessDenied,
        statuses=_only(403),
        scope="project",
        text=re.compile(r"has not been used in project|API .*is disabled|SERVICE_DISABLED"),
        hint="Enable the Earth Engine API in the project at "
        "https://console.cloud.google.com/apis/library/earthengine.googleapis.com, wait a few minutes, run again.",
        source="https://github.com/healthysustainablecities/global-indicators/issues/547",
    ),
    Refusal(
        name="project denied",
        error=AccessDenied,
        statuses=_only(403),
        scope="project",
        text=re.compile(r"permission to use project|USER_PROJECT_DENIED"),
        hint="Ask the project's owner for the role `roles/serviceusage.serviceUsageConsumer`, or set another project.",
        source=_ERRORS,
    ),
    Refusal(
        name="scopes",
        error=AccessDenied,
        statuses=_only(403),
        scope="project",
        text=re.compile(r"insufficient authentication scopes|ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        hint="Sign in again with `gcloud auth application-default login --scopes="
        "https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform`.",
        source=_ERRORS,
    ),
    Refusal(
        name="quota project",
        error=AccessDenied,
        statuses=_only(403),
        scope="project",
        text=re.compile(r"local Application Default Credentials|requires a quota project"),
        hint="Set `project` (or EARTHENGINE_PROJECT) to a project of your own with the Earth Engine API enabled.",
        source=_EE_PY,
    ),
    Refusal(
        name="not registered",
        error=AccessDenied,
        statuses=_only(403),
        scope="project",
        text=re.compile(r"[Nn]ot signed up for Earth Engine|project is not registered|not registered to use Earth"),
        hint="Register the project at https://console.cloud.google.com/earth-engine.",
        source=_ACCESS,
    ),
    Refusal(
        name="permission",
        error=AccessDenied,
        statuses=_only(403),
        scope="request",
        hint="Ask the owner of the asset or project for access, and check `project` and the signed-in account "
        "with `eezarr doctor`.",
        source=_ACCESS,
    ),
)

_GENERAL = (
    Refusal(
        name="no pixels",
        error=BadBody,
        statuses=(range(100, 200), range(201, 300)),
        hint="If it goes on, check that `api_url` names an Earth Engine and no proxy rewrites responses.",
        source="https://www.rfc-editor.org/rfc/rfc9110#name-successful-2xx",
    ),
    Refusal(
        name="server trouble",
        error=Unreachable,
        statuses=_only(500, *range(502, 505), *range(506, 600)),
        hint=_AGAIN,
        source=_EE_PY,
    ),
    Refusal(
        name="aborted or cancelled",
        error=Unreachable,
        statuses=_only(408, 409, 425, 499),
        hint=_AGAIN,
        source=_CODES,
    ),
    Refusal(
        name="not found",
        error=ServiceRefusal,
        statuses=_only(404),
        hint="Check the id's spelling, and whether the account may read it, with `eezarr info`.",
        source="https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/get",
    ),
    Refusal(
        name="asset in an expression",
        error=ServiceRefusal,
        text=re.compile(r"does not exist or caller does not have access"),
        hint="Check the id's spelling, and whether the account may read it, with `eezarr info`.",
        source="https://github.com/google/Xee/issues/185",
    ),
    Refusal(
        name="band",
        error=ServiceRefusal,
        text=re.compile(r"did not match any bands|Image with no bands"),
        hint="Choose bands that the image has.",
        source=_DEBUGGING,
    ),
    Refusal(
        name="redirect",
        error=ServiceRefusal,
        statuses=(range(300, 400),),
        hint="Redirects are not followed, as they would carry the token elsewhere: check `api_url` and the proxy.",
        source="https://www.rfc-editor.org/rfc/rfc9110#name-redirection-3xx",
    ),
    Refusal(
        name="anything else",
        error=ServiceRefusal,
        statuses=(range(1000),),
        hint="The same request would be refused again: change what the message names.",
        source=_ERRORS,
    ),
)

_COMPUTING = tuple(
    Refusal(name=known.name, error=ServiceRefusal, text=known.text, hint=known.hint, source=known.source)
    for known in COMPUTING
)

REFUSALS: tuple[Refusal, ...] = (*_THROTTLING, *_SIZES, *_COMPUTING, *_BACKEND, *_ACCESS_REFUSALS, *_GENERAL)
"""All rows, in the order in which they are tried; the last one fits everything."""
