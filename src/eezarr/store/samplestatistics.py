"""Statistics of the samples of the training split: counted as they are stored, and read back where an earlier run did.

Law: they are of valid pixels (mask 1; or not the declared fill, not NaN) of stored samples, of the times that a sample
has, whatever run stored them and in whichever order.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from typing import TYPE_CHECKING

import numpy as np

from eezarr.samples import PixelStatistics
from eezarr.store.attributes import told_by
from eezarr.store.failures import storage_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from eezarr.planes import Block
    from eezarr.samples import BandStatistics, SamplePlan
    from eezarr.store.arrays import PixelArray
    from eezarr.store.metadata import JSON
    from eezarr.store.sampleform import SampleForm

__all__ = ["TrainingStatistics", "has_statistics", "statistics_hash", "training_split"]

PERCENTILES = (1, 2, 5, 25, 50, 75, 95, 98, 99)
BINS = 64
_BYTES_AT_ONCE = 32 << 20


def training_split(names: Sequence[str]) -> str:
    """Return the name of the split that models learn from: `train`, or the first."""
    return "train" if "train" in names else names[0]


def statistics_hash(statistics: dict[str, JSON]) -> str:
    """Return what the attribute `eezarr` says of the attribute `statistics`; 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(statistics).encode()).hexdigest()[:32]


def has_statistics(attributes: Mapping[str, JSON]) -> bool:
    """Return whether a group's attributes have statistics, and those that were written."""
    stated = told_by(attributes.get("eezarr")).get("statistics_hash")
    statistics = told_by(attributes.get("statistics"))
    # Earlier versions did not state it.
    return bool(statistics) and stated in (None, statistics_hash(statistics))


class TrainingStatistics:
    """What the pixels of the training split amount to; thread-safe.

    Args:
        plan: Whose samples.
        form: What the arrays are like.
    """

    def __init__(self, plan: SamplePlan, form: SampleForm) -> None:
        self._plan = plan
        self._form = form
        self._counted = PixelStatistics(plan.bands)
        self._is_counted = np.zeros(len(plan), np.bool_)
        self._lock = threading.Lock()
        self.split = None if plan.splits is None else training_split(plan.splits.names)
        """The split that is counted; None: all samples."""

    def is_wanted(self) -> npt.NDArray[np.bool_]:
        """Return which samples are counted."""
        if self._plan.splits is None or self.split is None:
            return np.ones(len(self._plan), np.bool_)
        wanted: npt.NDArray[np.bool_] = self._plan.splits.index == self._plan.splits.names.index(self.split)
        return wanted

    def count(self, sample: int, blocks: Sequence[Block], slot: int) -> None:
        """Count a sample that was stored, unless it was counted before or is of another split."""
        splits = self._plan.splits
        if splits is not None and splits.names[int(splits.index[sample])] != self.split:
            return
        steps = slice(0, self._plan.steps_of(sample))
        has_time = self._form.steps is not None
        pixels = blocks[0][slot][steps] if has_time else blocks[0][slot]
        valid = self._valid(pixels, (blocks[1][slot][steps] if has_time else blocks[1][slot]) if self._masks else None)
        with self._lock:
            if not self._is_counted[sample]:
                self._counted.update(pixels, valid)
                self._is_counted[sample] = True

    def complete(self, arrays: Sequence[PixelArray], is_stored: npt.NDArray[np.bool_], url: str) -> None:
        """Count what earlier runs stored, read a few megabytes at a time.

        Raises:
            StoreError: If it cannot be read.
        """
        rest = np.flatnonzero(is_stored & self.is_wanted() & ~self._is_counted)
        unit = self._form.layout.unit
        at_once = max(1, _BYTES_AT_ONCE // max(1, self._plan.tile_bytes) // unit) * unit
        for group in np.split(rest, np.flatnonzero(np.diff(rest // at_once)) + 1) if len(rest) else []:
            first, last = int(group[0]), int(group[-1]) + 1
            with storage_errors(url, f"read samples {first} to {last - 1}"):
                blocks = [np.asarray(array[first:last]) for array in arrays[: 1 + self._masks]]
            for sample in group.tolist():
                self.count(sample, blocks, sample - first)

    def to_json(self) -> dict[str, JSON]:
        """Return the group's attribute `statistics`."""
        bands = zip(self._plan.bands, self._counted.statistics, strict=True)
        return {"split": self.split, "bands": {band.name: _told(own) for band, own in bands}}

    @property
    def _masks(self) -> bool:
        return self._form.masking.mode == "band"

    def _valid(self, pixels: Block, mask: Block | None) -> npt.NDArray[np.bool_] | None:
        if mask is not None:
            return np.asarray(mask != 0)
        fill = self._form.fill
        # NaN is no valid pixel by itself.
        return None if self._form.masking.mode == "none" or math.isnan(fill) else np.asarray(pixels != fill)


def _told(band: BandStatistics) -> JSON:
    edges, counts = band.histogram(BINS)
    return {
        "count": band.count,
        "mean": _number(band.mean),
        "std": _number(band.std),
        "min": _number(band.min),
        "max": _number(band.max),
        "percentiles": {str(q): _number(band.percentile(q)) for q in PERCENTILES},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
