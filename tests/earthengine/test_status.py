"""The status table: every row, through the client's own receive path where it matters."""

from __future__ import annotations

import json
from email.utils import formatdate

import aioresponses
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.earthengine.operations import parse_operation
from eezarr.earthengine.refusals import REFUSALS
from eezarr.earthengine.secret import Secret
from eezarr.earthengine.status import classify
from eezarr.errors import AccessDenied, BadBody, EezarrError, ServiceRefusal, Throttled, TooHeavy, Unreachable

pytestmark = pytest.mark.once

NOW = 1_800_000_000.0


def error(message, code=400, status="INVALID_ARGUMENT", **more):
    return json.dumps({"error": {"code": code, "message": message, "status": status, **more}})


def info(reason):
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {"service": "ee"}}]


TABLE = [
    ("429", 429, "", Throttled),
    ("429", 429, error("Too Many Requests: Request was rejected because the request rate or concurrency limit "
                       "was exceeded.", 429, "RESOURCE_EXHAUSTED"), Throttled),
    ("429", 429, error("Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests "
                       "per minute per user' of service 'earthengine.googleapis.com'", 429), Throttled),
    ("throttling text", 400, error("Quota exceeded: Too many concurrent aggregations."), Throttled),
    ("throttling text", 400, error("Too many concurrent aggregations."), Throttled),
    ("throttling text", 503, error("Earth Engine capacity exceeded.", 503), Throttled),
    ("throttling text", 500, error("Earth Engine memory capacity exceeded.", 500), Throttled),
    ("rate limit reason", 403, error("Rate", 403, errors=[{"reason": "rateLimitExceeded"}]), Throttled),
    ("rate limit reason", 403, error("Rate", 403, errors=[{"reason": "userRateLimitExceeded"}]), Throttled),
    ("daily quota", 429, error("Your usage exceeded the custom quota for 'earthengine.googleapis.com/"
                               "daily_eecu_usage_time', which is adjustable by your administrator", 429), AccessDenied),
    ("queue full", 429, error("Too many tasks already in the queue (3000). Please wait for some of them to complete.",
                              429), ServiceRefusal),
    ("request id", 409, error("A different Operation was already started with the given request_id", 409),
     ServiceRefusal),
    ("already exists", 409, error("Asset 'X' already exists.", 409, "ALREADY_EXISTS"), ServiceRefusal),
    ("backend reason", 400, error("Backend Error", errors=[{"reason": "backendError"}]), Unreachable),
    ("backend reason", 403, error("Internal Error", 403, errors=[{"reason": "internalError"}]), Unreachable),
    ("backend reason", 499, error("The operation was cancelled.", 499, "CANCELLED",
                                  errors=[{"reason": "backendError"}]), Unreachable),
    ("backend reason", 409, error("The operation was aborted.", 409, "ABORTED"), Unreachable),
    ("backend reason", 400, error("The service is currently unavailable.", 400, "UNAVAILABLE"), Unreachable),
    ("aborted or cancelled", 408, "", Unreachable),
    ("aborted or cancelled", 409, "", Unreachable),
    ("aborted or cancelled", 425, "Too Early", Unreachable),
    ("aborted or cancelled", 499, "", Unreachable),
    ("no pixels", 204, "", BadBody),
    ("no pixels", 206, "a part", BadBody),
    ("no pixels", 202, error("Later.", 202), BadBody),
    ("server trouble", 500, error("An internal error has occurred", 500, "INTERNAL"), Unreachable),
    ("server trouble", 502, "<html><head><title>502 Server Error</title></head><body>The server</body>", Unreachable),
    ("server trouble", 503, error("The service is currently unavailable.", 503, "UNAVAILABLE"), Unreachable),
    ("server trouble", 504, "upstream request timeout", Unreachable),
    ("server trouble", 520, "", Unreachable),
    ("request bytes", 400, error("Total request size (56623104 bytes) must be less than or equal to 50331648 bytes."),
     TooHeavy),
    ("grid dimensions", 400, error("Pixel grid dimensions (40818x1) must be less than or equal to 32768."), TooHeavy),
    ("memory", 400, error("User memory limit exceeded."), TooHeavy),
    ("memory", 400, error("Collection.first: Error in map(ID=X):\nUser memory limit exceeded."), TooHeavy),
    ("computation time", 400, error("Computation timed out."), TooHeavy),
    ("intermediate image", 400, error("Output of image computation is too large (20 bands for 851968 pixels = "
                                      "126.8 MiB > 80.0 MiB)."), TooHeavy),
    ("bands", 400, error("Number of bands (1236) must be less than or equal to 1024."), ServiceRefusal),
    ("payload", 400, error("Request payload size exceeds the limit: 10485760 bytes."), ServiceRefusal),
    ("pixel type", 400, error("Pixel type not supported: Type<Long>. Convert the image to a floating point type or a "
                              "smaller integer type"), ServiceRefusal),
    ("compatible types", 400, error("Exported bands must have compatible data types; found inconsistent types: "
                                    "Float32 and UInt16."), ServiceRefusal),
    ("homogeneous collection", 400, error("Expected a homogeneous image collection, but an image with incompatible "
                                          "bands was encountered: X."), ServiceRefusal),
    ("value too large", 400, error("Computed value is too large."), ServiceRefusal),
    ("value too large", 400, error("Computed value too large"), ServiceRefusal),
    ("unbounded image", 400, error("Unable to export unbounded image."), ServiceRefusal),
    ("export size", 400, error("Export too large: specified 2 pixels (max: 1). Specify higher maxPixels value"),
     ServiceRefusal),
    ("too many pixels", 400, error("Image.reduceRegion: Too many pixels in the region. Found 29584131, but maxPixels "
                                   "allows only 10000000."), ServiceRefusal),
    ("too many elements", 400, error("Collection query aborted after accumulating over 5000 elements."),
     ServiceRefusal),
    ("too many edges", 400, error("Geometry has too many edges (2097153 > 2000000)."), ServiceRefusal),
    ("default projection", 400, error("The default WGS84 projection is invalid for aggregations. Specify a scale or "
                                      "crs & crs_transform."), ServiceRefusal),
    ("interpolation", 400, error("Image.resample: Invalid interpolation mode: nearest"), ServiceRefusal),
    ("date", 400, error("Date: Bad date/time '2019-02-29'."), ServiceRefusal),
    ("missing parameter", 400, error("Date: Parameter 'value' is required."), ServiceRefusal),
    ("expression", 400, error("Invalid value at 'expression' (type.googleapis.com/google.earthengine.v1.Expression)"),
     ServiceRefusal),
    ("file format", 400, error("Invalid value at 'file_format' (type.googleapis.com/google.earthengine.v1."
                               'ImageFileFormat), "NUMPY_NDARRAY"'), ServiceRefusal),
    ("asset in an expression", 400, error("Image.load: Image asset 'X' not found (does not exist or caller does not "
                                          "have access)."), ServiceRefusal),
    ("band", 400, error("Image.select: Band pattern 'B12' did not match any bands. Available bands: [B1]"),
     ServiceRefusal),
    ("anything else", 400, error("Image.clip: the area limit of 5 is exceeded."), ServiceRefusal),
    ("anything else", 400, error('Invalid JSON payload received. Unknown name "origin"'), ServiceRefusal),
    ("anything else", 501, "", ServiceRefusal),
    ("not found", 404, error("Asset 'X' not found.", 404, "NOT_FOUND"), ServiceRefusal),
    ("redirect", 302, "", ServiceRefusal),
    ("credentials", 401, error("Request had invalid authentication credentials.", 401, "UNAUTHENTICATED"),
     AccessDenied),
    ("service disabled", 403, error("Google Earth Engine API has not been used in project P before or it is disabled.",
                                    403), AccessDenied),
    ("service disabled", 403, error("No.", 403, details=info("SERVICE_DISABLED")), AccessDenied),
    ("project denied", 403, error("Caller does not have required permission to use project P.", 403), AccessDenied),
    ("project denied", 403, error("No.", 403, details=info("USER_PROJECT_DENIED")), AccessDenied),
    ("scopes", 403, error("Request had insufficient authentication scopes.", 403), AccessDenied),
    ("quota project", 403, error("Your application is authenticating by using local Application Default Credentials. "
                                 "The earthengine.googleapis.com API requires a quota project", 403), AccessDenied),
    ("not registered", 403, error("Not signed up for Earth Engine or project is not registered.", 403), AccessDenied),
    ("permission", 403, error("Permission 'earthengine.assets.get' denied on resource 'X' (or it may not exist).",
                              403), AccessDenied),
]  # fmt: skip


