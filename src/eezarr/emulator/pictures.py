"""Pixels as 8-bit RGB: PNG, JPEG, and the bands of a visualization.

Source: https://developers.google.com/earth-engine/reference/rest/v1/VisualizationOptions.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.emulator.raster import Json, Plane

_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visualization:
    """How values become colours."""

    ranges: tuple[tuple[float, float], ...]
    """One for all bands, or one per band: what becomes 0 and 255."""
    palette: tuple[tuple[int, int, int], ...]
    """Colours of a single band, evenly spaced over its range; none: grey."""
    gamma: float
    opacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a screen shows."""

    rgb: npt.NDArray[np.uint8]
    """(height, width, 3)."""
    alpha: npt.NDArray[np.uint8]
    """(height, width), 0 where any band is masked."""


def visualization(message: Json) -> Visualization | None:
    """Answer parsed `VisualizationOptions`; `None` where there are none.

    Raises:
        ApiError: A colour is not six hexadecimal digits.
    """
    if not isinstance(message, dict) or not message:
        return None
    ranges = message.get("ranges")
    colours = message.get("paletteColors")
    return Visualization(
        ranges=tuple((_number(each, "min", 0.0), _number(each, "max", 0.0)) for each in ranges)
        if isinstance(ranges, list)
        else (),
        palette=tuple(_colour(str(each)) for each in colours) if isinstance(colours, list) else (),
        gamma=_number(message, "gamma", 1.0) or 1.0,
        opacity=min(1.0, max(0.0, _number(message, "opacity", 1.0))),
    )


def _number(message: Json, name: str, default: float) -> float:
    value = message.get(name, default) if isinstance(message, dict) else default
    return float(value) if isinstance(value, int | float) else default


def _colour(text: str) -> tuple[int, int, int]:
    found = _HEX.fullmatch(text)
    if found is None:
        raise invalid(f"Invalid palette color '{text}'.")
    red, green, blue = bytes.fromhex(found[1])
    return red, green, blue


def painted(planes: Sequence[Plane], options: Visualization | None) -> Picture:
    """Answer the picture of one or three bands.

    Raises:
        ApiError: Another number of bands; a palette for three; bands that are not 8-bit, without options.
    """
    if len(planes) not in (1, 3):
        raise invalid(f"A picture needs 1 or 3 bands, not {len(planes)}.")
    if options is None:
        if any(plane.values.dtype != np.uint8 for plane in planes):
            raise invalid("A picture of bands that are not 8-bit needs visualization options.")
        options = Visualization(ranges=((0.0, 255.0),), palette=(), gamma=1.0, opacity=1.0)
    if options.palette and len(planes) != 1:
        raise invalid("A palette needs a single band.")
    if len(options.ranges) not in (1, len(planes)):
        raise invalid(
            f"The number of ranges must be 1 or the number of bands ({len(planes)}), not {len(options.ranges)}."
        )
    ranges = options.ranges if len(options.ranges) == len(planes) else options.ranges * len(planes)
    levels = [_stretched(plane, span, options.gamma) for plane, span in zip(planes, ranges, strict=True)]
    rgb = (
        _coloured(levels[0], options.palette)
        if options.palette
        else np.stack([_byte(each) for each in levels * (3 // len(levels))], axis=-1)
    )
    valid = np.logical_and.reduce([plane.valid for plane in planes])
    rgb[~valid] = 0
    return Picture(rgb=rgb, alpha=np.where(valid, np.uint8(round(255 * options.opacity)), np.uint8(0)))


def _stretched(plane: Plane, span: tuple[float, float], gamma: float) -> npt.NDArray[np.float32]:
    """Answer levels from 0 to 1."""
    low, high = span
    values = plane.values.astype(np.float32)
    width = high - low
    with np.errstate(invalid="ignore"):
        levels: npt.NDArray[np.float32] = np.clip((values - low) / (width or 1.0), 0, 1).astype(np.float32, copy=False)
    levels[np.isnan(levels)] = 0
    if gamma != 1.0:
        np.power(levels, np.float32(1 / gamma), out=levels)
    return levels


def _byte(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.rint(levels * 255).astype(np.uint8)


def _coloured(levels: npt.NDArray[np.float32], palette: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    stops = np.linspace(0, 1, len(palette)) if len(palette) > 1 else np.zeros(1)
    channels = [np.interp(levels, stops, [colour[index] for colour in palette]) for index in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def encoded(picture: Picture, file_format: str) -> tuple[bytes, str]:
    """Answer the file and its content type; `AUTO_JPEG_PNG` is JPEG unless something is transparent."""
    from PIL import Image  # noqa: PLC0415 - pictures only

    is_opaque = bool((picture.alpha == 255).all())
    if file_format == "AUTO_JPEG_PNG":
        file_format = "JPEG" if is_opaque else "PNG"
    stream = io.BytesIO()
    if file_format == "JPEG" or is_opaque:
        Image.fromarray(picture.rgb).save(stream, file_format)
    else:
        Image.fromarray(np.dstack([picture.rgb, picture.alpha])).save(stream, file_format)
    return stream.getvalue(), f"image/{file_format.lower()}"
