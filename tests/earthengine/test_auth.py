"""Tokens, against real google-auth credentials and a token endpoint on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import google.auth.credentials
import google.auth.exceptions
import google.oauth2.credentials
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import impersonated_credentials
from google.oauth2 import service_account

from eezarr.earthengine.auth import DRIVE_SCOPE, TokenSource
from eezarr.earthengine.credentials import find_credentials
from eezarr.earthengine.googleauth import SCOPES
from eezarr.earthengine.secret import Secret
from eezarr.errors import AccessDenied, Unreachable


@pytest.fixture(scope="session")
def private_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def key_file(tmp_path, private_key):
    """Write a service account's key whose token endpoint is at a URL."""

    def write(token_uri):
        path = tmp_path / "key.json"
        facts = {
            "type": "service_account",
            "project_id": "key-project",
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": "robot@key-project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }
        path.write_text(json.dumps(facts))
        return path

    return write


class Endpoint:
    """A token endpoint that counts; `answer` replaces what it says."""

    def __init__(self):
        self.forms = []
        self.answer = None

    async def __call__(self, request):
        self.forms.append(dict(await request.post()))
        if self.answer is not None:
            status, body = self.answer
            return web.json_response(body, status=status)
        return web.json_response({"access_token": f"token-{len(self.forms)}", "expires_in": 3600})


@pytest.fixture
async def endpoint(serve):
    endpoint = Endpoint()
    endpoint.url = await serve(endpoint)
    return endpoint


async def test_a_key_file_becomes_a_token(endpoint, key_file):
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    assert (await source.token()).header("Bearer") == "Bearer token-1"
    assert await source.token() == Secret("token-1")
    assert [form["grant_type"] for form in endpoint.forms] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert "token-1" not in repr(source)


def scopes_of(form):
    """What a service account's signed request asks for."""
    claims = form["assertion"].split(".")[1]
    asked = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["scope"]
    return sorted(scope.removeprefix("https://www.googleapis.com/auth/") for scope in asked.split())


async def test_a_wider_token_is_asked_for_once_and_leaves_the_other_as_it_is(endpoint, key_file):
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    wider = source.widened([DRIVE_SCOPE])
    assert source.widened((DRIVE_SCOPE,)) is wider is not source
    assert source.widened(()) is source
    tokens = [await each.token() for each in (source, wider, source, wider)]
    assert tokens == [Secret("token-1"), Secret("token-2"), Secret("token-1"), Secret("token-2")]
    assert [scopes_of(form) for form in endpoint.forms] == [
        ["cloud-platform", "earthengine"],
        ["cloud-platform", "drive", "earthengine"],
    ]
    wider.invalidate(Secret("token-2"))
    assert await wider.token() == Secret("token-3")
    assert await source.token() == Secret("token-1")


async def test_scopes_that_a_program_chose_are_kept_beside_the_one_that_it_asks_for(endpoint, key_file):
    read_only = "https://www.googleapis.com/auth/earthengine.readonly"
    chosen = service_account.Credentials.from_service_account_file(key_file(endpoint.url), scopes=[read_only])
    source = TokenSource(find_credentials(chosen))
    for each in (source, source.widened([DRIVE_SCOPE]), source.widened([read_only])):
        await each.token()
    assert [scopes_of(form) for form in endpoint.forms] == [["earthengine.readonly"], ["drive", "earthengine.readonly"]]


def test_a_persons_scopes_are_settled():
    source = TokenSource(Made())
    assert source.widened([DRIVE_SCOPE]) is source
    anonymous = TokenSource(None)
    assert anonymous.widened([DRIVE_SCOPE]) is anonymous


def test_impersonated_credentials_can_ask_for_more():
    person = google.oauth2.credentials.Credentials("token")
    acting = impersonated_credentials.Credentials(
        source_credentials=person, target_principal="robot@p.iam.gserviceaccount.com", target_scopes=[]
    )
    source = TokenSource(find_credentials(acting))
    assert source.widened([DRIVE_SCOPE])._credentials._target_scopes == [*SCOPES, DRIVE_SCOPE]


async def test_forty_waiters_share_one_refresh(endpoint, key_file):
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(source.token()) for _ in range(40)]
    assert {task.result() for task in tasks} == {Secret("token-1")}
    assert len(endpoint.forms) == 1


async def test_of_forty_refused_requests_the_first_causes_a_refresh(endpoint, key_file):
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    refused = await source.token()

    async def exchange():
        source.invalidate(refused)
        return await source.token()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(exchange()) for _ in range(40)]
    assert {task.result() for task in tasks} == {Secret("token-2")}
    source.invalidate(refused)  # one that was slow to learn
    assert await source.token() == Secret("token-2")
    assert len(endpoint.forms) == 2


class Made(google.auth.credentials.Credentials):
    """Credentials whose refresh a test holds up, or lets fail."""

    def __init__(self, *, life_s=3600.0, now=datetime(2026, 1, 1, tzinfo=UTC), fails_with=None):
        super().__init__()
        self.refreshes = 0
        self.life = timedelta(seconds=life_s)
        self.now = now
        self.fails_with = fails_with
        self.may_go = threading.Event()
        self.may_go.set()

    def refresh(self, request):
        assert self.may_go.wait(10)
        self.refreshes += 1
        if self.fails_with is not None:
            raise self.fails_with
        self.token = f"made-{self.refreshes}"
        self.expiry = (self.now + self.life).replace(tzinfo=None)


