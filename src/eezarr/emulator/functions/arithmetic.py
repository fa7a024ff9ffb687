"""Arithmetic on images and numbers: one table of operators, used by `Image.add` and `Number.add` alike.

Law: a one-band image meets every band of the other; images with equally many bands meet by name if the names are the
same set, else in order. Results are named for the longer image, or the first. Integer sums, differences and products
have the range that intervals give; a division by zero is 0; what is no number is masked.
Source: the descriptions of Image.add, Image.divide, … in the Earth Engine API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.images import DOUBLE, TRUTH, Band, Image, PixelType, float_for, of_dtype, of_range, union
from eezarr.emulator.nodes import Computed
from eezarr.emulator.pixels import Array, cast_to

if TYPE_CHECKING:
    from eezarr.emulator.arguments import Arguments, Function
    from eezarr.emulator.values import Value

Numbers = npt.NDArray[np.float64]
Operation = Callable[..., Array]
Rule = Callable[..., PixelType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A pixelwise function."""

    compute: Operation
    """Takes arrays of one type: int64 if all inputs are integers, else float32 or float64."""
    result: Rule
    """Takes the types of the inputs."""
    is_bitwise: bool = False
    """Whether inputs are cut to integers first."""


def _interval(operation: Callable[[float, float], float]) -> Rule:
    """The range of an operation that is monotone in both inputs, from its values at the corners."""

    def rule(first: PixelType, second: PixelType) -> PixelType:
        low, high = (first.minimum, first.maximum), (second.minimum, second.maximum)
        if None in low or None in high:
            return union(PixelType(dtype=first.dtype), PixelType(dtype=second.dtype))
        corners = [operation(x, y) for x in low for y in high if x is not None and y is not None]
        if first.is_integer and second.is_integer:
            return of_range(min(corners), max(corners))
        return PixelType(dtype=float_for(first, second), minimum=min(corners), maximum=max(corners))

    return rule


def _ratio(*types: PixelType) -> PixelType:
    return PixelType(dtype=float_for(*types))


def _real(*types: PixelType) -> PixelType:
    """float32 of float32, else float64."""
    return PixelType(dtype="float32" if all(kind.dtype == "float32" for kind in types) else "float64")


def _truth(*types: PixelType) -> PixelType:
    del types
    return TRUTH


def _same(kind: PixelType) -> PixelType:
    return kind


def _hull(first: PixelType, second: PixelType) -> PixelType:
    return union(first, second)


def _magnitude(kind: PixelType) -> PixelType:
    if kind.minimum is None or kind.maximum is None:
        return kind
    low = 0.0 if kind.minimum <= 0 <= kind.maximum else min(abs(kind.minimum), abs(kind.maximum))
    high = max(abs(kind.minimum), abs(kind.maximum))
    return of_range(low, high) if kind.is_integer else PixelType(dtype=kind.dtype, minimum=low, maximum=high)


def _bits(*types: PixelType) -> PixelType:
    """The narrowest whole integer type that holds the inputs; float64 (for int64) beyond 32 bits."""
    kind = types[0]
    for other in types[1:]:
        kind = union(kind, other)
    return of_dtype(kind.dtype) if kind.is_integer else PixelType(dtype="float64")


def _shifted(first: PixelType, second: PixelType) -> PixelType:
    if not (first.is_integer and second.is_integer) or (second.maximum or 0) > 40:
        return DOUBLE
    return _interval(lambda x, y: float(int(x) << max(0, int(y))))(first, second)


def _complement(kind: PixelType) -> PixelType:
    if kind.minimum is None or kind.maximum is None:
        return DOUBLE
    return of_range(-kind.maximum - 1, -kind.minimum - 1)


def _divide(first: Array, second: Array) -> Array:
    wide = np.result_type(first.dtype, np.float32)
    with np.errstate(all="ignore"):
        return np.where(second != 0, np.true_divide(first, second, dtype=wide), 0)


def _remainder(first: Array, second: Array) -> Array:
    return np.where(second != 0, np.fmod(first, np.where(second != 0, second, 1)), 0)


def _left(first: Array, second: Array) -> Array:
    del second
    return first


def _left_unless_zero(first: Array, second: Array) -> Array:
    return np.asarray(np.where(first != 0, first, second))


