"""The gate in virtual time: what it admits, when, and what it learns."""

import asyncio
import contextlib
import gc
from collections import Counter

import pytest

from eezarr.engine import gate as gate_module
from eezarr.engine.gate import Gate, Terms, shared_gate
from eezarr.errors import Throttled, Unreachable
from eezarr.limit import ConcurrencyLimit, RateLimit
from virtual_time import run_virtually


def gate_of(ceiling=40, start=8, per_second=1e6, **rest) -> Gate:
    return Gate(limit=ConcurrencyLimit(ceiling=ceiling, start=start), rate=RateLimit(per_second), **rest)


def throttled(retry_after_s=None, message="Too many requests.") -> Throttled:
    return Throttled(message, hint="Wait.", retry_after_s=retry_after_s)


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
    assert shrinks == [*range(39, 29, -1)]


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


def test_a_refusal_that_blames_the_rate_slows_the_starts_and_leaves_the_number():
    shrinks = []
    gate = gate_of(ceiling=40, start=10, per_second=100, on_shrink=shrinks.append)

    async def refused():
        with pytest.raises(Throttled):
            async with gate.slot():
                await asyncio.sleep(0.1)
                raise throttled(message="Quota exceeded for 'Number of read requests per minute per user'.")

    run_virtually(all_of(*(refused() for _ in range(10))))
    assert (gate.limit, gate.per_second, shrinks) == (10, 50, [])


def test_a_failed_try_for_one_more_is_no_news():
    shrinks = []
    gate = gate_of(ceiling=40, start=3, on_shrink=shrinks.append)
    out = 0

    async def request():
        nonlocal out
        async with gate.slot():
            if out == 3:
                raise throttled()
            out += 1
            await asyncio.sleep(1)
            out -= 1

    async def work():
        for _ in range(200):
            with contextlib.suppress(Throttled):
                await request()

    run_virtually(all_of(*(work() for _ in range(6))))
    assert shrinks in ([3], [4, 3])


TERMS = Terms(max_concurrency=40, max_requests_per_second=100)


def in_one_loop(scene):
    """Run a function in a loop."""

    async def run():
        return scene()

    return run_virtually(run())


def test_who_asks_the_same_service_for_the_same_project_shares_a_gate():
    def scene():
        with (
            shared_gate("https://ee", "p", TERMS) as first,
            shared_gate("https://ee/", "p", TERMS) as second,
            shared_gate("https://ee", "q", TERMS) as other_project,
            shared_gate("https://hv", "p", TERMS) as other_service,
        ):
            return len({id(gate) for gate in (first, second, other_project, other_service)}), first is second

    assert in_one_loop(scene) == (3, True)


def test_the_strictest_terms_hold_for_as_long_as_they_are_there():
    strict = Terms(max_concurrency=3, max_requests_per_second=10)

    def scene():
        with shared_gate("https://ee", "p", TERMS) as gate:
            before = gate.limit, gate.per_second
            with shared_gate("https://ee", "p", strict):
                during = gate.limit, gate.per_second
            return before, during, gate.per_second

    assert in_one_loop(scene) == ((32, 100), (3, 10), 100)


def test_all_who_share_a_gate_are_told_that_it_shrinks():
    told = {"first": [], "second": []}

    async def refused(gate):
        with pytest.raises(Throttled):
            async with gate.slot(), gate.slot():
                raise throttled()

    async def scene():
        first, second = (
            Terms(max_concurrency=8, max_requests_per_second=1e6, on_shrink=hear.append) for hear in told.values()
        )
        with shared_gate("https://ee", "p", first) as gate, shared_gate("https://ee", "p", second):
            await refused(gate)

    run_virtually(scene())
    assert told["first"] == told["second"] != []


def test_a_gate_and_its_loop_are_forgotten_with_the_last_user():
    def scene():
        with shared_gate("https://ee", "p", TERMS):
            assert len(gate_module._GATES) == 1

    gc.collect()
    in_one_loop(scene)
    gc.collect()
    assert not gate_module._GATES


def test_a_restriction_halves_what_may_be_out():
    def scene():
        gate = gate_of(ceiling=40, start=40)
        for _ in range(5):
            gate.on_restricted()
        return gate.limit

    assert in_one_loop(scene) == 20
