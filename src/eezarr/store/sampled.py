"""Samples as they are found in a store: whole patches, many at a time, and what is known of each. Nothing is written.

A sample is named by its position in the store, from 0. Those that could not be had keep their positions; their pixels
mean nothing, so `select` leaves them out.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import zarr

from eezarr.calls import checked_call
from eezarr.documents import path_text
from eezarr.errors import InvalidInput, StoreError
from eezarr.grid import Shape2D
from eezarr.store.attributes import told_by
from eezarr.store.failures import storage_errors
from eezarr.store.samplecolumns import NO_TIME, PROPERTIES, STATE_NAME
from eezarr.store.samplegroup import PIXELS, open_sample_group
from eezarr.store.summaries import summaries_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt
    import xarray as xr

    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.metadata import JSON
    from eezarr.store.samplegroup import Column, SampleGroup
    from eezarr.store.summaries import BandSummary

    Label: TypeAlias = str | int | float

__all__ = ["SamplesStore", "open_samples"]

_STORED = 1
"""The state of a sample that is there."""


class SamplesStore:
    """Patches that `eezarr samples` stored, read-only; made by `open_samples`.

    It pickles as its path or URL, and is opened by who first reads from it: each worker opens its own.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        """The path or URL it is opened by."""
        self._opened: SampleGroup | None = None

    def __reduce__(self) -> tuple[type[SamplesStore], tuple[str]]:
        return SamplesStore, (self.url,)

    def __repr__(self) -> str:
        return f"SamplesStore({self.url!r})"

    def __len__(self) -> int:
        """How many samples there are places for, those that are not there included."""
        return int(self._pixels.shape[0])

    @property
    def facts(self) -> Mapping[str, JSON]:
        """What the samples are and where they come from: what the group's attribute `eezarr` says."""
        return told_by(self._group.attributes.get("eezarr"))

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """The bands' names, in the order of the pixels' axis."""
        return tuple(map(str, self.column("band").tolist()))

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The pixels' type."""
        return np.dtype(self._pixels.dtype)

    @property
    def size(self) -> Shape2D:
        """Pixels of a patch."""
        height, width = self._pixels.shape[-2:]
        return Shape2D(height, width)

    @property
    def has_time(self) -> bool:
        """Whether each sample has an axis of time steps."""
        return len(self._pixels.shape) == 5

    @property
    def has_targets(self) -> bool:
        """Whether each sample has a patch of labels."""
        return self._group.array("target") is not None

    @property
    def per_object(self) -> int:
        """Samples of one stored object: 1, or those of a shard."""
        return int((self._pixels.shards or self._pixels.chunks)[0])

    @cached_property
    def masking(self) -> Literal["none", "fill", "band"]:
        """How masked pixels are told from valid ones: not at all, by the declared fill, or by an array of masks."""
        if self._group.array("mask") is not None:
            return "band"
        is_old = self._group.group.metadata.zarr_format == 2
        is_declared = self._pixels.fill_value is not None if is_old else "_FillValue" in self._pixels.attrs
        return "fill" if is_declared else "none"

    @cached_property
    def statistics(self) -> Mapping[str, BandSummary]:
        """What the valid pixels of the training split amount to, by band; empty where the job has not ended."""
        return summaries_of(told_by(self._group.attributes.get("statistics")))

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """Names of the sites' other columns, for `property_of`."""
        found = self._group.group.get(PROPERTIES)
        return tuple(sorted(found.array_keys())) if isinstance(found, zarr.Group) else ()

    def has_column(self, name: str) -> bool:
        """Return whether there is a column of this name, such as `label` or `split`, which not all stores have."""
        return self._group.array(name) is not None

    def column(self, name: str) -> Column:
        """Return what is known of each sample.

        Args:
            name: id, label, split, site, longitude, latitude, crs, transform, date, times, image_ids or state. Times
                are int64 milliseconds since 1970; the least int64 is none.

        Raises:
            InvalidInput: If the store has none of this name.
            StoreError: If the storage fails.
        """
        found = self._group.column(name)
        if found is None:
            raise InvalidInput(f"There is no {name!r} in {self.url}.", hint="`to_xarray()` shows what there is.")
        return found

    def property_of(self, name: str) -> Column:
        """Return one of the sites' other columns.

        Raises:
            InvalidInput: If the sites have none of this name.
            StoreError: If the storage fails.
        """
        found = self._group.column(f"{PROPERTIES}/{name}")
        if found is None:
            raise InvalidInput(
                f"The sites have no column {name!r}.", hint=f"Theirs are {', '.join(self.properties) or 'none'}."
            )
        return found

    def select(self, *, split: str | None = None, label: Label | None = None) -> npt.NDArray[np.int64]:
        """Return the positions of the samples that are there, in stored order.

        Args:
            split: Only those of this split.
            label: Only those with this label.

        Raises:
            InvalidInput: If no sample has this split or label.
            StoreError: If the storage fails.
        """
        chosen = np.asarray(self.column(STATE_NAME) == _STORED)
        for name, value in (("split", split), ("label", label)):
            if value is not None:
                chosen &= self._having(name, value)
        return np.flatnonzero(chosen).astype(np.int64)

    def pixels(self, samples: npt.ArrayLike) -> Block:
        """Return samples' pixels, (sample, [time,] band, y, x), in the order asked for; the array is the caller's.

        Cost: their objects are read whole, shards in part; ask for many at once, in any order.

        Args:
            samples: Positions.

        Raises:
            IndexError: If there is no such position.
            StoreError: If the storage fails, an object is damaged, or one is not there that should be.
        """
        return self._patches(PIXELS, samples)

    def masks(self, samples: npt.ArrayLike) -> Block:
        """Return the stored masks, 1 where valid: (sample, [time,] [band,] y, x); see `pixels`.

        Raises:
            InvalidInput: If the store has no array of masks.
        """
        return self._patches("mask", samples)

    def targets(self, samples: npt.ArrayLike) -> Block:
        """Return the patches of labels, (sample, y, x); see `pixels`.

        Raises:
            InvalidInput: If the store has none.
        """
        return self._patches("target", samples)

    def validity(self, samples: npt.ArrayLike, pixels: Block) -> npt.NDArray[np.bool_] | None:
        """Return which of these samples' pixels are valid, or None where nothing says that any is not.

        The stored mask says it; else the declared fill, and for floats NaN and infinities; without either, only that
        there is no image of a time step.

        Args:
            samples: Positions.
            pixels: All bands of these samples.

        Returns:
            Of the shape of the pixels, or of that without the band axis where it is the same for all bands.
        """
        if self.masking == "band":
            return np.asarray(self.masks(samples) != 0)
        fill = self._pixels.fill_value
        if pixels.dtype.kind == "f":
            is_valid = np.isfinite(pixels)
            return is_valid & (pixels != fill) if self.masking == "fill" and math.isfinite(fill) else is_valid
        if self.masking == "fill":
            return np.asarray(pixels != fill)
        if not self.has_time:
            return None
        are_there = self.have_steps(samples)
        return np.broadcast_to(are_there[..., None, None], (*are_there.shape, *pixels.shape[-2:])).copy()

    def have_steps(self, samples: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which time steps of samples there is an image of, (sample, time).

        Raises:
            InvalidInput: If the store has no time.
        """
        return np.asarray(self.column("times")[np.asarray(samples, np.int64)] != NO_TIME)

    def to_xarray(self, *, chunks: Mapping[str, int] | None = None) -> xr.Dataset:
        """Return the store as a dataset that reads what is used of it; the same as `xarray.open_zarr` opens.

        Args:
            chunks: Of Dask arrays of the patches, such as `{"sample": 64}`; None: NumPy arrays.

        Raises:
            InvalidInput: If xarray is not installed.
            StoreError: If the storage fails.
        """
        return self._group.dataset(chunks)

    @property
    def _group(self) -> SampleGroup:
        if self._opened is None:
            self._opened = open_sample_group(self.url)
        self._opened.require_own_process()
        return self._opened

    @property
    def _pixels(self) -> PixelArray:
        found = self._group.array(PIXELS)
        assert found is not None, "was there when it was opened"
        return found

    def _having(self, name: str, value: Label) -> npt.NDArray[np.bool_]:
        column = self.column(name)
        try:
            has = np.asarray(column == (str(value) if column.dtype.kind == "T" else float(value)))
        except ValueError:
            has = np.zeros(len(column), np.bool_)
        if not has.any():
            known = sorted(text for text in set(map(str, column.tolist())) if text not in ("", "nan"))
            raise InvalidInput(
                f"No sample of {self.url} has the {name} {value!r}.",
                hint=f"There are {', '.join(known[:20])}{', …' if len(known) > 20 else ''}.",
            )
        return has

    def _patches(self, name: str, samples: npt.ArrayLike) -> Block:
        positions = np.asarray(samples, np.int64).reshape(-1)
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"samples are 0 to {len(self) - 1}, not {positions.min()} to {positions.max()}")
        reader = self._group.reader(name)
        if reader is None:
            raise InvalidInput(f"There is no {name!r} in {self.url}.", hint="Ask for it in the job, and run that anew.")
        with storage_errors(self.url, f"read {name}"):
            patches, is_there = reader.read(positions)
        lost = positions[~is_there]
        lost = lost[self.column(STATE_NAME)[lost] == _STORED] if len(lost) else lost
        if len(lost):
            raise StoreError(
                f"The {name} of {len(lost)} stored samples are not in {self.url} any more, first of sample {lost[0]}.",
                hint="Run its job with --repair.",
            )
        return patches


@checked_call
def open_samples(output: str | os.PathLike[str]) -> SamplesStore:
    """Open the samples of a running, broken or completed job, read-only.

    Raises:
        InvalidInput: If the output is no path or URL that can be stored in.
        ForeignStore: If it is not a store of samples that eezarr made.
        StoreError: If it does not exist or the storage fails.
    """
    samples = SamplesStore(path_text(output, noun="store"))
    len(samples)  # what is wrong with it is told now
    return samples
