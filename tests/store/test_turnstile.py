"""Many together, or one alone: checked by who is inside at each moment, with no clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from eezarr.store.turnstile import Turnstile


def test_several_are_together():
    turnstile, meeting = Turnstile(), threading.Barrier(4, timeout=60)

    def enter():
        with turnstile.together():
            meeting.wait()  # broken, if one kept another out

    with ThreadPoolExecutor(4) as threads:
        for one in [threads.submit(enter) for _ in range(4)]:
            one.result()
    assert not turnstile.is_occupied


@pytest.mark.parametrize("first", ["together", "alone"])
@pytest.mark.parametrize("second", ["together", "alone"])
def test_nobody_is_beside_one_who_is_alone(first, second):
    turnstile, order, entered = Turnstile(), [], threading.Event()

    def stay():
        with getattr(turnstile, first)():
            entered.set()
            # The other one is inside, or on its way in and asleep: then the condition's own lock is free again.
            while not order and not turnstile._changed._waiters:
                pass
            order.append("first leaves")

    def follow():
        assert entered.wait(60)
        with getattr(turnstile, second)():
            order.append("second enters")

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(stay), threads.submit(follow)]:
            one.result()
    beside = first == second == "together"
    assert order == (["second enters", "first leaves"] if beside else ["first leaves", "second enters"])


@pytest.mark.parametrize(
    "ways", [("together", "alone", "together"), ("alone", "together", "alone"), ("together", "alone", "alone")]
)
def test_they_enter_in_the_order_they_came(ways):
    turnstile, order = Turnstile(), []
    entered, go_on = threading.Event(), threading.Event()

    def first(way):
        with getattr(turnstile, way)():
            entered.set()
            assert go_on.wait(60)

    def later(way, number):
        with getattr(turnstile, way)():
            order.append(number)

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(first, ways[0])]
        assert entered.wait(60)
        for number, way in enumerate(ways[1:], 1):
            running.append(threads.submit(later, way, number))
            while len(turnstile._line) < number and not order:
                pass
        go_on.set()
        for one in running:
            one.result()
    assert order == [1, 2]


@pytest.mark.parametrize("way", ["together", "alone"])
def test_an_error_inside_lets_others_in(way):
    turnstile = Turnstile()
    with pytest.raises(LookupError), getattr(turnstile, way)():
        raise LookupError
    assert not turnstile.is_occupied
    with turnstile.alone():
        assert turnstile.is_occupied
