"""Images: loading, choosing and naming bands, places, metadata."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.arguments import Arguments, Function, constant
from eezarr.emulator.functions.arithmetic import CASTS, cast_band
from eezarr.emulator.images import DOUBLE, FLOAT, Band, Image, union, unique_names, with_names
from eezarr.emulator.nodes import Chosen, Computed, Masked
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Date, Value, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.pixels import Array


def load(arguments: Arguments) -> Value:
    """Answer an asset; the emulator keeps one version of each, so `version` is not looked at."""
    name = arguments.text("id")
    image = arguments.library.load_image(name)
    if image is None:
        arguments.fail(f"Image asset '{name}' not found (does not exist or caller does not have access).")
    return image


def chosen(image: Image, selectors: list[Value]) -> tuple[Band, ...]:
    """Answer the bands that names, indices and regular expressions choose.

    Raises:
        EvaluationError: if one chooses nothing.
    """
    bands: list[Band] = []
    for selector in selectors:
        if isinstance(selector, int | float):
            index = int(selector)
            if not -len(image.bands) <= index < len(image.bands):
                raise EvaluationError(
                    f"Image.select: Band index {index} is out of range. Available bands: [{', '.join(image.names)}]"
                )
            bands.append(image.bands[index])
            continue
        pattern = selector if isinstance(selector, str) else str(selector)
        bands += _matching(image, pattern)
    return tuple(bands)


def _matching(image: Image, pattern: str) -> list[Band]:
    if not image.bands:
        raise EvaluationError(f"Image.select: Band pattern '{pattern}' was applied to an Image with no bands.")
    exact = [band for band in image.bands if band.id == pattern]
    if exact:
        return exact
    try:
        found = [band for band in image.bands if re.fullmatch(pattern, band.id)]
    except re.error:
        found = []
    return found or [image.band(pattern)]


def select(arguments: Arguments) -> Value:
    """Choose bands, and name them anew if names are given."""
    image = arguments.image("input")
    selectors = arguments.value("bandSelectors")
    bands = chosen(image, selectors if isinstance(selectors, list) else [selectors])
    if arguments.has("newNames"):
        names = arguments.strings("newNames")
        if len(names) != len(bands):
            arguments.fail(f"Can't match renamed bands: {len(bands)} bands selected, {len(names)} names given.")
        bands = with_names(bands, names)
    return replace(image, bands=unique_names(bands))


def rename(arguments: Arguments) -> Value:
    """Name all bands anew."""
    image, names = arguments.image("input"), arguments.strings("names")
    if len(names) != len(image.bands):
        arguments.fail(
            f"The number of names ({len(names)}) must match the number of bands of the image ({len(image.bands)})."
        )
    return replace(image, bands=with_names(image.bands, names))


def add_bands(arguments: Arguments) -> Value:
    """Append bands of another image."""
    image, source = arguments.image("dstImg"), arguments.image("srcImg")
    added = chosen(source, arguments.items("names")) if arguments.has("names") else source.bands
    if not arguments.flag("overwrite", False):
        return replace(image, bands=unique_names((*image.bands, *added)))
    new = {band.id: band for band in added}
    kept = [new.pop(band.id, band) for band in image.bands]
    return replace(image, bands=(*kept, *new.values()))


def slice_bands(arguments: Arguments) -> Value:
    """Answer bands from `start` to before `end`."""
    image = arguments.image("image")
    end = int(arguments.number("end")) if arguments.has("end") else None
    return replace(image, bands=image.bands[int(arguments.number("start")) : end])


def cast(arguments: Arguments) -> Value:
    """Cast named bands; those that are not there are added, masked everywhere, in the order of their names.

    An order, if one is given, must name all bands.
    """
    image, types = arguments.image("image"), arguments.dictionary("bandTypes")
    names = {band: _type_name(arguments, kind) for band, kind in types.items()}
    bands = [cast_band(band, names[band.id]) if band.id in names else band for band in image.bands]
    bands += [_transparent(name, names[name]) for name in sorted(names.keys() - set(image.names))]
    image = replace(image, bands=tuple(bands))
    if not arguments.has("bandOrder"):
        return image
    order = arguments.strings("bandOrder")
    if sorted(order) != sorted(image.names):
        arguments.fail(f"The band order {order} must match the bands of the result: {list(image.names)}.")
    return replace(image, bands=tuple(image.band(name) for name in order))


def _type_name(arguments: Arguments, kind: Value) -> str:
    """The name of a type that `CASTS` knows."""
    name = str(kind if isinstance(kind, str) else getattr(kind, "dtype", None))
    if name not in CASTS and name not in CASTS.values():
        arguments.fail(f"Unknown pixel type '{name}'.")
    return _plain_name(name)


def _transparent(name: str, kind: str) -> Band:
    """A band that is masked everywhere."""
    zero = constant(0, name)
    return cast_band(replace(zero, pixels=Masked(of=zero.pixels, mask=zero.pixels)), kind)


def _plain_name(name: str) -> str:
    return {"float32": "float", "float64": "double"}.get(name, name)


def make_constant(arguments: Arguments) -> Value:
    """Answer an image of one value per band."""
    return arguments.image("value")


def where(arguments: Arguments) -> Value:
    """Take `value` where `test` is not zero."""
    image, test, value = arguments.image("input"), arguments.image("test"), arguments.image("value")
    bands = []
    for k, band in enumerate(image.bands):
        one = test.bands[k if len(test.bands) > 1 else 0]
        other = value.bands[k if len(value.bands) > 1 else 0]
        kind = union(band.type, other.type)
        node = Chosen(otherwise=band.pixels, test=one.pixels, then=other.pixels, dtype=kind.dtype)
        bands.append(band.computed(kind, node))
    return replace(image, bands=tuple(bands))


def normalized_difference(arguments: Arguments) -> Value:
    """(first - second) / (first + second), float; masked where an input is negative."""
    image = arguments.image("input")
    names: list[Value] = arguments.items("bandNames") if arguments.has("bandNames") else [0, 1]
    first, second = chosen(image, names)

    def ratio(one: Array, other: Array) -> Array:
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        total = one + other
        return np.asarray(np.where(total != 0, (one - other) / np.where(total != 0, total, 1), 0))

    def is_allowed(one: Array, other: Array) -> Array:
        return np.asarray((one >= 0) & (other >= 0))

    pixels = Computed(inputs=(first.pixels, second.pixels), dtype="float32", function=ratio, defined=is_allowed)
    kind = replace(FLOAT, minimum=-1.0, maximum=1.0)
    return Image(bands=(replace(first.computed(kind, pixels), id="nd"),), geometry=image.geometry)


def _unit_scale(arguments: Arguments) -> Value:
    """Scale the range low … high to 0 … 1, double or float."""
    image = arguments.image("input")
    low, high = float(arguments.number("low")), float(arguments.number("high"))
    bands = []
    for band in image.bands:
        kind = FLOAT if band.type.dtype == "float32" else DOUBLE
        node = Computed(
            inputs=(band.pixels,), dtype=kind.dtype, function=lambda x: (np.asarray(x, np.float64) - low) / (high - low)
        )
        bands.append(band.computed(kind, node))
    return replace(image, bands=tuple(bands))


def _clamp(arguments: Arguments) -> Value:
    """Limit values to a range; the type stays."""
    image = arguments.image("input")
    low, high = float(arguments.number("low")), float(arguments.number("high"))
    bands = []
    for band in image.bands:
        dtype = band.type.dtype
        node = Computed(
            inputs=(band.pixels,), dtype=dtype, function=lambda x: np.clip(np.asarray(x, np.float64), low, high)
        )
        bands.append(band.computed(band.type, node))
    return replace(image, bands=tuple(bands))


def _date(arguments: Arguments) -> Value:
    start = arguments.image("image").properties.get("system:time_start")
    return Date(milliseconds=int(start)) if isinstance(start, int | float) else None


def _metadata(arguments: Arguments) -> Value:
    image, name = arguments.image("image"), arguments.text("property")
    value = image.properties.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        arguments.fail(f"Property '{name}' is not a number.")
    band = constant(float(value), arguments.text("name", name))
    return Image(bands=(band,))


def _id(arguments: Arguments) -> Value:
    image = arguments.image("element")
    return decode(image.properties.get("system:index", image.id))


def _band_types(arguments: Arguments) -> Value:
    return {band.id: band.type for band in arguments.image("image").bands}


FUNCTIONS: Mapping[str, Function] = {
    "Image.load": load,
    "Image.select": select,
    "Image.rename": rename,
    "Image.addBands": add_bands,
    "Image.slice": slice_bands,
    "Image.cast": cast,
    "Image.constant": make_constant,
    "Image.where": where,
    "Image.normalizedDifference": normalized_difference,
    "Image.unitScale": _unit_scale,
    "Image.clamp": _clamp,
    "Image.bandNames": lambda arguments: list(arguments.image("image").names),
    "Image.bandTypes": _band_types,
    "Image.date": _date,
    "Image.id": _id,
    "Image.metadata": _metadata,
}
"""Image.load, Image.select, …"""
