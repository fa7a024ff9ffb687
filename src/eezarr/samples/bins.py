"""Counts of pixel values, from which percentiles and histograms are read; those of two parts add up.

Integers of 8 and 16 bits have a bin each: percentiles are exact. All other types share bins of float32's own making:
sign, exponent and fraction rounded to 12 bits. A value then counts as one that is at most 2^-13 (0.0123 %) of itself
away, and whole numbers up to 8192 as themselves; values below 1.2e-38 in size count as one at most 1.5e-42 away,
those beyond float32's range as its largest. Bins do not depend on the data, so counts are the same in any order and
however they are merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BinCounts", "Bins", "bins_of"]

_PAGE_BITS = 12
"""Counts are kept in pages of 4096 bins, which is one octave of a float: a band's values are in a few dozen of them."""

_WHOLE = 1 << 16
"""Up to so many bins are kept without pages."""

_DROPPED = np.uint32(23 - 12)
"""The bits of a float32's fraction that do not count."""

_HALF = np.uint32(1 << 10)
_SIZE = np.uint32(0x7FFF_FFFF)
"""All bits but the sign: in the order of sizes, as whole numbers."""

_ZERO = 1 << 20
"""The bin of zero."""

_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Which bin a value of a type is counted in; made by `bins_of`. Bins are in the order of their values."""

    dtype: str
    count: int
    """How many bins there are."""
    is_exact: bool
    """Whether each value has a bin of its own."""
    first: int = 0
    """The value of the first bin, where bins are exact."""

    def index(self, values: NDArray[np.generic]) -> NDArray[np.intp]:
        """Return the bin of each finite value; flat."""
        if self.is_exact:
            return values.astype(np.intp) - self.first
        single = np.clip(values, -_LARGEST, _LARGEST) if values.dtype.itemsize > 4 else values
        bits = single.astype(np.float32, copy=False).view(np.uint32)
        size = (((bits & _SIZE) + _HALF) >> _DROPPED).astype(np.intp)
        return np.where(bits > _SIZE, _ZERO - size, _ZERO + size)

    def values(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the value that stands for each bin: its own, or the bin's middle."""
        if self.is_exact:
            return (index + self.first).astype(np.float64)
        bits = np.abs(index - _ZERO).astype(np.uint32) << _DROPPED
        return np.copysign(np.minimum(bits.view(np.float32), _LARGEST), index - _ZERO).astype(np.float64)


@lru_cache(maxsize=16)
def bins_of(dtype: str) -> Bins:
    """Return the bins for a pixel type, by its NumPy name."""
    kind = np.dtype(dtype)
    if kind.kind in "iu" and kind.itemsize <= 2:
        return Bins(dtype=dtype, count=1 << (8 * kind.itemsize), is_exact=True, first=int(np.iinfo(dtype).min))
    return Bins(dtype=dtype, count=2 * _ZERO + 1, is_exact=False)


class BinCounts:
    """How many values each bin has; only the pages that have any take memory.

    Args:
        count: How many bins there are.
    """

    __slots__ = ("_counts", "_is_whole", "_row_of")

    def __init__(self, count: int) -> None:
        # Looking up pages costs more than counting: half a megabyte is not worth it.
        self._is_whole = count <= _WHOLE
        # Which row of counts holds a page; -1: none yet.
        self._row_of = np.full(-(-count >> _PAGE_BITS), -1, dtype=np.intp)
        self._counts = np.zeros(count if self._is_whole else 0, dtype=np.int64)

    def add(self, index: NDArray[np.intp], counts: NDArray[np.int64] | int = 1) -> None:
        """Count values in bins, each once, or as often as `counts` says."""
        if self._is_whole:
            np.add.at(self._counts, index, counts)
            return
        pages = index >> _PAGE_BITS
        rows = self._row_of[pages]
        if len(rows) and rows.min() < 0:
            known, new = len(self._counts) >> _PAGE_BITS, np.unique(pages[rows < 0])
            self._row_of[new] = np.arange(known, known + len(new))
            self._counts = np.concatenate([self._counts, np.zeros(len(new) << _PAGE_BITS, dtype=np.int64)])
            rows = self._row_of[pages]
        np.add.at(self._counts, (rows << _PAGE_BITS) | (index & ((1 << _PAGE_BITS) - 1)), counts)

    def taken(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the bins that have values, in order, and how many they have."""
        if self._is_whole:
            taken = np.flatnonzero(self._counts)
            return taken, self._counts[taken]
        pages = np.flatnonzero(self._row_of >= 0)
        ordered = self._counts.reshape(-1, 1 << _PAGE_BITS)[self._row_of[pages]]
        page, place = np.nonzero(ordered)
        return (pages[page] << _PAGE_BITS) | place, ordered[page, place]
