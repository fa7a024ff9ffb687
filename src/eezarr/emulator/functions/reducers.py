"""Reducers: statistics of a stack of pixels, and of columns of properties.

Choices: the median of an even count is the mean of the two middle values; a percentile interpolates linearly between
ranks; the mode is the most frequent value, the least of several. Sums, means, medians, percentiles and deviations are
double, counts 32-bit integers, the rest keep the type of their input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator.images import DOUBLE, TRUTH, PixelType, of_range
from eezarr.emulator.pixels import Array
from eezarr.emulator.raster import EvaluationError
from eezarr.emulator.values import Reducer, Value

if TYPE_CHECKING:
    from eezarr.emulator.arguments import Arguments, Function

Statistic = Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One result of a reducer."""

    name: str
    result: Callable[[PixelType], PixelType]
    """Type of the result, from that of the input."""
    statistic: Statistic
    """Values and validity (layer, height, width) to values and validity (height, width)."""


def _same(kind: PixelType) -> PixelType:
    return kind


def _double(kind: PixelType) -> PixelType:
    """float64 within the same range."""
    return PixelType(dtype="float64", minimum=kind.minimum, maximum=kind.maximum)


def _unranged(kind: PixelType) -> PixelType:
    del kind
    return DOUBLE


def _sorted(values: Array, valid: Array) -> tuple[Array, Array]:
    """Valid values in ascending order, the others last; and how many are valid."""
    exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    ordered = np.where(valid, values.astype(exact), np.asarray(np.inf, exact))
    ordered.sort(axis=0)
    return ordered, valid.sum(axis=0)


def _some(valid: Array) -> Array:
    """Where any layer is valid."""
    return np.asarray(valid.any(axis=0))


def _at(ordered: Array, rank: Array) -> Array:
    return np.asarray(np.take_along_axis(ordered, rank[None], axis=0)[0], np.float64)


def percentile(share: float) -> Statistic:
    """Answer the statistic that `share` (0 … 100) of the values lie below."""

    def statistic(values: Array, valid: Array) -> tuple[Array, Array]:
        ordered, count = _sorted(values, valid)
        place = np.maximum(count - 1, 0) * (share / 100)
        low = np.floor(place).astype(np.intp)
        high = np.minimum(low + 1, np.maximum(count - 1, 0)).astype(np.intp)
        first, second = _at(ordered, low), _at(ordered, high)
        some = count > 0
        first, second = np.where(some, first, 0.0), np.where(some, second, 0.0)
        return first + (second - first) * (place - low), some

    return statistic


def _sum(values: Array, valid: Array) -> tuple[Array, Array]:
    return np.where(valid, values, 0).sum(axis=0, dtype=np.float64), _some(valid)


def _mean(values: Array, valid: Array) -> tuple[Array, Array]:
    total, some = _sum(values, valid)
    return total / np.maximum(valid.sum(axis=0), 1), some


def _variance(values: Array, valid: Array) -> tuple[Array, Array]:
    mean, some = _mean(values, valid)
    squares, _ = _sum((np.asarray(values, np.float64) - mean) ** 2, valid)
    return squares / np.maximum(valid.sum(axis=0), 1), some


def _deviation(values: Array, valid: Array) -> tuple[Array, Array]:
    variance, some = _variance(values, valid)
    return np.sqrt(np.asarray(variance, np.float64)), some


def _product(values: Array, valid: Array) -> tuple[Array, Array]:
    return np.where(valid, values, 1).prod(axis=0, dtype=np.float64), _some(valid)


def _least(values: Array, valid: Array) -> tuple[Array, Array]:
    some = _some(valid)
    lowest = np.where(valid, np.asarray(values, np.float64), np.inf).min(axis=0)
    return np.where(some, lowest, 0.0), some


def _greatest(values: Array, valid: Array) -> tuple[Array, Array]:
    some = _some(valid)
    highest = np.where(valid, np.asarray(values, np.float64), -np.inf).max(axis=0)
    return np.where(some, highest, 0.0), some


def _count(values: Array, valid: Array) -> tuple[Array, Array]:
    del values
    count = valid.sum(axis=0)
    return count, np.ones(count.shape, np.bool_)


def _first(values: Array, valid: Array) -> tuple[Array, Array]:
    return np.take_along_axis(values, valid.argmax(axis=0)[None], axis=0)[0], _some(valid)


def _last(values: Array, valid: Array) -> tuple[Array, Array]:
    return _first(values[::-1], valid[::-1])


def _all(values: Array, valid: Array) -> tuple[Array, Array]:
    return ((values != 0) | ~valid).all(axis=0), _some(valid)


def _any(values: Array, valid: Array) -> tuple[Array, Array]:
    return ((values != 0) & valid).any(axis=0), _some(valid)