def _half_up(values: Array) -> Array:
    return np.floor(np.asarray(values, np.float64) + 0.5)


def _both(first: Array, second: Array) -> Array:
    return np.asarray((first != 0) & (second != 0))


def _either(first: Array, second: Array) -> Array:
    return np.asarray((first != 0) | (second != 0))


BINARY: Mapping[str, Operator] = {
    "add": Operator(compute=np.add, result=_interval(lambda x, y: x + y)),
    "subtract": Operator(compute=np.subtract, result=_interval(lambda x, y: x - y)),
    "multiply": Operator(compute=np.multiply, result=_interval(lambda x, y: x * y)),
    "divide": Operator(compute=_divide, result=_ratio),
    "mod": Operator(compute=_remainder, result=_hull),
    "pow": Operator(compute=lambda x, y: np.power(np.asarray(x, np.float64), y), result=_real),
    "atan2": Operator(compute=np.arctan2, result=_real),
    "hypot": Operator(compute=np.hypot, result=_real),
    "min": Operator(compute=np.minimum, result=_hull),
    "max": Operator(compute=np.maximum, result=_hull),
    "first": Operator(compute=_left, result=_hull),
    "firstNonZero": Operator(compute=_left_unless_zero, result=_hull),
    "first_nonzero": Operator(compute=_left_unless_zero, result=_hull),
    "gt": Operator(compute=np.greater, result=_truth),
    "gte": Operator(compute=np.greater_equal, result=_truth),
    "lt": Operator(compute=np.less, result=_truth),
    "lte": Operator(compute=np.less_equal, result=_truth),
    "eq": Operator(compute=np.equal, result=_truth),
    "neq": Operator(compute=np.not_equal, result=_truth),
    "and": Operator(compute=_both, result=_truth),
    "or": Operator(compute=_either, result=_truth),
    "bitwiseAnd": Operator(compute=np.bitwise_and, result=_bits, is_bitwise=True),
    "bitwiseOr": Operator(compute=np.bitwise_or, result=_bits, is_bitwise=True),
    "bitwiseXor": Operator(compute=np.bitwise_xor, result=_bits, is_bitwise=True),
    "leftShift": Operator(compute=np.left_shift, result=_shifted, is_bitwise=True),
    "rightShift": Operator(compute=np.right_shift, result=_bits, is_bitwise=True),
}
"""Operators of two inputs."""