def classified(status, body, headers=None, **options):
    return classify(status, headers or {}, body.encode(), request="computePixels", now_s=NOW, **options)


@pytest.mark.parametrize(("row", "status", "body", "kind"), TABLE)
def test_each_answer_is_its_rows_error(row, status, body, kind):
    got = classified(status, body)
    assert type(got) is kind
    assert got.hint == next(refusal.hint for refusal in REFUSALS if refusal.name == row)
    assert str(status) in got.message


@pytest.mark.parametrize(("row", "status", "body", "kind"), TABLE)
async def test_each_answer_is_raised_by_the_transport(row, status, body, kind, connect):
    with aioresponses.aioresponses() as mocked:
        mocked.get("http://127.0.0.1:1/v1/x", status=status, body=body)
        with pytest.raises(kind):
            await connect("http://127.0.0.1:1").call_json("GET", "/v1/x")


def test_every_row_has_an_example_and_a_source():
    assert {row for row, *_ in TABLE} == {refusal.name for refusal in REFUSALS}
    assert all(refusal.source.startswith("https://") and refusal.hint.endswith(".") for refusal in REFUSALS)


def test_a_denial_says_whether_it_is_of_one_request_of_the_project_or_of_the_account():
    assert classified(401, "").scope == "account"
    assert classified(403, error("Not signed up for Earth Engine.", 403)).scope == "project"
    assert classified(403, error("Permission 'earthengine.assets.get' denied on resource 'X'.", 403)).scope == "request"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\x93NUMPY\x01\x00v\x00{'descr': [('B4', '<u2')]}" + bytes(range(256)), {}),
        (bytes(64), {"Content-Type": "text/html"}),
        (bytes([200, 210, 220, 230] * 100), {}),
        (bytes([200, 210, 220, 230] * 100), {"Content-Type": "text/plain; charset=unknown-1"}),
    ],
)
@pytest.mark.parametrize("status", [206, 302, 400, 500])
def test_a_binary_body_is_not_quoted(status, body, headers):
    got = classify(status, headers, body, request="computePixels", now_s=NOW)
    assert got.message == f"computePixels was answered with {status}: (a binary body)"


