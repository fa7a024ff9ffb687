"""Many small patches under the quota: 20 000 of 64 x 64 pixels and 4 bands, beside the least time that it allows.

    python -m benchmarks.samples [--tiny]

Whole processes of `eezarr samples` against an emulator in a process of its own, which admits 40 requests at a time and
100 a second and takes a quarter of a second for each; pixels are a constant image's, so that what is measured is the
asking and the storing. Wall time is from the process's start to its end: reading the sites, planning, laying out the
store, statistics and all. The first second's burst, which the quota grants too, is left out of the least time.

Starts that the machine makes late are not made up for, lest a second holds too many: on a machine that does other work
the quota is not reached. So before and after each run the same gate paces requests that are nothing but waiting. One
run each: it lasts 200 s, whatever is asked for.
"""

from __future__ import annotations

import asyncio
import json
import sys
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import run_process, scratch_folder
from benchmarks.service import emulating
from eezarr.engine import Gate
from eezarr.limit import ConcurrencyLimit, RateLimit

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Usage

PER_SECOND, AT_A_TIME = 100, 40
LATENCY_S = 0.25
BANDS = ("B2", "B3", "B4", "B8")

_JOB = """
output = "out.zarr"
project = "benchmark"
[image]
expression = "constant.json"
[samples]
sites = "sites.csv"
label = "label"
size = 64
resolution = 10
shuffle = true
[samples.splits]
train = 0.8
test = 0.2
[store]
shard = {shard}
"""


def measure(scale: Scale) -> Section:
    """Fetch samples unsharded and in shards."""
    count = 200 if scale.is_tiny else 20_000
    least_s = count / PER_SECOND
    findings: list[Finding] = []
    rows: list[tuple[str, ...]] = []
    for name, shard in (("a sample a chunk", "false"), ("shards of 256", "256")):
        before = _paced(scale)
        usage = _fetch(count, shard)
        pacing = fmean([before, _paced(scale)])
        findings += [
            at_least(f"{name}: share of what the quota admits", least_s / usage.wall_s, 0.95),
            at_least(f"{name}: share of what pacing alone reaches", count / usage.wall_s / pacing, 0.95),
            at_most(f"{name}: client's CPU for a sample", usage.cpu_s / count * 1e3, 10, "ms"),
        ]
        figures = (usage.wall_s, least_s, pacing, usage.cpu_s, usage.peak_bytes / 1e6)
        throttled = str(json.loads(usage.output)["requests"]["throttled"])
        rows.append((name, *(f"{figure:.1f}" for figure in figures), throttled))
    columns = ("", "wall s", "least s", "pacing alone, 1/s", "CPU s", "peak MB", "throttled")
    return Section(
        title="Samples",
        note=f"{count} patches of 64 x 64 pixels, 4 bands of uint16; {PER_SECOND} requests a second, {AT_A_TIME} at a "
        f"time, {LATENCY_S} s each, from an emulator on the same cores.",
        findings=tuple(findings),
        tables=(Table(columns=columns, rows=tuple(rows)),),
    )


def _fetch(count: int, shard: str) -> Usage:
    quota = ("--max-requests-per-second", str(PER_SECOND), "--max-concurrency", str(AT_A_TIME))
    with scratch_folder() as folder, emulating(*quota, "--latency-base", str(LATENCY_S)) as url:
        _write_job(folder, count, shard)
        usage = run_process(
            [sys.executable, "-m", "eezarr", "samples", "job.toml", "--json", "--quiet", "--api-url", url],
            folder,
            environment={"NO_GCE_CHECK": "true"},
        )
        summary = json.loads(usage.output)
        if summary["tiles"]["written"] != count:
            raise RuntimeError(f"{summary}")
        return usage


def _paced(scale: Scale) -> float:
    """Requests a second that the gate lets through now, if each takes no work at all."""
    return asyncio.run(_pace(1.0 if scale.is_tiny else 20.0))


async def _pace(seconds: float) -> float:
    gate = Gate(limit=ConcurrencyLimit(ceiling=AT_A_TIME), rate=RateLimit(PER_SECOND))
    clock = asyncio.get_running_loop().time
    end_s, count = clock() + seconds, 0

    async def ask() -> None:
        nonlocal count
        while clock() < end_s:
            async with gate.slot():
                await asyncio.sleep(LATENCY_S)
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME + 4):
            group.create_task(ask())
    return count / seconds


def _write_job(folder: Path, count: int, shard: str) -> None:
    rng = np.random.default_rng(0)
    lons, lats = rng.uniform(-10, 30, count), rng.uniform(36, 60, count)
    lines = [f"{lon:.6f},{lat:.6f},{nth % 7}" for nth, (lon, lat) in enumerate(zip(lons, lats, strict=True))]
    (folder / "sites.csv").write_text("\n".join(["lon,lat,label", *lines]) + "\n")
    (folder / "constant.json").write_text(json.dumps(_constant()))
    (folder / "job.toml").write_text(_JOB.format(shard=shard))


def _constant() -> dict[str, object]:
    """An image of four numbers."""
    made = _call("Image.constant", {"value": {"constantValue": [431, 502, 613, 2987]}})
    typed = _call("Image.toUint16", {"value": made})
    named = _call("Image.rename", {"input": typed, "names": {"constantValue": list(BANDS)}})
    return {"result": "0", "values": {"0": named}}


def _call(name: str, arguments: dict[str, object]) -> dict[str, object]:
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


if __name__ == "__main__":
    run_alone(measure, __doc__)
