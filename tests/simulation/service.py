"""A service in virtual time, with quotas that others share, and a crowd of workers that ask it through the real gate.

What an oracle would have had is known without running one: a client that knows the limit keeps exactly that many
requests out at every moment, so it spends `integral of min(limit, ceiling) dt` seconds of requests on answers. Goodput
is the seconds that ours spent on requests that were answered, over that. Where starts per second bind, the oracle has
`rate * time` answers, and goodput is the number of ours over that. The larger of the two shares is taken: the oracle
has no more than either. Only what happens after the warm-up counts.
"""

import asyncio
import math
import random
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from eezarr.engine.asking import Asker
from eezarr.engine.gate import Gate
from eezarr.errors import Throttled
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.retry import RetryPolicy
from virtual_time import run_virtually

BUSY = "Too Many Requests: Request was rejected because the request rate or concurrency limit was exceeded."
MINUTE = (
    "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests per minute per user'"
    " of service 'earthengine.googleapis.com' for consumer 'project_number:1'."
)
FOREVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One server, one load, one span of time. Times in seconds."""

    limits: tuple[tuple[float, int], ...] = ((0, 40),)
    """From when on the server admits how many at a time."""
    ceiling: int = 40
    per_second: float = 100
    """Our own limit on starts."""
    server_per_second: float = FOREVER
    """A bucket that holds one second's worth."""
    server_per_minute: float = FOREVER
    """Counted by the minute of the clock: all are refused until the next."""
    is_explicit: bool = False
    """Whether a refusal for the rate says so."""
    retry_after_s: float | None = None
    others_up_to: int = 0
    """Others hold between none and so many places, a new number at random moments."""
    others_every_s: float = 20
    base_s: float = 0.3
    slope_s: float = 1.2
    """Latency is (base + slope * size), size uniform in 0..1, with log-normal jitter."""
    jitter: float = 0.3
    straggler_fraction: float = 0.01
    straggler_factor: float = 10
    network_s: float = 0.08
    """Both ways."""
    warm_up_s: float = 60
    span_s: float = 360
    seed: int = 1


