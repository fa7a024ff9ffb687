"""Admission: the cap on requests in flight, the rates, and their texts."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from eezarr.emulator.errors import ApiError
from eezarr.emulator.quota import Quota
from eezarr.emulator.server import Emulator
from eezarr.emulator.settings import EmulatorSettings, LatencySettings, QuotaSettings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


UNLIMITED = QuotaSettings(max_concurrency=None, max_requests_per_second=None)


def refused(quota: Quota, settings: QuotaSettings) -> ApiError:
    with pytest.raises(ApiError) as caught:
        quota.admit(settings)
    assert caught.value.code == 429
    return caught.value


def test_a_slot_is_given_back_once():
    quota = Quota(Clock())
    first, _second = quota.admit(UNLIMITED), quota.admit(UNLIMITED)
    first.release()
    first.release()
    assert (quota.in_flight, quota.peak) == (1, 2)


def test_the_cap_is_inclusive_and_refusals_cost_nothing():
    quota = Quota(Clock())
    settings = QuotaSettings(max_concurrency=2, max_requests_per_second=3)
    slots = [quota.admit(settings), quota.admit(settings)]
    for _ in range(5):
        assert "concurrency limit was exceeded" in refused(quota, settings).message
    slots[0].release()
    quota.admit(settings)
    assert quota.peak == 2


def test_a_burst_is_one_second_and_refills_evenly():
    clock = Clock()
    quota = Quota(clock)
    settings = QuotaSettings(max_concurrency=None, max_requests_per_second=4)
    for _ in range(4):
        quota.admit(settings)
    refused(quota, settings)
    clock.now += 0.25
    quota.admit(settings)
    refused(quota, settings)
    clock.now += 3600
    for _ in range(4):
        quota.admit(settings)
    refused(quota, settings)


def test_the_minute_has_its_own_text():
    clock = Clock()
    quota = Quota(clock)
    settings = QuotaSettings(max_concurrency=None, max_requests_per_second=None, max_requests_per_minute=2)
    quota.admit(settings)
    quota.admit(settings)
    error = refused(quota, settings)
    assert error.message.startswith("Quota exceeded for quota metric 'Number of read requests'")
    assert error.retry_after_s is None
    clock.now += 30
    quota.admit(settings)


def test_rates_below_one_a_second_still_admit():
    clock = Clock()
    quota = Quota(clock)
    settings = QuotaSettings(max_concurrency=None, max_requests_per_second=0.5)
    quota.admit(settings)
    clock.now += 1
    refused(quota, settings)
    clock.now += 1
    quota.admit(settings)


async def test_over_http_the_request_beyond_the_cap_is_429_and_the_slot_is_free_when_the_answer_is_there(world):
    held, full = asyncio.Event(), asyncio.Event()
    waiting: list[float] = []

    async def sleep(seconds: float) -> None:
        waiting.append(seconds)
        if len(waiting) == 2:
            full.set()
        await held.wait()

    quota = QuotaSettings(
        max_concurrency=2, max_requests_per_second=None, retry_after_s=7, is_parallelism_restricted=True
    )
    settings = EmulatorSettings(quota=quota, latency=LatencySettings(base_s=3.0))
    async with Emulator(settings=settings, world=world, sleep=sleep) as emulator, aiohttp.ClientSession() as session:
        url = f"{emulator.url}/v1/projects/earthengine-public/assets/TEST/A:getPixels"

        async def ask() -> int:
            async with session.post(url, json={"fileFormat": "NPY"}) as response:
                await response.read()
                return response.status

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask()) for _ in range(2)]
            await full.wait()
            async with session.post(url, json={"fileFormat": "NPY"}) as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "7"
                assert response.headers["x-earth-engine-quota-status"] == "parallelism_restricted=true"
                assert (await response.json())["error"]["status"] == "RESOURCE_EXHAUSTED"
            held.set()
        assert [task.result() for task in tasks] == [200, 200]
        assert waiting == [3.0, 3.0]
        # Exactly at the cap, one request following another at once never meets a 429.
        for _ in range(50):
            assert await ask() == 200
        stats = emulator.stats()
        assert (stats.in_flight, stats.peak_in_flight) == (0, 2)
        assert stats.requests == {"getPixels": {"200": 52, "429": 1}}


async def test_the_slot_is_free_before_the_last_bytes_go(world, monkeypatch):
    seen: list[int] = []
    write = web.StreamResponse.write

    async with Emulator(world=world) as emulator, aiohttp.ClientSession() as session:

        async def watched(self: web.StreamResponse, data: memoryview) -> None:
            seen.append(emulator.stats().in_flight)
            await write(self, data)

        monkeypatch.setattr(web.StreamResponse, "write", watched)
        url = f"{emulator.url}/v1/projects/earthengine-public/assets/TEST/A:getPixels"
        async with session.post(url, json={"fileFormat": "NPY"}) as response:
            assert response.status == 200
            await response.read()
    # The header of the NPY, then its pixels.
    assert seen == [1, 0]
