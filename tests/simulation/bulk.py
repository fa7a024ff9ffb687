"""Whole jobs in virtual time: the real workers, gate and retries, before a service, a network and writers with a cost.

What is real: `run_tiles`, `TileReader`, `Asker`, `Gate` with its limits, and the plan's tiles. What is scripted: how
long an answer, its transfer and its storing take. No pixel is made: buffers are lent and never touched.

The oracle is arithmetic, and shares nothing with the engine: a job cannot go faster than the slots over the mean time
that an answer holds one, the starts per second, the network over a body's bytes, and the writers over a tile's storing.
The lowest of these is what binds; goodput is the measured rate over it.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from affine import Affine

from eezarr.engine.asking import Asker
from eezarr.engine.gate import Gate
from eezarr.engine.reading import TileReader
from eezarr.engine.running import run_tiles
from eezarr.errors import Throttled
from eezarr.events import Answered
from eezarr.grid import PixelGrid, Shape2D
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import COMPUTE_PIXELS_LIMITS, Band, Budget, LayoutRequest, Plan, make_plan, record_dtype
from eezarr.retry import RetryPolicy
from virtual_time import run_virtually

FOREVER = float("inf")
BUSY = "Too Many Requests: Request was rejected because the request rate or concurrency limit was exceeded."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A job and what it meets. Defaults are the documented quota, and what `eezarr plan` assumes of latency."""

    tiles: int = 3000
    """For each process."""
    side: int = 2048
    bands: int = 4
    """Of type uint16; 4 of 2048 x 2048 pixels are what computePixels admits at the most, mask bytes included."""
    concurrency: int = 40
    """Of each process."""
    per_second: float = 100
    """Of each process."""
    processes: int = 1
    admitted: float = FOREVER
    """Requests at a time that the service admits of all processes together."""
    request_s: float = 0.5
    megabyte_s: float = 0.1
    jitter: float = 0.3
    """Of the logarithm of the latency."""
    straggler_fraction: float = 0.01
    straggler_factor: float = 10
    network_bytes_per_s: float = FOREVER
    """Of all processes together."""
    writers: int = 2
    write_gigabyte_s: float = 2.5
    """Of one writer's time for a gigabyte of pixels."""
    start: int = 0
    """Position of the first tile in a plan of 10^8."""
    seed: int = 1

    @property
    def body_bytes(self) -> int:
        return self.side**2 * self.bands * 2

    @property
    def objects(self) -> int:
        """Stored for a tile: chunks of 1024 x 1024 pixels of one band."""
        return self.bands * (-(-self.side // 1024)) ** 2

    @property
    def mean_request_s(self) -> float:
        """Of the service alone: log-normal latency, with stragglers."""
        factor = math.exp(self.jitter**2 / 2) * (1 + self.straggler_fraction * (self.straggler_factor - 1))
        return (self.request_s + self.megabyte_s * self.body_bytes / 1e6) * factor

    @property
    def bounds(self) -> dict[str, float]:
        """Tiles per second that each part lets through at the most, by its name."""
        slots = min(self.processes * self.concurrency, self.admitted)
        return {
            "concurrency": slots / (self.mean_request_s + self.body_bytes / self.network_bytes_per_s),
            "requests per second": self.processes * self.per_second,
            "network": self.network_bytes_per_s / self.body_bytes,
            "writing": self.processes * self.writers / (self.write_gigabyte_s * self.body_bytes / 1e9),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOutcome:
    """What a run had."""

    tiles: int
    virtual_s: float
    cpu_s: float
    """Real seconds of the processor, the virtual loop and the scripted parts included."""
    refused: float
    """Share of all requests."""
    binding: str
    goodput: float

    @property
    def tiles_per_s(self) -> float:
        return self.tiles / self.virtual_s


def plan_of(side: int, bands: int, across: int = 10_000) -> Plan:
    """A plan of `across` x `across` tiles: 10^8, unless told otherwise."""
    return make_plan(
        image_key="scale",
        grid=PixelGrid(
            crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=side * across, height=side * across
        ),
        bands=tuple(Band(f"B{number}", "uint16") for number in range(bands)),
        limits=COMPUTE_PIXELS_LIMITS,
        layout=LayoutRequest(chunk=min(side, 1024)),
        budget=Budget(),
        tile=Shape2D(side, side),
    )


class _Service:
    """Admits, refuses, answers, and sends the body over the network, one after the other."""

    def __init__(self, bulk: Bulk) -> None:
        self.bulk = bulk
        self.random = random.Random(bulk.seed)  # noqa: S311 (a simulation)
        self.in_service = 0
        self.network_free_s = 0.0
        self.dtype = record_dtype(plan_of(bulk.side, bulk.bands, across=1).bands)

    async def read(self, tile, memory):
        bulk, draw = self.bulk, self.random
        if self.in_service >= bulk.admitted:
            await asyncio.sleep(0.08)
            raise Throttled(BUSY, hint="Wait.")
        self.in_service += 1
        try:
            factor = math.exp(bulk.jitter * draw.gauss(0, 1))
            factor *= bulk.straggler_factor if draw.random() < bulk.straggler_fraction else 1
            await asyncio.sleep((bulk.request_s + bulk.megabyte_s * bulk.body_bytes / 1e6) * factor)
        finally:
            self.in_service -= 1
        if bulk.network_bytes_per_s < FOREVER:
            now_s = asyncio.get_running_loop().time()
            self.network_free_s = max(self.network_free_s, now_s) + bulk.body_bytes / bulk.network_bytes_per_s
            await asyncio.sleep(self.network_free_s - now_s)
        buffer = await memory.take()
        return buffer[: bulk.body_bytes].view(self.dtype).reshape(bulk.side, bulk.side)


class _Writers:
    """So many at a time, each as long as its bytes take; then the tile is marked."""

    def __init__(self, bulk: Bulk, on_kept: Callable[[int], None]) -> None:
        self.free = asyncio.Semaphore(bulk.writers)
        self.write_s = bulk.write_gigabyte_s * bulk.body_bytes / 1e9
        self.on_kept = on_kept

    async def keep(self, tile, pixels):
        async with self.free:
            await asyncio.sleep(self.write_s)
        self.on_kept(tile.index)


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    refused: int = 0

    def count(self, event) -> None:
        if isinstance(event, Answered):
            self.requests += 1
            self.refused += event.outcome == "Throttled"


async def _run_process(bulk: Bulk, number: int, service: _Service, tally: _Tally, on_kept: Callable[[int], None]):
    plan = plan_of(bulk.side, bulk.bands)
    first = bulk.start + number * bulk.tiles
    gate = Gate(limit=ConcurrencyLimit(ceiling=bulk.concurrency), rate=RateLimit(bulk.per_second))
    failures = await run_tiles(
        map(plan.tile, range(first, first + bulk.tiles)),
        reader=TileReader(
            source=service,
            asker=Asker(gate=gate, policy=RetryPolicy(), observe=tally.count),
            unit=plan.layout.chunk,
            body_bytes=lambda _: bulk.body_bytes,
            observe=tally.count,
        ),
        keeper=_Writers(bulk, on_kept),
        workers=Budget(concurrency=bulk.concurrency).workers(plan.tile_bytes),
        buffer_bytes=bulk.body_bytes,
        observe=tally.count,
    )
    assert failures == []


async def _run(bulk: Bulk, tally: _Tally, on_kept: Callable[[int], None]) -> float:
    service, clock = _Service(bulk), asyncio.get_running_loop().time
    start_s = clock()
    async with asyncio.TaskGroup() as group:
        for number in range(bulk.processes):
            group.create_task(_run_process(bulk, number, service, tally, on_kept))
    return clock() - start_s


def simulate_bulk(bulk: Bulk, on_kept: Callable[[int], None] = lambda _: None) -> BulkOutcome:
    """Run the job to its end; `on_kept` is told of each tile that is stored."""
    random.seed(bulk.seed)  # tenacity's jitter
    tally, start_s = _Tally(), time.process_time()
    virtual_s = run_virtually(_run(bulk, tally, on_kept))
    cpu_s = time.process_time() - start_s
    tiles = bulk.tiles * bulk.processes
    binding, bound = lowest(bulk.bounds.items())
    return BulkOutcome(
        tiles=tiles,
        virtual_s=virtual_s,
        cpu_s=cpu_s,
        refused=tally.refused / tally.requests,
        binding=binding,
        goodput=tiles / virtual_s / bound,
    )


def lowest(bounds: Iterable[tuple[str, float]]) -> tuple[str, float]:
    """The part that lets the fewest through, and how many."""
    return min(bounds, key=lambda item: item[1])
