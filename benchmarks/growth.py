"""What a gigabyte more takes of a large job, over the sum of its stages each done alone; and how busy the cores are.

    python -m benchmarks.growth [--runs 5] [--tiny]

Beside the stages, which work in memory that they hold already, stands the difference between two large regions.
Stages and job are measured in the same turn, the stages before and after, since these machines drift; and they write
the same gigabytes, those that come after the smaller region's: a virtual machine that gives free memory back to its
host (free page reporting) pays 1.4 to 1.9 CPU seconds for the first touch of a gigabyte, and 0.14 where it was freed a
moment ago (measured), so the first that are written cost less than the others. On all cores the job's threads and the
service slow each other down, as no stage alone is slowed down (see `stages`); so they are compared on one core, too.

Leave the disk alone for six minutes before: ext4 looks past every inode that was deleted since then before it makes a
file, which took 0.1 CPU seconds a gigabyte at 12 bands (perf).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import on_one_core
from benchmarks.scenes import Region
from benchmarks.service import replaying
from benchmarks.stages import measure_stages
from benchmarks.ways import Run, run_periodic

__all__ = ["measure"]

_LARGE = {4: (16384, 24576), 12: (8192, 16384)}
"""Sides of two regions by bands: gigabytes, but not so many that the disk is what is measured. Linux writes back once a
tenth of the memory is dirty, 2.3 GB here, and the larger regions' files are about as much: 2.5 and 2.1 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """Runs of ours for a large region and a larger one, and what the stages took alone before and after each pair."""

    near: Region
    far: Region
    runs: list[tuple[Run, Run]] = field(default_factory=list)
    stages: list[float] = field(default_factory=list)

    @property
    def further(self) -> list[float]:
        """CPU seconds of a gigabyte more, turn by turn."""
        more_gb = (self.far.pixel_bytes - self.near.pixel_bytes) / 1e9
        return [(far.usage.cpu_s - near.usage.cpu_s) / more_gb for near, far in self.runs]

    @property
    def over_stages(self) -> float:
        """The same over the sum of the stages."""
        return median(more / alone for more, alone in zip(self.further, self.stages, strict=True))

    @property
    def busy_share(self) -> float:
        """Share of all cores' time that the larger region used, from the first request for pixels on."""
        return median(far.stats.busy_share(far.usage) for _, far in self.runs)

    def table(self, where: str) -> Table:
        """Return the medians."""
        told = f"{median(self.further):.2f} CPU s for a GB more, {median(self.stages):.2f} for its stages"
        title = f"{self.near.band_count} bands{where}, GB; {told}"
        rows = tuple(
            (
                f"{region.pixel_bytes / 1e9:.2f}",
                f"{median(run.usage.wall_s for run in runs):.2f}",
                f"{median(run.usage.cpu_s for run in runs) / (region.pixel_bytes / 1e9):.2f}",
                f"{median(run.usage.peak_bytes for run in runs) / 1e6:.0f}",
                f"{runs[0].stats.pixel_requests}",
            )
            for region, runs in zip((self.near, self.far), zip(*self.runs, strict=True), strict=True)
        )
        return Table(columns=(title, "wall s", "CPU s/GB", "peak MB", "requests"), rows=rows)


def measure(scale: Scale) -> Section:
    """Compare for 4 bands and for 12, on all cores and on one."""
    findings: list[Finding] = []
    tables: list[Table] = []
    for bands, sides in {4: (512, 1024)}.items() if scale.is_tiny else _LARGE.items():
        if not scale.is_tiny:  # nothing that one core does not show of the machinery
            growth = _grow(bands, sides, scale)
            findings += [
                at_most(f"{bands} bands: CPU over the sum of its stages", growth.over_stages, 1.3, "x"),
                at_least(f"{bands} bands: cores busy", growth.busy_share, 0.9),
            ]
            tables.append(growth.table(""))
        if sys.platform == "linux":
            with on_one_core():
                growth = _grow(bands, sides, scale)
            name = f"{bands} bands, all on one core: CPU over the sum of its stages there"
            findings.append(at_most(name, growth.over_stages, 1.3, "x"))
            tables.append(growth.table(", all on one core"))
    return Section(
        title="The whole pipeline over its stages",
        note="Whole processes into a Zarr on disk, no latency, the service replays from memory on the same cores. "
        "On one core nothing else runs while the job does, as beside each stage; on both, each slows the other down.",
        findings=tuple(findings),
        tables=tuple(tables),
    )


def _grow(bands: int, sides: tuple[int, int], scale: Scale) -> _Growth:
    """Run ours for two large regions in turns, the pixels of a period again and again, and the stages beside them."""
    near, far = (Region(side=side, band_count=bands) for side in sides)
    growth = _Growth(near=near, far=far)

    def stages_s() -> float:
        written = (near.pixel_bytes, far.pixel_bytes)
        return measure_stages(bands, replace(scale, runs=1), written_bytes=written, is_plain=True).plain_sum

    with replaying(is_periodic=True) as service:
        # Turn 0 fills the service's memory; figures that mean nothing do without.
        for turn in range(1 if scale.is_tiny else 0, scale.runs + 1):
            before_s = stages_s()
            pair = run_periodic(near, service), run_periodic(far, service)
            if turn:
                growth.runs.append(pair)
                growth.stages.append(fmean([before_s, stages_s()]))
    return growth


if __name__ == "__main__":
    run_alone(measure, __doc__)
