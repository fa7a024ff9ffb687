"""How long the event loop is held up while 40 bodies of 48 MB are in flight.

    python -m benchmarks.lag [--runs 5] [--tiny]

In a process of its own, a task asks to be woken every millisecond while `Client.fetch` runs. The service answers all
requests after the same second, so that the bodies come together; a few more than 40 are allowed, since it takes a
moment to begin the next, and memory for them. Two jobs: what the smaller one stores the kernel keeps in memory, and
what the larger one stores it begins to write to the disk meanwhile, which takes the same cores. A wake-up that comes
late stands for all those that it displaced: a loop held for 100 ms counts as 100 late ones, of 100, 99, 98 ... ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import Usage, run_process, scratch_folder
from benchmarks.scenes import CRS, ORIGIN, SCENE, Region
from benchmarks.service import replaying
from benchmarks.stored import require_periodic

if TYPE_CHECKING:
    from benchmarks.service import Service

__all__ = ["Heartbeat", "measure"]

BEAT_S = 0.001
_TILE = 2048
"""Pixels of a tile's side: 4 bands of uint16 and their mask bytes are 48 MiB."""

_JOBS = {"4.8 GB": 12, "8.6 GB, while the kernel writes back": 16}
"""Tiles of a side; half of the pixels' bytes are stored, and at a tenth of 24 GiB the kernel begins."""

_CHILD = """\
import sys
sys.path.insert(0, {root!r})
from benchmarks.lag import run_child
run_child(url={url!r}, side={side}, bands={bands}, tile={tile})
"""


class Heartbeat:
    """Wakes up every millisecond, and notes how late."""

    def __init__(self) -> None:
        self.late_s: list[float] = []

    async def beat(self) -> None:
        """Beat until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due_s = clock() + BEAT_S
            await asyncio.sleep(BEAT_S)
            late_s = max(0.0, clock() - due_s)
            self.late_s.extend(np.arange(late_s, -1e-9, -BEAT_S).tolist())

    def summary(self) -> dict[str, float]:
        """Return median, 99th percentile and maximum, in milliseconds."""
        late_ms = np.array(self.late_s or [0.0]) * 1000
        return {
            "p50": float(np.percentile(late_ms, 50)),
            "p99": float(np.percentile(late_ms, 99)),
            "max": float(late_ms.max()),
        }


def measure(scale: Scale) -> Section:
    """Measure the lag of a job, so many times."""
    rows: list[tuple[str, ...]] = []
    findings: list[Finding] = []
    with replaying(is_periodic=True) as service:
        for title, tiles in _JOBS.items():
            region = Region(side=2048 if scale.is_tiny else tiles * _TILE, band_count=4)
            service.set_latency()
            _run(service, region, scale)  # fills the service's memory
            service.set_latency(base_s=0.05 if scale.is_tiny else 1.0)
            runs = [_run(service, region, scale) for _ in range(scale.runs)]
            lags = [json.loads(usage.output) for usage, _ in runs]
            rows += [
                (title, f"{lag['p50']:.2f}", f"{lag['p99']:.1f}", f"{lag['max']:.1f}", f"{most_open}")
                for lag, (_, most_open) in zip(lags, runs, strict=True)
            ]
            needed = 1 if scale.is_tiny else 40
            findings += [
                at_most(f"{title}: event-loop lag, 99th percentile", median(lag["p99"] for lag in lags), 20.0, "ms"),
                at_least(f"{title}: requests in flight at once", min(most_open for _, most_open in runs), needed),
            ]
    return Section(
        title="Event-loop lag",
        note=f"Tiles of {_TILE} x {_TILE} x 4 uint16, which the service counts as 48 MiB each; all that are in flight "
        "answer at the same moment.",
        findings=tuple(findings),
        tables=(Table(columns=("job", "p50 ms", "p99 ms", "max ms", "in flight"), rows=tuple(rows)),),
    )


def _run(service: Service, region: Region, scale: Scale) -> tuple[Usage, int]:
    """Run a job once; return what it took, and how many requests the service answered at once at the most."""
    from pathlib import Path  # noqa: PLC0415 - for the child's path only

    root = str(Path(__file__).parents[1])
    tile = 1024 if scale.is_tiny else _TILE
    script = _CHILD.format(root=root, url=service.url, side=region.side, bands=region.bands, tile=tile)
    with scratch_folder() as folder:
        service.reset()
        usage = run_process([sys.executable, "-c", script], folder)
        require_periodic(folder / "out.zarr", region)
    return usage, service.stats().most_open


def run_child(*, url: str, side: int, bands: tuple[str, ...], tile: int) -> None:
    """Fetch a region, and print the lag of the loop as JSON."""
    from affine import Affine  # noqa: PLC0415 - the parent needs none of them

    import eezarr  # noqa: PLC0415

    async def work() -> Heartbeat:
        grid = eezarr.PixelGrid(crs=CRS, transform=Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), width=side, height=side)
        image = eezarr.Image.asset(SCENE, bands=list(bands), method="computePixels")
        options = eezarr.FetchOptions(tile=(tile, tile), max_concurrency=48, memory=4 << 30)
        heartbeat = Heartbeat()
        async with eezarr.Client(project="p", api_url=url, options=options) as client:
            beating = asyncio.create_task(heartbeat.beat())
            await client.fetch(image, grid, "out.zarr")
            beating.cancel()
        return heartbeat

    sys.stdout.write(json.dumps(asyncio.run(work()).summary()))


if __name__ == "__main__":
    run_alone(measure, __doc__)
