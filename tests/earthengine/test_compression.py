"""When gzip is asked for: scripted bodies on a scripted clock."""

import gzip

import pytest
from aiohttp import web

from eezarr.earthengine.compression import TRIAL_BODIES, Body, Compression
from eezarr.engine.buffers import OwnMemory

MEGABYTE = 1_000_000


def feed(compression, *, bytes_per_s, wait_s=0.1, nbytes=MEGABYTE, is_served=True, count=TRIAL_BODIES, start_s=0.0):
    """Bodies one after another, as long as they take at this rate."""
    for _ in range(count):
        is_asked = compression.is_asked
        first = start_s + wait_s
        end = first + nbytes / bytes_per_s
        compression.on_body(
            Body(
                start_s=start_s,
                begin_s=first,
                end_s=end,
                nbytes=nbytes,
                is_asked=is_asked,
                is_gzip=is_asked and is_served,
            )
        )
        start_s = end
    return start_s


@pytest.mark.parametrize(("mode", "is_asked"), [(True, True), (False, False)])
def test_a_mode_that_is_given_is_kept(mode, is_asked):
    compression = Compression(mode)
    feed(compression, bytes_per_s=1e3)
    assert compression.is_asked is is_asked


def test_auto_begins_without():
    assert Compression("auto").is_asked is False


def test_a_fast_network_is_left_alone():
    compression = Compression("auto")
    feed(compression, bytes_per_s=200e6, wait_s=0.001)
    assert compression.is_asked is False


def test_a_slow_service_on_a_fast_network_is_left_alone():
    compression = Compression("auto")
    feed(compression, bytes_per_s=200e6, wait_s=2)
    assert compression.is_asked is False


def test_small_bodies_say_nothing():
    compression = Compression("auto")
    feed(compression, bytes_per_s=1e3, nbytes=1000)
    assert compression.is_asked is False


def test_on_a_slow_network_gzip_is_tried_and_kept_if_it_brings_more():
    compression = Compression("auto")
    end = feed(compression, bytes_per_s=5e6)
    assert compression.is_asked is True
    feed(compression, bytes_per_s=7e6, start_s=end)
    assert compression.is_asked is True


def test_it_is_dropped_for_good_if_it_brings_less():
    compression = Compression("auto")
    end = feed(compression, bytes_per_s=5e6)
    end = feed(compression, bytes_per_s=4e6, start_s=end)
    assert compression.is_asked is False
    feed(compression, bytes_per_s=1e6, start_s=end)
    assert compression.is_asked is False


def test_it_is_dropped_if_the_service_does_not_compress():
    compression = Compression("auto")
    end = feed(compression, bytes_per_s=5e6)
    feed(compression, bytes_per_s=6e6, start_s=end, is_served=False)
    assert compression.is_asked is False


async def test_the_transport_changes_over_in_the_middle(serve, connect):
    body = bytes(range(256)) * 1200
    asked = []

    async def handler(request):
        await request.read()
        asked.append(request.headers["Accept-Encoding"])
        if asked[-1] == "gzip":
            return web.Response(body=gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})
        return web.Response(body=body)

    transport = connect(await serve(handler), gzip="auto")
    transport._compression._is_trying = True  # as if the network had been slow
    assert await received(transport, len(body)) == body
    transport._compression._is_trying = False
    assert await received(transport, len(body)) == body
    assert asked == ["gzip", "identity"]


async def received(transport, size):
    from eezarr.earthengine.payload import JsonBody

    buffer, length = await transport.receive("/v1/x", JsonBody.of({}), OwnMemory(size))
    return bytes(buffer[:length])
