"""Packing: bands of several time steps, and their masks, as the bands of one computed image.

Law: packing changes no pixel, no type and no mask.

1. Steps lie side by side (`toBands` of a flat list), so nesting does not grow with their number; what all bands
   need (filling, casting, masks) is said once, of the whole stack.
2. A pixel is valid where its mask is more than zero, outside the footprint nowhere: `unmask`'s own rule, so that fills
   and masks agree also where a mask is a fraction.
3. A constant widens the type (`unmask(-9999)` of uint16 is int32), so what was filled is cast back to the band's own.
4. Nothing is read under a mask: where the fill is a number, the service puts it in; where it is none, the mask comes
   along, and we do.

Source: the descriptions of Image.unmask, Image.mask, Image.cast and ImageCollection.toBands in the API's list of
algorithms.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from eezarr.earthengine.expression import build
from eezarr.earthengine.nodes import call, constant, listed, selectors
from eezarr.plan.fields import Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.earthengine.nodes import Expression, Node
    from eezarr.plan.bands import Band
    from eezarr.plan.fields import Field
    from eezarr.plan.masking import Fill, Masking

__all__ = ["packed_expression", "pixel_type", "step_bytes"]

_NAMED = {"float32": "float", "float64": "double"}
"""NumPy's names of types that Earth Engine calls something else."""

_LAST_STEP = 999_999
"""A step whose fields have the longest names that can be."""

_STACK_BYTES = 1024
"""More than what is said once of a stack, and what a step's keys grow by when there are many."""


def packed_expression(
    images: Mapping[int, Node],
    *,
    bands: Sequence[Band],
    masking: Masking,
    fields: Sequence[Field],
    labels: Node | None = None,
) -> Expression:
    """Return the expression whose bands are exactly some fields: in order, named and typed as their `wire`.

    A band that is neither filled nor masked has the type that its image gives it.

    Args:
        images: The image of each step that the fields name (step 0 where there is no time): its bands are the
            plan's, in the plan's order.
        bands: The plan's, all of them.
        masking: The plan's.
        fields: What a request asks for, as `Selection.fields` lists it: a band's mask only beside its pixels.
        labels: The image whose one band is the target, where a field is one; where it is masked, the target is 0.

    Raises:
        InvalidInput: If an image is no expression that the service could read.
    """
    pixels = [field for field in fields if field.kind == "pixels"]
    masks = [field for field in fields if field.kind == "mask"]
    shared = [field for field in fields if field.kind == "shared mask"]
    targets = [field for field in fields if field.kind == "target"]
    stack = _stack(images, bands, pixels)
    whole = stack if masking.mode == "none" else _filled(stack, pixels, masking)
    # In this order: `addBands` keeps the footprint of its first image, which must be everywhere.
    if masks:
        names = {(field.step, field.band): field.wire.name for field in pixels}
        whole = _added(whole, _masks(stack, [names[field.step, field.band] for field in masks], masks, len(pixels)))
    if shared:
        whole = _added(whole, _shared_masks(images, shared))
    if targets:
        assert labels is not None, "a target is of an image of labels"
        whole = _added(_target(labels, targets[0]), whole)
    if [*targets, *pixels, *masks, *shared] != list(fields):
        whole = _selected(whole, [field.wire.name for field in fields])
    return build(whole)


def pixel_type(dtype: str) -> str:
    """Return what Earth Engine calls a NumPy type: `float32` is `float`."""
    return _NAMED.get(dtype, dtype)


def step_bytes(image: Node, *, bands: Sequence[Band], masking: Masking) -> int:
    """Return the most bytes that a step can take in a request: of its expression, and of the names in `bandIds`.

    The sum over a request's steps is never less than those parts of it; what else a body holds (its grid, its format,
    a workload tag) is to be added. It holds for the steps' bands together or in parts.
    """
    text = build(image)
    # A key is two digits at first, in quotes; in a stack it has up to seven, where it stands and where it is named.
    keys = text.count("Reference") + text.count('"body"') + len(json.loads(text)["values"])
    return len(text) + 6 * keys + _frame_bytes(tuple(bands), masking)


@lru_cache(maxsize=64)
def _frame_bytes(bands: tuple[Band, ...], masking: Masking) -> int:
    """Return the most bytes that a step takes beside its image."""
    last = range(_LAST_STEP, _LAST_STEP + 1)
    fields = Selection(bands=bands, steps=last, has_time=True, masking=masking).fields
    image = call("Image.load", {"id": constant("")})
    frame = packed_expression({_LAST_STEP: image}, bands=bands, masking=masking, fields=fields)
    chosen = build(_selected(image, [band.name for band in bands]))
    names = json.dumps([field.wire.name for field in fields])
    return len(frame) + len(chosen) + len(names) + _STACK_BYTES


