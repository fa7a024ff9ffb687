"""Image.visualize: bands as 8-bit red, green, blue."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.functions.images import chosen
from eezarr.emulator.images import Image, of_dtype
from eezarr.emulator.nodes import Computed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function
    from eezarr.emulator.images import Band
    from eezarr.emulator.pixels import Array
    from eezarr.emulator.values import Value

_COLOURS = ("vis-red", "vis-green", "vis-blue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """How the values of a band become levels from 0 to 255."""

    low: float
    """What becomes 0."""
    width: float
    """How much more becomes 255."""
    gamma: float
    stops: tuple[float, ...]
    """Levels of one colour, evenly spread over the range; two, 0 and 255, leave a level as it is."""

    def __call__(self, values: Array) -> Array:
        """Answer levels, not yet cast."""
        share = np.clip((np.asarray(values, np.float64) - self.low) / self.width, 0, 1)
        if self.gamma != 1:
            share = share ** (1 / self.gamma)
        return np.asarray(np.rint(np.interp(share, np.linspace(0, 1, len(self.stops)), self.stops)))


def visualize(arguments: Arguments) -> Value:
    """Stretch one or three bands to red, green, blue; a palette is spread over the range of one.

    One band without a palette stays one, `vis-gray`, unless RGB is forced. Opacity is not computed: masks are whole.
    """
    image = arguments.image("image")
    bands = _bands(arguments, image)
    if len(bands) not in (1, 3):
        arguments.fail("Must specify either 1 or 3 bands.")
    palette = _palette(arguments)
    if palette is not None and len(bands) != 1:
        arguments.fail("Can only specify a palette for a single-band image.")
    is_grey = len(bands) == 1 and palette is None and not arguments.flag("forceRgbOutput", False)
    names = ("vis-gray",) if is_grey else _COLOURS
    answer = []
    for k, name in enumerate(names):
        source = bands[k % len(bands)]
        stops = (0.0, 255.0) if palette is None else tuple(float(stop) for stop in palette[:, k])
        stretch = _stretch(arguments, k % len(bands), len(bands), stops)
        node = Computed(inputs=(source.pixels,), dtype="uint8", function=stretch)
        answer.append(replace(source.computed(of_dtype("uint8"), node), id=name))
    return replace(image, bands=tuple(answer))


def _bands(arguments: Arguments, image: Image) -> tuple[Band, ...]:
    if not arguments.has("bands"):
        return image.bands[:3]
    return chosen(image, _listed(arguments.value("bands")))


def _listed(value: Value) -> list[Value]:
    """A list, a single value, or text with commas, as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list) else [value]


def _stretch(arguments: Arguments, k: int, count: int, stops: tuple[float, ...]) -> Stretch:
    gamma = _number(arguments, "gamma", k, count, 1.0)
    if arguments.has("gain") or arguments.has("bias"):
        # Level = value x gain + bias.
        gain = _number(arguments, "gain", k, count, 1.0) or 1.0
        low, width = -_number(arguments, "bias", k, count, 0.0) / gain, 255 / gain
    else:
        low = _number(arguments, "min", k, count, 0.0)
        width = (_number(arguments, "max", k, count, 255.0) - low) or 1.0
    return Stretch(low=low, width=width, gamma=gamma, stops=stops)


def _number(arguments: Arguments, name: str, k: int, count: int, default: float) -> float:
    """The number of band `k` of `count`: there is one for all, or one for each."""
    if not arguments.has(name):
        return default
    numbers = _listed(arguments.value(name))
    if len(numbers) not in (1, count):
        arguments.fail(f"Parameter '{name}' must have 1 or {count} values, not {len(numbers)}.")
    value = numbers[k % len(numbers)]
    text = str(value) if isinstance(value, int | float | str) else type(value).__name__
    try:
        return float(text)
    except ValueError:
        arguments.fail(f"Parameter '{name}' must hold numbers, not '{text}'.")


def _palette(arguments: Arguments) -> npt.NDArray[np.float64] | None:
    """(colour, 3) levels; one colour alone is the whole range."""
    if not arguments.has("palette"):
        return None
    colours = [_rgb(arguments, str(colour)) for colour in _listed(arguments.value("palette"))]
    return np.array(colours * 2 if len(colours) == 1 else colours, np.float64)


def _rgb(arguments: Arguments, text: str) -> tuple[int, int, int]:
    """Six hexadecimal digits, or the name of a CSS colour."""
    from PIL import ImageColor  # noqa: PLC0415 - pictures only

    try:
        found = ImageColor.getrgb(f"#{text}" if re.fullmatch("[0-9a-fA-F]{6}|[0-9a-fA-F]{3}", text) else text)
    except ValueError:
        arguments.fail(f"Invalid color string: '{text}'.")
    return found[0], found[1], found[2]


FUNCTIONS: Mapping[str, Function] = {"Image.visualize": visualize}
"""Image.visualize."""
