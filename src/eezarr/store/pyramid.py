"""Building a store's pyramid: level by level, tile by tile, from the level below; what is up to date is left alone.

A tile of a level is marked with a signature: the CRC32C of how it is made and of the checksums (at the base) or
signatures (above) of the four tiles below. So a build that was broken off goes on where it was, a store that has grown
builds what is new, another method rebuilds all, and nothing else is read again.

Built when the last tile of the store is there, not as tiles land: a level's tile needs four that arrive in any order,
run by run, and one that is fetched again later would make what was built of it wrong.

Memory: for each thread a write unit, and the four chunks below one of its chunks. Cost: each pixel is read once, and a
third of all pixels written.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from eezarr.store.arrays import consolidate, grow_group, make_group, open_arrays
from eezarr.store.failures import storage_errors
from eezarr.store.halving import halve, halve_mask
from eezarr.store.layout import MASK_NAME, STACKED_NAME, array_specs, targets
from eezarr.store.levels import (
    LevelsRecord,
    advertise,
    level_attributes,
    levels_of,
    read_levels,
    withdraw,
    write_levels,
)
from eezarr.store.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from eezarr.plan import Plan, Tile
    from eezarr.planes import Block
    from eezarr.store.arrays import PixelArray
    from eezarr.store.halving import Resampling
    from eezarr.store.layout import ArraySpec
    from eezarr.store.levels import Level
    from eezarr.store.location import Location

__all__ = ["build_levels"]

_FLUSH_S = 1.0
_THREADS = min(4, os.cpu_count() or 1)
"""More gain nothing: Zarr's pipeline has threads of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stage:
    """The store itself or one of its levels: pixels, and what says that they are there."""

    plan: Plan
    specs: tuple[ArraySpec, ...]
    arrays: tuple[PixelArray, ...]
    marks: Marks


def build_levels(
    plan: Plan,
    location: Location,
    arrays: tuple[PixelArray, ...],
    marks: Marks,
    methods: Mapping[str, Resampling] | None,
) -> int:
    """Build a complete store's pyramid, or bring it up to date, and tell readers of it; return how many tiles it took.

    Args:
        plan: The store's.
        location: The store.
        arrays: Its arrays.
        marks: Its marks, durable by now.
        methods: How each band's levels are made. None: as those that are there were, which are kept true whatever a
            later job asks for; a store that has none gets none.

    Raises:
        StoreError: If the storage fails; the same call goes on from there.
    """
    levels = levels_of(plan)
    record = _prepare(plan, location, levels, methods)
    if record is None:
        return 0
    how, built = dict(record.methods), 0
    below = _Stage(plan=plan, specs=array_specs(plan), arrays=arrays, marks=marks)
    for level in levels:
        stage = _Stage(
            plan=level.plan,
            specs=level.specs,
            arrays=open_arrays(location, level.specs, level.group),
            marks=Marks.load(level.plan, location, level.marks_prefix),
        )
        stale = _stale(stage, below, how)
        first = next(stale, None)
        if first is not None and record.state == "whole":
            withdraw(location, plan)
            record = replace(record, state="building")
        if first is not None:
            halving = _Halving(location=location, level=stage, below=below, methods=how)
            built += _build(halving, itertools.chain([first], stale))
        below = stage
    if record.state != "whole":
        advertise(location, plan, levels, how)
        write_levels(location, replace(record, state="whole"))
    return built


def _prepare(
    plan: Plan, location: Location, levels: Sequence[Level], methods: Mapping[str, Resampling] | None
) -> LevelsRecord | None:
    """Return the record of a pyramid whose arrays are there, as long in time as the plan; None if none is wanted."""
    found = read_levels(location)
    if not levels or (found is None and methods is None):
        return None
    wanted = tuple(methods.items()) if methods is not None else found.methods if found is not None else ()
    record = LevelsRecord(state="making", lineage=plan.lineage, steps=plan.step_count, methods=wanted)
    if found is None or found.state == "making" or found.lineage != plan.lineage:
        write_levels(location, record)
        for level in levels:
            location.remove_below(level.group)
            location.remove_below(level.marks_prefix)
            make_group(location, level.plan, level.specs, level_attributes(level, dict(wanted)), level.group)
            consolidate(location, level.group)
    elif found == replace(record, state="whole"):
        return found
    else:
        withdraw(location, plan)
        for level in levels if found.steps != plan.step_count else ():
            grow_group(location, level.plan, level.specs, level.group)
            consolidate(location, level.group)
    record = replace(record, state="building")
    write_levels(location, record)
    return record


