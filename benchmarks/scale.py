"""What a job costs as it grows, up to 10^8 tiles: `python benchmarks/scale.py [--tiny] [SECTION ...]`, on Linux.

Prints the tables of `docs/scale.md`, as Markdown. Each says which of its figures are measured (the processor's seconds
and the bytes of a process alone), simulated (the real engine in virtual time; see `tests/simulation/bulk.py`) or
computed. A whole run takes ten minutes; `--tiny` takes seconds, and is what the tests run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from eezarr import Client, FetchOptions, Image, PixelGrid, StoreOptions
from eezarr.store.pages import PAGE_BYTES, TILES_PER_PAGE
from simulation.bulk import Bulk, simulate_bulk
from simulation.parts import mark_s, marks_cost, run_loop, threaded_s, tile_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

SCENE = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
QUOTA_PER_S = 100
EECU_S_PER_512 = 0.25
"""Of a tile of 512 x 512 pixels of one stored 2-byte band, mean over land and sea. Source:
https://github.com/michaelfdewitt/datensee/blob/main/docs/case-study-scale-run.md"""
COMPRESSION = 1.6
"""Blosc lz4 with bitshuffle, on reflectances."""
TIERS = {"Community": 150, "Contributor": 1000, "Partner": 100_000}
"""EECU-hours a month. Source: https://developers.google.com/earth-engine/guides/noncommercial_tiers"""
VOLUMES = {"10 GB": 1e10, "10 TB": 1e13, "1 PB": 1e15}
"""Of pixels, uncompressed."""
KINDS = {
    "1 band, 512 x 512": Bulk(side=512, bands=1),
    "4 bands, 1024 x 1024": Bulk(side=1024),
    "4 bands, 2048 x 2048": Bulk(),
    "the same, 10 Gbit/s": Bulk(network_bytes_per_s=1.25e9),
    "the same, 1 Gbit/s": Bulk(network_bytes_per_s=1.25e8),
    "the same, store at 0.1 GB/s": Bulk(write_gigabyte_s=20),
    "computed, 20 s a request": Bulk(request_s=20),
    "0.1 s a request, 256 x 256": Bulk(request_s=0.1, side=256, bands=1),
}
MACHINES = (1, 2, 4, 8, 16)


