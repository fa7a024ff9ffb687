"""What an image is: its bands and where it lies, from metadata; its bands' types, from one pixel.

Rule: types are what the service answers, and metadata only foretells them. One pixel of each image that a job reads is
asked for, in as few requests as its bands need, once in a client's life. A store that was begun holds what an earlier
run learnt, so that one with nothing to do asks for no pixel. Only what plans without fetching believes metadata, where
that tells a type.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from eezarr.earthengine import Image
from eezarr.earthengine.commonbands import require_numbers
from eezarr.errors import ForeignStore, InvalidInput, ServiceRefusal, TooHeavy
from eezarr.grid import footprints_overlap
from eezarr.plan import Band, RequestLimits
from eezarr.store import recorded_bands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.api.client import Client
    from eezarr.config import LimitOptions, StoreOptions
    from eezarr.earthengine import AssetBand, AssetInfo
    from eezarr.earthengine.image import ImageLike
    from eezarr.grid import PixelGrid

__all__ = ["NO_TYPES", "DescribedImage", "describe", "learnt_types", "limits_of", "typed_bands"]

NO_TYPES: Mapping[str, str] = MappingProxyType({})
"""What is known of types before anything was asked."""

_WIDEST_BYTES = 9
"""Of a pixel of one band as the service counts: float64 and the mask byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedImage:
    """An image, and what metadata says of it."""

    image: Image
    """What is read; its bands are named."""
    asset: AssetInfo | None
    """The asset's metadata; None for an expression."""
    types: tuple[tuple[str, str | None], ...]
    """Name and NumPy type of each of the image's bands; None where metadata does not tell."""
    is_certain: bool
    """Whether the types are told for certain: then what they cannot be is said before any pixel is asked for."""

    @property
    def bands(self) -> tuple[Band, ...] | None:
        """The bands that are read as metadata tells them, or None where it does not tell a type."""
        known = [(name, dtype) for name, dtype in self.types if dtype is not None]
        return tuple(Band(name, dtype) for name, dtype in known) if len(known) == len(self.types) else None

    def band(self, name: str) -> AssetBand:
        """Return a band of the asset, whether the image reads it or not.

        Raises:
            InvalidInput: If the image is computed.
            ServiceRefusal: If the asset has no such band.
        """
        if self.asset is None:
            raise InvalidInput(
                "A computed image has no grid of its own.", hint="Give [grid] a crs, and a resolution or scale."
            )
        bands = {band.id: band for band in self.asset.bands}
        _require_bands(self.asset.id, [name], list(bands))
        return bands[name]

    def require_overlap(self, grid: PixelGrid) -> None:
        """Check that a grid touches the asset: far from it there are only masked pixels.

        Raises:
            InvalidInput: If it lies outside every band that is read.
        """
        if self.asset is None:
            return
        natives = [native for name, _ in self.types if (native := self.band(name).grid) is not None]
        if natives and not any(footprints_overlap(grid, native) for native in natives):
            raise InvalidInput(
                f"The grid ({grid.crs[:60]}, {grid.shape} pixels, {grid.bounds}) lies outside {self.asset.id} "
                f"({natives[0].crs[:60]}, {natives[0].bounds}).",
                hint="Choose a region that the image covers.",
            )


async def describe(client: Client, image: ImageLike) -> DescribedImage:
    """Return an image with what metadata says of it; one request.

    Raises:
        InvalidInput: If the asset or the expression is no image.
        ServiceRefusal: If the service knows no such asset, function or band.
    """
    image = Image.of(image)
    if image.asset_name is None:
        asset, name = None, "The expression"
        bands = await client.describe_bands(image)
    else:
        asset = await client.get_asset(image.asset_name)
        name = asset.id
        _require_image(asset)
        bands = asset.bands
    known = {band.id: band for band in bands}
    chosen = image.bands or tuple(known)
    _require_bands(name, chosen, list(known))
    require_numbers(name, [known[band] for band in chosen])
    return DescribedImage(
        image=replace(image, bands=chosen),
        asset=asset,
        types=tuple((band, known[band].dtype) for band in chosen),
        is_certain=all(known[band].is_certain for band in chosen),
    )


