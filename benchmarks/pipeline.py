"""The whole way into a local Zarr, everything at its default: CPU and wall time beside the peers (and see `growth`).

    python -m benchmarks.pipeline [--runs 5] [--tiny]

Whole processes, in turns, against a service that replays (see `replay`). CPU seconds a gigabyte are stated twice: of
the whole process, and of a gigabyte more: the difference between this region and one of a single small tile, over the
difference of their bytes. Ratios of CPU are of the second, turn by turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.findings import Finding, Scale, Section, Table, at_least, at_most, run_alone
from benchmarks.measure import interleaved
from benchmarks.scenes import Region
from benchmarks.service import replaying
from benchmarks.ways import Run, installed_ways, run_way

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Comparison", "compare", "measure"]

SMALL_SIDE = 64
"""Pixels of the region whose cost is starting."""

_ALL = ("eezarr", "threads", "xee", "geedim")
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


def measure(scale: Scale) -> Section:
    """Compare for 4 bands and for 12."""
    findings: list[Finding] = []
    tables: list[Table] = []
    for bands, side in ((4, 512),) if scale.is_tiny else ((4, 8192), (12, 5120)):
        region = Region(side=side, band_count=bands)
        plain = compare(region, ("eezarr", "threads") if scale.is_tiny else _ALL, scale)
        findings += _plain_findings(plain)
        tables.append(plain.table())
    return Section(
        title="The whole pipeline",
        note="Whole processes into a Zarr on disk, no latency, the service replays from memory on the same cores.",
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