class Size(NamedTuple):
    """How much of everything a run does."""

    loops: tuple[int, ...]
    """Tiles through the request loop."""
    across: tuple[int, ...]
    """Tiles a side of the plans whose last tiles are made."""
    marks_across: tuple[int, ...]
    calls: int
    simulated: int
    """Tiles of each simulated job."""
    client: tuple[int, int]
    """Tiles a side, of a small and a large job."""
    is_alone: bool
    """Whether each measurement has a fresh process, so that its memory is its own."""

    def measure(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work, alone if the figures matter."""
        if not self.is_alone:
            return work(*args, **kwargs)
        # Buffers are never touched here: with huge pages, a mark that lies between two of them would seem to hold 2 MB.
        os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
            return executor.submit(work, *args, **kwargs).result()


FULL = Size((10_000, 100_000, 1_000_000), (1000, 10_000, 1_000_000), (1000, 10_000), 100_000, 30_000, (20, 80), True)
TINY = Size((200, 400), (100, 10_000), (100,), 1000, 400, (2, 6), False)


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help=f"default: {' '.join(SECTIONS)}")
    asked = parser.parse_args()
    for name in asked.sections or SECTIONS:
        print(f"\n## {name}\n")
        for row in SECTIONS[name](TINY if asked.tiny else FULL):
            print(f"| {' | '.join(row)} |", flush=True)


def loop(size: Size) -> Iterator[tuple[str, ...]]:
    """The request loop at the end of a plan of 10^8 tiles."""
    yield (
        "tiles",
        "CPU a tile (measured)",
        "function calls a tile, early (counted)",
        "late (counted)",
        "goodput (simulated)",
        "peak memory grew (measured)",
        "marks (computed)",
    )
    yield ("--:",) * 7
    for tiles in size.loops:
        run = size.measure(run_loop, tiles)
        pages = -(-tiles // TILES_PER_PAGE)
        yield (
            f"{tiles:,}",
            f"{run.cpu_s * 1e6:.0f} us",
            *(f"{calls:.0f}" for calls in run.calls),
            f"{run.goodput:.1%}",
            f"{run.grown_bytes / 1e6:.1f} MB",
            f"{pages * PAGE_BYTES / 1e6:.2f} MB",
        )


def parts(size: Size) -> Iterator[tuple[str, ...]]:
    """What could grow beside the requests, at its true size."""
    yield ("part (all measured)", "tiles of the plan", "cost", "memory")
    yield ("---", "--:", "--:", "--:")
    for across in size.across:
        yield ("making one tile", f"{across**2:,}", f"{size.measure(tile_s, across, size.calls) * 1e6:.1f} us", "")
    for across in size.across:
        yield ("marking one tile", f"{across**2:,}", f"{size.measure(mark_s, across, size.calls) * 1e6:.1f} us", "")
    patterns = {"every tile marked": 0xFF, "every second tile marked": 0x55, "one tile a page marked": 0}
    for name, pattern in patterns.items():
        for across in size.marks_across:
            cost, tiles = size.measure(marks_cost, across, pattern), f"{across**2:,}"
            yield (f"{name}: load", tiles, f"{cost.load_s:.2f} s", f"{cost.memory_bytes / 1e6:.1f} MB")
            yield (f"{name}: name the {cost.missing:,} missing", tiles, f"{cost.missing_s:.2f} s", "")
            yield (f"{name}: flush all pages", tiles, f"{cost.flush_s:.2f} s", "")


def process(size: Size) -> Iterator[tuple[str, ...]]:
    """How many tiles a second one process manages on one core, were there no service to wait for."""
    yield ("one process (all measured)", "CPU a tile", "tiles a second and core", f"core at {QUOTA_PER_S} a second")
    yield ("---", "--:", "--:", "--:")
    rows = {
        "engine alone, virtual time": size.measure(run_loop, size.calls).cpu_s,
        "engine, writer threads, nothing written": size.measure(threaded_s, size.calls),
        "everything: HTTP, checks, Zarr, marks; 64 x 64 pixels": size.measure(client_s, size.client, 64),
        "everything, 1024 x 1024 pixels (2.1 MB)": size.measure(client_s, (1, max(2, size.client[0] // 2)), 1024),
    }
    for name, cpu_s in rows.items():
        yield (name, f"{cpu_s * 1e6:,.0f} us", f"{1 / cpu_s:,.0f}", f"{cpu_s * QUOTA_PER_S:.0%}")


def client_s(across: tuple[int, int], side: int) -> float:
    """Return the seconds of the processor for one more tile of a whole job; the emulator's are not counted."""
    quota = ["--max-requests-per-second", "1000000", "--max-concurrency", "200"]
    command = [sys.executable, "-m", "eezarr.emulator", *quota]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().strip()
            asyncio.run(fetch(url, 1, side))  # what is imported and made once
            small, large = (asyncio.run(fetch(url, many, side)) for many in across)
        finally:
            emulator.terminate()
    return (large - small) / (across[1] ** 2 - across[0] ** 2)


async def fetch(url: str, across: int, side: int) -> float:
    """Return the seconds of the processor that a job of so many tiles a side takes."""
    transform = (10, 0, 499980, 0, -10, 4200000)
    grid = PixelGrid.of("EPSG:32610", transform, (across * side, across * side))
    options = FetchOptions(api_url=url, tile=(side, side), max_requests_per_second=1e6)
    start_s = time.process_time()
    with TemporaryDirectory() as folder:
        async with Client(project="p", credentials="anonymous", options=options) as client:
            image = Image.asset(SCENE, bands=["B4"])
            report = await client.fetch(image, grid, f"{folder}/scale.zarr", store=StoreOptions(chunk=side))
        assert report.tiles_written == across**2
        return time.process_time() - start_s


def binding(size: Size) -> Iterator[tuple[str, ...]]:
    """What binds which job, and how close the engine comes to it."""
    yield (
        "job",
        "binds (computed)",
        "at the most (computed)",
        "tiles/s (simulated)",
        "goodput",
        "MB/s",
        "objects/s",
        "1 TB takes",
    )
    yield ("---", "---", "--:", "--:", "--:", "--:", "--:", "--:")
    for name, bulk in KINDS.items():
        outcome = simulate_bulk(replace(bulk, tiles=size.simulated))
        bytes_per_s = outcome.tiles_per_s * bulk.body_bytes
        yield (
            name,
            outcome.binding,
            f"{bulk.bounds[outcome.binding]:.1f}",
            f"{outcome.tiles_per_s:.1f}",
            f"{outcome.goodput:.0%}",
            f"{bytes_per_s / 1e6:.0f}",
            f"{outcome.tiles_per_s * bulk.objects:.0f}",
            spoken(1e12 / bytes_per_s),
        )


def machines(size: Size) -> Iterator[tuple[str, ...]]:
    """One project's quota of 40 at a time, shared by several processes."""
    yield ("processes", "each asks for", "tiles/s (simulated)", "goodput", "refused")
    yield ("--:", "--:", "--:", "--:", "--:")
    for processes in MACHINES:
        shares = {40 // processes: QUOTA_PER_S / processes, 40: QUOTA_PER_S}
        for concurrency, per_second in shares.items():
            bulk = Bulk(
                side=1024,
                processes=processes,
                concurrency=concurrency,
                per_second=per_second,
                admitted=40,
                tiles=size.simulated // processes,
            )
            outcome = simulate_bulk(bulk)
            goodput = outcome.tiles_per_s * bulk.mean_request_s / bulk.admitted
            yield (
                f"{processes}",
                f"{concurrency}",
                f"{outcome.tiles_per_s:.1f}",
                f"{goodput:.0%}",
                f"{outcome.refused:.1%}",
            )


def volumes(_: Size) -> Iterator[tuple[str, ...]]:
    """What a volume needs of everything, for 4 bands of uint16 in tiles of 2048 x 2048 pixels; all computed."""
    bulk = Bulk()
    count = {name: volume / bulk.body_bytes for name, volume in VOLUMES.items()}
    yield ("computed, for 4 bands of uint16", *VOLUMES)
    yield ("---", *["--:"] * len(VOLUMES))
    eecu_h = {name: volume / 2 / 512**2 * EECU_S_PER_512 / 3600 for name, volume in VOLUMES.items()}
    rows: dict[str, Callable[[str], str]] = {
        "times the land surface at 10 m (149 million km2)": lambda name: few(VOLUMES[name] / 8e4 / 149e6),
        "requests of 2048 x 2048 pixels": lambda name: f"{count[name]:,.0f}",
        "time at 100 requests a second": lambda name: spoken(count[name] / QUOTA_PER_S),
        "time at 40 requests at a time": lambda name: spoken(count[name] / bulk.bounds["concurrency"]),
        "time through 10 Gbit/s": lambda name: spoken(VOLUMES[name] / 1.25e9),
        "time through 1 Gbit/s": lambda name: spoken(VOLUMES[name] / 1.25e8),
        "EECU-hours, stored pixels": lambda name: f"{eecu_h[name]:,.1f}",
        **{
            f"months of the {tier} tier ({hours:,})": lambda name, hours=hours: few(eecu_h[name] / hours)
            for tier, hours in TIERS.items()
        },
        "disk": lambda name: f"{few(VOLUMES[name] / COMPRESSION / 1e12)} TB",
        "objects, chunks of 1024 x 1024": lambda name: f"{count[name] * bulk.objects:,.0f}",
        "objects, sharded": lambda name: f"{count[name] * bulk.bands:,.0f}",
        "marks, in memory and in the store": lambda name: (
            f"{-(-count[name] // TILES_PER_PAGE) * PAGE_BYTES / 1e6:,.2f} MB"
        ),
    }
    for name, cell in rows.items():
        yield (name, *map(cell, VOLUMES))


def few(number: float) -> str:
    """Return a number with as many digits as matter."""
    return "< 0.01" if number < 0.005 else f"{number:,.0f}" if number >= 100 else f"{number:,.2f}"


def spoken(seconds: float) -> str:
    """Return a duration in the unit that people would use."""
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:,.1f} {unit}"
    return f"{seconds:.0f} s"


SECTIONS = {
    "volumes": volumes,
    "binding": binding,
    "loop": loop,
    "parts": parts,
    "process": process,
    "machines": machines,
}

if __name__ == "__main__":
    main()