class Service:
    """Admits, refuses and answers."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = random.Random(scenario.seed)  # noqa: S311 (a simulation)
        self.in_service = 0
        self.others = 0
        self._bucket = scenario.server_per_second
        self._bucket_s = 0.0
        self._minute = -1
        self._minute_count = 0

    def limit(self, now_s: float) -> int:
        limit = next(limit for start_s, limit in reversed(self.scenario.limits) if start_s <= now_s)
        return max(0, limit - self.others)

    async def answer(self) -> None:
        scenario, draw = self.scenario, self.random
        await asyncio.sleep(scenario.network_s * draw.uniform(0.4, 0.6))
        self._admit(asyncio.get_running_loop().time() - START_S)
        self.in_service += 1
        try:
            factor = math.exp(scenario.jitter * draw.gauss(0, 1))
            factor *= scenario.straggler_factor if draw.random() < scenario.straggler_fraction else 1
            await asyncio.sleep((scenario.base_s + scenario.slope_s * draw.random()) * factor)
        finally:
            self.in_service -= 1
        await asyncio.sleep(scenario.network_s * 0.5)

    def _admit(self, now_s: float) -> None:
        scenario = self.scenario
        text = ""
        if self.in_service >= self.limit(now_s):
            text = BUSY
        rate = scenario.server_per_second
        if rate < FOREVER:
            self._bucket = min(max(1.0, rate), self._bucket + (now_s - self._bucket_s) * rate)
            self._bucket_s = now_s
            if self._bucket < 1:
                text = MINUTE if scenario.is_explicit else BUSY
        if int(now_s // 60) != self._minute:
            self._minute, self._minute_count = int(now_s // 60), 0
        if self._minute_count >= scenario.server_per_minute:
            text = MINUTE if scenario.is_explicit else BUSY
        if text:
            raise _Refused(text)
        self._bucket -= 1
        self._minute_count += 1

    async def shift_others(self) -> None:
        while self.scenario.others_up_to:
            self.others = self.random.randint(0, self.scenario.others_up_to)
            await asyncio.sleep(self.random.expovariate(1 / self.scenario.others_every_s))


START_S = 1000.0


class _Refused(Exception):
    pass


@dataclass(slots=True)
class Outcome:
    """What was measured after the warm-up."""

    goodput: float = 0.0
    throttled: float = 0.0
    """Share of all requests."""
    unsteadiness: float = 0.0
    """Coefficient of variation of the limit, sampled every second."""
    longest_s: float = 0.0
    """The slowest tile, from when it was taken up to its answer."""
    oldest_s: float = 0.0
    """How long the tile that was in hand the longest at the end had been so."""
    answered: int = 0
    asked: int = 0
    limits: list[int] = field(default_factory=list)
    tiles: list[float] = field(default_factory=list)


class Run:
    """A crowd of workers before one gate."""

    def __init__(self, scenario: Scenario, service: Service | None = None) -> None:
        self.scenario = scenario
        self.service = service or Service(scenario)
        self.gate = Gate(limit=ConcurrencyLimit(ceiling=scenario.ceiling), rate=RateLimit(scenario.per_second))
        self.asker = Asker(gate=self.gate, policy=RetryPolicy(), observe=lambda _: None)
        self.useful_s = 0.0
        self.possible_s = 0.0
        self.outcome = Outcome()
        self.taken_s: dict[int, float] = {}

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() - START_S

    async def attempt(self) -> None:
        scenario = self.scenario
        start_s = self.now_s()
        try:
            await self.service.answer()
        except _Refused as refusal:
            await asyncio.sleep(scenario.network_s * 0.5)
            if self.now_s() >= scenario.warm_up_s:
                self.outcome.asked += 1
                self.outcome.throttled += 1
            raise Throttled(str(refusal), hint="Wait.", retry_after_s=scenario.retry_after_s) from None
        end_s = self.now_s()
        if end_s >= scenario.warm_up_s:
            self.outcome.asked += 1
            self.outcome.answered += 1
        self.useful_s += max(0.0, min(end_s, scenario.span_s) - max(start_s, scenario.warm_up_s))

    async def work(self, name: int) -> None:
        while True:
            start_s = self.taken_s[name] = self.now_s()
            await self.asker.ask("tile", self.attempt)
            self.outcome.tiles.append(self.now_s() - start_s)

    async def watch(self) -> None:
        while self.now_s() < self.scenario.span_s:
            await asyncio.sleep(0.25)
            if self.now_s() > self.scenario.warm_up_s:
                self.possible_s += 0.25 * min(self.service.limit(self.now_s()), self.scenario.ceiling)
                self.outcome.limits.append(self.gate.limit)

    async def main(self) -> None:
        crowd = [asyncio.create_task(self.work(name)) for name in range(int(self.scenario.ceiling * 1.25) + 2)]
        shifting = asyncio.create_task(self.service.shift_others())
        await self.watch()
        self.outcome.oldest_s = self.now_s() - min(self.taken_s.values())
        for task in [*crowd, shifting]:
            task.cancel()
        await asyncio.wait([*crowd, shifting])
        for task in crowd:
            if not task.cancelled():
                task.result()


def simulate(scenario: Scenario) -> Outcome:
    random.seed(scenario.seed)  # tenacity's jitter
    run = Run(scenario)
    run_virtually(run.main())
    outcome = run.outcome
    span = scenario.span_s - scenario.warm_up_s
    rate = min(scenario.server_per_second, scenario.server_per_minute / 60, scenario.per_second)
    by_places = run.useful_s / run.possible_s
    by_rate = outcome.answered / (rate * span)
    outcome.goodput = max(by_places, by_rate)
    outcome.throttled /= max(1, outcome.asked)
    outcome.unsteadiness = pstdev(outcome.limits) / fmean(outcome.limits)
    outcome.longest_s = max(outcome.tiles)
    return outcome
