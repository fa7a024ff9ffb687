"""What one request's bands are: pixels and masks of some bands at some time steps, and the names they travel under.

An image's bands without masks keep their names. All else gets names of our own, `p` or `m` with step and band, and `t`:
no two bands, steps and masks can then be taken for each other, whatever the bands are called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from eezarr.plan.bands import Band
from eezarr.plan.masking import NO_MASKING, Masking

if TYPE_CHECKING:
    from eezarr.grid import Coverage

__all__ = ["MASK_DTYPE", "Field", "FieldKind", "Selection"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is asked for of a place, whichever it is: some bands at some time steps, and what becomes of their masks.

    A plan has one for each group of its bands at each of its spans of time, and all its tiles share them.
    """

    bands: tuple[Band, ...]
    """The bands that are stored, in this order."""
    first_band: int = 0
    """Position of the first of them in the plan's bands, and in a stacked array's band axis."""
    steps: range = range(1)
    """Positions in the plan's time steps; (0,) where there is no time."""
    has_time: bool = False
    """Whether the plan has time steps."""
    masking: Masking = field(default=NO_MASKING, repr=False)
    """What becomes of masked pixels."""
    clip: Coverage | None = field(default=None, repr=False)
    """Pixels outside of it count as masked."""
    target: Band | None = None
    """The band of an image of labels that comes with the first step and band, if any."""

    @property
    def is_plain(self) -> bool:
        """Whether what is asked for are the image's own bands and nothing else."""
        return not self.has_time and self.masking.mode == "none" and self.target is None

    @property
    def fields(self) -> tuple[Field, ...]:
        """What a request asks for: the target; then step by step, each with its bands' pixels first, then its masks."""
        masking, first_band, is_plain = self.masking, self.first_band, self.is_plain
        fields: list[Field] = []
        if self.target is not None and self.steps.start == first_band == 0:
            fields.append(Field(wire=Band("t", self.target.dtype), kind="target", step=0, band=0))
        has_each = masking.mode == "band" and not masking.is_shared
        has_shared = masking.mode == "band" and masking.is_shared and first_band == 0
        for step in self.steps:
            for band, wire in enumerate(self.bands, first_band):
                named = wire if is_plain else Band(f"p{step}_{band}", wire.dtype)
                fields.append(Field(wire=named, kind="pixels", step=step, band=band))
            fields.extend(
                Field(wire=Band(f"m{step}_{band}", MASK_DTYPE), kind="mask", step=step, band=band)
                for band in range(first_band, first_band + len(self.bands))
                if has_each or masking.needs_own_mask(band)
            )
            if has_shared:
                fields.append(Field(wire=Band(f"m{step}", MASK_DTYPE), kind="shared mask", step=step, band=0))
        return tuple(fields)

    @property
    def wire_bands(self) -> tuple[Band, ...]:
        """The bands of the request and the answer, in order."""
        return self.bands if self.is_plain else tuple(field.wire for field in self.fields)