def _stack(images: Mapping[int, Node], bands: Sequence[Band], pixels: Sequence[Field]) -> Node:
    """Return the image of these bands as the steps' images have them, under the names of the fields."""
    all_names = [band.name for band in bands]
    parts: list[Node] = []
    lists: dict[tuple[str, ...], Node] = {}
    chosen: list[str] = []
    for step, run in groupby(pixels, key=lambda field: field.step):
        chosen = [bands[field.band].name for field in run]
        if chosen == all_names:
            parts.append(images[step])
        else:
            names = lists.setdefault(tuple(chosen), selectors(chosen))
            parts.append(call("Image.select", {"bandSelectors": names, "input": images[step]}))
    wanted = [field.wire.name for field in pixels]
    return parts[0] if len(parts) == 1 and chosen == wanted else _stacked(parts, wanted)


def _stacked(parts: Sequence[Node], names: Sequence[str]) -> Node:
    """Return all bands of some images as one image, under new names."""
    if len(parts) == 1:
        return _renamed(parts[0], names)
    collection = call("ImageCollection.fromImages", {"images": listed(parts)})
    return _renamed(call("ImageCollection.toBands", {"collection": collection}), names)


def _filled(stack: Node, pixels: Sequence[Field], masking: Masking) -> Node:
    """Return the stack with fills where it is masked; zeros where the fill is no number."""
    fills = [masking.fills[field.band] if math.isfinite(masking.fills[field.band]) else 0 for field in pixels]
    kinds = {field.wire.name: pixel_type(field.wire.dtype) for field in pixels}
    filled = _unmasked(stack, _constant_image(fills, list(kinds)))
    if len(set(kinds.values())) > 1:
        return call("Image.cast", {"bandTypes": constant(kinds), "image": filled})
    return _cast(filled, kinds[pixels[0].wire.name])


def _constant_image(fills: Sequence[Fill], names: Sequence[str]) -> Node:
    """Return the image of a fill for each band: one number if they are one, else under the names of the bands."""
    if len({repr(fill) for fill in fills}) == 1:
        return call("Image.constant", {"value": constant(fills[0])})
    # Named, because images of as many bands meet by name where the names are the same, else in order.
    return _renamed(call("Image.constant", {"value": constant(list(fills))}), names)


def _masks(stack: Node, chosen: Sequence[str], masks: Sequence[Field], count: int) -> Node:
    """Return 0/1 masks of some of the stack's bands."""
    source = stack if len(chosen) == count else _selected(stack, chosen)
    masked = _unmasked(_valid(call("Image.mask", {"image": source})))
    return _renamed(_cast(masked, "uint8"), [field.wire.name for field in masks])


def _shared_masks(images: Mapping[int, Node], shared: Sequence[Field]) -> Node:
    """Return a 0/1 mask of each step: the least over the image's bands, each of them zero outside its footprint."""
    least = call("Reducer.min", {})
    parts = []
    for field in shared:
        everywhere = _unmasked(call("Image.mask", {"image": images[field.step]}))
        parts.append(call("Image.reduce", {"image": everywhere, "reducer": least}))
    return _cast(_valid(_stacked(parts, [field.wire.name for field in shared])), "uint8")


def _target(labels: Node, field: Field) -> Node:
    """Return the labels' one band, 0 where it is masked, under the field's name."""
    return _renamed(_cast(_unmasked(labels), pixel_type(field.wire.dtype)), [field.wire.name])


def _valid(mask: Node) -> Node:
    """Return 1 where a mask is more than zero; what is masked itself stays so."""
    return call("Image.gt", {"image1": mask, "image2": call("Image.constant", {"value": constant(0)})})


def _unmasked(image: Node, value: Node | None = None) -> Node:
    """Return an image that is masked nowhere on Earth: with a value, or zero, where it was."""
    given = {} if value is None else {"value": value}
    return call("Image.unmask", {"input": image, "sameFootprint": constant(False), **given})


def _cast(image: Node, kind: str) -> Node:
    """Return an image with all bands cast to a type; integers clamp to its range."""
    return call(f"Image.to{kind.capitalize()}", {"value": image})


def _renamed(image: Node, names: Sequence[str]) -> Node:
    return call("Image.rename", {"input": image, "names": constant(list(names))})


def _selected(image: Node, names: Sequence[str]) -> Node:
    return call("Image.select", {"bandSelectors": selectors(names), "input": image})


def _added(image: Node, other: Node) -> Node:
    return call("Image.addBands", {"dstImg": image, "srcImg": other})
