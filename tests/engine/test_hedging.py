"""Stragglers in virtual time."""

import asyncio

import numpy as np
import pytest
from affine import Affine

from eezarr.engine.buffers import OwnMemory
from eezarr.engine.gate import Gate
from eezarr.engine.hedging import ENOUGH, HedgedSource
from eezarr.errors import Unreachable
from eezarr.events import Hedged
from eezarr.grid import PixelGrid, Window
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import Band, Selection, Tile
from virtual_time import run_virtually

REGION = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=100_000, height=1)
BANDS = (Band("a", "uint16"),)


def tile_of(number):
    return Tile(
        index=number,
        window=Window(row=0, col=number, height=1, width=1),
        region=REGION,
        selection=Selection(bands=BANDS),
    )


class Scripted:
    """Takes a second, or as long as the script says for the n-th asking of a tile; writes its answer last."""

    def __init__(self, script=None):
        self.script = script or {}
        self.asked = {}
        self.written = []

    async def read(self, tile, memory):
        attempt = self.asked[tile.index] = self.asked.get(tile.index, 0) + 1
        seconds = self.script.get((tile.index, attempt), 1)
        if isinstance(seconds, Exception):
            raise seconds
        await asyncio.sleep(seconds)
        buffer = await memory.take()
        buffer[:2] = np.array([attempt], "<u2").view(np.uint8)
        self.written.append((tile.index, attempt))
        return buffer[:2].view([("a", "<u2")]).reshape(1, 1)


def run(source, tiles, events=None):
    async def scene():
        gate = Gate(limit=ConcurrencyLimit(ceiling=10, start=10), rate=RateLimit(1e6))
        hedged = HedgedSource(
            source=source, body_bytes=lambda _: 8, gate=gate, observe=(events if events is not None else []).append
        )
        times, answers = {}, {}

        async def one(number):
            async with gate.slot():
                start = asyncio.get_running_loop().time()
                answers[number] = (await hedged.read(tile_of(number), OwnMemory(8)))["a"][0, 0]
                times[number] = asyncio.get_running_loop().time() - start

        for number in tiles:
            await one(number)
        assert gate.in_flight == 0
        assert len(asyncio.all_tasks()) == 1
        return times, answers

    return run_virtually(scene())


def test_a_straggler_is_asked_a_second_time_and_the_first_answer_wins():
    source, events = Scripted({(90, 1): 100}), []
    times, answers = run(source, range(91), events)
    assert times[90] == pytest.approx(3)
    assert answers[90] == 2
    assert events == [Hedged(tile=90, after_s=2.0)]
    assert source.written.count((90, 1)) == 0


def test_the_first_wins_if_it_comes_first():
    source = Scripted({(90, 1): 2.5, (90, 2): 50})
    times, answers = run(source, range(91))
    assert (times[90], answers[90]) == (pytest.approx(2.5), 1)
    assert source.asked[90] == 2
    assert source.written.count((90, 2)) == 0


def test_a_second_asking_that_fails_changes_nothing():
    source = Scripted({(90, 1): 5, (90, 2): Unreachable("Reset.", hint="-")})
    times, answers = run(source, range(91))
    assert (times[90], answers[90]) == (pytest.approx(5), 1)


def test_a_first_asking_that_fails_late_is_the_answer():
    class FailsLate(Scripted):
        async def read(self, tile, memory):
            pixels = await super().read(tile, memory)
            if tile.index == 90 and self.asked[90] == 2 and pixels["a"][0, 0] == 1:
                raise Unreachable("Reset.", hint="-")
            return pixels

    with pytest.raises(Unreachable):
        run(FailsLate({(90, 1): 4, (90, 2): 50}), range(91))


def test_nothing_is_hedged_before_anything_is_usual():
    source = Scripted({(number, 1): 100 for number in range(ENOUGH)})
    run(source, range(ENOUGH))
    assert set(source.asked.values()) == {1}


def test_when_everything_is_slow_at_most_two_in_a_hundred_are_asked_twice():
    source = Scripted({(number, attempt): 30 for number in range(100, 1100) for attempt in (1, 2)})
    run(source, range(1100))
    assert sum(count - 1 for count in source.asked.values()) <= 0.02 * 1100


def test_cancelled_it_leaves_nothing_behind():
    source = Scripted({(90, 1): 1e9, (90, 2): 1e9})

    async def scene():
        gate = Gate(limit=ConcurrencyLimit(ceiling=10, start=10), rate=RateLimit(1e6))
        hedged = HedgedSource(source=source, body_bytes=lambda _: 8, gate=gate, observe=lambda _: None)
        for number in range(90):
            await hedged.read(tile_of(number), OwnMemory(8))
        reading = asyncio.create_task(hedged.read(tile_of(90), OwnMemory(8)))
        await asyncio.sleep(10)
        assert source.asked[90] == 2
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert gate.in_flight == 0
        assert len(asyncio.all_tasks()) == 1

    run_virtually(scene())


def test_a_straggler_among_the_first_is_asked_again_once_it_is_known_what_is_usual():
    source = Scripted({(0, 1): 1000})

    async def scene():
        gate = Gate(limit=ConcurrencyLimit(ceiling=10, start=10), rate=RateLimit(1e6))
        hedged = HedgedSource(source=source, body_bytes=lambda _: 8, gate=gate, observe=lambda _: None)

        numbers, done = iter(range(100)), {}

        async def work():
            for number in numbers:
                async with gate.slot():
                    await hedged.read(tile_of(number), OwnMemory(8))
                done[number] = asyncio.get_running_loop().time()

        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(work() for _ in range(10)))
        return done[0] - start

    # Nine slots answer nine a second, so the fiftieth answer, which allows for a second asking, comes in the sixth. It
    # takes up to a second more until a slot is free, and then another.
    assert run_virtually(scene()) == pytest.approx(8, abs=1)
    assert source.asked[0] == 2
