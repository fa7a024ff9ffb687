"""Masks: reading them, narrowing them, filling under them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eezarr.emulator.arguments import Arguments, Function, constant
from eezarr.emulator.images import Band, Image, PixelType, union
from eezarr.emulator.nodes import Masked, MaskOf, Unmasked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.values import Value

SHARE = PixelType(dtype="float32", minimum=0, maximum=1)
"""Type of a mask read as an image."""


def _masking(arguments: Arguments, image: Image, mask: Image, is_replaced: bool) -> Image:
    if len(mask.bands) not in (1, len(image.bands)):
        arguments.fail(
            f"The mask must have 1 band or as many as the image ({len(image.bands)}); it has {len(mask.bands)}."
        )
    bands = []
    for k, band in enumerate(image.bands):
        shown = mask.bands[k if len(mask.bands) > 1 else 0].pixels
        bands.append(replace(band, pixels=Masked(of=band.pixels, mask=shown, is_replaced=is_replaced)))
    return replace(image, bands=tuple(bands))


def mask(arguments: Arguments) -> Value:
    """Answer the mask as an image, float 0 … 1; with `mask`, the image with that mask instead of its own.

    Both keep the footprint: outside it a mask is not 0, it is masked itself.
    """
    image = arguments.image("image")
    if arguments.has("mask"):
        return _masking(arguments, image, arguments.image("mask"), is_replaced=True)
    bands = tuple(band.computed(SHARE, MaskOf(of=band.pixels, footprint=band.footprint)) for band in image.bands)
    return Image(bands=bands, geometry=image.geometry)


def update_mask(arguments: Arguments) -> Value:
    """Mask where the mask is zero or masked, in addition to what is masked already."""
    return _masking(arguments, arguments.image("image"), arguments.image("mask"), is_replaced=False)


def self_mask(arguments: Arguments) -> Value:
    """Mask where the image itself is zero."""
    image = arguments.image("image")
    return _masking(arguments, image, image, is_replaced=False)


def unmask(arguments: Arguments) -> Value:
    """Put a value where the image is masked; within the footprint unless `sameFootprint` is false.

    The result's type is the union of the image's and the value's.
    """
    image = arguments.image("input")
    value = arguments.image("value") if arguments.has("value") else Image(bands=(constant(0),))
    same = arguments.flag("sameFootprint", True)
    if len(value.bands) not in (1, len(image.bands)):
        arguments.fail(
            f"The value must have 1 band or as many as the image ({len(image.bands)}); it has {len(value.bands)}."
        )
    bands = []
    for k, band in enumerate(image.bands):
        bands.append(_unmasked(band, value.bands[k if len(value.bands) > 1 else 0], same))
    return replace(image, bands=tuple(bands), geometry=image.geometry if same else None)


def _unmasked(band: Band, value: Band, same_footprint: bool) -> Band:
    kind = union(band.type, value.type)
    footprint = band.footprint if same_footprint else None
    node = Unmasked(of=band.pixels, value=value.pixels, footprint=footprint, dtype=kind.dtype)
    return replace(band.computed(kind, node), footprint=footprint)


FUNCTIONS: Mapping[str, Function] = {
    "Image.mask": mask,
    "Image.updateMask": update_mask,
    "Image.selfMask": self_mask,
    "Image.unmask": unmask,
}
"""Image.mask, Image.unmask, …"""
