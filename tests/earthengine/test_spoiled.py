"""Connections that are kept: one that received anything unasked is not used again, one that had ended costs nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from certificates import Authority
from eezarr.earthengine.payload import JsonBody
from eezarr.engine.buffers import OwnMemory
from eezarr.errors import Unreachable

BODY = JsonBody.of({"a": 1})
SIZE = 300_000
RIGHT, WRONG = (np.random.default_rng(seed).integers(0, 255, SIZE, np.uint8).tobytes() for seed in (1, 2))


def response(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


UNASKED = {
    "a whole response": response(WRONG),
    "a response without a body": response(b""),
    "half a response": response(WRONG)[:1000],
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "an empty line": b"\r\n",
    "an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "what a server says before it gives up": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "rubbish": b"\x00\x01\x02",
}


@pytest.fixture(params=["http", "https"])
def scheme(request):
    return request.param


@pytest.fixture
async def conversing(scheme, tmp_path, monkeypatch):
    """Serve each connection with a coroutine of its number and what asks and answers; yield the base URL."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    @asynccontextmanager
    async def serve(converse):
        talks = []

        async def talk(number, reader, writer):
            try:
                await converse(number, Asked(reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        def begin(reader, writer):
            talks.append(asyncio.ensure_future(talk(len(talks), reader, writer)))

        context = authority.context() if scheme == "https" else None
        server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
        try:
            yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for each in talks:
                each.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

    return serve


class Asked:
    """The server's side of a connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def request(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await self.reader.readexactly(int(length.partition(b":")[2]))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()


async def received(transport):
    buffer, length = await transport.receive("/v1/p:getPixels", BODY, OwnMemory(SIZE))
    return buffer[:length].tobytes()


@pytest.mark.parametrize("kind", UNASKED)
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_what_nobody_asked_for_is_never_taken_for_an_answer(conversing, connect, kind, when):
    has_sent, may_send, numbers = asyncio.Event(), asyncio.Event(), []

    async def converse(number, asked):
        while True:
            await asked.request()
            numbers.append(number)
            if number == 0 and when == "at once":
                await asked.send(response(RIGHT) + UNASKED[kind])
            else:
                await asked.send(response(RIGHT))
            if number == 0 and when == "later":
                await may_send.wait()
                await asked.send(UNASKED[kind])
                has_sent.set()

    async with conversing(converse) as url:
        transport = connect(url)
        assert await received(transport) == RIGHT
        if when == "later":
            may_send.set()
            await has_sent.wait()
        for _ in range(3):
            assert await received(transport) == RIGHT
    assert numbers == [0, 1, 1, 1]


async def test_a_response_that_follows_another_kind_of_answer_is_not_taken_either(conversing, connect):
    async def converse(number, asked):
        await asked.request()
        await asked.send(response(b'{"a": 1}') + (response(WRONG) if number == 0 else b""))
        while True:
            await asked.request()
            await asked.send(response(RIGHT))

    async with conversing(converse) as url:
        transport = connect(url)
        assert await transport.call_json("POST", "/v1/x", body=BODY) == {"a": 1}
        assert await transport.call_json("POST", "/v1/x", body=BODY) == {"a": 1}
        assert await received(transport) == RIGHT


async def test_a_connection_that_ends_as_it_is_used_again_costs_no_attempt(conversing, connect):
    numbers = []

    async def converse(number, asked):
        await asked.request()
        numbers.append(number)
        await asked.send(response(RIGHT))
        await asked.request()  # which is what the client takes for a race: the end crosses its request

    async with conversing(converse) as url:
        transport = connect(url)
        for _ in range(3):
            assert await received(transport) == RIGHT
    assert numbers == [0, 1, 2]


async def test_a_new_connection_that_ends_without_a_word_is_a_failure(conversing, connect):
    numbers = []

    async def converse(number, asked):
        numbers.append(number)
        await asked.request()

    async with conversing(converse) as url:
        with pytest.raises(Unreachable, match="closed the connection without"):
            await received(connect(url))
    assert numbers == [0]
