"""Tokens that nothing shows: no message, no chained exception, no local of a frame, as error trackers record them."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.http_writer import StreamWriter

from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.failures import translated
from eezarr.earthengine.payload import JsonBody
from eezarr.earthengine.secret import Secret
from eezarr.earthengine.session import Timeouts
from eezarr.engine.buffers import OwnMemory
from eezarr.errors import Unreachable

TOKEN = "ya29-made-up-0123456789"
BODY = JsonBody.of({"a": 1})


class Static:
    token = TOKEN
    expiry = None

    def refresh(self, request):
        self.token = TOKEN


def shown(error):
    """All of an exception, of those that it is chained to, and of their frames' locals, one level deep."""
    texts, left, seen = [], [error], set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), "".join(traceback.format_exception(one))]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename == __file__:
                continue
            for value in frame.f_locals.values():
                texts += [repr(value), repr(getattr(value, "__dict__", None)), str(value)]
                if isinstance(value, dict | list | tuple):
                    texts.append("".join(map(repr, value.values() if isinstance(value, dict) else value)))
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return "\n".join(texts)


async def hang_up(request):
    request.transport.abort()


async def refuse(request):
    await request.read()
    return web.json_response({"error": {"message": f"no {request.headers['Authorization']}"}}, status=401)


async def fail(request):
    return web.Response(status=500, text=f"seen {request.headers['Authorization']}")


async def forbid(request):
    return web.Response(status=403, text=f"seen {request.headers['Authorization']}")


async def cut(request):
    response = web.StreamResponse(headers={"Content-Length": "3000000"})
    await response.prepare(request)
    await response.write(b"x" * 500_000)
    request.transport.close()
    return response


async def stay_silent(request):
    await asyncio.sleep(60)


@pytest.mark.parametrize("handler", [hang_up, refuse, fail, forbid, cut, stay_silent])
async def test_no_failure_holds_the_token(serve, connect, caplog, handler):
    caplog.set_level(logging.DEBUG)
    transport = connect(
        await serve(handler), credentials=Static(), timeouts=Timeouts(connect_s=5, stall_s=0.2, compute_s=0.2)
    )
    for call in (
        transport.receive("/v1/p:getPixels", BODY, OwnMemory(3_000_000)),
        transport.call_json("POST", "/v1/x", body=BODY),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
            await call
        assert TOKEN not in shown(caught.value)
    assert TOKEN not in caplog.text


async def test_a_cancelled_request_does_not_hold_it_either(serve, connect):
    begun = asyncio.Event()

    async def handler(request):
        begun.set()
        await asyncio.sleep(60)

    transport = connect(await serve(handler), credentials=Static())
    task = asyncio.ensure_future(transport.call_json("POST", "/v1/x", body=BODY))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert TOKEN not in shown(caught.value)


async def test_a_connection_that_ends_while_the_request_is_written(connect):
    """aiohttp's writer has the head as bytes in a local then."""

    async def slam(reader, writer):
        await reader.read(10)
        writer.transport.abort()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    async with server:
        transport = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", credentials=Static())
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
            await transport.call_json("POST", "/v1/x", body=JsonBody((b'{"a":"' + b"x" * 5_000_000 + b'"}',)))
    assert TOKEN not in shown(caught.value)


async def test_the_frames_of_aiohttps_writer_are_forgotten():
    writer = StreamWriter(Mock(transport=None), asyncio.get_running_loop())
    with pytest.raises(Unreachable) as caught, translated("host", silence_s=1.0):
        await writer.write(f"Authorization: Bearer {TOKEN}".encode())
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert TOKEN not in shown(caught.value)


async def test_nothing_that_stays_holds_it(serve, connect):
    async def answer(request):
        return web.json_response({"authorization": request.headers["Authorization"] == f"Bearer {TOKEN}"})

    transport = connect(await serve(answer), credentials=Static())
    assert await transport.call_json("GET", "/v1/x") == {"authorization": True}
    assert TOKEN not in repr(transport) + repr(vars(transport)) + repr(vars(transport._session))
    gc.collect()


async def test_a_failed_refresh_leaves_no_endpoint_s_answer_behind(serve):
    from google.oauth2.credentials import Credentials

    async def answer(request):
        return web.json_response({"error": "invalid_grant", "id_token": TOKEN}, status=400)

    user = Credentials(None, refresh_token="r", token_uri=await serve(answer), client_id="i", client_secret="s")
    with pytest.raises(Exception, match="refused") as caught:
        await TokenSource(user).token()
    assert TOKEN not in shown(caught.value)


def test_a_secret_tells_nothing_but_to_its_header():
    secret = Secret(TOKEN)
    header = secret.header("Bearer")
    assert TOKEN not in repr(secret) + str(secret) + f"{secret}" + repr({"a": secret}) + repr(header) + repr([header])
    assert header == f"Bearer {TOKEN}"
    assert secret == Secret(TOKEN)
    assert secret != Secret("another")
    assert hash(secret) == hash(Secret(TOKEN))
    assert not Secret("")
