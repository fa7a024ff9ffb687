"""Plans of a billion tiles, resuming among a million marks, starting, and how many requests a region takes.

python -m benchmarks.planning [--runs 5] [--tiny]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
import tracemalloc
from collections import deque
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import run_process, scratch_folder
from benchmarks.plans import plan_of
from benchmarks.scenes import CRS, ORIGIN, SCENE, Region
from benchmarks.service import replaying
from benchmarks.ways import WAYS, installed_ways, run_way

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.service import Service
    from eezarr.config import Job

__all__ = ["measure"]

_RESUMED_JOB = f"""\
output = "out.zarr"
project = "p"
[image]
asset = "{SCENE}"
bands = ["B2"]
method = "computePixels"
[grid]
crs = "{CRS}"
transform = [{{pixel_m}}, 0, {ORIGIN[0]}, 0, -{{pixel_m}}, {ORIGIN[1]}]
shape = [{{side}}, {{side}}]
[fetch]
tile = [1024, 1024]
"""


def measure(scale: Scale) -> Section:
    """Measure all of it."""
    counted, table = _requests(scale)
    return Section(
        title="Planning, resuming, starting",
        note="Starts and resumptions are whole processes; the seconds to the first request are from the start of the "
        "process to when the service has the first request for a missing tile.",
        findings=(*_plans(scale), *_resuming(scale), *_starts(scale), *counted),
        tables=(table,),
    )


def _plans(scale: Scale) -> list[Finding]:
    side = 32_000 * 1024  # 1.02 billion tiles of one chunk
    first_s: list[float] = []
    per_second: list[float] = []
    count = 10_000 if scale.is_tiny else 500_000
    for _ in range(scale.runs):
        start_s = time.perf_counter()
        plan = plan_of(side, band_count=12, tile=(1024, 1024), pixel_m=0.003)
        tiles = iter(plan)
        first = next(tiles)
        first_s.append(time.perf_counter() - start_s)
        assert first.index == 0
        assert plan.tile_count >= 10**9
        start_s = time.perf_counter()
        (last,) = deque(itertools.islice(tiles, count), maxlen=1)
        per_second.append(count / (time.perf_counter() - start_s))
        assert last.index == count
    tracemalloc.start()
    plan = plan_of(side, band_count=12, tile=(1024, 1024), pixel_m=0.003)
    deque(itertools.islice(plan, min(count, 50_000)), maxlen=0)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        at_most("first tile of a plan of 10^9", median(first_s) * 1000, 50.0, "ms"),
        at_least("tiles enumerated a second", median(per_second), 200_000.0, "/s"),
        at_most("memory of enumerating them", peak_bytes / 1e6, 1.0, "MB"),
    ]


def _resuming(scale: Scale) -> list[Finding]:
    """Mark all tiles but three of a store as stored, and see when a resumed job asks for the first of those."""
    per_side = 20 if scale.is_tiny else 1000
    pixel_m = 0.01
    job = _RESUMED_JOB.format(pixel_m=pixel_m, side=per_side * 1024)
    seconds: list[float] = []
    marked = 0
    with replaying() as service, scratch_folder() as folder:
        (folder / "job.toml").write_text(job, encoding="utf-8")
        command = [sys.executable, "-m", "eezarr", "fetch", "job.toml", "--quiet", "--api-url", service.url]
        for turn in range(scale.runs + 1):
            marked = _mark_all_but(3, folder, service)
            service.reset()
            usage = run_process(command, folder)
            stats = service.stats()
            assert stats.first_pixel_s is not None
            assert stats.pixel_requests == 3, stats.pixel_requests
            if turn:  # the first one filled the service's memory
                seconds.append(stats.first_pixel_s - usage.start_s)
    return [at_most(f"resuming with {marked} tiles marked: to the first request", median(seconds), 5.0, "s")]


def _mark_all_but(missing: int, folder: Path, service: Service) -> int:
    """Lay out the job's store in a folder with all tiles marked but the last few, as a killed job leaves it."""
    import eezarr  # noqa: PLC0415 - only here
    from eezarr.store import ZarrSink  # noqa: PLC0415
    from eezarr.store.location import locate  # noqa: PLC0415
    from eezarr.store.marks import Marks  # noqa: PLC0415
    from eezarr.store.record import read_record  # noqa: PLC0415

    job = eezarr.Job.load(folder / "job.toml").replaced(output=str(folder / "out.zarr"), api_url=service.url)
    resolved = asyncio.run(eezarr.resolve_job(job))
    plan = resolved.plan
    sink = ZarrSink.create(
        plan,
        job.output,
        image_info=resolved.subject.describe(),
        origin=asyncio.run(_origin(job)),
        now=datetime.now(UTC),
        overwrite=True,
    )
    sink.close()
    location = locate(job.output)
    record = read_record(location)
    assert record is not None
    marks = Marks(record, location)
    for index in range(plan.tile_count - missing):
        marks.mark(index, 0)
    marks.flush()
    return plan.tile_count - missing


async def _origin(job: Job) -> str:
    import eezarr  # noqa: PLC0415 - only here

    async with eezarr.Client(project=job.project, options=job.fetch) as client:
        return await client.learn_origin()


def _starts(scale: Scale) -> list[Finding]:
    commands = {
        "`import eezarr`": ([sys.executable, "-c", "import eezarr"], 0.25),
        "`eezarr --help`": ([sys.executable, "-m", "eezarr", "--help"], 0.3),
    }
    findings = []
    with scratch_folder() as folder:
        for name, (command, bound) in commands.items():
            run_process(command, folder)
            walls = [run_process(command, folder).wall_s for _ in range(scale.runs * 2)]
            findings.append(at_most(name, median(walls), bound, "s"))
    return findings


def _requests(scale: Scale) -> tuple[list[Finding], Table]:
    """Count the requests for pixels of 2 bands of 4096 x 4096, each way as it comes, and ours in the largest tiles."""
    region = Region(side=512 if scale.is_tiny else 4096, band_count=2)
    names = ("eezarr",) if scale.is_tiny else ("eezarr", "threads", "xee", "geedim")
    largest = f"tile = [{region.side}, {region.side}]"
    with replaying() as service:
        counts = {
            name: run_way(way, region, service).stats.pixel_requests for name, way in installed_ways(*names).items()
        }
        ours = run_way(WAYS["eezarr"], region, service, fetch=largest).stats.pixel_requests
    rows = ((f"eezarr, {largest}", str(ours)), *((name, str(count)) for name, count in counts.items()))
    finding = at_most(f"requests for 2 bands x 4096 x 4096 uint16, {largest}", ours, 2.0)
    return [finding], Table(columns=("2 bands x 4096 x 4096", "requests for pixels"), rows=rows)


if __name__ == "__main__":
    run_alone(measure, __doc__)
