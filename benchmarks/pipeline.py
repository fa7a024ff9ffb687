"""The whole way into a local Zarr, everything at its default: CPU and wall time, beside the limit and beside the peers.

    python -m benchmarks.pipeline [--runs 5] [--tiny]

Whole processes, in turns, against a service that replays (see `replay`). CPU seconds a gigabyte are stated twice: of
the whole process, and of a gigabyte more: the difference between this region and one of a single small tile, over the
difference of their bytes. Ratios of CPU are of the second, turn by turn.

Beside the stages, which work in memory that they hold already, stands what a gigabyte more takes of a large job: the
difference between two large regions. Stages and job are measured in the same turn, since these machines drift, and they
write the same gigabytes, those that come after the smaller region's: a virtual machine that gives free memory back to
its host (free page reporting) pays 1.4 to 1.9 CPU seconds for the first touch of a gigabyte, and 0.14 where it was
freed a moment ago (measured), so the first that are written cost less than the others. On all cores the job's threads
and the service slow each other down, as no stage alone is slowed down (see `stages`); so they are compared on one core,
too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import interleaved, on_one_core, run_process, scratch_folder
from benchmarks.scenes import Region
from benchmarks.service import replaying
from benchmarks.stages import measure_stages
from benchmarks.stored import require_periodic
from benchmarks.ways import Run, installed_ways, job_text, run_way

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.service import Service

__all__ = ["Comparison", "compare", "measure"]

SMALL_SIDE = 64
"""Pixels of the region whose cost is starting."""

_ALL = ("eezarr", "threads", "xee", "geedim")
_LARGE = {4: (16384, 24576), 12: (8192, 16384)}
"""Sides of two regions by bands: gigabytes, but not so many that the disk is what is measured. Linux writes back once a
tenth of the memory is dirty, 2.3 GB here, and the larger regions' files are about as much: 2.5 and 2.1 GB."""

