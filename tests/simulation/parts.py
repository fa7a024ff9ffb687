"""What a job of 10^8 tiles holds and does, part by part: the request loop, tiles, marks, and what is missing.

Pages of marks are copied, not marked one by one, which would only cost time: a real page of this plan is taken from the
store, and its like is put in the place of every other. `Marks.load` then counts them, so that a wrong page is noticed.
"""

import asyncio
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np

from eezarr.engine import Asker, Gate, ThreadedKeeper, TileReader, run_tiles
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import record_dtype
from eezarr.retry import RetryPolicy
from eezarr.store.location import Location, locate
from eezarr.store.marks import MARKS_PREFIX, Marks
from eezarr.store.pages import TILES_PER_PAGE, decode_page, encode_page
from simulation.bulk import Bulk, plan_of, simulate_bulk

_OWNER = slice(24, 56)
"""Where a page names its owner; see `eezarr.store.pages`."""
_PAGES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksCost:
    """What the marks of a whole store cost; seconds are the processor's, of all threads."""

    marked: int
    pages: int
    load_s: float
    memory_bytes: int
    """By which loading raised the peak."""
    missing: int
    missing_s: float
    """For all missing tiles, one by one, as a run takes them."""
    flush_s: float
    """For all pages, each of which has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRun:
    """A run of the request loop."""

    cpu_s: float
    """For a tile."""
    calls: tuple[float, float]
    """Functions called for a tile, after the first tenth and before the last: work that no other process disturbs."""
    goodput: float
    grown_bytes: int
    """By which the peak of memory grew."""


def run_loop(tiles: int) -> LoopRun:
    """Send so many tiles through the loop, the last ones of a plan of 10^8, and mark them."""
    plan = plan_of(1024, 4)
    marks = Marks(plan, locate("memory://loop"))
    simulate_bulk(Bulk(side=1024, tiles=100))
    before, window = memory_bytes("VmRSS"), min(tiles // 20, 400)
    counters = {tiles // 10: _CallCounter(), tiles - tiles // 10: _CallCounter()}

    def on_kept(index: int) -> None:
        marks.mark(index, index & 0xFFFF)
        if marks.count in counters:
            sys.setprofile(counters[marks.count])
        elif marks.count - window in counters:
            sys.setprofile(None)

    outcome = simulate_bulk(Bulk(side=1024, tiles=tiles, start=plan.tile_count - tiles), on_kept)
    assert marks.count == tiles
    early, late = (counter.calls / window for counter in counters.values())
    return LoopRun(
        cpu_s=outcome.cpu_s / tiles,
        calls=(early, late),
        goodput=outcome.goodput,
        grown_bytes=memory_bytes("VmHWM") - before,
    )


class _CallCounter:
    """Counts calls as a profiler."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        self.calls += event in ("call", "c_call")


def tile_s(across: int, calls: int) -> float:
    """Return the processor's seconds for one of the last tiles of a plan of `across` x `across`."""
    plan = plan_of(1024, 4, across)
    last = plan.tile_count
    start_s = time.process_time()
    deque(map(plan.tile, range(max(0, last - calls), last)), maxlen=0)
    return (time.process_time() - start_s) / min(calls, last)


def mark_s(across: int, calls: int) -> float:
    """Return the processor's seconds for a mark at the end of a plan of `across` x `across`."""
    plan = plan_of(1024, 4, across)
    marks = Marks(plan, locate("memory://mark"))
    indices = range(max(0, plan.tile_count - calls), plan.tile_count)
    start_s = time.process_time()
    for index in indices:
        marks.mark(index, index & 0xFFFF)
    return (time.process_time() - start_s) / len(indices)


def threaded_s(tiles: int) -> float:
    """Return the seconds of the processor for a tile that comes at once and is written to nothing, in real time."""
    plan = plan_of(64, 1)
    body = np.zeros((64, 64), record_dtype(plan.bands))

    class Source:
        async def read(self, tile, memory):
            return body

    class Sink:
        def write(self, tile, pixels):
            pass

        def flush(self):
            pass

    async def run() -> None:
        gate = Gate(limit=ConcurrencyLimit(ceiling=40), rate=RateLimit(1e9))
        asker = Asker(gate=gate, policy=RetryPolicy(), observe=lambda _: None)
        reader = TileReader(
            source=Source(), asker=asker, unit=plan.layout.chunk, body_bytes=lambda _: 8192, observe=lambda _: None
        )
        with ThreadPoolExecutor(2) as executor:
            await run_tiles(
                map(plan.tile, range(tiles)),
                reader=reader,
                keeper=ThreadedKeeper(Sink(), executor),
                workers=44,
                buffer_bytes=8192,
                observe=lambda _: None,
            )

    start_s = time.process_time()
    asyncio.run(run())
    return (time.process_time() - start_s) / tiles


def marks_cost(across: int, pattern: int) -> MarksCost:
    """Return what it costs to resume a store of `across` x `across` tiles.

    Args:
        across: Tiles a side.
        pattern: A byte of each page's bitmap: 0xFF for every tile, 0x55 for every second; 0 for one tile a page.
    """
    plan = plan_of(1024, 4, across)
    with TemporaryDirectory() as folder:
        location = locate(folder)
        _lay(plan.tile_count, plan, location, pattern)
        before, start_s = memory_bytes("VmRSS"), time.process_time()
        marks = Marks.load(plan, location)
        load_s, after = time.process_time() - start_s, memory_bytes("VmHWM")
        start_s = time.process_time()
        missing = sum(map(len, marks.missing()))
        deque(chain.from_iterable(marks.missing()), maxlen=0)
        missing_s = time.process_time() - start_s
        assert missing == plan.tile_count - marks.count
        start_s = time.process_time()
        for first in range(0, plan.tile_count, TILES_PER_PAGE):
            marks.mark(first, 1)
        marks.flush()
        return MarksCost(
            marked=plan.tile_count - missing,
            pages=-(-plan.tile_count // TILES_PER_PAGE),
            load_s=load_s,
            memory_bytes=after - before,
            missing=missing,
            missing_s=missing_s,
            flush_s=time.process_time() - start_s,
        )


def _lay(tile_count, plan, location: Location, pattern: int) -> None:
    marks = Marks(plan, location)
    marks.mark(0, 1)
    marks.flush()
    body = location.get(f"{MARKS_PREFIX}/0")
    assert body is not None
    owner = body[_OWNER]
    page = decode_page(body, number=0, owner=owner)
    assert page is not None
    if pattern:
        page.bitmap[:] = pattern
        page.checksums[:] = np.random.default_rng(0).integers(0, 1 << 32, TILES_PER_PAGE)
    last, rest = divmod(tile_count, TILES_PER_PAGE)
    bodies: dict[str, bytes] = {}
    for number in range(last + bool(rest)):
        if number == last:
            flags = np.unpackbits(page.bitmap, bitorder="little")
            flags[rest:] = 0
            page.bitmap[:] = np.packbits(flags, bitorder="little")
        bodies[f"{MARKS_PREFIX}/{number}"] = encode_page(page, number=number, owner=owner)
        if len(bodies) == _PAGES_AT_ONCE or number >= last - 1:
            location.put_all(bodies)
            bodies.clear()


def memory_bytes(name: str) -> int:
    """Return what this process holds now (`VmRSS`) or held at the most (`VmHWM`), as Linux counts."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
