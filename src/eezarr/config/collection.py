"""`[collection]`: what is read, if it is a time series.

A time without a zone is UTC, and a date is its midnight; TOML's own dates and times are taken, and text in ISO 8601.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from eezarr.config.sections import Section, Text

__all__ = ["CollectionOptions", "Moment", "PixelType"]

PixelType: TypeAlias = Literal["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


def _moment(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if isinstance(time, date) and not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day, tzinfo=UTC)
    if not isinstance(time, datetime):
        raise ValueError("this is no time; write it as 2017-04-01 or 2017-04-01T12:00:00Z")  # noqa: TRY004 - pydantic's
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("this time is in no year from 1 to 9999 in UTC") from error


Moment: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}),
]


class CollectionOptions(Section):
    """What is read, instead of `[image]`: the images of a collection, or groups of them, as time steps."""

    id: Text
    """The collection's asset id, such as `COPERNICUS/S2`."""
    start: Moment | None = None
    """Images from then on: a date or a time, UTC unless it says otherwise."""
    end: Moment | None = None
    """Images before then."""
    filter: Text | None = None
    """What their properties must be, such as `CLOUDY_PIXEL_PERCENTAGE < 20`."""
    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The bands to fetch, in this order; default: all."""
    group: Literal["none", "solar_day", "day", "month", "year", "all"] = "none"
    """Images of a group become one time step. `none`: each is one; `all`: together they are one image."""
    reduce: Literal["mosaic", "median", "mean", "min", "max"] = "mosaic"
    """How a group becomes one image."""
    cast: dict[str, PixelType] = Field(default_factory=dict)
    """The type of a band, where it differs between images or another one is wanted."""
    missing: Literal["error", "skip", "mask"] = "error"
    """What becomes of images that lack one of the bands. `mask`: that band is masked in them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        mistakes = list(self._mistakes())
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _mistakes(self) -> Iterable[str]:
        if self.start is not None and self.end is not None and self.start >= self.end:
            yield f"the period from {self.start.isoformat()} to {self.end.isoformat()} is empty; give start before end"
        if self.group == "none" and self.reduce != "mosaic":
            yield (
                f'reduce = "{self.reduce}" needs groups to reduce: leave it out, or give a group, '
                'such as "solar_day" or "all"'
            )
        bands = self.cast if self.bands is None else self.bands
        for band in self.cast:
            if band not in bands:
                close = get_close_matches(band, bands, n=1)
                yield f"cast names {band!r}, which is none of the bands" + (
                    f"; did you mean {close[0]!r}?" if close else ""
                )