def test_text_in_the_encoding_that_its_type_names_is_quoted():
    page, headers = "Accès refusé".encode("latin-1"), {"Content-Type": 'text/html; charset="ISO-8859-1"'}
    assert "Accès refusé" in classify(502, headers, page, request="r", now_s=NOW).message


def test_text_cut_within_a_character_is_quoted():
    assert "Zugriff für" in classify(502, {}, "Zugriff für alle ü".encode()[:-1], request="r", now_s=NOW).message


def test_characters_that_change_how_a_message_is_shown_are_escaped():
    got = classified(400, error("Asset 'gpj.\u202eexe\u2066' \x1b[31m \x07 \ud800 line\nbreak"))
    assert got.message.isprintable()
    assert "gpj.\\u202eexe\\u2066' \\x1b[31m \\x07 \\ud800 line break" in got.message


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("Pixel type not supported: Type<Long>. Convert the image", "toInt32()"),
        ("Computed value is too large.", "limit"),
        ("Unable to export unbounded image.", "clip("),
        ("Exported bands must have compatible data types; found inconsistent types: Byte and Float32.", "toFloat()"),
        ("Export too large: specified 9 pixels (max: 1).", "max_pixels"),
    ],
)
def test_what_to_write_instead_is_said_at_once_and_when_an_export_failed(text, instead):
    assert instead in classified(400, error(text)).hint
    failed = parse_operation({"name": "projects/p/operations/X", "done": True, "error": {"code": 3, "message": text}})
    with pytest.raises(ServiceRefusal) as caught:
        failed.require_success()
    assert instead in caught.value.hint


def test_stated_limits_are_learnt():
    bytes_error = classified(400, error("Total request size (9 bytes) must be less than or equal to 33554432 bytes."))
    assert (bytes_error.stated_bytes, bytes_error.stated_side) == (33_554_432, None)
    side_error = classified(400, error("Pixel grid dimensions (9x9) must be less than or equal to 10000."))
    assert (side_error.stated_bytes, side_error.stated_side) == (None, 10_000)
    assert classified(400, error("User memory limit exceeded.")).stated_bytes is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("-1", None),
        ("nan", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(status, value, expected):
    assert classified(status, "", {"retry-After": value}).retry_after_s == expected


def test_retry_info_is_honoured_below_the_header():
    body = error("slow", 429, details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}])
    assert classified(429, body).retry_after_s == 3.5
    assert classified(429, body, {"Retry-After": "9"}).retry_after_s == 9.0


def test_tokens_and_long_bodies_are_not_quoted():
    secret = "made-up-token"
    body = error(f"echo {secret} Authorization: Bearer abc.def ya29.zzz " + "x" * 5000)
    long = classified(400, body, secret=Secret(secret))
    assert not any(part in long.message for part in (secret, "abc.def", "ya29.zzz"))
    assert len(long.message) < 600
    page = classified(502, "<html><style>p{}</style><body><h1>Bad&nbsp;Gateway</h1>\x1b[31m" + "y" * 9000)
    assert "Bad Gateway" in page.message
    assert not {"<", "{", "\x1b"} & set(page.message)


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "details", "errors", "reason", "code"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    st.integers(100, 999),
    st.binary(max_size=300) | json_like.map(lambda value: json.dumps({"error": value}).encode()),
    st.dictionaries(st.sampled_from(["Retry-After", "X"]), st.text(max_size=30), max_size=2),
)
def test_any_answer_is_one_of_the_declared_errors(status, body, headers):
    got = classify(status, headers, body, request="r", now_s=NOW)
    assert isinstance(got, EezarrError)
    assert len(got.message) < 600
    assert got.hint
