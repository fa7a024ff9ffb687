"""Samples as a model wants them: bands chosen, pixels normalised, what is masked made harmless; NumPy arrays only.

Law: a pixel becomes (pixel - mean) / deviation of its band as float32, the difference taken in double precision, so
that a small spread about a large mean keeps its digits; a pixel that is masked, not finite, or of a time step that is
not there becomes the value for such pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from eezarr.store import BandSummary, SamplesStore

    Normalisation: TypeAlias = Literal["stored"] | Mapping[str, BandSummary] | None

__all__ = ["NO_CLASS", "Batch", "BatchReader", "make_reader"]

NO_CLASS = -100
"""The class of a sample without a label: what torch's losses leave out by default."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Some samples; the arrays are the caller's."""

    samples: npt.NDArray[np.int64]
    """Their positions in the store."""
    pixels: npt.NDArray[np.generic]
    """(sample, [time,] band, y, x): float32 where normalised, else as stored."""
    mask: npt.NDArray[np.bool_] | None
    """Which pixels are valid, of their shape or of that without the band axis; None: nothing says that any is not."""
    target: npt.NDArray[np.generic] | None
    """(sample, y, x)"""
    label: npt.NDArray[np.generic] | None
    """(sample,): classes of texts as int64, numbers as they are."""
    times: npt.NDArray[np.int64] | None
    """(sample, time), milliseconds since 1970; the least int64 where there is none."""
    ids: list[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchReader:
    """Reads batches of one store; made by `make_reader`. It pickles as small as the store does."""

    store: SamplesStore
    bands: tuple[str, ...]
    """Those that are read, in this order."""
    figures: tuple[tuple[float, float], ...] | None
    """Mean and deviation of each band, or None: pixels stay as they are stored."""
    masked: float
    """What pixels that are not valid become, where pixels are normalised."""

    def read(self, samples: npt.NDArray[np.int64]) -> Batch:
        """Return samples, all read at once.

        Raises:
            StoreError: If the storage fails.
        """
        store = self.store
        pixels = store.pixels(samples)
        mask = store.validity(samples, pixels)
        if self.bands != store.bands:
            if mask is not None and mask.ndim == pixels.ndim:
                mask = np.take(mask, self._positions, axis=-3)
            pixels = np.take(pixels, self._positions, axis=-3)
        return Batch(
            samples=samples,
            pixels=pixels if self.figures is None else self._normalised(pixels, mask, samples),
            mask=mask,
            target=store.targets(samples) if store.has_targets else None,
            label=None if self._labels is None else self._labels[samples],
            times=store.column("times")[samples].astype(np.int64) if store.has_time else None,
            ids=store.column("id")[samples].tolist(),
        )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All labels of the store that are texts, sorted: a sample's class is its label's position."""
        if not self.store.has_column("label") or self.store.column("label").dtype.kind != "T":
            return ()
        return tuple(sorted(set(self.store.column("label").tolist()) - {""}))

    def __getstate__(self) -> dict[str, object]:
        """Leave out what is read from the store again."""
        return {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}

    @cached_property
    def _positions(self) -> list[int]:
        return [self.store.bands.index(band) for band in self.bands]

    @cached_property
    def _labels(self) -> npt.NDArray[np.generic] | None:
        if not self.store.has_column("label"):
            return None
        labels = self.store.column("label")
        if labels.dtype.kind != "T":
            return labels
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers.get(name, NO_CLASS) for name in labels.tolist()], np.int64)

    @cached_property
    def _scales(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Means, and what to multiply by: 1 for a band that is the same everywhere."""
        means, deviations = np.array(self.figures).T[..., None, None]
        return means, (1 / np.where(deviations > 0, deviations, 1.0)).astype(np.float32)

    def _normalised(
        self, pixels: npt.NDArray[np.generic], mask: npt.NDArray[np.bool_] | None, samples: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        means, factors = self._scales
        made = np.empty(pixels.shape, np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            np.subtract(pixels, means, out=made, dtype=np.float64, casting="same_kind")
            made *= factors
        if mask is not None:
            made[~(mask if mask.ndim == made.ndim else np.broadcast_to(mask[..., None, :, :], made.shape))] = (
                self.masked
            )
        if self.store.has_time:
            made[~self.store.have_steps(samples)] = self.masked
        if pixels.dtype.kind == "f":
            made[~np.isfinite(made)] = self.masked
        return made


def make_reader(
    store: SamplesStore, *, bands: Sequence[str] | None, normalise: Normalisation, masked: float
) -> BatchReader:
    """Return a reader of a store's samples.

    Args:
        store: Whose.
        bands: Which, in which order; None: all.
        normalise: "stored": by the store's own statistics; by others; or None: not at all.
        masked: What pixels that are not valid become, where pixels are normalised.

    Raises:
        InvalidInput: If a band is not in the store, or has no statistics.
        StoreError: If the storage fails.
    """
    chosen = store.bands if bands is None else tuple(bands)
    unknown = [band for band in chosen if band not in store.bands]
    if unknown or not chosen:
        raise InvalidInput(
            f"{store.url} has no bands {', '.join(unknown) or 'of no name'}.",
            hint=f"Its bands are {', '.join(store.bands)}.",
        )
    if normalise is None:
        return BatchReader(store=store, bands=chosen, figures=None, masked=masked)
    known = store.statistics if normalise == "stored" else normalise
    without = [band for band in chosen if band not in known]
    if without:
        raise InvalidInput(
            f"There are no statistics of {', '.join(without)}"
            + (f" in {store.url}." if normalise == "stored" else "."),
            hint="They are written when the job ends; until then give some, or normalise=None.",
        )
    figures = tuple((known[band].mean, known[band].std) for band in chosen)
    return BatchReader(store=store, bands=chosen, figures=figures, masked=masked)
