"""Per-band statistics of pixels that come in parts: count, mean, standard deviation, range, percentiles, histogram.

Law: nothing but rounding depends on how pixels are divided, or in which order the parts come. For integers of 8 and 16
bits all figures are exact. NaN, infinities and what is beyond 1e100 in size are no valid pixels. Memory is bounded:
at most half a megabyte a band of those integers, and 16 MiB a band of other types, of which a thirtieth is usual.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.plan.bands import DTYPES, Band
from eezarr.samples.bins import BinCounts, bins_of
from eezarr.samples.moments import NO_MOMENTS, Moments, moments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from eezarr.samples.sites import Json

__all__ = ["BandStatistics", "PixelStatistics"]

_VERSION = 1

_LARGEST = {"float32": float(np.finfo(np.float32).max), "float64": 1e100}
"""Beyond are infinities and the nodata values of doubles; the squares of what is not have room in a double."""


class BandStatistics:
    """What one band's valid pixels amount to.

    Args:
        dtype: The pixels' NumPy type.
    """

    __slots__ = ("_bins", "_counts", "_moments", "dtype", "max", "min", "total")

    def __init__(self, dtype: str) -> None:
        if dtype not in DTYPES:
            raise InvalidInput(f"There are no pixels of type {dtype!r}.", hint=f"Choose one of {', '.join(DTYPES)}.")
        self.dtype = dtype
        self.total = 0
        """Pixels seen, valid or not."""
        self.min = math.nan
        """The least valid pixel; NaN without any."""
        self.max = math.nan
        """The greatest valid pixel; NaN without any."""
        self._bins = bins_of(dtype)
        self._counts = BinCounts(self._bins.count)
        self._moments = NO_MOMENTS

    def update(self, pixels: NDArray[np.generic], valid: NDArray[np.bool_] | None = None) -> None:
        """Count pixels of any shape; `valid`, of the same shape, says which ones. None: all; NaN and infinities never.

        Raises:
            InvalidInput: If the pixels are of another type, or the shapes differ.
        """
        if pixels.dtype != np.dtype(self.dtype) or (valid is not None and valid.shape != pixels.shape):
            raise InvalidInput(
                f"Pixels of type {pixels.dtype} and shape {pixels.shape} do not go with {self.dtype}"
                + ("." if valid is None else f" and a mask of shape {valid.shape}."),
                hint="Give pixels of the band's type, and a mask of their shape.",
            )
        self.total += pixels.size
        good = pixels.ravel() if valid is None else pixels[valid.astype(np.bool_, copy=False)]
        if good.dtype.kind == "f":
            sound = np.abs(good) <= _LARGEST[self.dtype]
            good = good if sound.all() else good[sound]
        if not good.size:
            return
        self._counts.add(self._bins.index(good))
        self._widen(float(good.min()), float(good.max()))
        if not self._bins.is_exact:
            self._moments += moments_of(good)

    def merge(self, other: BandStatistics) -> None:
        """Add what another has counted.

        Raises:
            InvalidInput: If it counted another type.
        """
        if other.dtype != self.dtype:
            raise InvalidInput(
                f"Statistics of {other.dtype} do not add to those of {self.dtype}.",
                hint="Merge statistics of the same band.",
            )
        self.total += other.total
        self._counts.add(*other._counts.taken())
        self._widen(other.min, other.max)
        self._moments += other._moments

    @property
    def count(self) -> int:
        """Valid pixels."""
        return int(self._counts.taken()[1].sum()) if self._bins.is_exact else self._moments.count

    @property
    def mean(self) -> float:
        """The mean of the valid pixels; NaN without any."""
        if self._bins.is_exact:
            count, first, _ = self._sums()
            return float(Fraction(first, count)) if count else math.nan
        return self._moments.mean if self.count else math.nan

    @property
    def std(self) -> float:
        """The standard deviation of the valid pixels, as a population (divided by n); NaN without any."""
        if self._bins.is_exact:
            count, first, second = self._sums()
            return math.sqrt(Fraction(count * second - first * first, count * count)) if count else math.nan
        return math.sqrt(self._moments.squares / self.count) if self.count else math.nan

    def percentile(self, q: float) -> float:
        """Return the q-th percentile, interpolated linearly as `np.percentile` does; NaN without valid pixels.

        Exact for 8- and 16-bit integers; otherwise each of the two pixels that it lies between is taken for one as far
        away as `samples.bins` says, and 0 and 100 are exact.

        Args:
            q: From 0 to 100.

        Raises:
            InvalidInput: If q is outside.
        """
        if not 0 <= q <= 100:
            raise InvalidInput(f"There is no {q}th percentile.", hint="Give a number from 0 to 100.")
        count = self.count
        if not count:
            return math.nan
        # The rank is exact: counts can be beyond what a double holds.
        rank = Fraction(q) / 100 * (count - 1)
        low = math.floor(rank)
        bins, counts = self._counts.taken()
        ends = np.cumsum(counts)
        wanted = bins[np.searchsorted(ends, [low, min(low + 1, count - 1)], side="right")]
        lower, upper = (float(value) for value in np.clip(self._bins.values(wanted), self.min, self.max))
        if rank in (0, count - 1):
            return self.min if rank == 0 else self.max
        return lower + (upper - lower) * float(rank - low)

    def histogram(self, bins: int = 256) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the edges (bins + 1) and counts of bins of equal width from the least to the greatest pixel.

        Counts are exact for 8- and 16-bit integers; otherwise a pixel near an edge can count on the other side.
        Without valid pixels all counts are zero, from 0 to 1.
        """
        taken, each = self._counts.taken()
        span = (self.min, self.max) if len(taken) else (0.0, 1.0)
        values = np.clip(self._bins.values(taken), *span)
        edges = np.histogram_bin_edges(values, bins=bins, range=span)
        # Counted by whole numbers: np.histogram adds weights as doubles.
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
        counts = np.zeros(bins, dtype=np.int64)
        np.add.at(counts, place, each)
        return edges, counts

    def to_json(self) -> dict[str, Json]:
        """Return all that was counted as plain JSON; `from_json` goes on from it."""
        taken, counts = self._counts.taken()
        state = self._moments
        return {
            "version": _VERSION,
            "dtype": self.dtype,
            "total": self.total,
            "range": [self.min, self.max] if len(taken) else None,
            "moments": [state.count, state.mean, state.rest, state.squares],
            "bins": taken.tolist(),
            "counts": counts.tolist(),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, object]) -> BandStatistics:
        """Return statistics as `to_json` wrote them.

        Raises:
            InvalidInput: If it is something else.
        """
        try:
            return cls._restored(facts)
        except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
            raise InvalidInput("The stored statistics are damaged.", hint="Compute them anew.") from error

    @classmethod
    def _restored(cls, facts: Mapping[str, object]) -> BandStatistics:
        made = cls(str(facts["dtype"]))
        count, mean, rest, squares = _numbers(facts["moments"])
        bins = np.array(_numbers(facts["bins"]), dtype=np.int64)
        counts = np.array(_numbers(facts["counts"]), dtype=np.int64)
        (total,) = _numbers([facts["total"]])
        is_placed = 0 <= bins.min(initial=0) <= bins.max(initial=0) < made._bins.count and (np.diff(bins) > 0).all()
        is_sound = is_placed and bins.shape == counts.shape and (counts > 0).all()
        if facts["version"] != _VERSION or not is_sound or counts.sum() > total:
            raise ValueError("counts that cannot be")
        if not made._bins.is_exact and count != counts.sum():
            raise ValueError("moments of other pixels")
        made._counts.add(bins, counts)
        made.total = int(total)
        made._moments = Moments(count=int(count), mean=mean, rest=rest, squares=squares)
        if len(bins):
            made.min, made.max = map(float, _numbers(facts["range"]))
        return made

    def _widen(self, low: float, high: float) -> None:
        self.min, self.max = float(np.fmin(self.min, low)), float(np.fmax(self.max, high))

    def _sums(self) -> tuple[int, int, int]:
        """Count, sum and sum of squares, exact."""
        taken, each = self._counts.taken()
        counts, values = each.tolist(), (taken + self._bins.first).tolist()
        first = sum(count * value for count, value in zip(counts, values, strict=True))
        second = sum(count * value * value for count, value in zip(counts, values, strict=True))
        return sum(counts), first, second


