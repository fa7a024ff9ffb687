"""A contact sheet: many samples of a store in one picture, each with its name and label, masked pixels checkered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.outputs.preview import check_bands, picture_format, save_picture, stretched

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from PIL import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from eezarr.store import SamplesStore
    from eezarr.store.sampled import Label

__all__ = ["SheetOptions", "write_contact_sheet"]

_GAP = 4
"""Pixels between cells, and around the sheet."""
_TEXT = 11
"""Height of letters in pixels."""
_LINE = _TEXT + 3
_MIN_WIDTH = 48
"""Of a cell, so that something of its text can be read."""
_CHECKER = 4
_LIGHT, _DARK = 235, 200
"""Greys of the checkers."""
_MIN_ROOM = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOptions:
    """Which samples are shown, and how."""

    bands: tuple[str, ...] = ()
    """One in grey, or three as red, green and blue."""
    count: int = 64
    """The most samples; evenly chosen from those there are, in stored order."""
    split: str | None = None
    label: Label | None = None
    size: int = 1024
    """About the sheet's width in pixels; patches are drawn whole times as large, or every n-th pixel of them."""
    low: float | None = None
    """Value shown as black; None: 2 % of the pixels shown are darker."""
    high: float | None = None
    """Value shown as white; None: 2 % of the pixels shown are brighter."""
    is_each: bool = False
    """Whether each patch has a range of its own."""
    step: int = -1
    """Which time step; negative ones count from each sample's last."""


def write_contact_sheet(samples: SamplesStore, path: Path, options: SheetOptions) -> tuple[int, int]:
    """Write a picture of samples: PNG or JPEG, as its name ends.

    Returns:
        How many are shown, and of how many.

    Raises:
        InvalidInput: If the bands are not one or three of the store's, nothing is stored, no sample has the split or
            label, there is no such time step, or the patches do not fit.
        StoreError: If the store cannot be read, or the picture not written.
    """
    picture_format(path)
    check_bands(options.bands, samples.bands)
    there = samples.select(split=options.split, label=options.label)
    if not len(there):
        raise InvalidInput(f"{samples.url} has no samples to show yet.", hint="Run its job first.")
    chosen = there[np.unique(np.linspace(0, len(there) - 1, min(options.count, len(there))).round().astype(np.int64))]
    patches, is_shown = _patches(samples, chosen, options)
    sheet = _sheet(_pictures(patches, is_shown, options), _captions(samples, chosen), options.size)
    save_picture(sheet, path)
    return len(chosen), len(there)


def _patches(
    samples: SamplesStore, chosen: npt.NDArray[np.int64], options: SheetOptions
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """(sample, band, y, x), and (sample, y, x): which pixels are shown."""
    whole = samples.pixels(chosen)
    valid = samples.validity(chosen, whole)
    has_bands = valid is not None and valid.ndim == whole.ndim
    if samples.has_time:
        # What is missing of a sample's steps is at their end.
        counts = samples.have_steps(chosen).sum(axis=1)
        steps = np.full(len(chosen), options.step) if options.step >= 0 else counts + options.step
        if (steps < 0).all() or (steps >= counts).all():
            raise InvalidInput(
                f"No sample has a time step {options.step}.", hint="Steps count from 0, or from -1 back."
            )
        is_there = (steps >= 0) & (steps < counts)
        rows, steps = np.arange(len(chosen)), np.where(is_there, steps, 0)
        whole, valid = whole[rows, steps], None if valid is None else valid[rows, steps]
    else:
        is_there = np.ones(len(chosen), np.bool_)
    places = [samples.bands.index(band) for band in options.bands]
    patches = whole[:, places]
    shown = np.isfinite(patches).all(axis=1) & is_there[:, None, None]
    if valid is not None:
        shown &= valid[:, places].all(axis=1) if has_bands else valid
    return patches, shown


def _pictures(
    patches: npt.NDArray[np.generic], is_shown: npt.NDArray[np.bool_], options: SheetOptions
) -> npt.NDArray[np.uint8]:
    """(sample, y, x, colour), what is not shown 0 in a fourth colour."""
    count, bands, height, width = patches.shape
    made = np.zeros((count, bands, height, width), np.uint8)
    groups = np.arange(count)[:, None] if options.is_each else np.arange(count)[None]
    for group in groups:
        flat = patches[group].swapaxes(0, 1).reshape(bands, -1, width)
        shown = is_shown[group].reshape(-1, width)
        if shown.any():
            colours = stretched(flat, shown, options.low, options.high)
            made[group] = colours.reshape(bands, len(group), height, width).swapaxes(0, 1)
    colours = made if bands == 3 else np.repeat(made, 3, axis=1)
    opaque = np.where(is_shown, 255, 0).astype(np.uint8)[:, None]
    return np.moveaxis(np.concatenate([colours, opaque], axis=1), 1, -1)


def _captions(samples: SamplesStore, chosen: npt.NDArray[np.int64]) -> list[tuple[str, ...]]:
    """The lines below each patch: its name; then its label and split, where there are any."""
    names = samples.column("id")[chosen].tolist()
    known = [samples.column(name)[chosen].tolist() for name in ("label", "split") if samples.has_column(name)]
    if not known:
        return [(name,) for name in names]
    return [
        (name, " · ".join(_text(value) for value in values if _text(value)))
        for name, *values in zip(names, *known, strict=True)
    ]


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def _sheet(pictures: npt.NDArray[np.uint8], captions: list[tuple[str, ...]], size: int) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - only pictures need it

    count, _, width = pictures.shape[:3]
    columns = math.ceil(math.sqrt(count))
    room = (size - _GAP) // columns - _GAP
    if room < _MIN_ROOM:
        raise InvalidInput(
            f"{count} patches do not fit in {size} pixels.", hint="Show fewer with --count, or give a larger --size."
        )
    scale, stride = max(1, round(room / width)), -(-width // room)
    drawn = pictures[:, ::stride, ::stride].repeat(scale, axis=1).repeat(scale, axis=2)
    tall, wide = drawn.shape[1:3]
    across, down = max(wide, _MIN_WIDTH) + _GAP, tall + _LINE * len(captions[0]) + _GAP
    sheet = Image.new("RGB", (_GAP + columns * across, _GAP + -(-count // columns) * down), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for number, (picture, lines) in enumerate(zip(drawn, captions, strict=True)):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        sheet.paste(Image.fromarray(_on_checkers(picture), "RGB"), (left, top))
        for line, text in enumerate(lines):
            place = (left, top + tall + 1 + line * _LINE)
            draw.text(place, _shortened(text, draw, font, across - _GAP), "black", font)
    return sheet


def _on_checkers(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(y, x, 3) of (y, x, 4), with checkers where the fourth is 0."""
    height, width = picture.shape[:2]
    is_light = (np.arange(height)[:, None] // _CHECKER + np.arange(width) // _CHECKER) % 2 == 0
    checkers = np.where(is_light, _LIGHT, _DARK).astype(np.uint8)[..., None]
    return np.where(picture[..., 3:] > 0, picture[..., :3], checkers)


def _shortened(text: str, draw: ImageDraw, font: ImageFont | FreeTypeFont, width: int) -> str:
    """As much of a text as is not wider."""
    line = " ".join(text.split())[:width]
    if draw.textlength(line, font) <= width and len(line) == len(text):
        return line
    while line and draw.textlength(f"{line}…", font) > width:
        line = line[:-1]
    return f"{line}…" if line else ""