@pytest.mark.parametrize(("left_s", "refreshes"), [(226, 1), (224, 2), (-5, 2)])
async def test_a_token_is_refreshed_225_s_before_it_expires(left_s, refreshes):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start.timestamp()]
    made = Made(now=start)
    source = TokenSource(made, clock=lambda: times[-1])
    await source.token()
    times.append(start.timestamp() + 3600 - left_s)
    await source.token()
    assert made.refreshes == refreshes


async def test_a_cancelled_waiter_does_not_cancel_the_others_refresh():
    made = Made(now=datetime.now(UTC))
    made.may_go.clear()
    source = TokenSource(made)
    first, second = asyncio.ensure_future(source.token()), asyncio.ensure_future(source.token())
    await asyncio.sleep(0)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    made.may_go.set()
    assert await second == Secret("made-1")
    assert made.refreshes == 1


async def test_all_waiters_cancelled_leave_no_unretrieved_failure():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    made = Made(fails_with=google.auth.exceptions.RefreshError("gone"))
    made.may_go.clear()
    source = TokenSource(made)
    waiter = asyncio.ensure_future(source.token())
    await asyncio.sleep(0)
    waiter.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    flight = source._flight
    made.may_go.set()
    await asyncio.wait([flight])
    del flight
    gc.collect()
    assert told == []
    with pytest.raises(AccessDenied):
        await source.token()


async def test_a_revoked_grant_is_denied_and_says_what_to_do(endpoint, key_file):
    endpoint.answer = (
        400,
        {"error": "invalid_grant", "error_description": "Token has been revoked.", "id_token": "s3"},
    )
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    with pytest.raises(AccessDenied, match=r"invalid_grant: Token has been revoked") as caught:
        await source.token()
    assert "gcloud auth application-default login" in caught.value.hint
    assert caught.value.__cause__ is None
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (google.auth.exceptions.TransportError("no route"), Unreachable),
        (google.auth.exceptions.RefreshError("busy", retryable=True), Unreachable),
        (google.auth.exceptions.RefreshError("deleted"), AccessDenied),
        (google.auth.exceptions.GoogleAuthError("odd"), AccessDenied),
        (OSError("no CA bundle"), AccessDenied),
        (ValueError("bad key"), AccessDenied),
    ],
)
async def test_failed_refreshes_are_ours_and_can_be_tried_again(failure, kind):
    made = Made(fails_with=failure, now=datetime.now(UTC))
    source = TokenSource(made)
    with pytest.raises(kind):
        await source.token()
    made.fails_with = None
    assert await source.token() == Secret("made-2")


async def test_an_unreachable_endpoint_is_unreachable(key_file):
    source = TokenSource(find_credentials(key_file("http://127.0.0.1:1/token")))
    with pytest.raises(Unreachable, match="No access token"):
        await source.token()


async def test_an_endpoint_that_repeats_a_token_is_asked_once_for_each_refusal(endpoint, key_file):
    endpoint.answer = (200, {"access_token": "same", "expires_in": 3600})
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    source.invalidate(await source.token())
    assert [await source.token() for _ in range(3)] == [Secret("same")] * 3
    assert len(endpoint.forms) == 2


async def test_a_late_refusal_of_an_old_token_does_not_pardon_the_new_one(endpoint, key_file):
    source = TokenSource(find_credentials(key_file(endpoint.url)))
    source.invalidate(await source.token())
    source.invalidate(await source.token())
    source.invalidate(Secret("token-1"))
    assert await source.token() == Secret("token-3")


async def test_anonymous_has_no_token():
    source = TokenSource(None)
    assert source.is_anonymous
    assert await source.token() is None
    source.invalidate("x")


async def test_a_second_event_loop_can_use_the_same_source():
    made = Made(now=datetime.now(UTC))
    source = TokenSource(made)
    assert await asyncio.to_thread(asyncio.run, source.token()) == Secret("made-1")
    source.invalidate(Secret("made-1"))
    assert await source.token() == Secret("made-2")


@pytest.mark.parametrize(("ahead_s", "says"), [(7200, "2 h 0 min ahead of"), (-86_400, "1 d 0 h behind")])
async def test_a_clock_that_is_off_is_said_where_it_may_be_the_reason(serve, key_file, ahead_s, says):
    async def answer(_request):
        text = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        reply = {"error": "invalid_grant", "error_description": text}
        return web.json_response(reply, status=400, headers={"Date": formatdate(time.time() - ahead_s, usegmt=True)})

    with pytest.raises(AccessDenied, match=f"this machine's clock is {says} that of 127.0.0.1") as caught:
        await TokenSource(find_credentials(key_file(await serve(answer)))).token()
    assert "clock" in caught.value.hint


async def test_a_right_clock_is_no_reason(endpoint, key_file):
    endpoint.answer = (400, {"error": "invalid_grant", "error_description": "revoked"})
    with pytest.raises(AccessDenied) as caught:
        await TokenSource(find_credentials(key_file(endpoint.url))).token()
    assert "clock" not in str(caught.value)


async def test_the_services_401_says_the_clock_too(serve, connect):
    async def answer(_request):
        return web.json_response({}, status=401, headers={"Date": formatdate(time.time() - 7200, usegmt=True)})

    with pytest.raises(AccessDenied, match="2 h 0 min ahead of"):
        await connect(await serve(answer)).call_json("GET", "/v1/x")
