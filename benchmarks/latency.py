"""Wall time where the service takes its time: a + b x pixels with jitter, 40 slots.

    python -m benchmarks.latency [--runs 5] [--tiny]

Three questions. Whole processes against a service that sleeps: how far from the best schedule of the same latencies?
In virtual time, with the real engine: does `tile = "auto"` choose as well as any tile tried by hand, and what do
stragglers cost when they are hedged?
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from statistics import fmean, median
from typing import TYPE_CHECKING

from benchmarks.findings import Finding, Scale, Section, Table, at_most, run_alone
from benchmarks.plans import plan_of
from benchmarks.replay import Latency
from benchmarks.scenes import Region
from benchmarks.service import replaying
from benchmarks.virtual import run_plan, scheduled_s
from benchmarks.ways import run_periodic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.service import Service
    from eezarr.plan import Plan

__all__ = ["measure"]

MODELS = {
    "0.1 s + 0.02 s/MB": Latency(base_s=0.1, per_megabyte_s=0.02, jitter=0.3),
    "0.5 s + 0.1 s/MB": Latency(base_s=0.5, per_megabyte_s=0.1, jitter=0.3),
    "3 s + 0.1 s/MB": Latency(base_s=3.0, per_megabyte_s=0.1, jitter=0.3),
    "0.5 s + 1 s/MB": Latency(base_s=0.5, per_megabyte_s=1.0, jitter=0.3),
}
TYPICAL = MODELS["0.5 s + 0.1 s/MB"]
STRAGGLERS = replace(TYPICAL, straggler_fraction=0.01, straggler_factor=20.0)
REGIONS = {"small": 2048, "middle": 12288, "huge": 65536}


def measure(scale: Scale) -> Section:
    """Answer the three questions."""
    on_the_wire, wire_table = _whole_processes(scale)
    by_tile, tile_tables = _tile_sizes(scale)
    hedged, hedge_tables = _stragglers(scale)
    return Section(
        title="Latency",
        note="Latency (a + b x megabytes of pixels) x log-normal jitter of 0.3, 40 slots. The schedule is what a "
        "client without costs of its own does with the same latencies, each request begun in order as soon as a slot "
        "is free and 100 requests a second allow. No tile is the best in all latencies; the figures are of the "
        "second, 0.5 s + 0.1 s/MB.",
        findings=(*on_the_wire, *by_tile, *hedged),
        tables=(wire_table, *tile_tables, *hedge_tables),
    )


def _whole_processes(scale: Scale) -> tuple[list[Finding], Table]:
    region = Region(side=2048 if scale.is_tiny else 16384, band_count=4)
    latency = replace(TYPICAL, base_s=0.05, per_megabyte_s=0.01) if scale.is_tiny else TYPICAL
    ratios: list[float] = []
    rows: list[tuple[str, ...]] = []
    with replaying(is_periodic=True) as service:
        _wall_and_schedule(service, region)  # fills the service's memory
        for seed in range(scale.runs):
            service.set_latency(
                base_s=latency.base_s, per_megabyte_s=latency.per_megabyte_s, jitter=latency.jitter, seed=seed
            )
            wall_s, schedule_s = _wall_and_schedule(service, region)
            ratios.append(wall_s / schedule_s)
            rows.append((str(seed), f"{wall_s:.2f}", f"{schedule_s:.2f}", f"{ratios[-1]:.3f}"))
    finding = at_most("wall time over the best schedule of the same latencies", median(ratios), 1.05, "x")
    columns = (f"{region.pixel_bytes / 1e6:.0f} MB, draw", "wall s", "schedule s", "ratio")
    return [finding], Table(columns=columns, rows=tuple(rows))


def _wall_and_schedule(service: Service, region: Region) -> tuple[float, float]:
    """Run our command; return the seconds from its first request for pixels to its end, and the best schedule's."""
    run = run_periodic(region, service)
    usage, stats = run.usage, run.stats
    assert stats.first_pixel_s is not None
    wall_s = usage.start_s + usage.wall_s - stats.first_pixel_s
    return wall_s, max(scheduled_s(stats.drawn_s), 1e-9)


