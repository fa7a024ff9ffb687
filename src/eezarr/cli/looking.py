"""`eezarr status`, `verify` and `preview`: what a store holds."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

from eezarr.api.comparing import compare_with_service
from eezarr.errors import StoreError
from eezarr.outputs.preview import default_bands, write_picture
from eezarr.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["print_status", "print_verification", "write_preview"]


def print_status(store: str, *, as_json: bool) -> None:
    """Print how much of a store is there."""
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


def print_verification(store: str, *, sample: int, project: str | None, api_url: str | None, as_json: bool) -> None:
    """Compare every stored tile with its checksum, and some with the service; print those that differ.

    Raises:
        StoreError: If one differs, or the store cannot be read.
    """
    job = open_store(store)
    altered = list(job.verify())
    asked, other = compare_with_service(job, sample, project=project, api_url=api_url) if sample else ([], [])
    if as_json:
        facts = {"checked": job.stored_count, "altered": [tile.index for tile in altered]}
        compared = {"compared": [tile.index for tile in asked], "different": [tile.index for tile in other]}
        sys.stdout.write(json.dumps(facts | (compared if sample else {})) + "\n")
    else:
        sys.stdout.write("".join(f"altered: {tile}\n" for tile in altered))
        sys.stdout.write("".join(f"the service answers other pixels now: {tile}\n" for tile in other))
        sys.stdout.write(f"{job.stored_count} tiles checked, {len(altered)} altered\n")
        if sample:
            sys.stdout.write(f"{len(asked)} tiles asked for again, {len(other)} different\n")
    if altered:
        raise StoreError(
            f"{len(altered)} tiles of {job.url} are not what was stored.",
            hint="Run its job with --repair: it fetches these tiles again.",
        )
    if other:
        raise StoreError(
            f"{len(other)} of {len(asked)} tiles of {job.url} are not what the service answers.",
            hint="The asset may have been replaced since, or what lies under masks is not steady (use a mask mode). "
            "Run its job with --overwrite to fetch all anew.",
        )


def write_preview(
    store: str, picture: Path, *, bands: str | None, size: int, low: float | None, high: float | None, step: int
) -> None:
    """Write a picture of a store and say what it shows."""
    job = open_store(store)
    names = tuple(bands.split(",")) if bands else default_bands(job.plan.bands)
    write_picture(job, picture, bands=names, size=size, low=low, high=high, step=step)
    when = f" at {job.plan.steps[step].time:%Y-%m-%d %H:%M}" if job.plan.steps is not None else ""
    sys.stdout.write(f"{picture}: {', '.join(names)}{when}\n")
