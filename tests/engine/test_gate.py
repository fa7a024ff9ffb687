"""The gate in virtual time: what it admits, when, and what it learns."""

import asyncio
from collections import Counter

import pytest

from eezarr.engine.gate import Gate
from eezarr.errors import Throttled, Unreachable
from eezarr.limit import ConcurrencyLimit, RateLimit
from virtual_time import run_virtually


def gate_of(ceiling=40, start=8, per_second=1e6, **rest) -> Gate:
    return Gate(limit=ConcurrencyLimit(ceiling=ceiling, start=start), rate=RateLimit(per_second), **rest)


def throttled(retry_after_s=None) -> Throttled:
    return Throttled("Too many requests.", hint="Wait.", retry_after_s=retry_after_s)


async def all_of(*works):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]


def test_never_more_are_out_than_the_limit():
    gate = gate_of(ceiling=5, start=5)
    peaks = []

    async def request():
        async with gate.slot():
            peaks.append(gate.in_flight)
            await asyncio.sleep(1)

    run_virtually(all_of(*(request() for _ in range(50))))
    assert max(peaks) == 5
    assert gate.in_flight == 0


def test_the_limit_doubles_per_round_trip_while_it_is_used():
    gate = gate_of(ceiling=40, start=5)
    started = Counter()

    async def request():
        async with gate.slot():
            started[round(asyncio.get_running_loop().time())] += 1
            await asyncio.sleep(1)

    run_virtually(all_of(*(request() for _ in range(155))))
    assert list(started.values()) == [5, 10, 20, 40, 40, 40]


def test_an_idle_client_learns_nothing():
    gate = gate_of(ceiling=40, start=10)

    async def one_after_another():
        for _ in range(100):
            async with gate.slot():
                pass

    run_virtually(one_after_another())
    assert gate.limit == 10


def test_forty_refusals_of_one_round_trip_shrink_the_limit_once():
    shrinks = []
    gate = gate_of(ceiling=40, start=40, on_shrink=shrinks.append)

    async def refused():
        with pytest.raises(Throttled):
            async with gate.slot():
                await asyncio.sleep(1)
                raise throttled()

    run_virtually(all_of(*(refused() for _ in range(40))))
    assert shrinks == [30]


def test_a_fault_that_says_nothing_about_load_changes_nothing():
    gate = gate_of(ceiling=40, start=10)

    async def fails():
        with pytest.raises(Unreachable):
            async with gate.slot():
                raise Unreachable("Reset.", hint="Wait.")

    run_virtually(all_of(*(fails() for _ in range(20))))
    assert gate.limit == 10


def test_retry_after_pauses_everybody():
    gate = gate_of(ceiling=4, start=4)
    starts = []

    async def request(error=None):
        async with gate.slot():
            starts.append(asyncio.get_running_loop().time() - 1000)
            await asyncio.sleep(0.5 if error else 1)
            if error:
                raise error

    async def refused():
        with pytest.raises(Throttled):
            await request(throttled(retry_after_s=30))

    run_virtually(all_of(refused(), request(), request(), request(), request(), request()))
    assert starts == pytest.approx([0, 0, 0, 0, 30.5, 30.5], abs=1e-3)


@pytest.mark.parametrize("per_second", [1, 10, 100])
def test_starts_are_spaced_evenly(per_second):
    gate = gate_of(ceiling=1000, start=1000, per_second=per_second)
    starts = []

    async def request():
        async with gate.slot():
            starts.append(asyncio.get_running_loop().time())

    run_virtually(all_of(*(request() for _ in range(per_second * 3 + 2))))
    assert starts[-1] - starts[0] == pytest.approx(3, abs=1e-6)
    for start in starts:
        assert sum(start <= other < start + 1 for other in starts) <= per_second + 2


def test_those_who_wait_are_served_in_the_order_they_came():
    gate = gate_of(ceiling=1, start=1)
    served = []

    async def request(name):
        async with gate.slot():
            served.append(name)
            await asyncio.sleep(1)

    run_virtually(all_of(*(request(name) for name in range(10))))
    assert served == list(range(10))


def test_a_waiter_that_gives_up_leaves_its_place_to_the_next():
    gate = gate_of(ceiling=1, start=1)
    served = []

    async def request(name):
        async with gate.slot():
            served.append(name)
            await asyncio.sleep(1)

    async def scene():
        first = asyncio.create_task(request("first"))
        second = asyncio.create_task(request("second"))
        third = asyncio.create_task(request("third"))
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.wait([first, second, third])

    run_virtually(scene())
    assert served == ["first", "third"]
    assert gate.in_flight == 0


def test_a_waiter_cancelled_in_the_moment_of_its_turn_gives_the_slot_back():
    gate = gate_of(ceiling=1, start=1)

    async def scene():
        release = asyncio.Event()

        async def holder():
            async with gate.slot():
                await release.wait()

        async def waiter():
            async with gate.slot():
                raise AssertionError("was cancelled before")

        holding = asyncio.create_task(holder())
        waiting = asyncio.create_task(waiter())
        await asyncio.sleep(1)
        release.set()
        await asyncio.wait([holding], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with gate.slot():
            assert gate.in_flight == 1

    run_virtually(scene())
    assert gate.in_flight == 0