_REAL: Mapping[str, str] = {
    **{name: name for name in ("sqrt", "cbrt", "exp", "log", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
}
"""Real functions, and what NumPy calls them."""

UNARY: Mapping[str, Operator] = {
    "abs": Operator(compute=np.absolute, result=_magnitude),
    "not": Operator(compute=lambda x: x == 0, result=_truth),
    "floor": Operator(compute=np.floor, result=_same),
    "ceil": Operator(compute=np.ceil, result=_same),
    "round": Operator(compute=_half_up, result=_same),
    "signum": Operator(compute=np.sign, result=_same),
    "bitwiseNot": Operator(compute=np.invert, result=_complement, is_bitwise=True),
    **{name: Operator(compute=getattr(np, spelled), result=_real) for name, spelled in _REAL.items()},
}
"""Operators of one input."""


def _prepared(operator: Operator, arrays: tuple[Array, ...]) -> list[Array]:
    """Arrays in the one type that the operator computes in."""
    if operator.is_bitwise or all(array.dtype.kind in "iu" for array in arrays):
        return [array.astype(np.int64) for array in arrays]
    wide = np.result_type(*[np.float32 if array.dtype.itemsize <= 2 else array.dtype for array in arrays])
    return [array.astype(wide) for array in arrays]


def applied(operator: Operator, name: Band, bands: tuple[Band, ...]) -> Band:
    """Answer the band that an operator makes of others, with the name and place of one of them."""

    def function(*arrays: Array) -> Array:
        return operator.compute(*_prepared(operator, arrays))

    def is_number(*arrays: Array) -> Array:
        return ~np.isnan(np.asarray(function(*arrays), np.float64))

    kind = operator.result(*[band.type for band in bands])
    inputs = tuple(band.pixels for band in bands)
    defined = None if kind.is_integer else is_number
    return name.computed(kind, Computed(inputs=inputs, dtype=kind.dtype, function=function, defined=defined))


def paired(arguments: Arguments, first: Image, second: Image) -> list[tuple[Band, Band, Band]]:
    """Answer pairs of bands that meet, each with the band that names the result."""
    ours, theirs = first.bands, second.bands
    if len(ours) == len(theirs):
        if set(first.names) == set(second.names):
            return [(band, second.band(band.id), band) for band in ours]
        return [(one, other, one) for one, other in zip(ours, theirs, strict=True)]
    if len(theirs) == 1:
        return [(band, theirs[0], band) for band in ours]
    if len(ours) == 1:
        return [(ours[0], band, band) for band in theirs]
    return arguments.fail(
        f"If the images have different numbers of bands, one must have exactly 1. Got {len(ours)} and {len(theirs)}."
    )


def _image_binary(operator: Operator) -> Function:
    def function(arguments: Arguments) -> Value:
        first, second = arguments.image("image1"), arguments.image("image2")
        pairs = paired(arguments, first, second)
        bands = tuple(applied(operator, name, (one, other)) for one, other, name in pairs)
        return Image(bands=bands, geometry=first.geometry or second.geometry)

    return function


def _image_unary(operator: Operator) -> Function:
    def function(arguments: Arguments) -> Value:
        image = arguments.image("value")
        bands = tuple(applied(operator, band, (band,)) for band in image.bands)
        return Image(bands=bands, geometry=image.geometry)

    return function


def _plain(operator: Operator, *numbers: float) -> float | int:
    """The operator on numbers."""
    arrays = tuple(np.asarray(number) for number in numbers)
    with np.errstate(all="ignore"):
        answer = operator.compute(*_prepared(operator, arrays))
    kind = answer.dtype.kind
    return int(answer) if kind in "iub" else float(np.asarray(answer, np.float64))


def _number_binary(operator: Operator) -> Function:
    return lambda arguments: _plain(operator, arguments.number("left"), arguments.number("right"))


def _number_unary(operator: Operator) -> Function:
    return lambda arguments: _plain(operator, arguments.number("input"))


CASTS: Mapping[str, str] = {
    "byte": "uint8", "uint8": "uint8", "int8": "int8", "int16": "int16", "short": "int16", "uint16": "uint16",
    "int32": "int32", "int": "int32", "uint32": "uint32", "int64": "float64", "long": "float64", "float": "float32",
    "double": "float64",
}  # fmt: skip
"""NumPy type of each name of a type; int64 is served as float64."""


def cast_band(band: Band, name: str) -> Band:
    """Answer a band cast to a named type: integers clamp to the range and drop the fraction."""
    kind = of_dtype(CASTS[name])
    whole = name in ("int64", "long")

    def function(values: Array) -> Array:
        return np.trunc(values) if whole and values.dtype.kind == "f" else cast_to(values, kind.dtype)

    return band.computed(kind, Computed(inputs=(band.pixels,), dtype=kind.dtype, function=function))


def _cast(name: str) -> Function:
    def function(arguments: Arguments) -> Value:
        image = arguments.image("value")
        bands = tuple(cast_band(band, name) for band in image.bands)
        return Image(
            bands=bands, properties=image.properties, id=image.id, version=image.version, geometry=image.geometry
        )

    return function


def _cast_number(name: str) -> Function:
    def function(arguments: Arguments) -> Value:
        number = cast_to(np.asarray(arguments.number("input"), np.float64), CASTS[name])
        is_real = name in ("float", "double")
        return float(np.asarray(number, np.float64)) if is_real else int(number)

    return function


FUNCTIONS: Mapping[str, Function] = {
    **{f"Image.{name}": _image_binary(operator) for name, operator in BINARY.items()},
    **{f"Image.{name}": _image_unary(operator) for name, operator in UNARY.items()},
    **{f"Number.{name}": _number_binary(operator) for name, operator in BINARY.items()},
    **{f"Number.{name}": _number_unary(operator) for name, operator in UNARY.items()},
    **{f"Image.{name}": _cast(name) for name in CASTS},
    **{f"Image.to{name.capitalize()}": _cast(name) for name in CASTS},
    **{f"Number.{name}": _cast_number(name) for name in CASTS},
    **{f"Number.to{name.capitalize()}": _cast_number(name) for name in CASTS},
}
"""Image.add …, Number.add …, Image.toUint8 …"""
