"""An outage in the middle of a job, in virtual time: who waits, who asks, what is counted, and when the job ends."""

import asyncio
import itertools

import pytest

from eezarr.engine.asking import Asker
from eezarr.engine.gate import Gate
from eezarr.engine.reading import TileReader
from eezarr.engine.running import run_tiles
from eezarr.errors import BadBody, Outage, ServiceRefusal, Unreachable
from eezarr.events import ServiceBack, ServiceLost, TileFailed, TilePostponed
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import record_dtype
from eezarr.retry import RetryPolicy
from simulation.bulk import plan_of
from virtual_time import run_virtually

PLAN = plan_of(16, 2, across=40)
TILES = 1560
CONCURRENCY = 40


class Service:
    """Answers after two seconds, but while it is away: then each request fails at once."""

    def __init__(self, *, away=(), error=None, poisoned=()):
        self.away = away
        self.error = error or (lambda: Unreachable("The service is currently unavailable.", hint="-"))
        self.poisoned = poisoned
        self.asked = []
        """When, and of how many pixels."""
        self.answered = 0

    def now_s(self):
        return asyncio.get_running_loop().time() - 1000

    async def read(self, tile, memory):
        self.asked.append((self.now_s(), tile.window.shape.size))
        await asyncio.sleep(0.1)
        if any(start <= self.now_s() < end for start, end in self.away):
            raise self.error()
        if tile.index in self.poisoned:
            raise Unreachable("This one always fails.", hint="-")
        await asyncio.sleep(1.9)
        if any(start <= self.now_s() < end for start, end in self.away):
            raise self.error()
        self.answered += 1
        body = await memory.take()
        dtype, shape = record_dtype(tile.bands), tile.window.shape
        return body[: shape.size * dtype.itemsize].view(dtype).reshape(shape.height, shape.width)

    def asked_within(self, start_s, end_s):
        return [pixels for time_s, pixels in self.asked if start_s <= time_s < end_s]


class Keeper:
    def __init__(self):
        self.kept = set()

    async def keep(self, tile, pixels):
        self.kept.add(tile.index)


def run(service, *, tiles=TILES, patience_s=3600, events=None, is_in_contact=lambda: True, **policy):
    """Run a job; return its failures and what was kept."""
    observe = (lambda _: None) if events is None else events.append
    keeper = Keeper()

    async def job():
        gate = Gate(limit=ConcurrencyLimit(ceiling=CONCURRENCY), rate=RateLimit(100))
        reader = TileReader(
            source=service,
            asker=Asker(gate=gate, policy=RetryPolicy(**policy), observe=lambda _: None, is_in_contact=is_in_contact),
            unit=PLAN.layout.chunk,
            body_bytes=lambda part: part.window.shape.size * 4,
            observe=observe,
            patience_s=patience_s,
        )
        return await run_tiles(
            map(PLAN.tile, range(tiles)),
            reader=reader,
            keeper=keeper,
            workers=CONCURRENCY + 2,
            buffer_bytes=PLAN.tile_bytes,
            observe=observe,
        )

    return run_virtually(job()), keeper.kept


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_job_goes_through_an_outage_in_one_run():
    service, events = Service(away=[(40, 250)]), []
    failures, kept = run(service, events=events)
    assert failures == []
    assert kept == set(range(TILES))
    assert not of_kind(events, TilePostponed)
    (back,) = of_kind(events, ServiceBack)
    assert 205 < back.after_s < 245
    lost = of_kind(events, ServiceLost)
    assert lost[0].reason == "The service is currently unavailable."
    assert [event.since_s for event in lost] == sorted(event.since_s for event in lost)


def test_while_nothing_can_be_reached_one_request_for_one_pixel_asks_at_a_time():
    service = Service(away=[(40, 250)])
    run(service)
    # What was in flight fails, and what waited for a slot finds out; from then on only looks are made.
    assert service.asked_within(45, 250) == [1] * len(service.asked_within(45, 250))
    times_s = [time_s for time_s, _ in service.asked if 45 <= time_s < 250]
    assert 6 <= len(times_s) <= 14
    assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(times_s))


