"""One attempt: what goes out, what comes in, and every way in which it fails; against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import socket
import ssl
import sys
import threading
from unittest.mock import Mock

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from eezarr.earthengine import inflaters
from eezarr.earthengine import transport as transport_module
from eezarr.earthengine.address import Address
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.payload import MAX_REQUEST_BYTES, JsonBody
from eezarr.earthengine.session import Timeouts
from eezarr.earthengine.transport import Transport
from eezarr.engine.buffers import OwnMemory
from eezarr.errors import AccessDenied, BadBody, InvalidInput, ServiceRefusal, Throttled, Unreachable

BODY = JsonBody.of({"a": 1})
PAYLOAD = np.random.default_rng(1).integers(0, 255, 3_000_000, np.uint8).tobytes()


class Static:
    """Credentials that hand out numbered tokens."""

    def __init__(self):
        self.token = None
        self.expiry = None
        self.refreshes = 0

    def refresh(self, request):
        self.refreshes += 1
        self.token = f"secret-{self.refreshes}"


def answering(body=b"", status=200, **options):
    async def handler(request):
        await request.read()
        return web.Response(body=body, status=status, **options)

    return handler


async def received(transport, size=3_000_000, **options):
    buffer, length = await transport.receive("/v1/p:getPixels", BODY, OwnMemory(size), **options)
    return buffer[:length].tobytes()


async def test_what_goes_out(serve, connect):
    seen = []

    async def handler(request):
        seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        return web.json_response({"ok": True})

    transport = connect(await serve(handler), credentials=Static())
    assert await transport.call_json("POST", "/v1/projects/p/value:compute", query={"q": "a b"}, body=BODY) == {
        "ok": True
    }
    method, path, headers, body = seen[0]
    assert (method, path, body) == ("POST", "/v1/projects/p/value:compute?q=a+b", b'{"a":1}')
    assert headers["Authorization"] == "Bearer secret-1"
    assert headers["x-goog-user-project"] == "proj"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("eezarr/")
    assert "gzip" not in headers["User-Agent"]
    assert headers["Content-Type"] == "application/json"
    assert "secret" not in repr(transport)


async def test_connections_are_kept(serve, connect):
    ports = set()

    async def handler(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        await request.read()
        return web.Response(body=PAYLOAD, status=200 if len(ports) == 1 and request.path != "/v1/busy" else 503)

    transport = connect(await serve(handler))
    for _ in range(3):
        assert await received(transport) == PAYLOAD
    assert len(ports) == 1


async def test_a_short_error_keeps_its_connection(serve, connect):
    ports = set()

    async def handler(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        await request.read()
        return web.Response(status=429, headers={"Retry-After": "4"}, text="slow down")

    transport = connect(await serve(handler))
    for _ in range(3):
        with pytest.raises(Throttled, match="slow down") as caught:
            await received(transport)
        assert caught.value.retry_after_s == 4.0
    assert len(ports) == 1


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("is_gzip", [False, True])
async def test_a_body_arrives_whole(serve, connect, is_gzip, is_chunked):
    async def handler(request):
        await request.read()
        assert ("gzip" in request.headers["Accept-Encoding"]) is is_gzip
        assert ("gzip" in request.headers["User-Agent"]) is is_gzip
        body = gzip.compress(PAYLOAD, 1) if is_gzip else PAYLOAD
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if is_gzip else {})
        if is_chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        await response.prepare(request)
        await response.write(body)
        return response

    transport = connect(await serve(handler), gzip=is_gzip)
    assert await received(transport) == PAYLOAD
    assert await transport.receive_bytes("/v1/x", BODY, max_bytes=len(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("is_gzip", [False, True])
async def test_one_byte_too_many_is_refused(serve, connect, is_gzip):
    headers = {"Content-Encoding": "gzip"} if is_gzip else {}
    body = gzip.compress(PAYLOAD, 1) if is_gzip else PAYLOAD
    transport = connect(await serve(answering(body, headers=headers)), gzip=is_gzip)
    with pytest.raises(BadBody, match=f"{len(PAYLOAD) - 1} bytes are the most"):
        await received(transport, len(PAYLOAD) - 1)
    with pytest.raises(BadBody, match="are the most"):
        await transport.receive_bytes("/v1/x", BODY, max_bytes=len(PAYLOAD) - 1)


def endlessly(piece, first=b"", status=200, **headers):
    """Answer with a chunked body that ends only when the client hangs up."""

    async def handler(request):
        await request.read()
        response = web.StreamResponse(status=status, headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(first)
            while True:
                await response.write(piece)
        return response

    return handler


async def test_gzip_that_inflates_to_nothing_is_refused(serve, connect):
    empty_blocks = b"\x00\x00\x00\xff\xff" * 10_000
    url = await serve(endlessly(empty_blocks, gzip.compress(b"")[:10], **{"Content-Encoding": "gzip"}))
    with pytest.raises(BadBody, match="longer, where 1000 bytes"):
        await received(connect(url, gzip=True), 1000)


async def test_an_endless_error_is_its_status(serve, connect):
    with pytest.raises(Unreachable, match="503"):
        await received(connect(await serve(endlessly(b"x" * 1000, status=503))))


async def test_one_byte_too_many_of_an_unstated_length(serve, connect):
    async def handler(request):
        await request.read()
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(bytes(1001))
        return response

    with pytest.raises(BadBody, match="longer, where 1000 bytes"):
        await received(connect(await serve(handler)), 1000)


async def test_a_stated_length_is_refused_before_it_is_received(serve, connect):
    transport = connect(await serve(answering(PAYLOAD)))
    with pytest.raises(BadBody, match="is 3000000 bytes long, where 1000 bytes"):
        await received(transport, 1000)


async def test_an_endless_body_is_refused_at_the_first_byte_too_many(serve, connect):
    sent = 0

    async def handler(request):
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        with pytest.raises(ConnectionError):
            while True:
                await response.write(bytes(1 << 16))
                sent += 1 << 16
        return response

    transport = connect(await serve(handler))
    with pytest.raises(BadBody, match="longer, where 1000 bytes"):
        await received(transport, 1000)
    await transport.aclose()
    assert sent < 64 << 20


async def test_a_gzip_bomb_is_not_inflated_past_the_buffer(serve, connect, monkeypatch):
    bomb = gzip.compress(bytes(300_000_000), 1)
    transport = connect(await serve(answering(bomb, headers={"Content-Encoding": "gzip"})), gzip=True)
    sizes = []
    real = isal_zlib.decompressobj

    class Counted:
        def __init__(self, **options):
            self._stream = real(**options)

        def decompress(self, data, most):
            part = self._stream.decompress(data, most)
            sizes.append(len(part))
            return part

        def __getattr__(self, name):
            return getattr(self._stream, name)

    monkeypatch.setattr(isal_zlib, "decompressobj", Counted)
    with pytest.raises(BadBody):
        await received(transport, 2_500_000)
    assert sum(sizes) == 2_500_001


@given(
    parts=st.lists(st.binary(max_size=40) | st.integers(0, 300).map(bytes), max_size=30),
    level=st.integers(0, 9),
    step=st.sampled_from([1, 7, 64, 300, 1 << 20]),
    cuts=st.lists(st.integers(1, 80), min_size=1, max_size=20),
    at_once=st.integers(1, 4),
    spare=st.integers(0, 2),
)
def test_pieces_of_any_size_inflate_to_what_was_compressed(parts, level, step, cuts, at_once, spare):
    plain = b"".join(parts)
    compressed = gzip.compress(plain, level)
    sizes = itertools.cycle(cuts)
    pieces, rest = [], compressed
    while rest:
        size = next(sizes)
        pieces.append(rest[:size])
        rest = rest[size:]
    buffer = bytearray(len(plain) + spare)

    def put(start, part):
        buffer[start : start + len(part)] = part

    def inflated(pieces):
        inflater = transport_module.bodies._Inflater(put, len(buffer))
        for start in range(0, len(pieces), at_once):
            inflater.feed(pieces[start : start + at_once])
        return inflater.finish()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport_module.bodies, "_PART_BYTES", step)
        assert inflated(pieces) == len(plain)
        assert buffer[: len(plain)] == plain
        flipped = compressed[:-8] + bytes([compressed[-8] ^ 1]) + compressed[-7:]
        for damaged in (pieces[:-1], [*pieces, b"\0"], [*pieces, *pieces], [compressed * 2], [flipped]):
            with pytest.raises(Unreachable):
                inflated(damaged)


async def test_a_cancelled_inflation_has_stopped_writing(serve, connect, monkeypatch):
    """The buffer is another tile's as soon as the cancelled receive has ended."""
    url = await serve(answering(gzip.compress(PAYLOAD, 1), headers={"Content-Encoding": "gzip"}))
    begun, may_go, ended = threading.Event(), threading.Event(), threading.Event()
    real = transport_module.bodies._Inflater.feed

    def held(self, compressed):
        begun.set()
        assert may_go.wait(10)
        real(self, compressed)
        ended.set()

    monkeypatch.setattr(transport_module.bodies._Inflater, "feed", held)
    monkeypatch.setattr(inflaters, "usable_cores", lambda: 1)
    transport = connect(url, gzip=True)
    task = asyncio.ensure_future(received(transport))
    assert not transport.is_inflating
    await asyncio.to_thread(begun.wait, 10)
    assert transport.is_inflating
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert not transport.is_inflating


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
async def test_threads_that_inflate_stand_back_for_the_loop(serve, connect, monkeypatch):
    transport = connect(
        await serve(answering(gzip.compress(PAYLOAD, 1), headers={"Content-Encoding": "gzip"})), gzip=True
    )
    priorities = set()
    real = transport_module.bodies._Inflater.feed

    def noting(self, compressed):
        priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        real(self, compressed)

    monkeypatch.setattr(transport_module.bodies._Inflater, "feed", noting)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert await received(transport) == PAYLOAD
    assert priorities == {min(own + 5, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


async def test_a_closed_transport_can_be_used_again(serve, connect):
    transport = connect(
        await serve(answering(gzip.compress(PAYLOAD, 1), headers={"Content-Encoding": "gzip"})), gzip=True
    )
    for _ in range(2):
        assert await received(transport) == PAYLOAD
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("eezarr-inflate")]
        assert threads
        await transport.aclose()
        for thread in threads:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(PAYLOAD, 1)[:-9], "cut short"),
        (gzip.compress(PAYLOAD, 1) + b"more", "goes on after its end"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 100, "corrupt"),
        (b"", "cut short"),
        (gzip.compress(PAYLOAD, 1)[:-8] + bytes(8), "corrupt"),
    ],
)
async def test_bad_gzip_is_asked_for_again(serve, connect, body, says):
    transport = connect(await serve(answering(body, headers={"Content-Encoding": "gzip"})), gzip=True)
    with pytest.raises(Unreachable, match=says):
        await received(transport)
    with pytest.raises(Unreachable, match=says):
        await transport.receive_bytes("/v1/x", BODY, max_bytes=len(PAYLOAD))


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
async def test_an_encoding_that_was_not_asked_for_is_refused(serve, connect, encoding):
    transport = connect(await serve(answering(b"x", headers={"Content-Encoding": encoding})))
    with pytest.raises(BadBody, match="not asked for"):
        await received(transport)


