"""A picture of a store: one band in grey or three in colour, stretched, what is not there transparent."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import numpy as np

from eezarr.errors import InvalidInput, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    import PIL.Image

    from eezarr.store import StoredJob

__all__ = ["check_bands", "default_bands", "picture_format", "save_picture", "write_picture"]

_FORMATS: dict[str, Literal["PNG", "JPEG"]] = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

TRUE_COLOUR = (("B4", "B3", "B2"), ("SR_B4", "SR_B3", "SR_B2"), ("red", "green", "blue"), ("R", "G", "B"))
"""Red, green, blue of Sentinel-2, Landsat 8 and 9, and of images that name their colours."""


def default_bands(names: Sequence[str]) -> tuple[str, ...]:
    """Return true colour if the bands have it, else the first band."""
    return next((colours for colours in TRUE_COLOUR if set(colours) <= set(names)), (names[0],))


def write_picture(
    job: StoredJob,
    path: Path,
    *,
    bands: Sequence[str],
    size: int,
    low: float | None = None,
    high: float | None = None,
    step: int = -1,
) -> None:
    """Write a picture of a store: PNG or JPEG, as its name ends.

    Args:
        job: The store.
        path: The file.
        bands: One band, or red, green and blue.
        size: Pixels along the longer side at the most.
        low: Value shown as black; None: 2 % of the pixels shown are darker.
        high: Value shown as white; None: 2 % of the pixels shown are brighter.
        step: Which time step of a cube; negative ones count from the last.

    Raises:
        InvalidInput: If the name ends otherwise, the bands are not one or three of the store's, the size is not
            positive, or nothing is stored.
        StoreError: If the store cannot be read, or the picture not written.
    """
    from PIL import Image  # noqa: PLC0415 - only pictures need it

    picture_format(path)
    check_bands(bands, [band.name for band in job.plan.bands])
    overview = job.read_overview(bands, size, step=step)
    is_shown = np.asarray(overview.is_valid.all(axis=0) & np.isfinite(overview.pixels).all(axis=0))
    if not is_shown.any():
        raise InvalidInput(f"{job.url} has no pixels to show yet.", hint="Run its job first.")
    colours = stretched(overview.pixels, is_shown, low, high)
    layers = [*(colours if len(bands) == 3 else np.repeat(colours, 3, axis=0)), np.where(is_shown, 255, 0)]
    save_picture(Image.fromarray(np.stack(layers, axis=-1).astype(np.uint8), "RGBA"), path)


def check_bands(bands: Sequence[str], known: Sequence[str]) -> None:
    """Check that bands make a picture.

    Raises:
        InvalidInput: If they are not one or three of those that there are.
    """
    if len(bands) not in (1, 3):
        raise InvalidInput(
            f"A picture has one band or three, not {len(bands)}.", hint="Give --bands R,G,B or one band."
        )
    for band in bands:
        if band not in known:
            close = get_close_matches(band, known, n=1)
            raise InvalidInput(
                f"There is no band {band}; there are {', '.join(known[:50])}{', …' if len(known) > 50 else ''}.",
                hint=f"Did you mean {close[0]}?" if close else "Choose among them: --bands.",
            )


def picture_format(path: Path) -> Literal["PNG", "JPEG"]:
    """Return the format that a picture's name says.

    Raises:
        InvalidInput: If it says none of PNG and JPEG.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise InvalidInput(
            f"The picture {path} ends in {suffix or 'nothing'}, and pictures are PNG or JPEG.",
            hint="Name it .png or .jpg; `eezarr convert` writes GeoTIFF.",
        )
    return _FORMATS[suffix]


def save_picture(picture: PIL.Image.Image, path: Path) -> None:
    """Write a picture as its name says; in JPEG, which has no transparency, what is transparent is white.

    Raises:
        InvalidInput: If the name says no format.
        StoreError: If it cannot be written.
    """
    kind = picture_format(path)
    if kind == "JPEG":
        from PIL import Image  # noqa: PLC0415 - only pictures need it

        shown = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    try:
        picture.save(path, kind)
    except OSError as error:
        raise StoreError(
            f"The picture cannot be written to {path}: {error.strerror or error}.",
            hint="Give a path that can be written.",
        ) from error


def stretched(
    pixels: npt.NDArray[np.generic], is_shown: npt.NDArray[np.bool_], low: float | None, high: float | None
) -> npt.NDArray[np.uint8]:
    """Return (band, y, x) values as 0 to 255, all bands by one range so that colours keep their balance."""
    values = pixels.astype(np.float64)
    shown = values[:, is_shown]
    darkest = float(np.percentile(shown, 2)) if low is None else low
    brightest = float(np.percentile(shown, 98)) if high is None else high
    scaled = (np.nan_to_num(values) - darkest) / max(brightest - darkest, np.finfo(np.float64).tiny)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
