"""One image of many: mosaics, statistics over a collection, stacks of bands.

A composite has no projection of its own (WGS84, one degree) and no properties; its bands are those of the first image,
and its types the union over all images.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from eezarr.emulator.functions.reducers import Output, outputs
from eezarr.emulator.images import Band, Image, PixelType, union, unique_names
from eezarr.emulator.nodes import Stacked, Topmost
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Reducer, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eezarr.emulator.arguments import Arguments, Function
from eezarr.emulator.functions.collections import images_of


def _stacks(arguments: Arguments, is_homogeneous: bool) -> list[tuple[Band, list[Band]]]:
    """For each band of the first image: the bands of that name of all images."""
    images = images_of(arguments, arguments.collection("collection"))
    images = [image for image in images if image.bands] if not is_homogeneous else images
    if not images:
        return []
    first = images[0]
    for image in images:
        if is_homogeneous and set(image.names) != set(first.names):
            raise EvaluationError(
                "Expected a homogeneous image collection, but an image with incompatible bands was encountered: "
                f"first image has bands [{', '.join(first.names)}], current image has [{', '.join(image.names)}]."
            )
    return [(band, [other for image in images for other in image.bands if other.id == band.id]) for band in first.bands]


def _common(bands: list[Band]) -> PixelType:
    kind = bands[0].type
    for band in bands[1:]:
        kind = union(kind, band.type)
    return kind


def mosaic(arguments: Arguments) -> Value:
    """Answer one image: at each pixel and band the last image that is not masked there."""
    bands = []
    for band, stack in _stacks(arguments, is_homogeneous=False):
        kind = _common(stack)
        node = Topmost(layers=tuple(layer.pixels for layer in stack), dtype=kind.dtype)
        bands.append(Band(id=band.id, type=kind, pixels=node, sentinel=band.sentinel))
    return Image(bands=tuple(bands))


def _reduced(stack: list[Band], output: Output, name: str) -> Band:
    kind = output.result(_common(stack))
    node = Stacked(layers=tuple(layer.pixels for layer in stack), dtype=kind.dtype, statistic=output.statistic)
    return Band(id=name, type=kind, pixels=node)


def _composite(reducer: Reducer, is_named: bool, arguments: Arguments) -> Value:
    """Apply a reducer to each band over the images."""
    results = outputs(reducer)
    bands = []
    for band, stack in _stacks(arguments, is_homogeneous=True):
        for output in results:
            name = f"{band.id}_{output.name}" if is_named else band.id
            bands.append(_reduced(stack, output, name))
    return Image(bands=tuple(bands))


def _reduce(arguments: Arguments) -> Value:
    return _composite(arguments.reducer("reducer"), True, arguments)


def _reduce_bands(arguments: Arguments) -> Value:
    """Apply a reducer to the bands of one image."""
    image = arguments.image("image")
    if not image.bands:
        arguments.fail("The image has no bands.")
    first, stack = image.bands[0], list(image.bands)
    bands = []
    for output in outputs(arguments.reducer("reducer")):
        reduced = _reduced(stack, output, output.name)
        bands.append(replace(first.computed(reduced.type, reduced.pixels), id=output.name))
    return Image(bands=tuple(bands), geometry=image.geometry)


def to_bands(arguments: Arguments) -> Value:
    """Answer one image with all bands of all images, named index_band."""
    bands = []
    for image in images_of(arguments, arguments.collection("collection")):
        index = image.properties.get("system:index")
        bands += [replace(band, id=f"{index}_{band.id}") for band in image.bands]
    return Image(bands=unique_names(bands))


_REDUCE: Mapping[str, Callable[[Arguments], Value]] = {
    f"reduce.{name}": partial(_composite, Reducer(name=name), False)
    for name in ("median", "mean", "min", "max", "sum", "count", "mode", "product", "and", "or")
}


FUNCTIONS: Mapping[str, Function] = {
    "ImageCollection.mosaic": mosaic,
    "ImageCollection.reduce": _reduce,
    "ImageCollection.toBands": to_bands,
    "Image.reduce": _reduce_bands,
    **_REDUCE,
}
"""ImageCollection.mosaic, reduce.median, …"""