async def test_a_short_body_is_a_cut_one(serve, connect):
    async def handler(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(bytes(500))
        request.transport.close()
        return response

    transport = connect(await serve(handler))
    with pytest.raises(Unreachable, match="cut the body short") as caught:
        await received(transport)
    assert isinstance(caught.value.__cause__, aiohttp.ClientPayloadError)


async def test_a_body_that_stalls_is_unreachable(serve, connect):
    async def handler(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(bytes(500))
        await asyncio.Event().wait()

    transport = connect(await serve(handler), timeouts=Timeouts(stall_s=0.05))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 sent nothing for 0\.05 s"):
        await received(transport)


async def test_a_computation_may_be_silent_longer_than_a_read(serve, connect):
    asked = asyncio.Event()

    async def handler(request):
        if request.path == "/v1/p:getPixels":
            asked.set()
            await asyncio.Event().wait()
        return web.json_response({})

    transport = connect(await serve(handler), timeouts=Timeouts(stall_s=0.05, compute_s=30))
    with pytest.raises(Unreachable, match=r"sent nothing for 0\.05 s"):
        await received(transport, is_computed=False)
    asked.clear()
    computing = asyncio.ensure_future(received(transport, is_computed=True))
    await asked.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(computing), 0.2)
    computing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await computing


async def test_a_handshake_that_never_ends_is_no_connection(connect):
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the kernel takes the connection, and nobody else
        transport = connect(f"https://127.0.0.1:{listening.getsockname()[1]}", timeouts=Timeouts(connect_s=0.05))
        with pytest.raises(Unreachable, match="did not take the connection in time"):
            await received(transport)


async def test_a_cancelled_receive_leaves_the_transport_usable(serve, connect):
    begun = asyncio.Event()
    calls = 0

    async def handler(request):
        nonlocal calls
        calls += 1
        if calls > 1:
            return web.Response(body=PAYLOAD)
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(bytes(500))
        begun.set()
        await asyncio.Event().wait()
        return response

    transport = connect(await serve(handler))
    task = asyncio.ensure_future(received(transport))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await received(transport) == PAYLOAD


async def test_connections_that_fail(serve, connect, monkeypatch):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1 refused the connection"):
            await received(connect(f"http://127.0.0.1:{reserved.getsockname()[1]}"))
    with monkeypatch.context() as patched, pytest.raises(Unreachable, match=r"no-such-host\.invalid has no address"):
        patched.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(-2, "Name or service not known")))
        await received(connect("http://no-such-host.invalid"))

    async def hang_up(request):
        request.transport.abort()

    with pytest.raises(Unreachable, match=r"closed the connection|failed"):
        await received(connect(await serve(hang_up)))