def _stale(level: _Stage, below: _Stage, methods: Mapping[str, Resampling]) -> Iterator[tuple[int, int]]:
    """Yield the tiles that are not what their sources say, each with the signature that it will have."""
    plan = level.plan
    for index in range(plan.tile_count):
        signature = _signature(plan, index, below, methods)
        if signature is not None and level.marks.checksum(index) != signature:
            yield index, signature


def _signature(plan: Plan, index: int, below: _Stage, methods: Mapping[str, Resampling]) -> int | None:
    """What a tile is made of and how; None where there is nothing below it: outside of the region's polygon."""
    place, group = divmod(index, plan.band_groups)
    line, col = divmod(place, plan.cols)
    span, row = divmod(line, plan.rows)
    rows = range(2 * row, min(2 * row + 2, below.plan.rows))
    cols = range(2 * col, min(2 * col + 2, below.plan.cols))
    # A mask for all bands is stored, and checked, with the first of them.
    groups = {group, 0} if plan.masking.mode == "band" and plan.masking.is_shared else {group}
    sources = [
        below.marks.checksum(((span * below.plan.rows + down) * below.plan.cols + across) * plan.band_groups + which)
        for down, across, which in itertools.product(rows, cols, sorted(groups))
    ]
    if all(source is None for source in sources):
        return None
    how = " ".join(methods[band.name] for band in plan.bands[group * plan.bands_per_tile :][: plan.bands_per_tile])
    packed = b"".join(struct.pack("<?I", source is not None, source or 0) for source in sources)
    return int(google_crc32c.value(f"1 {how} ".encode() + packed))


def _build(halving: _Halving, stale: Iterator[tuple[int, int]]) -> int:
    """Build and mark tiles, a bounded number at a time; marks are durable within a second, and at the end."""
    marks, flushed_s, built = halving.level.marks, time.monotonic(), 0
    running: dict[Future[None], tuple[int, int]] = {}
    try:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="eezarr-levels") as pool:
            while True:
                for index, signature in itertools.islice(stale, _THREADS + 1 - len(running)):
                    running[pool.submit(halving.make, halving.level.plan.tile(index))] = index, signature
                if not running:
                    return built
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    index, signature = running.pop(done)
                    done.result()
                    marks.mark(index, signature)
                    built += 1
                if time.monotonic() >= flushed_s + _FLUSH_S:
                    marks.flush()
                    flushed_s = time.monotonic()
    finally:
        marks.flush()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Halving:
    """One level and the one below it."""

    location: Location
    level: _Stage
    below: _Stage
    methods: Mapping[str, Resampling]

    def make(self, tile: Tile) -> None:
        """Build and store all pixels and masks of one of the level's tiles, write unit by write unit."""
        with storage_errors(self.location.url, f"write overviews of {tile}"):
            for place in targets(self.level.plan, tile):
                spec = self.level.specs[place.array]
                for unit in _parts(place.window, spec.unit):
                    made = np.empty(tuple(span.stop - span.start for span in unit), spec.dtype)
                    for part in _parts(unit, spec.chunk):
                        inside = tuple(
                            slice(span.start - whole.start, span.stop - whole.start)
                            for span, whole in zip(part, unit, strict=True)
                        )
                        made[inside] = self._halved(place.array, part)
                    self.level.arrays[place.array][unit] = made

    def _halved(self, array: int, part: tuple[slice, ...]) -> Block:
        """The pixels of a part of an array, from the level below."""
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