def _tile_sizes(scale: Scale) -> tuple[list[Finding], list[Table]]:
    findings: list[Finding] = []
    tables: list[Table] = []
    models = dict(list(MODELS.items())[: 1 if scale.is_tiny else None])
    for bands in (4,) if scale.is_tiny else (1, 4):
        for name, side in REGIONS.items():
            if scale.is_tiny and name != "small":
                continue
            table, ratio = _by_tile(name, side, bands, models, scale.runs)
            tables.append(table)
            title = f'{name} region, {bands} band{"s" if bands > 1 else ""}: tile = "auto" over the best by hand'
            findings.append(at_most(title, ratio, 1.1, "x"))
    return findings, tables


def _by_tile(name: str, side: int, bands: int, models: dict[str, Latency], runs: int) -> tuple[Table, float]:
    """Return wall times by tile and model, and the ratio of auto's to the best by hand where latency is typical."""
    make = partial(plan_of, side, band_count=bands)
    auto = make()
    plans = {f"{tile[0]} x {tile[1]}": make(tile=tile) for tile in _tiles(side, bands)}
    walls = {
        title: {model: _mean_wall_s(plan, latency, runs) for model, latency in models.items()}
        for title, plan in {"auto": auto, **plans}.items()
    }
    best = {model: min(by_model[model] for title, by_model in walls.items() if title != "auto") for model in models}
    rows = []
    for title, by_model in walls.items():
        shown = f"auto ({auto.largest_tile})" if title == "auto" else title
        count = (auto if title == "auto" else plans[title]).tile_count
        cells = (f"{seconds:.1f} ({seconds / best[model]:.2f} x)" for model, seconds in by_model.items())
        rows.append((shown, str(count), *cells))
    columns = (f"{name}: {side} x {side}, {bands} bands; tile", "requests", *models)
    typical = next((model for model, latency in models.items() if latency == TYPICAL), next(iter(models)))
    return Table(columns=columns, rows=tuple(rows)), walls["auto"][typical] / best[typical]


def _tiles(side: int, bands: int) -> Iterator[tuple[int, int]]:
    """Yield the tiles that are tried by hand: legal, whole chunks, at most four times as wide as high."""
    per_side = -(-side // 1024)
    most_chunks = (48 << 20) // (bands * 3) >> 20
    for high in range(1, per_side + 1):
        for wide in range(high, min(4 * high, per_side) + 1):
            if high * wide <= most_chunks:
                yield high * 1024, wide * 1024


def _mean_wall_s(plan: Plan, latency: Latency, runs: int) -> float:
    """Return the mean of several draws: one draw favours whichever cut happens to miss its slowest request."""
    return fmean(run_plan(plan, replace(latency, seed=seed)).wall_s for seed in range(4 * runs))


def _stragglers(scale: Scale) -> tuple[list[Finding], list[Table]]:
    findings: list[Finding] = []
    tables: list[Table] = []
    for side, draws in ((REGIONS["small"], 1),) if scale.is_tiny else ((49152, 4 * scale.runs), (98304, scale.runs)):
        finding, table = _hedging(plan_of(side), draws)
        findings.append(finding)
        tables.append(table)
    return findings, tables


def _hedging(plan: Plan, draws: int) -> tuple[Finding, Table]:
    rows: list[tuple[str, ...]] = []
    ratios: list[float] = []
    for seed in range(draws):
        latency = replace(STRAGGLERS, seed=seed)
        calm = run_plan(plan, replace(latency, straggler_fraction=0.0))
        without = scheduled_s(calm.drawn_s)
        plain, hedged = run_plan(plan, latency), run_plan(plan, latency, is_hedging=True)
        ratios.append(hedged.wall_s / without)
        extra = hedged.requests / plan.tile_count - 1
        walls = (without, calm.wall_s, plain.wall_s, hedged.wall_s)
        rows.append((str(seed), *(f"{wall:.1f}" for wall in walls), f"{ratios[-1]:.3f}", f"{extra:.1%}"))
    title = f"{plan.tile_count} tiles, 1 % take 20 x; draw"
    columns = (title, "schedule without them", "run without them", "not hedged", "hedged", "ratio", "extra requests")
    told = f"{plan.tile_count} tiles with stragglers, hedged: wall time over the schedule without them"
    return at_most(told, median(ratios), 1.15, "x"), Table(columns=columns, rows=tuple(rows))


if __name__ == "__main__":
    run_alone(measure, __doc__)
