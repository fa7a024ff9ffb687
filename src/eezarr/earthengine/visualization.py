"""How values become colours, as the service does it.

Source: https://developers.google.com/earth-engine/reference/rest/v1/VisualizationOptions
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.calls import checked_record
from eezarr.earthengine.expression import parse_expression
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.earthengine.expression import Expression

__all__ = ["PICTURE_BANDS", "Visualization", "picture_expression"]

_HEX = re.compile(r"#?[0-9a-fA-F]{6}")

PICTURE_BANDS = ("red", "green", "blue", "alpha")
"""The bands of `picture_expression`, each uint8."""


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class Visualization:
    """A stretch, and what colours it leads to.

    Raises:
        InvalidInput: If a range is empty, a colour is none, or gamma or opacity are out of range.
    """

    ranges: tuple[tuple[float, float], ...] = ()
    """The value shown as 0 and the one shown as 255: one pair for all bands, or one for each; none: 0 to 255."""
    palette: tuple[str, ...] = ()
    """Colours of a single band, from low to high, as six hexadecimal digits."""
    gamma: float | None = None
    """Gamma correction; over 1 is brighter in the middle."""
    opacity: float | None = None
    """0 (transparent) to 1."""

    def __post_init__(self) -> None:
        try:
            self._check()
        except (TypeError, ValueError) as error:  # what compares with no number, or is no pair
            raise InvalidInput(
                f"{str(self)[:200]} cannot be: {error}.",
                hint='Write it as Visualization(ranges=((0, 3000),), palette=("ffffff", "1a9850"), gamma=1.2).',
            ) from error

    def _check(self) -> None:
        for low, high in self.ranges:
            if not (math.isfinite(low) and math.isfinite(high)) or low == high:
                raise InvalidInput(f"The range {low:g} to {high:g} is empty.", hint="Give two different numbers.")
        for colour in self.palette:
            if not _HEX.fullmatch(colour):
                raise InvalidInput(f"{colour[:40]!r} is no colour.", hint="Write it as six digits, such as `1a9850`.")
        if self.palette and len(self.ranges) > 1:
            raise InvalidInput("A palette shows one band; several ranges are given.", hint="Give one range.")
        if self.gamma is not None and not 0 < self.gamma < math.inf:
            raise InvalidInput(f"gamma = {self.gamma:g} cannot be.", hint="Give a positive number; 1 changes nothing.")
        if self.opacity is not None and not 0 <= self.opacity <= 1:
            raise InvalidInput(f"opacity = {self.opacity:g} cannot be.", hint="Give a number from 0 to 1.")

    def require_bands(self, count: int) -> None:
        """Check that so many bands can be shown.

        Raises:
            InvalidInput: If they are not one or three, or do not fit the palette or the ranges.
        """
        if count not in (1, 3):
            raise InvalidInput(f"{count} bands cannot be shown.", hint="Name one band, or three for red, green, blue.")
        if self.palette and count != 1:
            raise InvalidInput(f"A palette cannot show {count} bands.", hint="Name one band.")
        if len(self.ranges) not in (0, 1, count):
            raise InvalidInput(
                f"{len(self.ranges)} ranges are given for {count} bands.", hint="Give one range, or one for each band."
            )

    def to_request(self) -> dict[str, object]:
        """Return the JSON of `VisualizationOptions`."""
        options: dict[str, object] = {}
        if self.ranges:
            options["ranges"] = [{"min": low, "max": high} for low, high in self.ranges]
        if self.palette:
            options["paletteColors"] = list(self.palette)
        if self.gamma is not None:
            options["gamma"] = self.gamma
        if self.opacity is not None:
            options["opacity"] = self.opacity
        return options


def picture_expression(image: Expression, bands: Sequence[str], shown: Visualization) -> Expression:
    """Return the expression of an image's picture: uint8 bands red, green, blue, alpha, nothing masked.

    It is for pictures of more than one request: tiles of it come as numbers, and fit together.

    Raises:
        InvalidInput: If so many bands cannot be shown.
    """
    shown.require_bands(len(bands))
    lows, highs = zip(*(shown.ranges or ((0.0, 255.0),)), strict=True)
    palette = shown.palette or (("000000", "ffffff") if len(bands) == 1 else ())
    document = json.loads(image)
    arguments: dict[str, object] = {
        "image": {"valueReference": document["result"]},
        "bands": _constant(list(bands)),
        "min": _constant(list(lows)),
        "max": _constant(list(highs)),
    }
    if palette:
        arguments["palette"] = _constant(list(palette))
    if shown.gamma is not None:
        arguments["gamma"] = _constant([shown.gamma])
    colours = _call("Image.visualize", arguments)
    mask = _call(
        "Image.mask", {"image": _call("Image.select", {"input": _ref("shown"), "bandSelectors": _constant([0])})}
    )
    level = _call("Image.constant", {"value": _constant(255 * (1.0 if shown.opacity is None else shown.opacity))})
    alpha = _call("Image.round", {"value": _call("Image.multiply", {"image1": _opaque(mask), "image2": level})})
    both = _call(
        "Image.addBands",
        {"dstImg": _opaque(_ref("shown")), "srcImg": _call("Image.toUint8", {"value": alpha})},
    )
    values = document["values"] | {
        "shown": colours,
        "picture": _call("Image.rename", {"input": both, "names": _constant(list(PICTURE_BANDS))}),
    }
    return parse_expression({"values": values, "result": "picture"})


def _opaque(image: dict[str, object]) -> dict[str, object]:
    """Zero where it is masked, outside its footprint, too."""
    zero = _call("Image.toUint8", {"value": _call("Image.constant", {"value": _constant(0)})})
    return _call("Image.unmask", {"input": image, "value": zero, "sameFootprint": _constant(False)})


def _call(function: str, arguments: dict[str, object]) -> dict[str, object]:
    return {"functionInvocationValue": {"functionName": function, "arguments": arguments}}


def _constant(value: object) -> dict[str, object]:
    return {"constantValue": value}


def _ref(key: str) -> dict[str, object]:
    return {"valueReference": key}
