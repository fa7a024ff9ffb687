"""Bodies received past aiohttp: whole, to the byte, and the connection is aiohttp's again afterwards."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import itertools
import socket
import ssl
import sys
from asyncio import trsock
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
from aiohttp import client_proto
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eezarr.earthengine import direct
from eezarr.earthengine.direct import receive_directly
from eezarr.earthengine.idle import Request

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each packet wakes the loop")

SIZE = 5_000_000
BODY = np.random.default_rng(2).integers(0, 255, SIZE, np.uint8).tobytes()


def head(length):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


@asynccontextmanager
async def serving(converse, context=None):
    """Run a server that speaks as `converse(reader, writer)` does, once for each connection; yield its port."""
    talks = []

    def begin(reader, writer):
        talks.append(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks)


@asynccontextmanager
async def asking(port, scheme="http"):
    """Yield what asks the server once, and returns the answer with its head read."""
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, request_class=Request) as session:
        yield lambda: session.get(f"{scheme}://127.0.0.1:{port}/")


async def until(holds):
    """Let the loop go round until something holds."""
    for _ in itertools.takewhile(lambda _: not holds(), itertools.count()):
        await asyncio.sleep(0)


async def request_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


def sending(*pieces, then=None):
    """Answer each request of a connection with these pieces, each flushed by itself."""

    async def converse(reader, writer):
        try:
            while await request_of(reader):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                if then:
                    await then(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return converse


def certified(folder):
    """A server's TLS context with a certificate of its own."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def received(response, nbytes=SIZE, stall_s=10.0):
    memory = bytearray(nbytes)
    assert await receive_directly(response, memoryview(memory), stall_s=stall_s)
    return bytes(memory)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_body_passes_aiohttp_by(monkeypatch, tmp_path, scheme):
    context = certified(tmp_path) if scheme == "https" else None
    seen, ports = [], set()
    data_received = client_proto.ResponseHandler.data_received

    def counted(self, data):
        seen.append(len(data))
        data_received(self, data)

    monkeypatch.setattr(client_proto.ResponseHandler, "data_received", counted)
    async with serving(sending(head(SIZE), BODY), context) as port, asking(port, scheme) as ask:
        for _ in range(3):
            response = await ask()
            ports.add(response.connection.transport.get_extra_info("sockname")[1])
            assert await received(response) == BODY
            assert response.connection is None
            assert response.content.total_bytes == SIZE
    assert sum(seen) < 3 * 600_000
    assert len(ports) == 1


@pytest.mark.parametrize("cuts", [(1,), (1, 2, 3, 5, 8), (65_535, 65_536, 65_537), (131_072, 262_144), (4_999_999,)])
async def test_pieces_of_any_size_find_their_places(cuts):
    edges = [0, *cuts, SIZE]
    pieces = [BODY[start:stop] for start, stop in itertools.pairwise(edges)]
    async with serving(sending(head(SIZE) + pieces[0], *pieces[1:])) as port, asking(port) as ask:
        for _ in range(2):
            assert await received(await ask()) == BODY


@pytest.mark.parametrize("nbytes", [0, 1, 500])
async def test_a_body_that_came_with_its_head_is_whole(nbytes):
    async with serving(sending(head(nbytes) + BODY[:nbytes])) as port, asking(port) as ask:
        for _ in range(2):
            response = await ask()
            is_taken = await receive_directly(response, memoryview(memory := bytearray(nbytes)), stall_s=10)
            # Where all had come, aiohttp has the connection back, and the body.
            assert (bytes(memory) if is_taken else await response.content.readany()) == BODY[:nbytes]


async def test_what_aiohttp_took_before_it_stopped_reading_comes_first():
    async with serving(sending(head(SIZE), BODY)) as port, asking(port) as ask:
        response = await ask()
        await until(lambda: not response.connection.transport.is_reading())  # its own buffer is full
        assert await received(response) == BODY
        assert await received(await ask()) == BODY


async def test_bytes_after_the_body_are_not_taken_for_its_end():
    async with serving(sending(head(SIZE), BODY + b"HTTP/1.1 500 No\r\n\r\n")) as port, asking(port) as ask:
        assert await received(await ask()) == BODY


async def test_a_connection_that_ends_too_early_is_told_and_not_used_again():
    ports = []

    async def converse(reader, writer):
        ports.append(writer.get_extra_info("peername")[1])
        await request_of(reader)
        writer.write(head(SIZE) + (BODY if len(ports) == 2 else BODY[:3_000_000]))
        await writer.drain()
        writer.close()

    async with serving(converse) as port, asking(port) as ask:
        response = await ask()
        protocol = response.connection.protocol
        with pytest.raises(aiohttp.ClientPayloadError, match="2000000 bytes"):
            await received(response)
        assert not protocol.connected  # aiohttp was told
        response.close()
        assert await received(await ask()) == BODY
    assert len(set(ports)) == 2


