"""What one request's bands are: pixels and masks of some bands at some time steps, and the names they travel under.

An image's bands without masks keep their names. All else gets names of our own, `p` or `m` with step and band, and `t`:
no two bands, steps and masks can then be taken for each other, whatever the bands are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.plan.bands import Band

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.plan.masking import Masking

__all__ = ["MASK_DTYPE", "Field", "FieldKind", "fields_of"]

FieldKind: TypeAlias = Literal["pixels", "mask", "shared mask", "target"]

MASK_DTYPE = "uint8"
"""0 where a pixel is masked, 1 where it is valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One band of a request, and what it is."""

    wire: Band
    """Its name and type in the request and the answer."""
    kind: FieldKind
    """`pixels` of a band; its `mask`, 0 or 1; the `shared mask`: 1 where every band of the plan is valid; or the
    `target`: the band of an image of labels."""
    step: int
    """Which of the plan's time steps; 0 where there is no time."""
    band: int
    """Which of the plan's bands; 0 for the shared mask and the target."""


def fields_of(
    bands: Sequence[Band],
    *,
    first_band: int,
    steps: range,
    has_time: bool,
    masking: Masking,
    target: Band | None = None,
) -> tuple[Field, ...]:
    """Return what a request asks for: the target; then step by step, each with its bands' pixels first, then its masks.

    Args:
        bands: The bands of the request.
        first_band: Position of the first of them in the plan's bands.
        steps: Positions in the plan's time steps.
        has_time: Whether the plan has time steps at all.
        masking: The plan's.
        target: The band of labels that comes with the first step and band, if any.
    """
    is_plain = not has_time and masking.mode == "none" and target is None
    fields: list[Field] = []
    if target is not None and steps.start == first_band == 0:
        fields.append(Field(wire=Band("t", target.dtype), kind="target", step=0, band=0))
    for step in steps:
        for band, wire in enumerate(bands, first_band):
            named = wire if is_plain else Band(f"p{step}_{band}", wire.dtype)
            fields.append(Field(wire=named, kind="pixels", step=step, band=band))
        has_each = masking.mode == "band" and not masking.is_shared
        fields.extend(
            Field(wire=Band(f"m{step}_{band}", MASK_DTYPE), kind="mask", step=step, band=band)
            for band in range(first_band, first_band + len(bands))
            if has_each or masking.needs_own_mask(band)
        )
        if masking.mode == "band" and masking.is_shared and first_band == 0:
            fields.append(Field(wire=Band(f"m{step}", MASK_DTYPE), kind="shared mask", step=step, band=0))
    return tuple(fields)
