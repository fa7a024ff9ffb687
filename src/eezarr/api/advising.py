"""When a batch export is the better way: rules, each with its reason.

An export has no time limit of minutes for a piece and is tried up to five times, but it waits in a queue, two run at a
time in most projects, and it writes GeoTIFF, TFRecord or an asset, never Zarr.
Source: https://developers.google.com/earth-engine/guides/processing_environments,
https://developers.google.com/earth-engine/guides/usage
"""

from __future__ import annotations

__all__ = ["export_advice"]

LONG_S = 6 * 3600.0
"""A job of this length holds a project's interactive quota for most of a working day: a judgement, no measurement."""
MANY_COMPUTED_PIXELS = 10_000_000_000
"""Pixels of a computed image past which retries of costly tiles tell: a hundred times an export's default limit."""


def export_advice(*, pixels: int, seconds: float, is_computed: bool) -> str | None:
    """Return why an export may be better than fetching, or None.

    Args:
        pixels: Pixels of one band.
        seconds: How long fetching is estimated to take.
        is_computed: Whether the image is computed rather than read.
    """
    why = None
    if seconds > LONG_S:
        why = f"fetching would hold the interactive quota for about {seconds / 3600:.0f} hours"
    elif is_computed and pixels > MANY_COMPUTED_PIXELS:
        why = f"{pixels / 1e9:.0f} thousand million pixels are computed, each tile within the interactive five minutes"
    if why is None:
        return None
    return f"a batch export may be better: {why}; add [export] and run `eezarr export` (GeoTIFF or an asset, not Zarr)"