@pytest.mark.parametrize("attempts", [1, 8])
def test_an_outage_uses_up_neither_attempts_nor_time(attempts):
    failures, kept = run(Service(away=[(20, 1000), (1031, 2000)]), attempts=attempts, deadline_s=60)
    assert failures == []
    assert len(kept) == TILES


def test_an_outage_that_is_not_over_in_time_ends_the_job():
    service = Service(away=[(40, 1e9)])
    events = []
    with pytest.raises(Outage, match="currently unavailable") as caught:
        run(service, patience_s=600, events=events)
    assert caught.value.exit_code == 6
    assert "patience_s" in caught.value.hint
    assert not of_kind(events, TileFailed)
    assert 600 < service.asked[-1][0] + 31 < 675


def test_bodies_that_are_wrong_for_every_tile_after_some_came_are_an_outage():
    failures, kept = run(Service(away=[(40, 250)], error=lambda: BadBody("The body is a web page.", hint="-")))
    assert (failures, len(kept)) == ([], TILES)


def test_one_tile_that_always_fails_is_no_outage():
    events = []
    service = Service(poisoned={7, 800, 1559})
    failures, kept = run(service, events=events)
    assert sorted(failure.tile.index for failure in failures) == [7, 800, 1559]
    assert all(failure.error.attempts == 16 for failure in failures)
    assert len(kept) == TILES - 3
    assert not of_kind(events, ServiceLost)
    assert sorted(event.tile for event in of_kind(events, TilePostponed)) == [7, 800, 1559]


def test_tiles_that_always_fail_are_no_outage_though_nothing_else_is_left():
    events = []
    failures, kept = run(Service(poisoned=set(range(60, 100))), tiles=100, events=events)
    assert len(failures) == 40
    assert len(kept) == 60
    assert not of_kind(events, ServiceLost)


def test_an_outage_when_one_tile_is_left_is_waited_for():
    service = Service(away=[(1, 211)])
    service.poisoned = ()

    async def slow_start(tile, memory, read=service.read):
        if tile.index == 1:
            await asyncio.sleep(2)  # alone by then
        elif tile.window.shape.size > 1:
            service.away, away = [], service.away
            try:
                return await read(tile, memory)
            finally:
                service.away = away
        return await read(tile, memory)

    service.read = slow_start
    failures, kept = run(service, tiles=2)
    assert (failures, kept) == ([], {0, 1})


def test_before_anything_has_come_a_service_that_is_away_is_told_after_the_attempts():
    service = Service(away=[(0, 1e9)])
    with pytest.raises(Unreachable) as caught:
        run(service)
    assert not isinstance(caught.value, Outage)
    assert service.asked[-1][0] < 300


def test_a_wrong_address_is_told_after_three_attempts():
    error = Unreachable("No address.", hint="-", is_connecting=True)
    service = Service(away=[(0, 1e9)], error=lambda: error)
    with pytest.raises(Unreachable) as caught:
        run(service, is_in_contact=lambda: False)
    assert not isinstance(caught.value, Outage)
    assert service.asked[-1][0] < 15


def test_once_the_service_has_answered_anything_a_lost_network_is_waited_for():
    away = Service(away=[(0, 210)], error=lambda: Unreachable("No address.", hint="-", is_connecting=True))
    failures, kept = run(away)
    assert (failures, len(kept)) == ([], TILES)


def test_a_tile_fails_for_itself_though_it_was_first_to_notice_that_the_service_is_back():
    class Moody(Service):
        async def read(self, tile, memory):
            pixels = await super().read(tile, memory)
            if tile.index == 5 and tile.window.shape.size > 1:
                raise ServiceRefusal("No such band.", hint="-")
            return pixels

    failures, kept = run(Moody(away=[(3, 213)]), tiles=100)
    assert [failure.tile.index for failure in failures] == [5]
    assert len(kept) == 99
