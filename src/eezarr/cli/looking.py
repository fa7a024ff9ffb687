"""`eezarr status`, `verify` and `preview`: what a store holds."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

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
        "tiles": {"total": plan.tile_count, "stored": job.stored_count, "first_missing": missing},
        "image": job.image,
        "grid": plan.grid.to_request(),
        "bands": [{"name": band.name, "dtype": band.dtype} for band in plan.bands],
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
        ("tiles", f"{job.stored_count} of {plan.tile_count} stored" + (", complete" if job.is_complete else "")),
        ("missing", "none" if not missing else f"{plan.tile_count - job.stored_count}, first {missing}"),
        ("image", json.dumps(job.image)[:200]),
        ("grid", f"{plan.grid.crs[:60]}, {plan.grid.height} rows x {plan.grid.width} columns"),
        ("bands", ", ".join(f"{band.name} {band.dtype}" for band in plan.bands)),
        ("pixels", f"{plan.pixel_bytes / 1e6:.1f} MB"),
        ("created", job.created.isoformat(timespec="seconds")),
    ]
    sys.stdout.write("".join(f"{name:<10} {value}\n" for name, value in rows))


def print_verification(store: str, *, as_json: bool) -> None:
    """Compare every stored tile with its checksum and print those that differ.

    Raises:
        StoreError: If one differs, or the store cannot be read.
    """
    job = open_store(store)
    altered = list(job.verify())
    if as_json:
        sys.stdout.write(json.dumps({"checked": job.stored_count, "altered": [tile.index for tile in altered]}) + "\n")
    else:
        sys.stdout.write("".join(f"altered: {tile}\n" for tile in altered))
        sys.stdout.write(f"{job.stored_count} tiles checked, {len(altered)} altered\n")
    if altered:
        raise StoreError(
            f"{len(altered)} tiles of {job.url} are not what was stored.",
            hint="Run its job with --repair: it fetches these tiles again.",
        )


def write_preview(
    store: str, picture: Path, *, bands: str | None, size: int, low: float | None, high: float | None
) -> None:
    """Write a picture of a store and say what it shows."""
    job = open_store(store)
    names = tuple(bands.split(",")) if bands else default_bands(job.plan.bands)
    write_picture(job, picture, bands=names, size=size, low=low, high=high)
    sys.stdout.write(f"{picture}: {', '.join(names)}\n")
