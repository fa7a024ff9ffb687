"""The proxy on the way: taken from the environment as people write it, and its password seen by nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback

import pytest
from aiohttp import web
from yarl import URL

from certificates import Authority
from eezarr.earthengine import diagnosis
from eezarr.earthengine.address import Address
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.proxy import proxy_for
from eezarr.errors import InvalidInput, NetworkBlocked, Unreachable

GOOGLE = "https://earthengine.googleapis.com"
SECRET = "hunter2 @:/ü"
QUOTED = "hunter2%20%40%3A%2F%C3%BC"


class Proxy:
    """A proxy that takes everyone to one server, whoever was asked for, once the login is right."""

    def __init__(self):
        self.heads = []
        self.talks = []
        self.status = b"200 Connection established"
        self.target = None
        self.wants = None

    def __call__(self, reader, writer):
        self.talks.append(asyncio.ensure_future(self._talk(reader, writer)))

    async def _talk(self, reader, writer):
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        status = self.status
        if self.wants is not None and f"proxy-authorization: {self.wants}".encode().lower() not in head.lower():
            status = b"407 Proxy Authentication Required"
        writer.write(b"HTTP/1.1 %s\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n" % status)
        if status.startswith(b"200"):
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            try:
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
            finally:
                far_writer.close()


async def _copy(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy(monkeypatch, tmp_path):
    """A proxy on the way to a server with TLS that has Google's name."""
    authority, proxy = Authority(tmp_path), Proxy()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    async def answer(request):
        if request.path == "/token":
            return web.json_response({"access_token": "made-up", "expires_in": 3600})
        return web.json_response({"authorization": request.headers.get("Authorization")})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.01)
    await runner.setup()
    context = authority.context("earthengine.googleapis.com", "oauth2.googleapis.com")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    proxy.target = runner.addresses[0][:2]
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()
    for talk in proxy.talks:
        talk.cancel()
    await asyncio.gather(*proxy.talks, return_exceptions=True)
    await runner.cleanup()
    for _ in range(20):  # what is closed is gone a few turns later
        await asyncio.sleep(0)


def user():
    """A person's credentials, whose tokens come from Google."""
    from google.oauth2.credentials import Credentials

    return Credentials(
        None, refresh_token="r", token_uri="https://oauth2.googleapis.com/token", client_id="i", client_secret="s"
    )


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", "HTTP://", ""])
async def test_data_and_tokens_go_through_the_proxy_that_is_named(proxy, connect, monkeypatch, variable, scheme):
    monkeypatch.setenv(variable, scheme + proxy.address)
    transport = connect(GOOGLE, credentials=TokenSource(user()))
    assert await transport.call_json("GET", "/v1/x") == {"authorization": "Bearer made-up"}
    assert [head.split()[:2] for head in proxy.heads] == [
        [b"CONNECT", b"oauth2.googleapis.com:443"],
        [b"CONNECT", b"earthengine.googleapis.com:443"],
    ]
    assert all(b"Bearer" not in head for head in proxy.heads)


async def test_user_and_password_are_sent_to_the_proxy_alone(proxy, connect, monkeypatch):
    from base64 import b64encode

    proxy.wants = "Basic " + b64encode(f"me:{SECRET}".encode()).decode()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{QUOTED}@{proxy.address}")
    transport = connect(GOOGLE, credentials=TokenSource(user()))
    assert await transport.call_json("GET", "/v1/x") == {"authorization": "Bearer made-up"}


def everything(error):
    """All that a log or an error tracker could show of an exception: chain, arguments, frames' locals, each by repr."""
    shown, left, seen = [], [error], set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        shown += [str(one), repr(one), repr(vars(one)), "".join(traceback.format_exception(one))]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename != __file__:
                shown += [repr(value) for value in frame.f_locals.values()]
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return "\n".join(shown)


