"""Count, mean and spread of numbers that come in parts, kept so that no digits are lost.

The mean is a sum of two doubles, and squares are those of distances from it (Chan, Golub and LeVeque 1979, eq. 2.1):
a spread of one thousandth about a mean of one billion keeps its digits, in whatever order the parts come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NO_MOMENTS", "Moments", "moments_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean, and sum of squared distances from the mean; a value: adding two makes a third."""

    count: int
    mean: float
    """The double nearest to the mean."""
    rest: float
    """What the mean is more than that."""
    squares: float
    """The sum of squared distances from the mean."""

    def __add__(self, other: Moments) -> Moments:
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = (other.mean - self.mean) + (other.rest - self.rest)
        share = other.count / count
        mean, rest = _two_sum(self.mean, self.rest + apart * share)
        squares = self.squares + other.squares + apart * apart * (self.count * share)
        return Moments(count=count, mean=mean, rest=rest, squares=squares)


NO_MOMENTS = Moments(count=0, mean=0.0, rest=0.0, squares=0.0)


def moments_of(values: NDArray[np.generic]) -> Moments:
    """Return the moments of finite numbers, a flat array of any type. Two passes; an eighth of a second for 10^7."""
    if not len(values):
        return NO_MOMENTS
    mean = float(values.mean(dtype=np.float64))
    apart = values.astype(np.float64) - mean
    rest = float(apart.mean())
    squares = max(0.0, float(np.dot(apart, apart)) - len(values) * rest * rest)
    high, low = _two_sum(mean, rest)
    return Moments(count=len(values), mean=high, rest=low, squares=squares)


def _two_sum(first: float, second: float) -> tuple[float, float]:
    """The sum rounded, and what the rounding lost (Knuth)."""
    total = first + second
    back = total - first
    return total, (first - (total - back)) + (second - back)
