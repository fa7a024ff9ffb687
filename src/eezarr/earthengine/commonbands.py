"""Bands that the images of a collection have in common: of the same names and types, or how they come to have them.

Rule: a range that is narrower than another's is no other type. Where images state different ranges of integers, each
is cast to a type that holds all of them, which changes no value; the service need not agree with us about which type a
narrow range has. Types that no image's own type holds all of, and floats beside integers, are the job's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from eezarr.earthengine.catalogue import INTEGER_RANGES, foretold_type
from eezarr.errors import InvalidInput
from eezarr.plan.bands import DTYPES, Band

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eezarr.earthengine.catalogue import AssetBand, AssetInfo

__all__ = ["CommonBands", "Lack", "Missing", "common_bands", "require_numbers"]

Missing: TypeAlias = Literal["error", "skip", "mask"]
"""What becomes of images that lack a band: an `error` that names them; they are left out; the band is masked there."""

_NAMED_IMAGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Bands that an image has not, and that are masked everywhere in it."""

    image: str
    """Resource name."""
    bands: tuple[Band, ...]
    """The bands, in the types that they have in the other images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonBands:
    """The bands of a collection; made by `common_bands`."""

    names: tuple[str, ...]
    """In the order wanted."""
    dtypes: tuple[str | None, ...]
    """NumPy types of the images' bands, casts done; None where the metadata of one image at least does not tell."""
    images: tuple[AssetInfo, ...]
    """The images that stay, in the order given."""
    skipped: int
    """How many were left out."""
    lacks: tuple[Lack, ...]
    """Images that lack bands, ordered by name."""
    widened: tuple[Band, ...] = ()
    """Bands of which images state different ranges, in a type that holds all of them."""
    is_certain: bool = False
    """Whether metadata and casts tell the types for certain: then what they cannot be is told before any is asked."""

    @property
    def bands(self) -> tuple[Band, ...] | None:
        """The bands as metadata foretells them, or None where it does not.

        They are those of single images. A reduction has types of its own (a mean is float64), which one pixel tells.
        """
        if None in self.dtypes:
            return None
        return tuple(Band(name, dtype or "") for name, dtype in zip(self.names, self.dtypes, strict=True))


def common_bands(
    images: Iterable[AssetInfo],
    wanted: Sequence[str] | None,
    *,
    cast: Mapping[str, str],
    missing: Missing,
) -> CommonBands:
    """Return the bands that all images have, or are made to have.

    Args:
        images: What a listing answered, with bands.
        wanted: Bands in the order wanted; None: those of the first image.
        cast: NumPy type by band: what the band is made in every image, whatever it is there.
        missing: What becomes of images that lack a band. `mask` makes sense beside a fill or a mask only.

    Raises:
        InvalidInput: If there are no images, no image has a band, images lack bands that they may not lack, or types
            differ: bands and images are named, and how to harmonise them.
    """
    found = tuple(images)
    names = _names(found, wanted)
    casts = _casts(names, cast)
    _require_somewhere(found, names)
    lacking = {image.name: short for image in found if (short := _lacking(image, names))}
    stay = tuple(image for image in found if image.name not in lacking) if missing == "skip" else found
    if not stay:
        raise InvalidInput(
            f"Each of the {len(found)} images lacks one of the bands {', '.join(names)}: none is left.",
            hint='Ask for fewer bands, or use missing = "mask" with a mask mode.',
        )
    problems = [_lack_told(found, lacking)] if lacking and missing == "error" else []
    dtypes: list[str | None] = []
    widened: list[Band] = []
    mixed: list[str] = []
    certain = True
    for name in names:
        bands = [band for image in stay for band in image.bands if band.id == name]
        require_numbers(f"The collection's image {stay[0].id}", bands)
        if name in casts:
            dtypes.append(casts[name])
            continue
        common = _common_type(bands)
        dtypes.append(common)
        if common is None and len({band.dtype for band in bands} - {None}) > 1:
            mixed.append(name)
            problems.append(_types_told(stay, name))
        elif common is not None and _needs_cast(bands, is_lacked=len(bands) < len(stay)):
            widened.append(Band(name, common))
        else:
            certain &= all(band.is_certain for band in bands)
    if problems:
        raise InvalidInput(" ".join(problems), hint=_how_to_harmonise(stay, mixed, lacking, missing))
    return CommonBands(
        names=names,
        dtypes=tuple(dtypes),
        images=stay,
        skipped=len(found) - len(stay),
        lacks=_lacks(lacking, dict(zip(names, dtypes, strict=True))) if missing == "mask" else (),
        widened=tuple(widened),
        is_certain=certain,
    )


def require_numbers(image: str, bands: Iterable[AssetBand]) -> None:
    """Check that no band holds arrays: they cannot come as plain fields of a body.

    Raises:
        InvalidInput: If one does.
    """
    arrays = list(dict.fromkeys(band.id for band in bands if band.dimensions))
    if arrays:
        raise InvalidInput(
            f"{image} has an array in each pixel of {', '.join(arrays[:20])}, which cannot be fetched as a number.",
            hint="In an expression, arrayFlatten makes a band of each element, arrayGet takes one. Or choose others.",
        )


