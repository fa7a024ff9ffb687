"""The stages of a pyramid, the store itself and its levels, and the step from one to the next: tile by tile.

A tile of a level is made of the four tiles below it; where one mask for all bands is stored with the first of them,
of those of the first bands, too. Its signature is the CRC32C of how it is made and of the checksums (at the base) or
signatures (above) of its sources.

Memory: a write unit, and the four chunks below one of its chunks.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from eezarr.store.chunks import chunk_writer
from eezarr.store.failures import storage_errors
from eezarr.store.halving import halve, halve_mask
from eezarr.store.layout import MASK_NAME, STACKED_NAME, targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from eezarr.plan import Plan, Tile
    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.halving import Resampling
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.marks import Marks

__all__ = ["Halving", "Stage"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """The store itself or one of its levels: pixels, and what says that they are there."""

    plan: Plan
    specs: tuple[ArraySpec, ...]
    arrays: tuple[PixelArray, ...]
    marks: Marks
    unread: tuple[PixelArray, ...] = ()
    """The same arrays for writing by Zarr, see `unread_array`; none where nothing is written, or not by Zarr."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halving:
    """One level and the stage below it."""

    location: Location
    level: Stage
    below: Stage
    methods: Mapping[str, Resampling]
    """How each band's pixels are made."""

    def above(self, index: int) -> list[int]:
        """Return the tiles of the level that a tile of the stage below is a source of."""
        plan, below = self.level.plan, self.below.plan
        place, group = divmod(index, plan.band_groups)
        line, col = divmod(place, below.cols)
        span, row = divmod(line, below.rows)
        first = ((span * plan.rows + row // 2) * plan.cols + col // 2) * plan.band_groups
        groups = range(plan.band_groups) if self._shares_mask and group == 0 else [group]
        return [first + which for which in groups]

    def sources(self, index: int) -> list[int]:
        """Return the tiles of the stage below that a tile of the level is made of, always in the same order."""
        plan, below = self.level.plan, self.below.plan
        place, group = divmod(index, plan.band_groups)
        line, col = divmod(place, plan.cols)
        span, row = divmod(line, plan.rows)
        rows = range(2 * row, min(2 * row + 2, below.rows))
        cols = range(2 * col, min(2 * col + 2, below.cols))
        groups = sorted({group, 0}) if self._shares_mask else [group]
        return [
            ((span * below.rows + down) * below.cols + across) * plan.band_groups + which
            for down, across, which in itertools.product(rows, cols, groups)
        ]

    def signature(self, index: int) -> int | None:
        """Return what a tile is made of and how; None where there is nothing below it: outside of a polygon."""
        plan = self.level.plan
        found = [self.below.marks.checksum(source) for source in self.sources(index)]
        if all(checksum is None for checksum in found):
            return None
        group = index % plan.band_groups
        how = " ".join(
            self.methods[band.name] for band in plan.bands[group * plan.bands_per_tile :][: plan.bands_per_tile]
        )
        packed = b"".join(struct.pack("<?I", checksum is not None, checksum or 0) for checksum in found)
        return int(google_crc32c.value(f"1 {how} ".encode() + packed))

    def make(self, tile: Tile) -> None:
        """Build and store all pixels and masks of one of the level's tiles, write unit by write unit.

        Raises:
            StoreError: If the storage fails.
        """
        with storage_errors(self.location.url, f"write overviews of {tile}"):
            for place in targets(self.level.plan, tile):
                spec, array = self.level.specs[place.array], self.level.arrays[place.array]
                writer = chunk_writer(array, self.location, self.level.plan.layout.compressor)
                for unit in _parts(place.window, spec.unit):
                    made = np.empty(tuple(span.stop - span.start for span in unit), spec.dtype)
                    for part in _parts(unit, spec.chunk):
                        inside = tuple(
                            slice(span.start - whole.start, span.stop - whole.start)
                            for span, whole in zip(part, unit, strict=True)
                        )
                        made[inside] = self._halved(place.array, part)
                    if writer is None:
                        self.level.unread[place.array][unit] = made
                    else:
                        writer.write(unit, made)

    @property
    def _shares_mask(self) -> bool:
        """Whether a mask for all bands is stored, and checked, with the first of them."""
        masking = self.level.plan.masking
        return masking.mode == "band" and masking.is_shared

    def _halved(self, array: int, part: tuple[slice, ...]) -> Block:
        """The pixels of a part of an array, from the stage below."""
        spec, masking = self.level.specs[array], self.level.plan.masking
        source = (*part[:-2], *map(_doubled, part[-2:], self.below.specs[array].shape[-2:]))
        pixels = np.asarray(self.below.arrays[array][source])
        shape = tuple(span.stop - span.start for span in part)
        made = np.empty(shape, spec.dtype)
        if spec.name == MASK_NAME:
            for plane in np.ndindex(shape[:-2]):
                made[plane] = halve_mask(pixels[plane])
            return made
        is_valid = self._are_valid(spec, source, pixels.shape)
        for plane in np.ndindex(shape[:-2]):
            band = array if spec.name != STACKED_NAME else part[-3].start + plane[-1]
            empty = masking.fills[band] if masking.mode != "none" else 0
            fill = masking.fills[band] if masking.mode == "fill" else None
            method = self.methods[self.level.plan.bands[band].name]
            made[plane] = halve(pixels[plane], is_valid[plane], method, empty=empty, fill=fill)
        return made

    def _are_valid(self, spec: ArraySpec, source: tuple[slice, ...], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """What the store's masks say of a part of an array of pixels, in the shape of the part."""
        masking = self.level.plan.masking
        if masking.mode != "band":
            return np.ones(shape, np.bool_)
        mask, is_stacked = self.below.arrays[-1], spec.name == STACKED_NAME
        during, span = (source[:1] if self.level.plan.steps is not None else ()), source[-2:]
        if masking.is_shared:
            found = np.asarray(mask[(*during, *span)]) != 0
            return np.broadcast_to(np.expand_dims(found, -3) if is_stacked else found, shape)
        bands = source[-3] if is_stacked else self._band(spec)
        found = np.asarray(mask[(*during, bands, *span)]) != 0
        return np.asarray(found if is_stacked else found[..., 0, :, :])

    def _band(self, spec: ArraySpec) -> slice:
        position = next(number for number, band in enumerate(self.level.plan.bands) if band.name == spec.name)
        return slice(position, position + 1)


def _doubled(span: slice, side: int) -> slice:
    """The pixels below a span."""
    return slice(2 * span.start, min(2 * span.stop, side))


def _parts(window: tuple[slice, ...], shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut a window, which starts where a part does, into parts of a shape."""
    along = [
        [slice(start, min(start + side, span.stop)) for start in range(span.start, span.stop, side)]
        for span, side in zip(window, shape, strict=True)
    ]
    return itertools.product(*along)
