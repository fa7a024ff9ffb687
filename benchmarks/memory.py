"""Peak memory of whole processes: the same for 1 GB of pixels and for 20 GB, and within what was allowed.

    python -m benchmarks.memory [--runs 5] [--tiny]

The base is what a job of one small tile takes. Larger tiles take more memory, and `auto` chooses larger ones for larger
regions where the budget allows: whether memory grows with the job is asked of two jobs with the same tiles, and what
`auto` takes of it stands beside. Needs 14 GB of disk in the folder for temporary files.
"""

from __future__ import annotations

from statistics import median

from benchmarks.findings import Finding, Scale, Section, Table, at_most, run_alone
from benchmarks.scenes import Region
from benchmarks.service import Service, replaying
from benchmarks.ways import run_periodic

__all__ = ["measure"]

MIB = 1 << 20
SIDES = {"1 GB": 11264, "20 GB": 50176}
LARGEST_TILE = "tile = [2048, 2048]"
"""What `auto` chooses for 20 GB and the default budget."""
BUDGETS = {"512 MiB": 512 * MIB, "2 GiB (default)": 2048 * MIB}


def measure(scale: Scale) -> Section:
    """Measure each budget with each size."""
    sides = {"tiny": 2048, "less tiny": 2560} if scale.is_tiny else SIDES
    findings: list[Finding] = []
    rows: list[tuple[str, ...]] = []
    with replaying(is_periodic=True) as service:
        base = median(_peak(service, 64, 2048 * MIB) for _ in range(scale.runs))
        service.set_latency(base_s=0.01 if scale.is_tiny else 0.5)  # so that all slots hold a body
        for budget, allowed in BUDGETS.items():
            # Peaks vary from run to run by a few bodies; the largest region takes a minute or two each time.
            runs = {size: min(3, scale.runs) if size == "20 GB" else scale.runs for size in sides}
            peaks = {
                size: median(_peak(service, side, allowed) for _ in range(runs[size])) for size, side in sides.items()
            }
            smallest, *_, largest = sides
            comparable = peaks[smallest]
            if allowed == max(BUDGETS.values()):
                title = f"{smallest}, {LARGEST_TILE}"
                peaks[title] = comparable = median(
                    _peak(service, sides[smallest], allowed, fetch=LARGEST_TILE) for _ in range(runs[smallest])
                )
            rows += [(budget, size, f"{peak / MIB:.0f}", f"{base / MIB:.0f}") for size, peak in peaks.items()]
            worst = max(peaks.values()) / (base + allowed)
            findings.append(at_most(f"{budget}: peak over base and budget", worst, 1.1, "x"))
            growth = peaks[largest] / comparable
            findings.append(
                at_most(f"{budget}: peak of the largest over the smallest region, equal tiles", growth, 1.1, "x")
            )
    return Section(
        title="Memory",
        note="Peak resident memory of `eezarr fetch` as the kernel accounts it; base: a region of 64 x 64 pixels.",
        findings=tuple(findings),
        tables=(Table(columns=("budget", "pixels", "peak MiB", "base MiB"), rows=tuple(rows)),),
    )


def _peak(service: Service, side: int, budget_bytes: int, *, fetch: str = "") -> float:
    region = Region(side=side, band_count=4)
    return run_periodic(region, service, fetch=f"memory = {budget_bytes}\n{fetch}").usage.peak_bytes


if __name__ == "__main__":
    run_alone(measure, __doc__)
