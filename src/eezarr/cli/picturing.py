"""`eezarr thumbnail`: a picture or a GeoTIFF of an asset, an expression, or what a job reads."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.api.framing import frame_corner, frame_image, frame_region
from eezarr.api.loops import run_to_end
from eezarr.api.pictures import write_thumbnail
from eezarr.api.resolving import resolve_pixels
from eezarr.documents import read_text
from eezarr.earthengine import Image
from eezarr.earthengine.places import read_place
from eezarr.earthengine.visualization import Visualization
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.api.client import Client
    from eezarr.config import Job
    from eezarr.grid import PixelGrid

__all__ = ["Frame", "draw", "draw_job", "image_of", "visualization_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What of the image is shown, as the options say it."""

    region: str | None
    corner: str | None
    """x,y of the top-left corner, in the CRS."""
    crs: str | None
    scale: float | None
    size: int | None


def draw(client: Client, image: Image, frame: Frame, path: Path, *, shown: Visualization | None) -> None:
    """Write the picture and say what it shows.

    Raises:
        EezarrError: If there is no such picture.
    """

    async def run() -> PixelGrid:
        async with client:
            grid = await _grid(client, image, frame)
            await write_thumbnail(client, image, grid, path, visualization=shown)
            return grid

    _say(path, image, run_to_end(run()))


def draw_job(client: Client, job: Job, path: Path, *, shown: Visualization | None) -> None:
    """Write the picture of a job's image on the job's grid, and say what it shows.

    Raises:
        EezarrError: If there is no such picture.
    """

    async def run() -> tuple[Image, PixelGrid]:
        async with client:
            described, grid = await resolve_pixels(job, client)
            await write_thumbnail(client, described.image, grid, path, visualization=shown)
            return described.image, grid

    _say(path, *run_to_end(run()))


def _say(path: Path, image: Image, grid: PixelGrid) -> None:
    bands = ", ".join(image.bands) if image.bands else "all bands"
    sys.stdout.write(f"{path}: {bands}, {grid.height} rows x {grid.width} columns, {grid.crs[:60]}\n")


def image_of(asset: str | None, expression: Path | None, bands: str | None) -> Image:
    """Return the image of an asset's id or of a file with an expression.

    Raises:
        InvalidInput: If not exactly one is given, or the file makes no image.
    """
    names = bands.split(",") if bands else None
    if (asset is None) == (expression is None):
        raise InvalidInput("A picture is of an asset or of an expression.", hint="Give ASSET, or --expression FILE.")
    if asset is not None:
        return Image.asset(asset, bands=names)
    assert expression is not None
    text = read_text(expression, noun="expression", hint="Give the path of another file.")
    return Image.expression(text, bands=names)


def visualization_of(
    low: str | None, high: str | None, palette: str | None, gamma: float | None, opacity: float | None
) -> Visualization | None:
    """Return what the options say, None if they say nothing.

    Raises:
        InvalidInput: If they contradict each other.
    """
    if all(option is None for option in (low, high, palette, gamma, opacity)):
        return None
    lows, highs = _numbers("--min", low or "0"), _numbers("--max", high or "255")
    count = max(len(lows), len(highs))
    if {len(lows), len(highs)} - {1, count}:
        raise InvalidInput("--min and --max differ in number.", hint="Give one of each, or one of each a band.")
    lows, highs = lows * (count // len(lows)), highs * (count // len(highs))
    return Visualization(
        ranges=tuple(zip(lows, highs, strict=True)) if low or high else (),
        palette=tuple(palette.split(",")) if palette else (),
        gamma=gamma,
        opacity=opacity,
    )


async def _grid(client: Client, image: Image, frame: Frame) -> PixelGrid:
    size = frame.size if frame.size or frame.scale else 256
    if frame.corner is not None:
        place = _numbers("--corner", frame.corner)
        if len(place) != 2 or frame.crs is None or frame.scale is None or frame.region is not None:
            raise InvalidInput("--corner says where --size pixels begin.", hint="Give x,y with --crs and --scale.")
        return frame_corner((place[0], place[1]), crs=frame.crs, scale=frame.scale, size=(size or 256, size or 256))
    if frame.region is not None:
        return frame_region(read_place(frame.region), crs=frame.crs or "EPSG:4326", size=size, scale=frame.scale)
    return await frame_image(client, image, crs=frame.crs, size=size, scale=frame.scale)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInput(f"{option} {text!r} is no number.", hint="Give numbers with commas between.") from error