async def typed_bands(
    client: Client,
    described: DescribedImage,
    grid: PixelGrid,
    *,
    is_probing: bool,
    learnt: Mapping[str, str] = NO_TYPES,
) -> tuple[Band, ...]:
    """Return the image's bands with their types, from one pixel in the middle of the grid; masked or not.

    But one answer can be wrong, and it lays out the store: one that contradicts the description, or that has none to
    agree with, has to come twice.

    Args:
        client: Asks; keeps what it learnt.
        described: The image.
        grid: Where it will be read.
        is_probing: Whether that pixel may be asked for where the description tells all types; if not, it is believed.
        learnt: Types by band that an earlier run learnt of this image: with all of them, nothing is asked.

    Raises:
        EezarrError: What the last attempt of a request failed with.
    """
    names = [name for name, _ in described.types]
    if all(name in learnt for name in names):
        return tuple(Band(name, learnt[name]) for name in names)
    if described.bands is not None and not is_probing:
        return described.bands
    image, told = described.image, dict(described.types)

    async def ask() -> tuple[Band, ...]:
        probed = await _probed(client, image, grid)
        while any(told[band.name] != band.dtype for band in probed):
            before, probed = probed, await _probed(client, image, grid)
            if before == probed:
                break
        return probed

    return await client.descriptions.get(("types", image.key, image.bands), ask)


async def learnt_types(
    output: str | None, store: StoreOptions, image_key: str, *, is_new: bool, widened: Sequence[Band] = ()
) -> Mapping[str, str]:
    """Return the types by band of an image that a store holds from an earlier run; empty if it holds no such image.

    Args:
        output: Where the store is; None: nowhere.
        store: What is to be stored there.
        image_key: What is read.
        is_new: Whether a store that is there will be replaced, so that nothing is learnt from it.
        widened: Bands that are now read in a type of ours: one that the store holds in another is not learnt.

    Raises:
        InvalidInput: If the output is no place for such a store.
        StoreError: If nothing can be stored there: told before any pixel is asked for.
    """
    if output is None:
        return NO_TYPES
    try:
        recorded = await asyncio.to_thread(recorded_bands, output, zarr_format=store.format)
    except ForeignStore:
        if not is_new:
            raise
        recorded = None
    key, bands = recorded or ("", ())
    types = {band.name: band.dtype for band in bands}
    fits = key == image_key and not is_new and all(types.get(band.name) == band.dtype for band in widened)
    return types if fits else NO_TYPES


async def _probed(client: Client, image: Image, grid: PixelGrid) -> tuple[Band, ...]:
    """Return the bands as one pixel has them, asked for within the limits of one request."""
    limits = limits_of(image.limits, client.options.limits)
    most = max(1, min(limits.max_bands, limits.max_bytes // _WIDEST_BYTES))
    names = image.bands or ()
    found: list[Band] = []
    for first in range(0, len(names), most):
        found += await _part_probed(client, replace(image, bands=names[first : first + most]), grid)
    return tuple(found)


async def _part_probed(client: Client, part: Image, grid: PixelGrid) -> tuple[Band, ...]:
    """Return the bands of a part, asked for in halves where all of them are too costly together."""
    names = part.bands or ()
    try:
        return await client.probe_bands(part, grid)
    except TooHeavy:
        if len(names) == 1:
            raise
    half = len(names) // 2
    first, second = (replace(part, bands=some) for some in (names[:half], names[half:]))
    return await _part_probed(client, first, grid) + await _part_probed(client, second, grid)


def limits_of(limits: RequestLimits, options: LimitOptions) -> RequestLimits:
    """Return the limits of a method, with those of its own that a job states."""
    return RequestLimits(
        max_bytes=options.bytes or limits.max_bytes,
        max_side=options.side or limits.max_side,
        max_bands=options.bands or limits.max_bands,
    )


def _require_image(asset: AssetInfo) -> None:
    if asset.type != "IMAGE":
        raise InvalidInput(f"{asset.id} is of type {asset.type or 'unknown'}, not IMAGE.", hint="Name one image of it.")
    if not asset.bands:
        raise InvalidInput(f"{asset.id} has no bands.", hint="Name an image with bands.")


def _require_bands(image: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise ServiceRefusal(
                f"{image} has no band {name!r}.",
                hint=(f"Did you mean {close[0]!r}? " if close else "") + f"Its bands are {', '.join(known[:60])}.",
            )
