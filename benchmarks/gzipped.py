"""The whole way into a local Zarr with gzip bodies, which the service sends to clients that ask; see `pipeline`.

    python -m benchmarks.gzipped [--runs 5] [--tiny]

The threads script gets them as the official client always does; ours is told to ask for them.
"""

from __future__ import annotations

from benchmarks.findings import Finding, Scale, Section, Table, at_most, run_alone
from benchmarks.pipeline import compare
from benchmarks.scenes import Region

__all__ = ["measure"]


def measure(scale: Scale) -> Section:
    """Compare for 4 bands and for 12."""
    findings: list[Finding] = []
    tables: list[Table] = []
    for bands, side in ((4, 512),) if scale.is_tiny else ((4, 8192), (12, 5120)):
        packed = compare(Region(side=side, band_count=bands), ("eezarr, gzip", "threads"), scale, is_gzip=True)
        ratio = packed.cpu_ratio("eezarr, gzip", "threads")
        findings.append(at_most(f"{bands} bands, gzip forced: CPU over the threads script's", ratio, 0.35, "x"))
        tables.append(packed.table())
    return Section(
        title="The whole pipeline with gzip",
        note="Whole processes into a Zarr on disk, no latency, the service replays from memory on the same cores.",
        findings=tuple(findings),
        tables=tuple(tables),
    )


if __name__ == "__main__":
    run_alone(measure, __doc__)