async def test_plain_http_where_tls_is_expected(serve, connect):
    url = await serve(answering(b""))
    with pytest.raises(Unreachable) as caught:
        await received(connect(url.replace("http:", "https:"), credentials=Static()))
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError | ssl.SSLError)
    assert "secret" not in str(caught.value)


async def test_something_that_is_not_http(connect):
    async def speak(reader, writer):
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        transport = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", credentials=Static())
        with pytest.raises(Unreachable, match="not HTTP") as caught:
            await received(transport)
    assert caught.value.__cause__ is None
    assert "secret" not in repr(caught.value)


async def test_a_redirect_is_an_error_and_the_token_stays(serve, connect):
    elsewhere = []

    async def thief(request):
        elsewhere.append(dict(request.headers))
        return web.Response(body=PAYLOAD)

    target = await serve(thief)
    for status in (301, 302, 303, 307, 308):
        url = await serve(answering(status=status, headers={"Location": target}))
        with pytest.raises(ServiceRefusal) as caught:
            await received(connect(url, credentials=Static()))
        assert caught.value.status == status
    assert elsewhere == []


async def test_a_refused_token_is_refreshed_once_for_all(serve, connect):
    credentials = Static()
    seen = []
    all_in = asyncio.Event()

    async def handler(request):
        await request.read()
        seen.append(request.headers["Authorization"])
        if request.headers["Authorization"] == "Bearer secret-1":
            if len(seen) == 40:
                all_in.set()
            await all_in.wait()
            return web.json_response({"error": {"code": 401, "message": "expired"}}, status=401)
        return web.Response(body=b"ok")

    transport = connect(await serve(handler), credentials=credentials)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(received(transport)) for _ in range(40)]
    assert {task.result() for task in tasks} == {b"ok"}
    assert credentials.refreshes == 2
    assert len(seen) == 80