def _common_type(bands: Sequence[AssetBand]) -> str | None:
    """Return the one type that all of these have or can be given without a change; None if there is none, or untold."""
    types = {band.dtype for band in bands}
    spans = {band.span for band in bands if band.span is not None}
    if len(types) == 1 or None in types or not all(band.span is not None for band in bands):
        return types.pop() if len(types) == 1 else None
    common = foretold_type(min(low for low, _ in spans), max(high for _, high in spans))
    whole = {dtype for dtype in types if dtype is not None and INTEGER_RANGES.get(dtype) in spans}
    return common if common in types or len(whole) < 2 else None


def _needs_cast(bands: Sequence[AssetBand], *, is_lacked: bool) -> bool:
    """Return whether the service may answer several types for these, or another for what stands for a lacking one."""
    return len({band.span for band in bands}) > 1 or (is_lacked and not bands[0].is_certain)


def _names(images: Sequence[AssetInfo], wanted: Sequence[str] | None) -> tuple[str, ...]:
    if not images:
        raise InvalidInput("No image was found.", hint="Widen the period, the region or the filter.")
    names = tuple(wanted) if wanted is not None else tuple(band.id for band in images[0].bands)
    if not names or not all(names):
        of = f"The image {images[0].id} has" if wanted is None else "The job names"
        raise InvalidInput(f"{of} no bands.", hint="Name one band at least.")
    if len(set(names)) < len(names):
        raise InvalidInput(f"A band is named twice in {list(names)}.", hint="Name each band once.")
    return names


def _casts(names: Sequence[str], cast: Mapping[str, str]) -> dict[str, str]:
    strangers = sorted(cast.keys() - set(names))
    if strangers:
        raise InvalidInput(
            f"A cast is declared for {', '.join(strangers)}, which the job does not read.",
            hint=f"The bands are {', '.join(names[:60])}.",
        )
    return {name: Band(name, dtype).dtype for name, dtype in cast.items()}


def _require_somewhere(images: Sequence[AssetInfo], names: Sequence[str]) -> None:
    anywhere = {band.id for image in images for band in image.bands}
    nowhere = [name for name in names if name not in anywhere]
    if nowhere:
        raise InvalidInput(
            f"None of the {len(images)} images has a band {', '.join(map(repr, nowhere))}.",
            hint=f"{images[0].id} has {', '.join(band.id for band in images[0].bands[:50]) or 'no bands'}.",
        )


def _lacking(image: AssetInfo, names: Sequence[str]) -> tuple[str, ...]:
    has = {band.id for band in image.bands}
    return tuple(name for name in names if name not in has)


def _types(images: Sequence[AssetInfo], name: str) -> set[str | None]:
    return {band.dtype for image in images for band in image.bands if band.id == name}


def _lacks(lacking: Mapping[str, tuple[str, ...]], dtypes: Mapping[str, str | None]) -> tuple[Lack, ...]:
    untold = sorted({name for short in lacking.values() for name in short if dtypes[name] is None})
    if untold:
        raise InvalidInput(
            f"Images lack {', '.join(untold)}, whose type metadata does not tell: no band can be put there.",
            hint=f'Name the type: cast = {{ {untold[0]} = "float32" }}.',
        )
    return tuple(
        Lack(image=image, bands=tuple(Band(name, dtypes[name] or "") for name in lacking[image]))
        for image in sorted(lacking)
    )


def _lack_told(images: Sequence[AssetInfo], lacking: Mapping[str, tuple[str, ...]]) -> str:
    short = [image.id for image in images if image.name in lacking]
    names = list(dict.fromkeys(name for each in lacking.values() for name in each))
    return f"{len(short)} of {len(images)} images lack {', '.join(names[:20])}: {_first_few(short)}."


def _types_told(images: Sequence[AssetInfo], name: str) -> str:
    by_type: dict[str, list[str]] = {}
    for image in images:
        for band in image.bands:
            if band.id == name and band.dtype is not None:
                by_type.setdefault(band.dtype, []).append(image.id)
    told = "; ".join(f"{dtype} in {len(ids)} ({_first_few(ids)})" for dtype, ids in by_type.items())
    return f"Band {name} has not one type: {told}."


def _first_few(ids: Sequence[str]) -> str:
    rest = len(ids) - _NAMED_IMAGES
    return ", ".join(ids[:_NAMED_IMAGES]) + (f" and {rest} more" if rest > 0 else "")


def _how_to_harmonise(
    images: Sequence[AssetInfo], mixed: Sequence[str], lacking: Mapping[str, object], missing: Missing
) -> str:
    ways = []
    if lacking and missing == "error":
        ways.append('missing = "skip" leaves out images that lack a band, missing = "mask" makes it masked there')
    for name in mixed[:1]:
        told = {dtype for dtype in _types(images, name) if dtype is not None}
        holds_all = np.result_type(*told).name
        dtype = holds_all if holds_all in DTYPES else "float64"
        ways.append(f'cast = {{ {name} = "{dtype}" }} makes the band of this type in every image')
    return f"In the job, {'; '.join(ways)}."
