"""Faults: each is what it says, is drawn reproducibly, and can be scripted."""

from __future__ import annotations

import asyncio
import dataclasses
import io

import aiohttp
import numpy as np
import pytest

from eezarr.emulator.draw import uniform
from eezarr.emulator.faults import Fault, FaultDeck
from eezarr.emulator.latency import pixel_latency_s
from eezarr.emulator.server import Emulator
from eezarr.emulator.settings import EmulatorSettings, FaultRates, FaultSettings, LatencySettings

PATH = "/v1/projects/earthengine-public/assets/TEST/A:getPixels"
BODY = {"fileFormat": "NPY", "bandIds": ["B1", "B2"]}


@pytest.fixture
async def running(world):
    async with Emulator(world=world) as emulator:
        yield emulator


async def ask(emulator: Emulator, fault: str, bands: tuple[str, ...] = ("B1", "B2")):
    emulator.script([fault])
    async with (
        aiohttp.ClientSession() as session,
        session.post(emulator.url + PATH, json={**BODY, "bandIds": list(bands)}) as response,
    ):
        return response.status, response.headers, await response.read()


def loaded(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def test_every_rate_is_a_fault_and_every_fault_a_rate():
    names = {field.name for field in dataclasses.fields(FaultRates)}
    assert names == {fault.value for fault in Fault} - {"none"}


@pytest.mark.parametrize(
    ("fault", "status", "rpc", "text"),
    [
        ("too_many_requests", 429, "RESOURCE_EXHAUSTED", "request rate or concurrency limit was exceeded"),
        ("capacity_exceeded", 429, "RESOURCE_EXHAUSTED", "Earth Engine capacity exceeded."),
        ("internal_error", 500, "INTERNAL", "An internal error has occurred"),
        ("unavailable", 503, "UNAVAILABLE", "The service is currently unavailable."),
        ("unauthenticated", 401, "UNAUTHENTICATED", "invalid authentication credentials"),
    ],
)
async def test_refusals(running, fault, status, rpc, text):
    code, headers, content = await ask(running, fault)
    assert code == status
    assert headers["Content-Type"].startswith("application/json")
    assert rpc.encode() in content
    assert text.encode() in content
    assert (await ask(running, "none"))[0] == 200


@pytest.mark.parametrize(("fault", "status"), [("bad_gateway", 502), ("html_page", 200)])
async def test_pages(running, fault, status):
    code, headers, content = await ask(running, fault)
    assert (code, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert content.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("fault", ["reset", "reset_midway", "cut"])
async def test_broken_connections(running, fault):
    with pytest.raises(aiohttp.ClientError):
        await ask(running, fault)
    assert running.stats().faults == {fault: 1}
    assert running.stats().requests == {"getPixels": {"reset": 1}}
    assert running.stats().in_flight == 0


async def test_a_stall_sends_half_and_ends_with_its_client(running):
    running.script(["stall"])
    async with aiohttp.ClientSession() as session, asyncio.timeout(10):
        async with session.post(running.url + PATH, json=BODY) as response:
            assert response.content_length is not None
            half = response.content_length // 2
            assert len(await response.content.readexactly(half)) == half
            assert running.stats().in_flight == 1
        while running.stats().in_flight:  # noqa: ASYNC110 - the server has no event for a client that goes
            await asyncio.sleep(0)
    assert running.stats().requests == {"getPixels": {"gone": 1}}


async def test_wrong_bytes(running):
    _, _, good = await ask(running, "none")
    right = loaded(good)
    content = {}
    for fault in Fault:
        if fault.is_npy:
            status, headers, content[fault] = await ask(running, fault)
            assert status == 200
            assert int(headers["Content-Length"]) == len(content[fault])
    assert content[Fault.NPY_MAGIC][1:] == good[1:]
    assert content[Fault.NPY_MAGIC] != good
    assert loaded(content[Fault.NPY_SHAPE]).shape == (47, 64)
    assert loaded(content[Fault.NPY_DTYPE]).dtype == np.dtype([("B1", "<i2"), ("B2", "<i4")])
    assert loaded(content[Fault.NPY_ORDER]).dtype.names == ("B2", "B1")
    assert content[Fault.NPY_TRAILING] == good + bytes(16)
    assert len(content[Fault.NPY_SHORT]) < len(good)
    assert right.dtype == np.dtype([("B1", "<u2"), ("B2", "<f4")])
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        loaded(content[Fault.NPY_PICKLE])


async def test_one_band_is_renamed_where_order_cannot_change(running):
    _, _, content = await ask(running, "npy_order", ("B1",))
    assert loaded(content).dtype.names == ("B1_",)


async def test_a_script_is_followed_in_order_and_only_by_pixel_requests(running):
    running.script(["unavailable", "none", "internal_error"])
    async with aiohttp.ClientSession() as session:
        async with session.get(running.url + PATH.removesuffix(":getPixels")) as response:
            assert response.status == 200
        statuses = []
        for _ in range(4):
            async with session.post(running.url + PATH, json=BODY) as response:
                statuses.append(response.status)
    assert statuses == [503, 200, 500, 200]


def test_a_script_knows_its_words():
    with pytest.raises(ValueError, match="no_such"):
        FaultDeck().script(["none", "no_such"])


def drawn(settings: FaultSettings, count: int, *, attempts: int = 1) -> list[Fault]:
    deck = FaultDeck()
    return [deck.next(settings, str(n), is_pixels=True)[0] for n in range(count) for _ in range(attempts)]


def test_draws_repeat_follow_the_rates_and_differ_by_attempt():
    settings = FaultSettings(seed=3, rates=FaultRates(unavailable=0.2, cut=0.1))
    first = drawn(settings, 5000)
    assert first == drawn(settings, 5000)
    assert first != drawn(dataclasses.replace(settings, seed=4), 5000)
    assert abs(first.count(Fault.UNAVAILABLE) / 5000 - 0.2) < 0.02
    assert abs(first.count(Fault.CUT) / 5000 - 0.1) < 0.02
    pairs = drawn(settings, 2000, attempts=2)
    both = sum(a is not Fault.NONE and b is not Fault.NONE for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    assert abs(both / 2000 - 0.09) < 0.02


def test_a_draw_does_not_depend_on_the_order_of_others():
    settings = FaultSettings(rates=FaultRates(unavailable=0.5))
    deck, other = FaultDeck(), FaultDeck()
    one = {name: deck.next(settings, name, is_pixels=True)[0] for name in "abcdefgh"}
    two = {name: other.next(settings, name, is_pixels=True)[0] for name in "hgfedcba"}
    assert one == two


def test_faults_of_one_request_can_be_bounded():
    settings = FaultSettings(rates=FaultRates(unavailable=1.0), max_per_request=3)
    assert drawn(settings, 1, attempts=5) == [Fault.UNAVAILABLE] * 3 + [Fault.NONE] * 2


def test_metadata_is_spared_unless_asked_for_and_never_gets_npy():
    deck = FaultDeck()
    assert deck.next(FaultSettings(rates=FaultRates(unavailable=1.0)), "a", is_pixels=False)[0] is Fault.NONE
    everywhere = FaultSettings(rates=FaultRates(unavailable=1.0), scope="all")
    assert deck.next(everywhere, "a", is_pixels=False)[0] is Fault.UNAVAILABLE
    wrong = FaultSettings(rates=FaultRates(npy_magic=1.0), scope="all")
    assert deck.next(wrong, "a", is_pixels=False)[0] is Fault.NONE


def test_rates_are_a_distribution():
    with pytest.raises(ValueError, match="sum to at most 1"):
        FaultRates(unavailable=0.6, cut=0.6)
    with pytest.raises(ValueError, match="at least 0"):
        FaultRates(unavailable=-0.1)


async def test_too_much_for_the_service_although_legal(world):
    settings = EmulatorSettings()
    async with Emulator(settings=settings, world=world) as emulator, aiohttp.ClientSession() as session:

        async def message(width: int) -> tuple[int, str]:
            transform = {"scaleX": 10, "scaleY": -10, "translateX": 500000, "translateY": 4200000}
            grid = {"dimensions": {"width": width, "height": 10}, "affineTransform": transform}
            async with session.post(emulator.url + PATH, json={**BODY, "grid": grid}) as response:
                return response.status, "" if response.status == 200 else (await response.json())["error"]["message"]

        emulator.configure({"faults": {"rules": [{"pattern": "TEST/*", "max_pixels": 100}]}})
        assert await message(10) == (200, "")
        assert await message(11) == (400, "User memory limit exceeded.")
        emulator.configure({"faults": {"rules": [{"max_pixels": 50, "answer": "timeout"}]}})
        assert await message(10) == (400, "Computation timed out.")
        emulator.configure({"faults": {"rules": [{"pattern": "OTHER/*", "max_pixels": 50}]}})
        assert await message(10) == (200, "")


def latency(settings: LatencySettings, request: str = "r", attempt: int = 0) -> float:
    return pixel_latency_s(settings, accounted_bytes=3_000_000, pixels=1_000_000, request=request, attempt=attempt)


def test_latency_is_base_and_size():
    assert latency(LatencySettings(base_s=0.5, per_megabyte_s=0.1, per_megapixel_s=0.25)) == pytest.approx(1.05)


def test_latency_jitters_around_its_median_and_repeats():
    settings = LatencySettings(base_s=1.0, jitter=0.3, seed=5)
    times = np.array([latency(settings, str(n)) for n in range(4000)])
    np.testing.assert_array_equal(times, [latency(settings, str(n)) for n in range(4000)])
    assert np.median(times) == pytest.approx(1.0, rel=0.03)
    assert np.log(times).std() == pytest.approx(0.3, rel=0.05)
    assert latency(settings, "r", 0) != latency(settings, "r", 1)


def test_stragglers_are_a_fraction():
    settings = LatencySettings(base_s=1.0, straggler_fraction=0.05, straggler_factor=20)
    times = [latency(settings, str(n)) for n in range(4000)]
    assert set(times) == {1.0, 20.0}
    assert times.count(20.0) / 4000 == pytest.approx(0.05, abs=0.01)


def test_chance_is_uniform_and_independent_by_purpose():
    values = np.array([uniform(0, "a", str(n), 0) for n in range(4000)])
    others = np.array([uniform(0, "b", str(n), 0) for n in range(4000)])
    assert abs(values.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(values, others)[0, 1]) < 0.05