async def test_a_token_refused_twice_is_denied(serve, connect):
    credentials = Static()
    echo = '{"error": {"code": 401, "message": "not secret-2 nor Bearer secret-1"}}'
    transport = connect(await serve(answering(echo.encode(), status=401)), credentials=credentials)
    with pytest.raises(AccessDenied, match="401") as caught:
        await received(transport)
    assert "secret-" not in str(caught.value)
    assert credentials.refreshes == 2


async def test_anonymous_401_is_denied_at_once(serve, connect):
    with pytest.raises(AccessDenied):
        await received(connect(await serve(answering(status=401))))


@pytest.mark.parametrize("value", ["parallelism_restricted=true", "a=1; parallelism_restricted=true"])
async def test_restriction_is_told(serve, connect, value):
    told = []
    headers = {"x-earth-engine-quota-status": value}
    transport = connect(await serve(answering(b"{}", headers=headers)), on_restricted=lambda: told.append(1))
    await transport.call_json("GET", "/v1/x")
    assert told == [1]


async def test_no_restriction_is_not_told(serve, connect):
    told = []
    headers = {"x-earth-engine-quota-status": "parallelism_restricted=false"}
    transport = connect(await serve(answering(b"{}", headers=headers)), on_restricted=lambda: told.append(1))
    await transport.call_json("GET", "/v1/x")
    assert told == []


