"""`[image]`: what is read, if it is one image."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from eezarr.config.sections import Section, exactly_one

__all__ = ["ImageOptions", "OneImage"]


class OneImage(Section):
    """One image: exactly one of `asset`, `expression`, `python`."""

    asset: str | None = None
    """An asset id, such as `COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG`."""
    expression: Path | None = None
    """A JSON file with an Expression, as `ee.serializer.encode` or `Image.serialize()` write it."""
    python: str | None = None
    """`file.py:function`: a function without arguments that returns an `ee.Image` (extra `ee`)."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        exactly_one(self, ("asset", "expression", "python"))
        return self


class ImageOptions(OneImage):
    """What is read: exactly one of `asset`, `expression`, `python`."""

    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The bands to fetch, in this order; default: all."""
    method: Literal["auto", "getPixels", "computePixels"] = "auto"
    """`auto`: getPixels for a plain asset, computePixels for the rest."""

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method == "getPixels" and self.asset is None:
            raise ValueError('method = "getPixels" reads assets only; leave it out, or give an asset')
        return self
