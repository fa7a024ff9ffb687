"""What an image is, from metadata: its bands, their types, where it lies. Not one pixel is asked for but the probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from eezarr.earthengine import Image
from eezarr.errors import InvalidInput, ServiceRefusal
from eezarr.grid import footprints_overlap
from eezarr.plan import Band

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.api.client import Client
    from eezarr.earthengine import AssetBand, AssetInfo
    from eezarr.earthengine.image import ImageLike
    from eezarr.grid import PixelGrid

__all__ = ["DescribedImage", "describe", "typed_bands"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedImage:
    """An image, and what metadata says of it."""

    image: Image
    """What is read; its bands are named."""
    asset: AssetInfo | None
    """The asset's metadata; None for an expression."""
    types: tuple[tuple[str, str | None], ...]
    """Name and NumPy type of each of the image's bands; None where metadata does not tell."""

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
        types = await client.describe_bands(image)
    else:
        asset = await client.get_asset(image.asset_name)
        name = asset.id
        _require_image(asset)
        types = tuple((band.id, band.dtype) for band in asset.bands)
    known = dict(types)
    chosen = image.bands or tuple(known)
    _require_bands(name, chosen, list(known))
    return DescribedImage(
        image=replace(image, bands=chosen), asset=asset, types=tuple((band, known[band]) for band in chosen)
    )


async def typed_bands(
    client: Client, described: DescribedImage, grid: PixelGrid, *, is_probing: bool
) -> tuple[Band, ...]:
    """Return the image's bands with their types.

    An asset's metadata is relied on. What an expression answers is learnt from one pixel in the middle of the grid:
    what the service answers is the truth. But one answer can be wrong, and it lays out the store: one that contradicts
    the description, or that has none to agree with, has to come twice.

    Args:
        client: Asks.
        described: The image.
        grid: Where it will be read.
        is_probing: Whether that pixel may be asked for; if not, an expression's description is believed.
    """
    if described.bands is not None and (described.asset is not None or not is_probing):
        return described.bands
    told = dict(described.types)
    probed = await client.probe_bands(described.image, grid)
    while any(told[band.name] != band.dtype for band in probed):
        before, probed = probed, await client.probe_bands(described.image, grid)
        if before == probed:
            break
    return probed


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