@pytest.mark.parametrize("text", [b"", b"[]", b"<html>", b"3", b"\xff", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"])
async def test_json_that_is_no_object_is_refused(serve, connect, text):
    with pytest.raises(BadBody, match="no JSON object"):
        await connect(await serve(answering(text))).call_json("GET", "/v1/x")


async def test_long_json_is_parsed_too_and_bounded(serve, connect, monkeypatch):
    document = {"assets": ["x" * 100] * 30_000}
    transport = connect(await serve(answering(json.dumps(document).encode())))
    assert await transport.call_json("GET", "/v1/x") == document
    monkeypatch.setattr(transport_module, "_MAX_JSON_BYTES", 1000)
    with pytest.raises(BadBody, match="1000 bytes are the most"):
        await transport.call_json("GET", "/v1/x")


@pytest.mark.parametrize("size", [10, 2 << 20, MAX_REQUEST_BYTES - 50])
async def test_large_requests_arrive_whole(size, serve, connect):
    got = []

    async def handler(request):
        got.append((await request.content.read(), request.headers.get("Content-Length")))
        return web.json_response({})

    transport = connect(await serve(handler))
    await transport.call_json("POST", "/v1/x", body=JsonBody.of({"a": "x" * size}))
    assert got[0][0] == b'{"a":"' + b"x" * size + b'"}'
    assert got[0][1] == str(size + 8)


async def test_silence_is_counted_anew_while_a_request_is_sent(serve, connect, monkeypatch):
    async def handler(request):
        await request.content.read()
        return web.json_response({})

    rescheduled = []
    reschedule = asyncio.Timeout.reschedule

    def noting(self, when):
        if when is not None:
            rescheduled.append(when - asyncio.get_running_loop().time())
        reschedule(self, when)

    monkeypatch.setattr(asyncio.Timeout, "reschedule", noting)
    transport = connect(await serve(handler), timeouts=Timeouts(stall_s=777))
    await transport.call_json("POST", "/v1/x", body=JsonBody.of({"a": "x" * (2 << 20)}))
    assert sum(wait_s == pytest.approx(777) for wait_s in rescheduled) > (2 << 20) // (256 << 10)


async def test_an_answer_that_comes_before_all_is_sent_is_read_whole(connect):
    text = json.dumps(
        {"error": {"code": 400, "message": "Unknown element type.", "status": "INVALID_ARGUMENT"}}
    ).encode()
    size = 8 << 20

    async def hasty(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:20])
        await reader.readexactly(size)
        writer.write(text[20:])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1 << 16)
    transport = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(ServiceRefusal, match=r"Unknown element type\."):
        await transport.call_json("POST", "/v1/x", body=JsonBody.of({"a": "x" * size}))
    server.close()


def test_requests_over_the_limit_are_never_sent():
    with pytest.raises(InvalidInput, match="10485761 bytes long"):
        JsonBody((bytes(MAX_REQUEST_BYTES), b"1"))
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        JsonBody.of({"a": float("nan")})
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        JsonBody.of({"a": {1, 2}})


async def test_an_error_page_is_read_no_further_than_needed(serve, connect):
    page = b"<html><body>Bad Gateway" + b" " * 5_000_000
    transport = connect(await serve(answering(page, status=502)))
    with pytest.raises(Unreachable, match="Bad Gateway"):
        await received(transport)


async def test_an_error_whose_body_is_cut_is_still_that_error(serve, connect):
    async def handler(request):
        response = web.StreamResponse(status=429, headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"slow")
        request.transport.close()
        return response

    with pytest.raises(Throttled, match="slow"):
        await received(connect(await serve(handler)))


async def test_a_gzipped_error_is_read(serve, connect):
    body = gzip.compress(b'{"error": {"message": "Computation timed out."}}')
    url = await serve(answering(body, status=400, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ServiceRefusal, match="Computation timed out"):
        await received(connect(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "earthengine.googleapis.com",
        "ftp://x",
        "http://",
        "http://[::1",
        "http://u:p@host",
        "http://h?x=1",
        "http://h:0",
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(InvalidInput, match="api_url"):
        Address(url)


@pytest.mark.parametrize("url", ["http://example.com", "http://10.0.0.1:8080", "http://localhost.example.com"])
def test_a_token_never_travels_in_the_clear(url):
    with pytest.raises(InvalidInput, match="in the clear"):
        Transport(Address(url), TokenSource(Static()), project="p")
    Transport(Address(url), TokenSource(None), project="p")


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.8.8.8", "http://[::1]:80", "https://example.com"])
def test_loopback_and_tls_may_carry_a_token(url):
    Transport(Address(url + "/"), TokenSource(Static()), project="p")


def test_proxies_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example.com")
    assert Address("https://earthengine.googleapis.com").proxy.url == "http://proxy:3128"
    assert Address("https://inside.example.com").proxy is None
    assert Address("http://127.0.0.1:1").proxy is None


def test_paths_are_quoted_below_the_base():
    url = Address("https://h/prefix/").endpoint("/v1/projects/p/assets/a b:getPixels", {"f": "x&y"})
    assert str(url) == "https://h/prefix/v1/projects/p/assets/a%20b:getPixels?f=x%26y"


@pytest.mark.parametrize("field", ["connect_s", "stall_s", "compute_s"])
def test_timeouts_are_positive(field):
    with pytest.raises(InvalidInput):
        Timeouts(**{field: 0.0})