class PixelStatistics:
    """Statistics of each band of patches or tiles.

    Args:
        bands: The bands, in the order of the pixels' band axis.
    """

    __slots__ = ("bands", "statistics")

    def __init__(self, bands: Sequence[Band]) -> None:
        self.bands = tuple(bands)
        self.statistics = tuple(BandStatistics(band.dtype) for band in bands)
        """One for each band."""

    def update(self, pixels: NDArray[np.generic], valid: NDArray[np.bool_] | None = None) -> None:
        """Count pixels.

        Args:
            pixels: Of shape (band, y, x) or (sample, band, y, x). Where bands differ in type, a type that holds them
                all; each band is cast to its own.
            valid: Which pixels are, of the pixels' shape, or of that without the band axis; None: all.

        Raises:
            InvalidInput: If the shapes do not fit.
        """
        shape = pixels.shape
        shared = shape[:-3] + shape[-2:]
        if (
            pixels.ndim not in (3, 4)
            or shape[-3] != len(self.bands)
            or (valid is not None and valid.shape not in (shape, shared))
        ):
            raise InvalidInput(
                f"Pixels of shape {shape}"
                + ("" if valid is None else f" and a mask of shape {valid.shape}")
                + f" are not those of {len(self.bands)} bands.",
                hint="Give (band, y, x) or (sample, band, y, x), and a mask of the same shape or without bands.",
            )
        for nth, (band, counted) in enumerate(zip(self.bands, self.statistics, strict=True)):
            own = None if valid is None else valid[..., nth, :, :] if valid.ndim == pixels.ndim else valid
            counted.update(pixels[..., nth, :, :].astype(band.dtype, copy=False), own)

    def merge(self, other: PixelStatistics) -> None:
        """Add what another has counted.

        Raises:
            InvalidInput: If it counted other bands.
        """
        if other.bands != self.bands:
            raise InvalidInput("Statistics of other bands do not add up.", hint="Merge those of the same bands.")
        for own, others in zip(self.statistics, other.statistics, strict=True):
            own.merge(others)

    def to_json(self) -> dict[str, Json]:
        """Return all that was counted as plain JSON, by band name; `from_json` goes on from it."""
        return {band.name: own.to_json() for band, own in zip(self.bands, self.statistics, strict=True)}

    @classmethod
    def from_json(cls, facts: Mapping[str, object]) -> PixelStatistics:
        """Return statistics as `to_json` wrote them.

        Raises:
            InvalidInput: If it is something else.
        """
        parts = {name: BandStatistics.from_json(part if isinstance(part, dict) else {}) for name, part in facts.items()}
        made = cls([Band(name, part.dtype) for name, part in parts.items()])
        for own, part in zip(made.statistics, parts.values(), strict=True):
            own.merge(part)
        return made


def _numbers(values: object) -> list[int | float]:
    if not isinstance(values, list) or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise TypeError("no list of finite numbers")
    return values