@pytest.mark.parametrize("what", ["data", "tokens"])
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (b"407 Proxy Authentication Required", NetworkBlocked, "does not accept the user and password"),
        (b"403 Forbidden", NetworkBlocked, "does not connect to"),
        (b"502 Bad Gateway", Unreachable, "it answered 502|Tunnel"),
        (None, Unreachable, "cannot be reached"),
    ],
)
async def test_a_proxy_that_does_not_connect_is_said_without_its_password(
    proxy, connect, monkeypatch, caplog, status, kind, says, what
):
    caplog.set_level(logging.DEBUG)
    address = proxy.address
    if status is None:
        address = "127.0.0.1:1"
    else:
        proxy.status = status
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{QUOTED}@{address}")
    with pytest.raises(kind, match=says) as caught:
        if what == "data":
            await connect(GOOGLE).call_json("GET", "/v1/x")
        else:
            await TokenSource(user()).token()
    assert f"http://{address}" in caught.value.message
    assert caught.value.exit_code == 6
    assert len(proxy.heads) <= (1 if kind is NetworkBlocked else 8)
    shown = everything(caught.value) + caplog.text
    assert "hunter2" not in shown
    assert "bWU6aHVudGVy" not in shown  # Base64 of its beginning


async def test_a_407_without_a_login_says_how_to_give_one(proxy, connect, monkeypatch):
    proxy.wants = "Basic x"
    monkeypatch.setenv("HTTPS_PROXY", proxy.address)
    with pytest.raises(NetworkBlocked, match=r"wants a user and password \(407\)") as caught:
        await connect(GOOGLE).call_json("GET", "/v1/x")
    assert "user:password@" in caught.value.hint


async def test_a_407_to_plain_http_is_the_proxys(connect, monkeypatch):
    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    monkeypatch.setenv("HTTP_PROXY", f"me:{QUOTED}@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        with pytest.raises(NetworkBlocked, match="407"):
            await connect("http://emulator.example.com").call_json("GET", "/v1/x")


async def test_doctor_tells_of_the_proxy_without_its_password(proxy, monkeypatch, tmp_path):
    proxy.status = b"407 Proxy Authentication Required"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{QUOTED}@{proxy.address}")
    findings = await diagnosis.diagnose(project="p", credentials=user(), api_url=GOOGLE, home=tmp_path)
    assert [finding.exit_code for finding in findings] == [6, 6, 6]
    assert all(proxy.address in finding.text and "407" in finding.text for finding in findings)
    assert "hunter2" not in repr(findings)


@pytest.mark.parametrize("bypass", ["earthengine.googleapis.com", "googleapis.com", ".googleapis.com", "*"])
def test_no_proxy_is_honoured(monkeypatch, bypass):
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert proxy_for(URL(GOOGLE)).url == "http://proxy:3128"
    monkeypatch.setenv("NO_PROXY", bypass if bypass == "*" else f"example.com, {bypass}")
    assert proxy_for(URL(GOOGLE)) is None


def test_the_scheme_s_own_proxy_comes_before_the_one_for_all(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "all:1")
    monkeypatch.setenv("HTTPS_PROXY", "own:2")
    assert proxy_for(URL(GOOGLE)).url == "http://own:2"
    assert proxy_for(URL("http://example.com")).url == "http://all:1"
    assert proxy_for(URL("http://127.0.0.1:8099")) is None


@pytest.mark.parametrize(
    "named", [f"http://me:{QUOTED}@proxy:port", f"http://me:{QUOTED}@:3128", f"socks5://me:{QUOTED}@p:1080", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_not_quoted(monkeypatch, named):
    monkeypatch.setenv("ALL_PROXY", named)
    with pytest.raises(InvalidInput, match="ALL_PROXY") as caught:
        Address(GOOGLE)
    assert "hunter2" not in everything(caught.value)


def test_an_address_shows_no_password(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{QUOTED}@proxy:3128")
    address = Address(GOOGLE)
    assert address.proxy.url == "http://proxy:3128"
    assert "hunter2" not in repr(address) + repr(address.proxy) + str(address.proxy)
    assert isinstance(address.proxy.headers(), dict)
    assert "bWU6" not in repr(address.proxy.headers())