@pytest.mark.parametrize("end", ["stalled", "cancelled"])
async def test_nothing_is_written_any_more_once_it_has_ended(end):
    go_on, sent = asyncio.Event(), asyncio.Event()

    async def rest(writer):
        await go_on.wait()
        writer.write(BODY[1000:])
        sent.set()

    memory = bytearray(SIZE)
    async with serving(sending(head(SIZE) + BODY[:1000], then=rest)) as port, asking(port) as ask:
        response = await ask()
        stall_s = 0.02 if end == "stalled" else 10
        receiving = asyncio.ensure_future(receive_directly(response, memoryview(memory), stall_s=stall_s))
        if end == "cancelled":
            await until(lambda: memory[999] == BODY[999])
            receiving.cancel()
        with pytest.raises(TimeoutError if end == "stalled" else asyncio.CancelledError):
            await receiving
        before = bytes(memory)
        go_on.set()
        await sent.wait()
        assert await response.content.readany() != b""  # aiohttp gets what comes now
        assert bytes(memory) == before == BODY[:1000] + bytes(SIZE - 1000)
        response.close()


async def test_a_body_that_keeps_coming_does_not_stall():
    clock = asyncio.get_running_loop().time

    async def slowly(writer):
        for byte in range(1, 11):
            due_s = clock() + 0.02
            await until(lambda: clock() >= due_s)  # noqa: B023 - awaited at once
            writer.write(BODY[byte : byte + 1])

    async with serving(sending(head(11) + BODY[:1], then=slowly)) as port, asking(port) as ask:
        assert await received(await ask(), 11, stall_s=0.15) == BODY[:11]


def least_of(transport):
    """How many bytes wake whoever waits for this connection."""
    return transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@only_linux
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_loop_is_woken_for_whole_pieces_and_afterwards_for_anything(monkeypatch, tmp_path, scheme):
    context = certified(tmp_path) if scheme == "https" else None
    pieces = [BODY[start : start + 5000] for start in range(0, SIZE, 5000)]
    monkeypatch.setattr(direct, "_SLOW_S", 60)
    woken = []
    get_buffer = direct._Filling.get_buffer

    def noting(self, sizehint):
        woken.append(least_of(self._transport))
        return get_buffer(self, sizehint)

    monkeypatch.setattr(direct._Filling, "get_buffer", noting)
    async with serving(sending(head(SIZE), *pieces), context) as port, asking(port, scheme) as ask:
        for _ in range(2):
            response = await ask()
            transport = response.connection.transport
            assert await received(response, stall_s=120) == BODY
            assert least_of(transport) == 1
    assert max(woken) == direct._PIECE_BYTES
    if scheme == "http":  # TLS hands on record by record
        assert len(woken) < 200


@only_linux
async def test_a_kernel_without_the_option_wakes_the_loop_for_anything(monkeypatch):
    refused = []
    setsockopt = trsock.TransportSocket.setsockopt

    def without(self, level, option, value):
        if option == socket.SO_RCVLOWAT:
            refused.append(value)
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        setsockopt(self, level, option, value)

    monkeypatch.setattr(trsock.TransportSocket, "setsockopt", without)
    async with serving(sending(head(SIZE), BODY)) as port, asking(port) as ask:
        for asked in (1, 2):
            assert await received(await ask()) == BODY
            assert len(refused) == asked  # once a body


@only_linux
async def test_a_slow_connection_is_read_as_it_comes(monkeypatch):
    monkeypatch.setattr(direct, "_SLOW_S", 0.01)
    memory, may_begin, may_go_on = bytearray(SIZE), asyncio.Event(), asyncio.Event()

    async def by_halves(writer):
        await may_begin.wait()
        writer.write(BODY[:200_000])
        await may_go_on.wait()
        writer.write(BODY[200_000:])

    async with serving(sending(head(SIZE), then=by_halves)) as port, asking(port) as ask:
        response = await ask()
        transport = response.connection.transport
        receiving = asyncio.ensure_future(receive_directly(response, memoryview(memory), stall_s=60))
        await until(lambda: least_of(transport) > 200_000)
        may_begin.set()
        await until(lambda: memory[199_990:200_000] == BODY[199_990:200_000])
        may_go_on.set()
        assert await receiving
    assert memory == BODY


@only_linux
async def test_a_cancelled_body_leaves_the_connection_as_it_was():
    async with serving(sending(head(SIZE) + BODY[:1000])) as port, asking(port) as ask:
        response = await ask()
        transport = response.connection.transport
        receiving = asyncio.ensure_future(received(response))
        await until(lambda: least_of(transport) == direct._PIECE_BYTES)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert least_of(transport) == 1
        response.close()
