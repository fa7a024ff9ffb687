"""HTTPS as the service speaks it: whom TLS trusts, for data and for tokens, and bodies that arrive whole by it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl

import numpy as np
import pytest
from aiohttp import web
from google.oauth2 import service_account

from certificates import Authority
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.payload import JsonBody
from eezarr.earthengine.trust import tls_context
from eezarr.engine.buffers import OwnMemory
from eezarr.errors import BadBody, InvalidInput, NetworkBlocked, Unreachable

BODY = JsonBody.of({"a": 1})
PIXELS = np.random.default_rng(1).integers(0, 255, 3_000_000, np.uint8).tobytes()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def serve_tls(authority):
    """Start a server with TLS whose handler answers every request; return its base URL."""
    runners = []

    async def start(handler, context=None):
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.01)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context or authority.context()).start()
        return f"https://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()
    for _ in range(20):  # handshakes that clients broke off are none of the runners' connections
        await asyncio.sleep(0)


async def answer(request):
    form = await request.post() if request.path == "/token" else {}
    if form:
        return web.json_response({"access_token": "made-up", "expires_in": 3600})
    await request.read()
    return web.json_response({"authorization": request.headers.get("Authorization")})


def robot(token_uri, key):
    """A service account's credentials whose tokens come from a URL."""
    facts = {"client_email": "r@p.iam.gserviceaccount.com", "token_uri": token_uri, "private_key": key}
    return service_account.Credentials.from_service_account_info(facts, scopes=["s"])


@pytest.fixture(scope="module")
def key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"])
async def test_one_variable_serves_data_and_tokens(serve_tls, connect, authority, key, monkeypatch, tmp_path, variable):
    named = authority.file
    if variable == "SSL_CERT_DIR":
        named = tmp_path / "folder"
        named.mkdir()
        (named / f"{subject_hash(authority.file)}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv(variable, str(named))
    url = await serve_tls(answer)
    transport = connect(url, credentials=TokenSource(robot(f"{url}/token", key)))
    assert await transport.call_json("GET", "/v1/x") == {"authorization": "Bearer made-up"}


def subject_hash(file):
    """What OpenSSL calls a trusted certificate's file in a folder: its `openssl x509 -hash`."""
    import hashlib

    from cryptography import x509

    name = x509.load_pem_x509_certificate(file.read_bytes()).subject
    text = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value.strip().lower()
    value = b"\x0c" + bytes([len(text)]) + text.encode()
    attribute = b"\x06\x03\x55\x04\x03" + value
    pair = b"\x30" + bytes([len(attribute)]) + attribute
    canonical = b"\x31" + bytes([len(pair)]) + pair
    return hashlib.sha1(canonical).digest()[3::-1].hex()  # noqa: S324 - OpenSSL's choice


async def test_what_two_variables_name_is_trusted_each(serve_tls, connect, authority, monkeypatch, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.file))
    for context in (authority.context(), other.context()):
        assert await connect(await serve_tls(answer, context)).call_json("GET", "/v1/x")


@pytest.mark.parametrize(
    ("names", "days_old", "says", "hint"),
    [
        (("127.0.0.1",), 0, "not trusted", "SSL_CERT_FILE"),
        (("another.example.com",), 0, "not valid for", "api_url"),
        (("127.0.0.1",), 30, "expired", "date and time"),
        (("127.0.0.1",), -30, "not yet valid", "date and time"),
    ],
    ids=["an unknown authority", "another host", "expired", "not valid yet"],
)
@pytest.mark.parametrize("what", ["data", "tokens"])
async def test_a_certificate_that_does_not_vouch_is_told_at_once(
    serve_tls, connect, authority, key, monkeypatch, names, days_old, says, hint, what
):
    if hint != "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    url = await serve_tls(answer, authority.context(*names, days_old=days_old))
    with pytest.raises(NetworkBlocked, match=says) as caught:
        if what == "data":
            await connect(url).call_json("GET", "/v1/x")
        else:
            await TokenSource(robot(f"{url}/token", key)).token()
    assert caught.value.exit_code == 6
    assert hint in caught.value.hint
    assert "127.0.0.1" in caught.value.message


