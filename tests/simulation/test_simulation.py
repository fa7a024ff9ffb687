"""What the gate makes of services that limit it, in virtual time: goodput, refusals, steadiness, no tile left behind.

`benchmarks/controller.py` runs more of them for longer.
"""

import asyncio

import pytest

from eezarr.engine.asking import Asker
from eezarr.engine.gate import Gate
from eezarr.errors import Throttled
from eezarr.events import Waiting
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.retry import RetryPolicy
from simulation.service import Scenario, simulate
from virtual_time import run_virtually

GOODPUT = 0.95
THROTTLED = 0.03
MANY = ((0, 200),)


def check(scenario, *, goodput=GOODPUT, slowest_s=150):
    outcome = simulate(scenario)
    assert outcome.goodput >= goodput
    assert outcome.throttled < THROTTLED
    assert outcome.longest_s < slowest_s
    assert outcome.oldest_s < slowest_s
    return outcome


@pytest.mark.parametrize("limit", [1, 5, 10, 20, 40, 200])
def test_a_steady_limit_is_found_and_held(limit):
    span_s = 360 if limit < 20 else 180
    outcome = check(Scenario(limits=((0, limit),), span_s=span_s))
    assert outcome.unsteadiness < 0.05 or max(outcome.limits) - min(outcome.limits) == 1
    assert max(outcome.limits) <= 40


def test_a_raised_ceiling_is_used():
    outcome = check(Scenario(limits=((0, 80),), ceiling=120, per_second=1000, span_s=100, warm_up_s=30))
    assert max(outcome.limits) < 90


def test_a_limit_that_moves_is_followed():
    outcome = check(Scenario(limits=((0, 40), (100, 10), (200, 25)), span_s=300, warm_up_s=20))
    assert 25 <= outcome.limits[-1] <= 26


@pytest.mark.parametrize(("limit", "retry_after_s"), [(1, 1), (5, 1), (10, 1), (20, 5)])
def test_pauses_that_the_service_asks_for_are_not_provoked_often(limit, retry_after_s):
    check(Scenario(limits=((0, limit),), retry_after_s=retry_after_s, span_s=240))


def test_a_quota_that_others_share():
    check(Scenario(others_up_to=10, others_every_s=40, span_s=240))


@pytest.mark.parametrize("is_explicit", [True, False])
def test_a_rate_below_the_configured_one(is_explicit):
    check(Scenario(limits=MANY, server_per_second=20, is_explicit=is_explicit, span_s=240))


def test_a_rate_that_binds_with_few_out():
    quick = {"base_s": 0.005, "slope_s": 0.005, "network_s": 0.01}
    check(Scenario(limits=MANY, server_per_second=20, span_s=160, **quick))


def test_a_quota_counted_by_the_minute():
    check(Scenario(limits=MANY, server_per_minute=600, is_explicit=True, warm_up_s=120, span_s=300))


def test_no_tile_waits_for_ever_while_the_service_admits_nothing():
    scenario = Scenario(limits=((0, 10), (60, 0), (120, 10)), warm_up_s=150, span_s=300)
    check(scenario, slowest_s=200)


def test_what_is_never_refused_never_shrinks():
    outcome = simulate(Scenario(limits=MANY, span_s=90, warm_up_s=30))
    assert set(outcome.limits) == {40}
    assert outcome.throttled == 0


def test_the_last_tile_does_not_wait_long_because_it_was_refused_often():
    events = []
    gate = Gate(limit=ConcurrencyLimit(ceiling=4), rate=RateLimit(100))
    asker = Asker(gate=gate, policy=RetryPolicy(), observe=events.append)
    refusals = iter(range(30))

    async def attempt():
        await asyncio.sleep(0.1)
        for _ in refusals:
            raise Throttled("Too many requests.", hint="Wait.")
        return "pixels"

    run_virtually(asker.ask("tile", attempt))
    waits = [event.wait_s for event in events if isinstance(event, Waiting)]
    assert len(waits) == 30
    assert max(waits) <= 4
