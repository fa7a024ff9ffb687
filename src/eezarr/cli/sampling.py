"""`eezarr samples`, and what `plan` and `status` say of samples."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from eezarr.api.jobs import MEGABYTE_S, REQUEST_S
from eezarr.api.samplejobs import plan_samples_job, run_samples_job
from eezarr.cli.fetching import run_to_report
from eezarr.cli.planning import pixels_text
from eezarr.cli.summary import summarised
from eezarr.errors import InvalidInput
from eezarr.samples.overlaps import overlap_notice
from eezarr.store import open_samples, open_stored_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eezarr.api.samplejobs import SamplesJobPlan
    from eezarr.config import SamplesJob
    from eezarr.samples import SamplePlan
    from eezarr.store import SamplesStore

__all__ = ["print_samples_plan", "print_samples_status", "run_samples"]

_STORED, _UNAVAILABLE = 1, 2
_GROUPS = 50
"""Splits and labels that a status lists at the most."""


def run_samples(
    load: Callable[[], SamplesJob],
    *,
    overwrite: bool,
    repair: bool,
    steal: bool,
    as_json: bool,
    events: Path | None,
    quiet: bool,
) -> None:
    """Read a job of samples and run it to its end; the summary goes to stdout.

    Raises:
        EezarrError: What the job ended with, if not with every sample.
    """
    with summarised(noun="samples", as_json=as_json) as account:
        job = load()
        account.output = job.output
        account.report = run_to_report(
            lambda observe: run_samples_job(job, overwrite=overwrite, repair=repair, steal=steal, observe=observe),
            account,
            events=events,
            quiet=quiet,
        )


def print_samples_plan(job: SamplesJob, *, as_json: bool, geojson: Path | None) -> None:
    """Print what a job of samples would ask for.

    Raises:
        EezarrError: If the job cannot be, or the service refuses what it names.
    """
    planned = plan_samples_job(job)
    if geojson is not None:
        _write_footprints(planned, geojson)
    facts = _facts(planned)
    sys.stdout.write(json.dumps(facts) + "\n" if as_json else _text(planned, facts))


def _facts(planned: SamplesJobPlan) -> dict[str, object]:
    plan, estimate = planned.plan, planned.estimate
    return {
        "image": planned.subject.describe(),
        "method": planned.subject.method,
        "samples": len(plan),
        "without_images": len(plan) - plan.wanted_count,
        "size": [plan.size.height, plan.size.width],
        "crs": list(plan.grids.crs),
        "resolution": list(plan.grids.resolution),
        "bands": [{"name": band.name, "dtype": band.dtype} for band in plan.bands],
        "target": None if plan.target is None else {"name": plan.target.name, "dtype": plan.target.dtype},
        "mask": plan.masking.mode,
        "steps": plan.step_count if plan.has_time else None,
        "splits": None if plan.splits is None else plan.splits.counts,
        "left_out": plan.left_out,
        "overlapping": {
            overlap.name: {"samples": overlap.samples, "overlapping": overlap.overlapping} for overlap in plan.overlaps
        }
        or None,
        "shard": plan.layout.per_shard,
        "requests": estimate.requests,
        "bytes": {"pixels": estimate.pixel_bytes, "largest_request": estimate.largest_request_bytes},
        "body_bytes": estimate.body_bytes,
        "estimated_seconds": round(estimate.seconds, 1),
        "output": planned.job.output,
        "fingerprint": plan.fingerprint,
    }


def _text(planned: SamplesJobPlan, facts: dict[str, object]) -> str:
    plan, estimate = planned.plan, planned.estimate
    lacking = len(plan) - plan.wanted_count
    crs = f"{plan.grids.crs[0]}" + (f" and {len(plan.grids.crs) - 1} more" if len(plan.grids.crs) > 1 else "")
    slots = min(planned.job.fetch.max_concurrency, estimate.requests)
    rows = [
        ("image", f"{json.dumps(facts['image'])[:200]} by {planned.subject.method}"),
        ("samples", f"{len(plan)}" + (f", {lacking} of them without an image" if lacking else "") + _left_out(plan)),
        ("patch", f"{plan.size} pixels of {plan.grids.resolution[0]:g} in {crs}"),
        ("bands", ", ".join(f"{band.name} {band.dtype}" for band in plan.bands)),
        (
            "requests",
            f"{estimate.requests}, the largest of {estimate.largest_request_bytes} bytes as counted",
        ),
        ("pixels", pixels_text(estimate)),
        (
            "time",
            f"about {estimate.seconds:.0f} s with {slots} requests at a time, "
            f"if one takes {REQUEST_S} s and {MEGABYTE_S} s a megabyte",
        ),
        ("output", f"{planned.job.output}, {plan.layout.unit} samples a stored object"),
    ]
    if plan.has_time:
        rows.insert(4, ("time steps", f"{plan.step_count} at the most"))
    if notice := overlap_notice(plan.overlaps):
        rows.append(("overlap", notice))
    if plan.splits is not None:
        rows.insert(2, ("splits", ", ".join(f"{name} {count}" for name, count in plan.splits.counts.items())))
    return "".join(f"{name:<10} {value}\n" for name, value in rows)


def _left_out(plan: SamplePlan) -> str:
    return f"; {plan.left_out} more sites are too near to another split" if plan.left_out else ""


def _write_footprints(planned: SamplesJobPlan, path: Path) -> None:
    """Write the patches one by one."""
    ids = planned.plan.sites.attributes.ids
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write('{"type": "FeatureCollection", "features": [')
            separator = "\n"
            for tile in planned.plan:
                properties = {"sample": tile.index, "id": ids[tile.index]}
                feature = {"type": "Feature", "geometry": tile.grid.footprint(), "properties": properties}
                file.write(separator + json.dumps(feature))
                separator = ",\n"
            file.write("\n]}\n")
    except OSError as error:
        raise InvalidInput(
            f"The footprints cannot be written to {path}: {error.strerror}.", hint="Give a file that can be written."
        ) from error


def print_samples_status(store: str, *, as_json: bool) -> None:
    """Print how much of a store of samples is there, by split and label."""
    job, samples = open_stored_samples(store), open_samples(store)
    state = samples.column("state")
    by = {name: _counts(samples, name) for name in ("split", "label") if samples.has_column(name)}
    told = job.provenance
    facts: dict[str, object] = {
        "complete": job.is_complete,
        "samples": {
            "total": len(samples),
            "stored": job.stored_count,
            "unavailable": int(np.count_nonzero(state == _UNAVAILABLE)),
            "without_images": len(samples) - job.wanted_count,
        },
        **{f"by_{name}": counts for name, counts in by.items()},
        "image": told.get("image"),
        "size": told.get("size"),
        "bands": [{"name": band.name, "dtype": band.dtype} for band in job.form.bands],
        "mask": job.form.masking.mode,
        "created": job.created.isoformat(),
        "fingerprint": job.fingerprint,
        "output": job.url,
    }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    lacking = len(samples) - job.wanted_count
    rows = [
        ("store", job.url),
        ("samples", f"{job.stored_count} of {job.wanted_count} stored" + (", complete" if job.is_complete else "")),
        *([("no image", f"{lacking} more samples")] if lacking else []),
        *((name, _listed(counts)) for name, counts in by.items()),
        ("image", json.dumps(told.get("image"))[:200]),
        ("patch", f"{job.form.layout.chunk} pixels"),
        ("bands", ", ".join(f"{band.name} {band.dtype}" for band in job.form.bands)),
        ("created", job.created.isoformat(timespec="seconds")),
    ]
    sys.stdout.write("".join(f"{name:<10} {value}\n" for name, value in rows))


def _counts(samples: SamplesStore, name: str) -> dict[str, dict[str, int]]:
    """How many samples each value of a column has, and how many of them are stored."""
    values = [str(value) for value in samples.column(name).tolist()]
    is_stored = (samples.column("state") == _STORED).tolist()
    totals = Counter(values)
    stored = Counter(value for value, is_there in zip(values, is_stored, strict=True) if is_there)
    return {value: {"total": total, "stored": stored[value]} for value, total in sorted(totals.items())}


def _listed(counts: dict[str, dict[str, int]]) -> str:
    told = [f"{value or 'none'} {own['stored']} of {own['total']}" for value, own in list(counts.items())[:_GROUPS]]
    return ", ".join(told) + (f" and {len(counts) - _GROUPS} more" if len(counts) > _GROUPS else "")
