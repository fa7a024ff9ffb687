"""The limits' laws, without a clock and without a gate."""

import random

import pytest

from eezarr.limit import ANSWERS_PER_REFUSAL, RESTRICTED_S, Cause, ConcurrencyLimit, RateLimit, counted_over_s


class Rig:
    """Keeps a limit's slots full, against a service that admits so many."""

    def __init__(self, limit, admits):
        self.limit = limit
        self.admits = admits
        self.out = []
        self.refused = 0
        self.answered = 0

    def fill(self):
        while len(self.out) < self.limit.value:
            ticket = self.limit.on_start(0.0)
            if len(self.out) >= self.admits:
                self.refused += 1
                self.limit.on_throttled(ticket, len(self.out) + 1)
            else:
                self.out.append(ticket)

    def run(self, answers):
        for _ in range(answers):
            self.fill()
            self.limit.on_success(self.out.pop(0), len(self.out) + 1)
            self.answered += 1


@pytest.mark.parametrize("admits", [1, 2, 5, 10, 20, 39])
def test_the_level_is_found_and_held_and_tries_are_paid_for(admits):
    rig = Rig(ConcurrencyLimit(ceiling=40, start=1), admits)
    rig.run(2000)
    rig.refused = rig.answered = 0
    rig.run(5000)
    assert admits <= rig.limit.value <= admits + 1
    assert 0.005 * rig.answered < rig.refused <= rig.answered / ANSWERS_PER_REFUSAL + 1


def test_a_rise_is_found_and_climbed_in_few_round_trips():
    rig = Rig(ConcurrencyLimit(ceiling=40, start=1), 10)
    rig.run(2000)
    rig.admits = 25
    rig.run(2 * ANSWERS_PER_REFUSAL + 8 * 25)
    assert rig.limit.value >= 25


def test_a_fall_is_followed():
    rig = Rig(ConcurrencyLimit(ceiling=40, start=40), 40)
    rig.run(200)
    rig.admits = 10
    while len(rig.out) > 10:
        rig.fill()
        rig.limit.on_success(rig.out.pop(0), len(rig.out) + 1)
    rig.run(200)
    assert 9 <= rig.limit.value <= 11
    assert rig.refused < 30


def test_a_refusal_tells_the_level():
    limit = ConcurrencyLimit(ceiling=40, start=26)
    tickets = [limit.on_start(0.0) for _ in range(26)]
    assert limit.on_throttled(tickets[-1], 26) is Cause.NUMBER
    assert limit.value == 25


def test_refusals_of_one_round_trip_leave_three_quarters_at_least():
    limit = ConcurrencyLimit(ceiling=40, start=40)
    tickets = [limit.on_start(0.0) for _ in range(40)]
    for out, ticket in enumerate(tickets):
        limit.on_throttled(ticket, 40 - out)
    assert limit.value == 30


def test_a_pause_that_the_service_asks_for_puts_the_next_try_off():
    def answers_until_a_try(lost_answers):
        limit = ConcurrencyLimit(ceiling=40, start=4)
        tickets = [limit.on_start(0.0) for _ in range(4)]
        limit.on_throttled(tickets[-1], 4, lost_answers=lost_answers)
        for answers in range(10_000):
            if limit.value > 3:
                return answers
            limit.on_success(limit.on_start(0.0), 3)
        raise AssertionError("never tried again")

    assert answers_until_a_try(0) == pytest.approx(ANSWERS_PER_REFUSAL, abs=2)
    assert answers_until_a_try(20) == pytest.approx(600, abs=2)


def test_the_ceiling_holds_whatever_happens():
    draw = random.Random(3)  # noqa: S311 (no secret)
    limit = ConcurrencyLimit(ceiling=17, start=8)
    tickets = []
    for _ in range(20_000):
        if len(tickets) < limit.value:
            tickets.append(limit.on_start(0.0))
            continue
        ticket = tickets.pop(draw.randrange(len(tickets)))
        if draw.random() < 0.05:
            limit.on_throttled(ticket, len(tickets) + 1, is_rate_bound=draw.random() < 0.5)
        else:
            limit.on_success(ticket, len(tickets) + 1)
        assert 1 <= limit.value <= 17


def test_a_restriction_halves_the_ceiling_once_and_passes():
    limit = ConcurrencyLimit(ceiling=40, start=40)
    for now_s in range(100):
        limit.restrict(float(now_s))
    assert limit.value == 20
    for _ in range(2000):
        limit.on_success(limit.on_start(99 + RESTRICTED_S - 1), limit.value)
    assert limit.value == 20
    for _ in range(2000):
        limit.on_success(limit.on_start(99 + RESTRICTED_S + 1), limit.value)
    assert limit.value == 40


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("limit 'Number of read requests per minute per user' of service", 60),
        ("Quota exceeded: requests per second", 5),
        ("Too Many Requests: Request was rejected because the request rate or concurrency limit was exceeded.", None),
        ("Too many concurrent aggregations.", None),
        ("per minuteman", None),
    ],
)
def test_what_a_refusal_says_that_it_counts(message, seconds):
    assert counted_over_s(message) == seconds


class Starts:
    """Starts as fast as a rate limit lets, on a clock of its own."""

    def __init__(self, rate):
        self.rate = rate
        self.numbers = ConcurrencyLimit(ceiling=1)
        self.now_s = 100.0

    def start(self):
        self.now_s += self.rate.wait_s(self.now_s)
        self.rate.on_start(self.now_s)
        return self.numbers.on_start(self.now_s)

    def refuse(self, ticket, window_s=5):
        self.rate.on_refused(ticket)
        self.rate.on_throttled(ticket, self.now_s, window_s=window_s)


def test_starts_slow_down_to_what_was_admitted_once_per_round_trip():
    starts = Starts(RateLimit(100))
    tickets = [starts.start() for _ in range(1000)]
    for ticket in tickets[1::2]:
        starts.rate.on_refused(ticket)
    starts.refuse(tickets[-1])
    assert starts.rate.per_second == pytest.approx(50, rel=0.25)
    slower = starts.rate.per_second
    for ticket in tickets[-20:]:
        starts.refuse(ticket)
    assert starts.rate.per_second == slower


def test_a_minute_quota_is_spread_over_the_minute():
    starts = Starts(RateLimit(100))
    for _ in range(600):
        starts.start()
    for _ in range(6):
        starts.now_s += 1
        starts.refuse(starts.start(), window_s=60)
    assert starts.rate.per_second == pytest.approx(10, rel=0.02)


def test_starts_quicken_again_once_the_refusal_is_paid_for():
    starts = Starts(RateLimit(100))
    tickets = [starts.start() for _ in range(500)]
    for ticket in tickets[::2]:
        starts.rate.on_refused(ticket)
    starts.refuse(tickets[-1])
    slower = starts.rate.per_second
    for _ in range(ANSWERS_PER_REFUSAL - 1):
        starts.start()
    assert starts.rate.per_second == slower
    for _ in range(10_000):
        starts.start()
    assert starts.rate.per_second == 100


def test_pauses_double_while_nothing_is_admitted_and_end_with_an_answer():
    starts = Starts(RateLimit(10))
    pauses = []
    for _ in range(8):
        before_s = starts.now_s
        ticket = starts.start()
        pauses.append(starts.now_s - before_s)
        starts.now_s += 0.1
        starts.rate.pause(starts.now_s)
    assert pauses[2:] == pytest.approx([0.5, 1, 2, 4, 8, 8], abs=0.25)
    ticket = starts.start()
    starts.rate.on_success(ticket)
    before_s = starts.now_s
    starts.start()
    assert starts.now_s - before_s < 0.5
