"""Inflating gzip bodies: two cores beside one, and whether the event loop stays free.

    python -m benchmarks.inflating [--runs 5] [--tiny]

Our own way from a response's pieces to memory (`earthengine.bodies.receive_into`), eight bodies at a time, without a
network: the pieces come from memory. A process that may use one core is timed against the same with two.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import zlib
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.findings import Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.lag import Heartbeat
from benchmarks.measure import interleaved, run_process, scratch_folder
from benchmarks.scenes import Region, interleaved_pixels

if TYPE_CHECKING:
    import aiohttp

__all__ = ["measure"]

BODIES = 8
_ROUNDS = 3
"""Times that each place is filled: a percentile of a second alone would be its one latest moment."""
_PIECE_BYTES = 1 << 18
"""What aiohttp hands on at a time."""

_CHILD = """\
import sys
sys.path.insert(0, {root!r})
from benchmarks.inflating import run_child
run_child(cores={cores}, side={side})
"""


def measure(scale: Scale) -> Section:
    """Time one core and two, in turns."""
    side = 256 if scale.is_tiny else 2048
    Region(side=side, band_count=4).expected()  # computed before anything is timed
    cores = sorted(os.sched_getaffinity(0))[:2]
    ways = {str(count): partial(_run, cores[:count], side) for count in (1, len(cores))}
    results = interleaved(ways, scale.runs)
    one, two = results["1"], results[str(len(cores))]
    speed_up = median(a["wall_s"] / b["wall_s"] for a, b in zip(one, two, strict=True))
    rows = tuple(
        (name, *(f"{median(run[key] for run in runs):.3g}" for key in ("wall_s", "cpu_s_per_gb", "p99", "max")))
        for name, runs in results.items()
    )
    return Section(
        title="Inflating",
        note=f"{BODIES} gzip bodies of {side} x {side} x 4 uint16 at a time through our own receiving of bodies.",
        findings=(
            at_least("two cores over one", speed_up, 1.8, "x"),
            at_most("event-loop lag while inflating, 99th percentile", median(run["p99"] for run in two), 20.0, "ms"),
        ),
        tables=(Table(columns=("cores", "wall s", "CPU s/GB", "lag p99 ms", "lag max ms"), rows=rows),),
    )


def _run(cores: list[int], side: int) -> dict[str, float]:
    script = _CHILD.format(root=str(Path(__file__).parents[1]), cores=cores, side=side)
    with scratch_folder() as folder:
        facts: dict[str, float] = json.loads(run_process([sys.executable, "-c", script], folder).output)
    return facts


class _Response:
    """A response of gzip whose pieces are there already: as much of aiohttp's as is read."""

    def __init__(self, body: bytes) -> None:
        self.content_length = len(body)
        self.headers = {"Content-Encoding": "gzip"}
        self.content = self
        self._body = body
        self._start = 0

    async def readany(self) -> bytes:
        """Return the next piece, after whoever else wants to run; empty at the end."""
        await asyncio.sleep(0)
        # One at a time, as they would come: to cut up eight bodies at once holds the loop for 100 ms (measured).
        piece = self._body[self._start : self._start + _PIECE_BYTES]
        self._start += len(piece)
        return piece


def run_child(*, cores: list[int], side: int) -> None:
    """Inflate on these cores, and print what it took as JSON."""
    os.sched_setaffinity(0, cores)
    plain = interleaved_pixels(Region(side=side, band_count=4)).tobytes()
    squeeze = zlib.compressobj(1, wbits=31)
    body = squeeze.compress(plain) + squeeze.flush()
    buffers = [bytearray(len(plain)) for _ in range(BODIES)]
    asyncio.run(_inflate_all(body, buffers))  # warms memory and threads
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    heartbeat = asyncio.run(_inflate_all(body, buffers))
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    assert all(buffer == plain for buffer in buffers)
    facts = {"wall_s": wall_s, "cpu_s_per_gb": cpu_s / (_ROUNDS * BODIES * len(plain) / 1e9), **heartbeat.summary()}
    sys.stdout.write(json.dumps(facts))


async def _inflate_all(body: bytes, buffers: list[bytearray]) -> Heartbeat:
    from eezarr.earthengine import bodies  # noqa: PLC0415 - the parent needs none of it
    from eezarr.earthengine.inflaters import Inflaters  # noqa: PLC0415

    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.beat())
    inflaters = Inflaters()

    async def inflate(buffer: bytearray) -> None:
        for _ in range(_ROUNDS):
            response: aiohttp.ClientResponse = _Response(body)  # type: ignore[assignment]
            view = memoryview(buffer)
            size = await bodies.receive_into(response, view, inflaters=inflaters, is_gzip=True, stall_s=60.0)
            assert size == len(buffer)

    async with asyncio.TaskGroup() as group:
        for buffer in buffers:
            group.create_task(inflate(buffer))
    inflaters.close()
    beating.cancel()
    return heartbeat


if __name__ == "__main__":
    run_alone(measure, __doc__)