_BOUNDS = {"threads": 0.15, "xee": 0.08, "geedim": 1.0}
"""The most CPU that ours should take of each peer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All runs of some ways for one region, and of the same ways for a region that is nearly nothing."""

    region: Region
    small: Region
    runs: Mapping[str, list[Run]]
    starts: Mapping[str, list[Run]]

    def cpu_s_per_gb(self, way: str) -> float:
        """CPU seconds a gigabyte of whole processes."""
        return median(run.usage.cpu_s for run in self.runs[way]) / (self.region.pixel_bytes / 1e9)

    def further_cpu_s_per_gb(self, way: str) -> float:
        """CPU seconds of a gigabyte more."""
        return median(self._further(way))

    def start_cpu_s(self, way: str) -> float:
        """CPU seconds of a job that is nearly nothing."""
        return median(run.usage.cpu_s for run in self.starts[way])

    def cpu_ratio(self, way: str, other: str) -> float:
        """What a gigabyte more takes one way, over what it takes another, turn by turn."""
        return median(a / b for a, b in zip(self._further(way), self._further(other), strict=True))

    def wall_ratio(self, way: str, other: str) -> float:
        """The wall time of one way's processes over another's, turn by turn."""
        pairs = zip(self.runs[way], self.runs[other], strict=True)
        return median(a.usage.wall_s / b.usage.wall_s for a, b in pairs)

    def busy_share(self, way: str) -> float:
        """Share of all cores' time that was used, from the first request for pixels on."""
        return median(run.stats.busy_share(run.usage) for run in self.runs[way])

    def table(self) -> Table:
        """Return the medians."""
        rows = tuple(
            (
                way,
                f"{median(run.usage.wall_s for run in runs):.2f}",
                f"{self.cpu_s_per_gb(way):.2f}",
                f"{self.further_cpu_s_per_gb(way):.2f}",
                f"{self.start_cpu_s(way):.2f}",
                f"{median(run.usage.peak_bytes for run in runs) / 1e6:.0f}",
                f"{runs[0].stats.pixel_requests}",
                f"{self.busy_share(way):.0%}",
            )
            for way, runs in self.runs.items()
        )
        title = f"{self.region.band_count} bands, {self.region.pixel_bytes / 1e6:.0f} MB"
        figures = ("wall s", "CPU s/GB", "CPU s/GB more", "CPU s to start", "peak MB", "requests", "cores busy")
        return Table(columns=(title, *figures), rows=rows)

    def _further(self, way: str) -> list[float]:
        start_s = self.start_cpu_s(way)
        more_gb = (self.region.pixel_bytes - self.small.pixel_bytes) / 1e9
        return [(run.usage.cpu_s - start_s) / more_gb for run in self.runs[way]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """Runs of ours for a large region and a larger one, and what the stages took alone after each pair."""

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
    """Compare for 4 bands and for 12."""
    findings: list[Finding] = []
    tables: list[Table] = []
    for bands, side in ((4, 512),) if scale.is_tiny else ((4, 8192), (12, 5120)):
        region = Region(side=side, band_count=bands)
        plain = compare(region, ("eezarr", "threads") if scale.is_tiny else _ALL, scale)
        sides = (512, 1024) if scale.is_tiny else _LARGE[bands]
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
        findings += _plain_findings(plain)
        tables.append(plain.table())
    return Section(
        title="The whole pipeline",
        note="Whole processes into a Zarr on disk, no latency, the service replays from memory on the same cores. "
        "The last table of each number of bands is beside the peers. On one core nothing else runs while the job does, "
        "as beside each stage; on both, each slows the other down.",
        findings=tuple(findings),
        tables=tuple(tables),
    )


def compare(region: Region, names: tuple[str, ...], scale: Scale, *, is_gzip: bool = False) -> Comparison:
    """Run those of these ways that are installed in turns, after one run each that fills the service's memory."""
    small = Region(side=SMALL_SIDE, band_count=region.band_count)
    ways = installed_ways(*names)
    with replaying(is_gzip=is_gzip) as service:
        for way in ways.values():
            run_way(way, small, service)
            run_way(way, region, service)
        starts = interleaved({name: partial(run_way, way, small, service) for name, way in ways.items()}, scale.runs)
        runs = interleaved({name: partial(run_way, way, region, service) for name, way in ways.items()}, scale.runs)
    for name, measured in runs.items():
        if any(run.stats.misses for run in measured):
            raise RuntimeError(f"{name} asked for what it had not asked for before: the emulator was measured, too")
    return Comparison(region=region, small=small, runs=runs, starts=starts)


def _grow(bands: int, sides: tuple[int, int], scale: Scale) -> _Growth:
    """Run ours for two large regions in turns, the pixels of a period again and again, and the stages beside them."""
    near, far = (Region(side=side, band_count=bands) for side in sides)
    growth = _Growth(near=near, far=far)
    with replaying(is_periodic=True) as service:
        # Turn 0 fills the service's memory; figures that mean nothing do without.
        for turn in range(1 if scale.is_tiny else 0, scale.runs + 1):
            pair = _run_periodic(near, service), _run_periodic(far, service)
            if turn:
                growth.runs.append(pair)
                alone = measure_stages(bands, replace(scale, runs=1), written_bytes=(near.pixel_bytes, far.pixel_bytes))
                growth.stages.append(alone.plain_sum)
    return growth


def _run_periodic(region: Region, service: Service) -> Run:
    with scratch_folder() as folder:
        (folder / "job.toml").write_text(job_text(region), encoding="utf-8")
        service.reset()
        command = [sys.executable, "-m", "eezarr", "fetch", "job.toml", "--quiet", "--api-url", service.url]
        usage = run_process(command, folder)
        stats = service.stats()
        require_periodic(folder / "out.zarr", region)
    return Run(usage=usage, stats=stats)


def _plain_findings(plain: Comparison) -> list[Finding]:
    bands = f"{plain.region.band_count} bands"
    findings: list[Finding] = []
    for peer, bound in _BOUNDS.items():
        if peer in plain.runs:
            findings += [
                at_most(f"{bands}: CPU over that of {peer}", plain.cpu_ratio("eezarr", peer), bound, "x"),
                at_least(f"{bands}: wall time of {peer} over ours", plain.wall_ratio(peer, "eezarr"), 2.0, "x"),
            ]
    return findings


if __name__ == "__main__":
    run_alone(measure, __doc__)
