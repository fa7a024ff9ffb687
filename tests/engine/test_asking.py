"""Retries in virtual time, with scripted answers."""

import asyncio

import pytest

from eezarr.engine.asking import Asker
from eezarr.engine.gate import Gate
from eezarr.errors import BadBody, Incomplete, ServiceRefusal, Throttled, Unreachable
from eezarr.events import Answered, Waiting
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.retry import RetryPolicy
from virtual_time import run_virtually

RESET = Unreachable("Connection reset.", hint="Wait.")
REFUSED = ServiceRefusal("No such band.", hint="Name another.")


def throttled(retry_after_s=None):
    return Throttled("Too many requests.", hint="Wait.", retry_after_s=retry_after_s)


class Script:
    """Answers one outcome after another: an error is raised, anything else returned."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked_at = []

    async def __call__(self):
        self.asked_at.append(asyncio.get_running_loop().time())
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def ask(script, events=None, **policy):
    gate = Gate(limit=ConcurrencyLimit(ceiling=4), rate=RateLimit(1000))
    observe = (lambda _: None) if events is None else events.append
    asker = Asker(gate=gate, policy=RetryPolicy(**policy), observe=observe)
    return run_virtually(asker.ask("getPixels tile 3", script))


def test_a_transient_failure_is_asked_again():
    script = Script(RESET, BadBody("HTML.", hint="Wait."), "pixels")
    answer = ask(script)
    assert (answer.value, answer.attempts) == ("pixels", 3)


def test_a_permanent_answer_is_asked_once():
    script = Script(REFUSED, "never")
    with pytest.raises(ServiceRefusal):
        ask(script)
    assert len(script.asked_at) == 1


def test_an_error_that_is_not_ours_is_not_retried():
    script = Script(ZeroDivisionError(), "never")
    with pytest.raises(ZeroDivisionError):
        ask(script)
    assert len(script.asked_at) == 1


def test_attempts_end_with_the_last_failure_and_their_number():
    with pytest.raises(Unreachable) as caught:
        ask(Script(*[RESET] * 8), attempts=8)
    assert caught.value.attempts == 8


def test_throttled_answers_do_not_count_as_attempts():
    script = Script(*[throttled()] * 30, RESET, "pixels")
    assert ask(script, attempts=2, deadline_s=1e6).attempts == 32


def test_throttled_answers_end_at_the_deadline():
    script = Script(*[throttled()] * 1000)
    with pytest.raises(Throttled):
        ask(script, deadline_s=0.0)
    assert len(script.asked_at) == 1


def test_a_wait_that_would_overrun_the_deadline_is_not_begun():
    script = Script(throttled(retry_after_s=3600), "late")
    with pytest.raises(Throttled):
        ask(script, deadline_s=1800)
    assert len(script.asked_at) == 1


def test_retry_after_is_a_floor_under_the_jitter():
    for _ in range(20):
        script = Script(throttled(retry_after_s=7), "pixels")
        ask(script)
        assert 7 < script.asked_at[1] - script.asked_at[0] <= 8


def test_waits_grow_and_stay_under_their_ceiling():
    longest = [0.0] * 9
    for _ in range(60):
        script = Script(*[RESET] * 9, "pixels")
        ask(script, attempts=20, first_wait_s=1, longest_wait_s=20)
        waits = [after - before for before, after in zip(script.asked_at, script.asked_at[1:], strict=False)]
        longest = [max(pair) for pair in zip(longest, waits, strict=True)]
        assert all(wait <= ceiling for wait, ceiling in zip(waits, [1, 2, 4, 8, 16, 20, 20, 20, 20], strict=True))
    assert longest[0] > 0.5
    assert longest[-1] > 10


def test_a_wait_holds_no_slot():
    gate = Gate(limit=ConcurrencyLimit(ceiling=1, start=1), rate=RateLimit(1000))
    asker = Asker(gate=gate, policy=RetryPolicy(), observe=lambda _: None)
    order = []

    async def other():
        order.append("other")

    async def scene():
        async with asyncio.TaskGroup() as group:
            group.create_task(asker.ask("first", Script(throttled(retry_after_s=0), "pixels")))
            group.create_task(asker.ask("second", other))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append("still the first second")

    run_virtually(scene())
    assert order[0] == "other"


def test_every_attempt_and_every_wait_is_told():
    events = []
    ask(Script(throttled(), RESET, "pixels"), events)
    kinds = [type(event) for event in events]
    assert kinds == [Answered, Waiting, Answered, Waiting, Answered]
    assert [event.outcome for event in events if isinstance(event, Answered)] == ["Throttled", "Unreachable", "ok"]
    assert [event.is_throttled for event in events if isinstance(event, Waiting)] == [True, False]
    assert all(event.wait_s >= 0 for event in events if isinstance(event, Waiting))


def test_incomplete_is_no_answer_of_the_service():
    with pytest.raises(Incomplete):
        ask(Script(Incomplete("x", hint="y")))
