"""What becomes of masked pixels: nothing, a fill value, or a 0/1 mask beside them.

The value under a mask is never trusted: the service answers a zero, the product's own nodata value, or anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.plan.bands import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.plan.bands import Band

__all__ = ["NO_MASKING", "Fill", "MaskMode", "Masking", "make_masking", "stored_value"]

Fill: TypeAlias = int | float
"""A declared nodata value."""

MaskMode: TypeAlias = Literal["none", "fill", "band"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """What becomes of masked pixels; made by `make_masking`."""

    mode: MaskMode = "none"
    """`none`: as the service answers. `fill`: masked pixels become their band's fill. `band`: that, and a 0/1 mask."""
    fills: tuple[Fill, ...] = ()
    """One for each of the plan's bands, as its type holds it; empty for the mode `none`."""
    is_shared: bool = True
    """For `band`: one mask, 1 where every band is valid; otherwise one a band."""

    def needs_own_mask(self, band: int) -> bool:
        """Return whether we put in a band's fill, and so ask for its mask: JSON has no NaN and no infinity."""
        return self.mode != "none" and not math.isfinite(self.fills[band])


NO_MASKING = Masking()


def make_masking(
    mode: MaskMode,
    bands: Sequence[Band],
    *,
    fill: Fill | Mapping[str, Fill] | None = None,
    is_shared: bool = True,
) -> Masking:
    """Return the masking of some bands.

    Args:
        mode: What becomes of masked pixels.
        bands: The plan's, in stored order.
        fill: One for all bands, or by band name. Where none is given it is NaN for floats in the mode `fill`, and 0 for
            all in the mode `band`; integers in the mode `fill` need one.
        is_shared: For the mode `band`: one mask for all bands.

    Raises:
        InvalidInput: If a band's type cannot hold its fill (the message says which types can), an integer band has
            none in the mode `fill`, a fill is given for a band that is not there, or a mask is asked for beside a fill
            that is no number.
    """
    if mode == "none":
        return NO_MASKING
    given = fill if not isinstance(fill, int | float | None) else {band.name: fill for band in bands}
    strangers = sorted(set(given) - {band.name for band in bands})
    if strangers:
        raise InvalidInput(
            f"A fill is declared for {', '.join(strangers)}, which the job does not read.",
            hint=f"The bands are {', '.join(band.name for band in bands[:60])}.",
        )
    return Masking(
        mode=mode,
        fills=tuple(_fill(band, given.get(band.name), mode) for band in bands),
        is_shared=is_shared or mode != "band",
    )


def stored_value(value: Fill, dtype: str) -> Fill | None:
    """Return a value as a type holds it (0.1 in float32 is 0.10000000149011612), or None if it cannot."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        try:
            with np.errstate(over="ignore"):
                held = float(np.array(value, kind))
        except OverflowError:
            return None
        return None if math.isinf(held) and math.isfinite(value) else held
    limits = np.iinfo(dtype)
    is_whole = isinstance(value, int) or value.is_integer()
    return int(value) if is_whole and limits.min <= value <= limits.max else None


def _fill(band: Band, fill: Fill | None, mode: MaskMode) -> Fill:
    if fill is None and mode == "band":
        return 0
    if fill is None and np.dtype(band.dtype).kind == "f":
        return math.nan
    if fill is None:
        raise InvalidInput(
            f"Band {band.name!r} ({band.dtype}) has no fill, and no value of its type says by itself: masked.",
            hint='Give [mask] a fill, such as a value that the band never has, or use mode = "band".',
        )
    if mode == "band" and not math.isfinite(fill):
        raise InvalidInput(
            f"The fill {fill} cannot stand beside a mask (band {band.name!r}).",
            hint='Give a number, or use mode = "fill".',
        )
    held = stored_value(fill, band.dtype)
    if held is None:
        wider = [dtype for dtype in DTYPES if stored_value(fill, dtype) is not None]
        raise InvalidInput(
            f"The fill {fill} is no value of band {band.name!r} ({band.dtype}); "
            f"{', '.join(wider) or 'no type'} could hold it.",
            hint="Choose a fill that the band's type holds, or cast the band in an expression.",
        )
    return held
