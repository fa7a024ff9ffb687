"""`eezarr status` and `preview`: what a store holds."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.outputs.contactsheet import write_contact_sheet
from eezarr.outputs.preview import default_bands, write_picture
from eezarr.store import holds_samples, open_samples, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.outputs.contactsheet import SheetOptions

__all__ = ["print_status", "write_preview"]


def print_status(store: str, *, as_json: bool) -> None:
    """Print how much of a store is there."""
    if holds_samples(store):
        from eezarr.cli.sampling import print_samples_status

        print_samples_status(store, as_json=as_json)
        return
    job = open_store(store)
    plan = job.plan
    missing = list(islice(job.missing(), 10))
    facts = {
        "complete": job.is_complete,
        "tiles": {"total": plan.wanted_count, "stored": job.stored_count, "first_missing": missing},
        "image": job.image,
        "grid": plan.grid.to_request(),
        "bands": [{"name": band.name, "dtype": band.dtype} for band in plan.bands],
        "mask": plan.masking.mode,
        "times": None if plan.steps is None else [step.time.isoformat() for step in plan.steps],
        "bytes": {"pixels": plan.pixel_bytes},
        "created": job.created.isoformat(),
        "fingerprint": job.fingerprint,
        "output": job.url,
    }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    rows = [
        ("store", job.url),
        ("tiles", f"{job.stored_count} of {plan.wanted_count} stored" + (", complete" if job.is_complete else "")),
        ("missing", "none" if not missing else f"{plan.wanted_count - job.stored_count}, first {missing}"),
        ("image", json.dumps(job.image)[:200]),
        ("grid", f"{plan.grid.crs[:60]}, {plan.grid.height} rows x {plan.grid.width} columns"),
        ("bands", ", ".join(f"{band.name} {band.dtype}" for band in plan.bands)),
        ("pixels", f"{plan.pixel_bytes / 1e6:.1f} MB"),
        ("created", job.created.isoformat(timespec="seconds")),
    ]
    if plan.steps is not None:
        rows.insert(5, ("times", f"{len(plan.steps)}, {plan.steps[0].time:%Y-%m-%d} to {plan.steps[-1].time:%Y-%m-%d}"))
    sys.stdout.write("".join(f"{name:<10} {value}\n" for name, value in rows))


def write_preview(store: str, picture: Path, options: SheetOptions) -> None:
    """Write a picture of a store, or a contact sheet of one of samples, and say what it shows.

    Raises:
        InvalidInput: If samples are chosen in a store that has none, or the picture cannot be made.
        StoreError: If the store cannot be read, or the picture not written.
    """
    if holds_samples(store):
        _write_sheet(store, picture, options)
        return
    if options.split is not None or options.label is not None or options.is_each:
        raise InvalidInput(
            f"{store} holds no samples.", hint="--split, --label and --each choose among samples: leave them out."
        )
    job = open_store(store)
    names = options.bands or default_bands([band.name for band in job.plan.bands])
    low, high, step = options.low, options.high, options.step
    write_picture(job, picture, bands=names, size=options.size, low=low, high=high, step=step)
    when = f" at {job.plan.steps[step].time:%Y-%m-%d %H:%M}" if job.plan.steps is not None else ""
    sys.stdout.write(f"{picture}: {', '.join(names)}{when}\n")


def _write_sheet(store: str, picture: Path, options: SheetOptions) -> None:
    samples = open_samples(store)
    names = options.bands or default_bands(samples.bands)
    shown, there = write_contact_sheet(samples, picture, replace(options, bands=names))
    sys.stdout.write(f"{picture}: {shown} of {there} samples, {', '.join(names)}\n")
