"""A job's tiles through the real engine in virtual time: gate, attempts, workers, hedging; only the service is made up.

What a request takes is drawn from the same model as `replay`'s. Storing takes no time: these are runs whose wall time
is latency, and the clock jumps to whatever is due next.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eezarr.engine import Asker, Gate, HedgedSource, TileReader, run_tiles
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import Budget
from eezarr.retry import RetryPolicy

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.replay import Latency
    from eezarr.plan import Plan, Tile
    from eezarr.protocols import Memory, Pixels, Source

__all__ = ["SLOTS", "VirtualRun", "run_plan", "scheduled_s"]

SLOTS = 40
PER_SECOND = 100
"""Requests that may start a second: what the service grants a project by default, and what we keep to.
Source: https://developers.google.com/earth-engine/guides/usage"""
_NOTHING = np.empty((0, 0), [("pixels", "<u2")])


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualRun:
    """What became of a plan."""

    wall_s: float
    drawn_s: tuple[float, ...]
    """What each tile's first request took, in the plan's order."""
    requests: int


@dataclass(slots=True)
class _Service:
    latency: Latency
    drawn_s: dict[int, float] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    requests: int = 0

    async def read(self, tile: Tile, memory: Memory) -> Pixels:
        """Take the time that a tile takes; see `Source.read`."""
        del memory
        self.requests += 1
        attempt = self.attempts[tile.index] = self.attempts.get(tile.index, 0) + 1
        seconds = self.seconds(tile, attempt)
        self.drawn_s.setdefault(tile.index, seconds)
        await asyncio.sleep(seconds)
        return _NOTHING

    def seconds(self, tile: Tile, attempt: int) -> float:
        """Return what an attempt takes."""
        nbytes = tile.window.shape.size * sum(band.itemsize for band in tile.bands)
        return self.latency.seconds(nbytes, f"tile {tile.index}".encode(), attempt)


class _Keeper:
    async def keep(self, tile: Tile, pixels: Pixels) -> None:
        """Drop the pixels; see `Keeper.keep`."""


def run_plan(plan: Plan, latency: Latency, *, is_hedging: bool = False) -> VirtualRun:
    """Run a plan's tiles against a service of this latency, with default options and no quota but our own."""
    random.seed(latency.seed)  # tenacity's jitter
    service = _Service(latency)

    async def work() -> float:
        gate = Gate(limit=ConcurrencyLimit(ceiling=SLOTS), rate=RateLimit(PER_SECOND))
        asker = Asker(gate=gate, policy=RetryPolicy(), observe=lambda _: None)
        source: Source = service
        if is_hedging:
            source = HedgedSource(source=service, body_bytes=lambda _: 0, gate=gate, observe=lambda _: None)
        reader = TileReader(
            source=source, asker=asker, unit=plan.layout.chunk, body_bytes=lambda _: 0, observe=lambda _: None
        )
        clock = asyncio.get_running_loop().time
        start_s = clock()
        failures = await run_tiles(
            plan,
            reader=reader,
            keeper=_Keeper(),
            workers=min(Budget(concurrency=SLOTS).workers(plan.tile_bytes), plan.tile_count),
            buffer_bytes=0,
            observe=lambda _: None,
        )
        assert not failures
        return clock() - start_s

    wall_s: float = run_virtually(work())
    assert set(service.drawn_s) == set(range(plan.tile_count))
    drawn_s = tuple(service.drawn_s[index] for index in range(plan.tile_count))
    return VirtualRun(wall_s=wall_s, drawn_s=drawn_s, requests=service.requests)


def scheduled_s(seconds: Iterable[float], slots: int = SLOTS, per_second: float = PER_SECOND) -> float:
    """Return when the last of these is done, if each is begun in order as soon as a slot is free and the rate allows.

    That is the best that anyone can do who does not know beforehand what each will take.
    """
    free_s = [0.0] * slots
    end_s = 0.0
    for number, taken_s in enumerate(seconds):
        done_s = max(heapq.heappop(free_s), number / per_second) + taken_s
        heapq.heappush(free_s, done_s)
        end_s = max(end_s, done_s)
    return end_s
