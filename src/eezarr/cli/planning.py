"""`eezarr plan`: what a job would ask for, as text, JSON, or the tiles' footprints."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from eezarr.api import plan_job
from eezarr.api.advising import export_advice
from eezarr.api.jobs import MEGABYTE_S, REQUEST_S
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.api import JobPlan
    from eezarr.api.jobs import Estimate
    from eezarr.config import Job
    from eezarr.plan import Plan

__all__ = ["pixels_text", "print_plan"]


def print_plan(job: Job, *, as_json: bool, geojson: Path | None) -> None:
    """Print a job's plan.

    Raises:
        EezarrError: If the job cannot be, or the service refuses what it names.
    """
    planned = plan_job(job)
    if geojson is not None:
        _write_footprints(planned.plan, geojson)
    facts = _facts(planned)
    sys.stdout.write(json.dumps(facts) + "\n" if as_json else _text(planned, facts))


def _facts(planned: JobPlan) -> dict[str, object]:
    plan, estimate = planned.plan, planned.estimate
    return {
        "image": planned.subject.describe(),
        "method": planned.subject.method,
        "grid": plan.grid.to_request(),
        "bands": [{"name": band.name, "dtype": band.dtype} for band in plan.bands],
        "tile": [plan.tile_shape.height, plan.tile_shape.width],
        "bands_per_tile": plan.bands_per_tile,
        "chunk": [plan.layout.chunk.height, plan.layout.chunk.width],
        "mask": plan.masking.mode,
        "steps": None if plan.steps is None else len(plan.steps),
        "steps_per_request": len(plan.tile(0).steps),
        "tiles": plan.wanted_count,
        "requests": estimate.requests,
        "bytes": {"pixels": estimate.pixel_bytes, "largest_request": estimate.largest_request_bytes},
        "body_bytes": estimate.body_bytes,
        "estimated_seconds": round(estimate.seconds, 1),
        "export_advice": _advice(planned),
        "output": planned.job.output,
        "fingerprint": plan.fingerprint,
    }


def _text(planned: JobPlan, facts: dict[str, object]) -> str:
    plan, estimate = planned.plan, planned.estimate
    a, b, c, d, e, f = tuple(plan.grid.transform)[:6]
    slots = min(planned.job.fetch.max_concurrency, plan.wanted_count)
    rows = [
        ("image", f"{json.dumps(facts['image'])[:200]} by {planned.subject.method}"),
        ("grid", f"{plan.grid.crs[:60]}, {plan.grid.height} rows x {plan.grid.width} columns"),
        ("transform", f"[{a:.15g}, {b:.15g}, {c:.15g}, {d:.15g}, {e:.15g}, {f:.15g}]"),
        ("bands", ", ".join(f"{band.name} {band.dtype}" for band in plan.bands)),
        (
            "tiles",
            f"{plan.wanted_count}: {plan.rows} down, {plan.cols} across, {plan.band_groups} band groups; "
            f"at most {plan.tile(0).window.shape} pixels{_dropped(plan)}",
        ),
        (
            "requests",
            f"{estimate.requests}, the largest of {estimate.largest_request_bytes} bytes as the service counts",
        ),
        ("pixels", pixels_text(estimate)),
        (
            "time",
            f"about {estimate.seconds:.0f} s with {slots} requests at a time, "
            f"if one takes {REQUEST_S} s and {MEGABYTE_S} s a megabyte",
        ),
        ("output", f"{planned.job.output} ({plan.layout.kind}, chunks of {plan.layout.chunk})"),
    ]
    if plan.steps is not None:
        first, last = plan.steps[0].time, plan.steps[-1].time
        rows.insert(4, ("time steps", f"{len(plan.steps)}, {first:%Y-%m-%d} to {last:%Y-%m-%d}; {_packing(plan)}"))
    if advice := _advice(planned):
        rows.append(("export", advice))
    return "".join(f"{name:<10} {value}\n" for name, value in rows)


def pixels_text(estimate: Estimate) -> str:
    """Return how much a job fetches: its pixels, and its bodies where they hold masks or labels, too."""
    more = estimate.body_bytes - estimate.pixel_bytes
    return f"{estimate.pixel_bytes / 1e6:.1f} MB" + (f", and {more / 1e6:.1f} MB of masks and labels" if more else "")


def _advice(planned: JobPlan) -> str | None:
    return export_advice(
        pixels=planned.plan.grid.shape.size,
        seconds=planned.estimate.seconds,
        is_computed=planned.subject.method == "computePixels",
    )


def _packing(plan: Plan) -> str:
    return f"{len(plan.tile(0).steps)} in a request at the most"


def _dropped(plan: Plan) -> str:
    dropped = plan.tile_count - plan.wanted_count
    return f"; {dropped} more that the region does not touch are left out" if dropped else ""


def _write_footprints(plan: Plan, path: Path) -> None:
    """Write the tiles one by one: a plan can have more than memory holds."""
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write('{"type": "FeatureCollection", "features": [')
            separator = "\n"
            for tile in plan:
                feature = {
                    "type": "Feature",
                    "geometry": tile.grid.footprint(),
                    "properties": {"tile": tile.index, "bands": [band.name for band in tile.bands]},
                }
                file.write(separator + json.dumps(feature))
                separator = ",\n"
            file.write("\n]}\n")
    except OSError as error:
        raise InvalidInput(
            f"The footprints cannot be written to {path}: {error.strerror}.", hint="Give a file that can be written."
        ) from error