async def test_a_certificate_that_was_trusted_before_is_waited_for(serve_tls, connect, authority, monkeypatch, serve):
    """A hotel's network in the middle of a job passes."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    seen = []

    async def once(request):
        seen.append(request)
        response = web.json_response({})
        response.force_close()
        return response

    context = authority.context()
    transport = connect(await serve_tls(once, context))
    await transport.call_json("GET", "/v1/x")
    context.load_cert_chain(_other_chain(authority))
    with pytest.raises(Unreachable, match="not valid for"):
        await transport.call_json("GET", "/v1/x")
    assert len(seen) == 1


def _other_chain(authority):
    authority.context("another.example.com")
    return authority.file.parent / "both.pem"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_that_cannot_be_trusted_is_named(tmp_path, monkeypatch, variable, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(InvalidInput, match=rf"{variable} names .*ca\.pem, which (cannot be read|holds no)"):
        tls_context()


def test_a_context_is_made_anew_when_its_file_has_changed(tmp_path, monkeypatch, authority):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    first = tls_context()
    assert tls_context() is first
    Authority(tmp_path)
    assert tls_context() is not first


def test_without_a_variable_public_authorities_are_trusted(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context = tls_context()
    assert len(context.get_ca_certs()) > 50
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def received(transport, size=3_000_000):
    buffer, length = await transport.receive("/v1/p:getPixels", BODY, OwnMemory(size))
    return buffer[:length].tobytes()


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("is_gzip", [False, True])
async def test_a_body_arrives_whole_by_tls(serve_tls, connect, authority, monkeypatch, is_gzip, is_chunked):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    ports = set()

    async def handler(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        await request.read()
        body = gzip.compress(PIXELS, 1) if is_gzip else PIXELS
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if is_gzip else {})
        if is_chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        await response.prepare(request)
        for start in range(0, len(body), 70_000):
            await response.write(body[start : start + 70_000])
        return response

    transport = connect(await serve_tls(handler), gzip=is_gzip)
    for _ in range(3):
        assert await received(transport) == PIXELS
    assert await transport.receive_bytes("/v1/x", BODY, max_bytes=len(PIXELS)) == PIXELS
    with pytest.raises(BadBody):
        await received(transport, len(PIXELS) - 1)
    assert len(ports) == 1


HEADS = {
    "a stated length": b"Content-Length: 500000\r\n\r\n",
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n80000\r\n",
    "gzip": b"Content-Encoding: gzip\r\nContent-Length: 500000\r\n\r\n",
}


@pytest.mark.parametrize("end", ["close_notify", "no close_notify", "reset"])
@pytest.mark.parametrize("kind", HEADS)
async def test_a_body_that_is_cut_by_tls_is_never_whole(connect, authority, monkeypatch, kind, end):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    sent = gzip.compress(PIXELS, 1) if kind == "gzip" else PIXELS

    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + HEADS[kind] + sent[:300_000])
        await writer.drain()
        if end == "close_notify":
            writer.close()
        elif end == "reset":
            writer.transport.abort()
        else:
            # The TCP connection ends below TLS, which is told nothing.
            below = writer.transport._ssl_protocol._transport
            below.close()  # which sends what is still to go
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    talks = []

    def begin(reader, writer):
        talks.append(asyncio.ensure_future(speak(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=authority.context())
    async with server:
        transport = connect(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", gzip=kind == "gzip")
        with pytest.raises(Unreachable):
            await received(transport)
        await asyncio.gather(*talks)


async def test_an_identity_is_asked_for_by_https_and_follows_no_redirect(serve_tls, authority, key, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    seen = []

    async def elsewhere(request):
        seen.append(await request.text())
        return web.json_response({"access_token": "stolen", "expires_in": 3600})

    target = await serve_tls(elsewhere)

    async def redirect(request):
        return web.Response(status=307, headers={"Location": f"{target}/token"}, text=json.dumps({}))

    from eezarr.errors import AccessDenied

    with pytest.raises(AccessDenied):
        await TokenSource(robot(f"{await serve_tls(redirect)}/token", key)).token()
    assert seen == []