def _mode(values: Array, valid: Array) -> tuple[Array, Array]:
    ordered, count = _sorted(values, valid)
    best, length = ordered[0].copy(), np.ones(count.shape, np.int64)
    streak = length.copy()
    for k in range(1, len(ordered)):
        streak = np.where(ordered[k] == ordered[k - 1], streak + 1, 1)
        longer = (streak > length) & (k < count)
        best, length = np.where(longer, ordered[k], best), np.where(longer, streak, length)
    return np.where(count > 0, best, 0), count > 0


_COUNTS = of_range(0, 2**32 - 1)

SINGLE: Mapping[str, tuple[Callable[[PixelType], PixelType], Statistic]] = {
    "median": (_double, percentile(50)),
    "mean": (_double, _mean),
    "sum": (_unranged, _sum),
    "product": (_unranged, _product),
    "min": (_same, _least),
    "max": (_same, _greatest),
    "mode": (_same, _mode),
    "first": (_same, _first),
    "last": (_same, _last),
    "firstNonNull": (_same, _first),
    "lastNonNull": (_same, _last),
    "count": (lambda _: _COUNTS, _count),
    "variance": (_unranged, _variance),
    "stdDev": (_unranged, _deviation),
    "and": (lambda _: TRUTH, _all),
    "or": (lambda _: TRUTH, _any),
    "allNonZero": (lambda _: TRUTH, _all),
    "anyNonZero": (lambda _: TRUTH, _any),
}
"""Reducers with one result of one input."""


def outputs(reducer: Reducer) -> list[Output]:
    """Answer what a reducer computes of a stack.

    Raises:
        EvaluationError: if it cannot be applied to one band at a time, or is not known here.
    """
    if reducer.name == "percentile":
        names = reducer.labels or tuple(f"p{share:g}" for share in reducer.numbers)
        pairs = zip(names, reducer.numbers, strict=True)
        return [Output(name=name, result=_double, statistic=percentile(share)) for name, share in pairs]
    if reducer.name == "minMax":
        return [Output(name=name, result=SINGLE[name][0], statistic=SINGLE[name][1]) for name in ("min", "max")]
    if reducer.name not in SINGLE:
        raise EvaluationError(f"Reducer.{reducer.name}: the emulator does not compute this reducer on images.")
    rule, statistic = SINGLE[reducer.name]
    return [Output(name=(reducer.labels or (reducer.name,))[0], result=rule, statistic=statistic)]


def reduced_column(reducer: Reducer, column: list[Value]) -> dict[str, Value]:
    """Answer a reducer's results on a list of values: {output: value}."""
    if reducer.name == "toList":
        return {"list": column}
    if reducer.name == "count":
        return {"count": len(column)}
    if reducer.name == "countDistinct":
        return {"count": len({repr(item) for item in column})}
    numbers = [item for item in column if isinstance(item, int | float)]
    answer: dict[str, Value] = {}
    for output in outputs(reducer):
        stack = np.array(numbers, np.float64).reshape(-1, 1)
        if not len(stack):
            answer[output.name] = None
            continue
        value, _ = output.statistic(stack, np.ones(stack.shape, np.bool_))
        answer[output.name] = float(np.asarray(value, np.float64)[0])
    return answer


def _named(name: str) -> Function:
    return lambda _: Reducer(name=name)


def _percentile(arguments: Arguments) -> Value:
    labels = tuple(arguments.strings("outputNames")) if arguments.has("outputNames") else ()
    is_list = isinstance(arguments.value("percentiles"), list)
    shares = arguments.numbers("percentiles") if is_list else [float(arguments.number("percentiles"))]
    return Reducer(name="percentile", numbers=tuple(shares), labels=labels)


def _to_list(arguments: Arguments) -> Value:
    size = int(arguments.number("tupleSize", 0))
    return Reducer(name="toList", numbers=(size,), inputs=max(1, size))


def _repeat(arguments: Arguments) -> Value:
    inner = arguments.reducer("reducer")
    return Reducer(name=f"repeat:{inner.name}", numbers=inner.numbers, inputs=int(arguments.number("count")))


def _set_outputs(arguments: Arguments) -> Value:
    inner = arguments.reducer("reducer")
    return Reducer(
        name=inner.name, numbers=inner.numbers, labels=tuple(arguments.strings("outputs")), inputs=inner.inputs
    )


FUNCTIONS: Mapping[str, Function] = {
    **{f"Reducer.{name}": _named(name) for name in (*SINGLE, "minMax", "countDistinct")},
    "Reducer.percentile": _percentile,
    "Reducer.toList": _to_list,
    "Reducer.repeat": _repeat,
    "Reducer.setOutputs": _set_outputs,
    "Reducer.unweighted": lambda arguments: arguments.reducer("reducer"),
}
"""Reducer.mean, Reducer.percentile, …"""
