"""Rejections of what is computed: the service's texts, and what to write instead.

The same texts come at once with a 400, and hours later as the reason why an export failed: both read them here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["COMPUTING", "ComputingText", "hint_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputingText:
    """One text, and what to do."""

    name: str
    """What tests and people call it."""
    text: re.Pattern[str]
    """Found in the message."""
    hint: str
    """What to write instead."""
    source: str
    """Where the text is documented or was seen."""


_DEBUGGING = "https://developers.google.com/earth-engine/guides/debugging"
_ERRORS = "https://developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels"

COMPUTING: tuple[ComputingText, ...] = (
    ComputingText(
        name="pixel type",
        text=re.compile(r"[Pp]ixel type not supported"),
        hint="Cast the band in the expression: toInt32() where its values fit, else toDouble(); of a [collection], "
        'cast = { BAND = "float64" }.',
        source="https://developers.google.com/earth-engine/guides/exporting_images",
    ),
    ComputingText(
        name="compatible types",
        text=re.compile(r"must have compatible data types|found inconsistent types"),
        hint="Choose bands of one type, or cast the image, as `toFloat()` does.",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="homogeneous collection",
        text=re.compile(r"Expected a homogeneous image collection|incompatible bands was encountered"),
        hint="Give all images the same bands in the same types before they are reduced: select(…) and toFloat() of "
        "each, or bands and cast of a [collection].",
        source="https://developers.google.com/earth-engine/guides/ic_reducing",
    ),
    ComputingText(
        name="value too large",
        text=re.compile(r"Computed value (?:is )?too large"),
        hint="A value may have 100 MiB: reduce, limit or select before it is asked for. Pixels come with `fetch`, "
        "tables with an export.",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="unbounded image",
        text=re.compile(r"[Uu]nbounded image"),
        hint="Give it an extent: a grid (crs, and region with resolution or scale), or clip(…) in the expression.",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="export size",
        text=re.compile(r"Export too large: specified"),
        hint="Raise `max_pixels`, or export a smaller grid.",
        source="https://developers.google.com/earth-engine/guides/exporting_images",
    ),
    ComputingText(
        name="too many pixels",
        text=re.compile(r"Too many pixels in the region|maxPixels allows only"),
        hint="Give the reducer the scale that is meant, bestEffort=True, or a larger maxPixels.",
        source="https://developers.google.com/earth-engine/guides/reducers_reduce_region",
    ),
    ComputingText(
        name="too many elements",
        text=re.compile(r"aborted after accumulating over \d+ elements"),
        hint="Filter or limit the collection before it is asked for, or aggregate it.",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="too many edges",
        text=re.compile(r"Geometry has too many edges"),
        hint="Simplify the geometry, simplify(maxError), or use its bounds().",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="default projection",
        text=re.compile(r"default WGS84 projection is invalid for aggregations"),
        hint="A composite has no projection of its own: give the reducer scale or crs and crsTransform, or "
        "setDefaultProjection() before reduceResolution().",
        source="https://developers.google.com/earth-engine/guides/projections",
    ),
    ComputingText(
        name="interpolation",
        text=re.compile(r"Invalid interpolation mode"),
        hint="resample() knows bilinear and bicubic; nearest is what comes without it.",
        source="https://developers.google.com/earth-engine/guides/resample",
    ),
    ComputingText(
        name="date",
        text=re.compile(r"Bad date/time"),
        hint="Write a day that exists, as 2019-02-28.",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="missing parameter",
        text=re.compile(r"Parameter '[^']{1,60}' is required"),
        hint="Something is null there: first() of an empty collection, or a property that an image lacks (a date needs "
        "system:time_start). Widen the filter, or filter by notNull().",
        source=_DEBUGGING,
    ),
    ComputingText(
        name="expression",
        text=re.compile(r"Invalid value at 'expression'"),
        hint="Send what `ee.Image.serialize()` writes, or what `parse_expression` makes of it.",
        source=_ERRORS,
    ),
    ComputingText(
        name="file format",
        text=re.compile(r"Invalid value at 'file_format'"),
        hint="Ask for NPY, GEO_TIFF, PNG, JPEG or AUTO_JPEG_PNG.",
        source="https://developers.google.com/earth-engine/reference/rest/v1/ImageFileFormat",
    ),
)
"""In the order in which they are tried."""


def hint_of(message: str) -> str | None:
    """Return what to write instead of what a message rejects; None if its text is not known."""
    return next((known.hint for known in COMPUTING if known.text.search(message)), None)
