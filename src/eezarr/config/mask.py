"""`[mask]`: what becomes of masked pixels."""

from typing import Literal, Self

from pydantic import model_validator

from eezarr.config.sections import Section

__all__ = ["MaskOptions"]


class MaskOptions(Section):
    """What becomes of masked pixels."""

    mode: Literal["none", "fill", "band"] = "none"
    """`none`: as the service answers, which is zero or whatever lies under the mask. `fill`: they become `fill`.
    `band`: a 0/1 mask is kept beside the pixels."""
    fill: int | float | dict[str, int | float] | None = None
    """What masked pixels become: a number, or a table of them by band; not used by the mode `none`. Default: NaN for
    floats in the mode `fill`, else 0."""
    per_band: bool = False
    """For the mode `band`: one mask a band, instead of one that is 1 where every band is valid."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per_band and self.mode != "band":
            raise ValueError(f'per_band is for mode = "band"; mode = "{self.mode}" keeps no mask')
        return self
