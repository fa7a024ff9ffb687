"""The difference between what a store holds and what a job asks for, in words.

    bands: B2, B3 -> B2, B4; grid: 100 x 80 pixels of EPSG:32610 at (10, 0, 499980, 0, -10, 4200000) -> …

Rule: whatever a lineage covers has a name here, so that a refusal never has nothing to say. What is too long for a line
is told by where it first differs, or as another of its kind.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eezarr.grid import PixelGrid
    from eezarr.plan import Band, Masking, Plan, StoreLayout
    from eezarr.samples import SamplePlan

__all__ = ["differences", "plan_facts", "sample_facts"]

_LONGEST = 200


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the facts that differ, as `name: old -> new; …`; empty if none does.

    Args:
        old: Text by name.
        new: Likewise.
    """
    names = [*old, *(name for name in new if name not in old)]
    changed = [name for name in names if old.get(name, "none") != new.get(name, "none")]
    return "; ".join(_told(name, old.get(name, "none"), new.get(name, "none")) for name in changed)


def plan_facts(plan: Plan) -> dict[str, str]:
    """Return all that a plan's lineage covers, in words by name."""
    return {
        "image": _image(plan.image_key),
        "bands": _bands(plan.bands),
        "grid": _grid(plan.grid),
        "region": "a box" if plan.coverage is None else f"the polygon {plan.coverage.digest[:12]}",
        "clip": "yes" if plan.is_clipped else "no",
        "mask": _masking(plan.masking, plan.bands),
        **_layout(plan.layout),
        "time": "one image" if plan.steps is None else "a series",
    }


def _bands(bands: Iterable[Band]) -> str:
    return ", ".join(f"{band.name} {band.dtype}" for band in bands)


def _masking(masking: Masking, bands: Iterable[Band]) -> str:
    if masking.mode == "none":
        return "none"
    fills = sorted({f"{fill:g}" for fill in masking.fills})
    named = (
        fills[0]
        if len(fills) == 1
        else ", ".join(f"{band.name} {fill:g}" for band, fill in zip(bands, masking.fills, strict=True))
    )
    shared = "" if masking.mode == "fill" or masking.is_shared else ", one for each band"
    return f"{masking.mode}{shared}, fill {named}"


def sample_facts(plan: SamplePlan) -> dict[str, str]:
    """Return all that a plan's lineage covers, in words by name."""
    layout, grids = plan.layout, plan.grids
    return {
        "image": _image(plan.image_key),
        "bands": _bands(plan.bands),
        "target": "none" if plan.target is None else _bands([plan.target]),
        "sites": f"{len(plan)} sites {plan.sites.digest()[:12]}",
        "order": plan.order_digest[:12],
        "crs": ", ".join(grids.crs),
        "resolution": " x ".join(f"{float(step):.17g}" for step in grids.resolution),
        "size": f"{plan.size} pixels",
        "grids": plan.grids_digest[:12],
        "mask": _masking(plan.masking, plan.bands),
        "time": "no axis" if not plan.has_time else f"{plan.step_count} steps at most",
        "images": "one for all" if plan.steps is None else f"{len(plan.steps.names)} images {plan.steps.digest()[:12]}",
        "shard": "no" if layout.per_shard is None else f"{layout.per_shard} samples",
        "compressor": layout.compressor,
        "format": str(layout.zarr_format),
    }


def _told(name: str, old: str, new: str) -> str:
    if name == "bands":
        old, new = _bands_apart(old, new)
    if max(len(old), len(new)) <= _LONGEST:
        return f"{name}: {old} -> {new}"
    first = next(number for number, pair in enumerate(zip_longest(old, new)) if pair[0] != pair[1])
    start = max(0, first - _LONGEST // 4)
    ellipsis = "…" if start else ""
    return f"{name}: {ellipsis}{_cut(old[start:])} -> {ellipsis}{_cut(new[start:])}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST // 2 else f"{text[: _LONGEST // 2]}…"


def _bands_apart(old: str, new: str) -> tuple[str, str]:
    """Bands by name alone, unless only their types differ."""
    names = [", ".join(band.split(" ")[0] for band in text.split(", ")) for text in (old, new)]
    return (old, new) if names[0] == names[1] else (names[0], names[1])


def _image(key: str) -> str:
    method, _, what = key.partition(":")
    return f"{what} by {method}" if what else key


def _grid(grid: PixelGrid) -> str:
    numbers = ", ".join(f"{float(value):.17g}" for value in tuple(grid.transform)[:6])
    crs = grid.crs if len(grid.crs) <= 40 else f"{grid.crs[:40]}…"
    return f"{grid.width} x {grid.height} pixels of {crs} at ({numbers})"


def _layout(layout: StoreLayout) -> dict[str, str]:
    return {
        "layout": layout.kind,
        "chunk": f"{layout.chunk}" + (f" x {layout.bands_per_chunk} bands" if layout.kind == "stacked" else ""),
        "shard": "yes" if layout.is_sharded else "no",
        "compressor": layout.compressor,
        "format": str(layout.zarr_format),
    }
