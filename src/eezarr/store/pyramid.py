"""Building a store's pyramid while the store is filled: a tile of a level as soon as all below it is there.

Whoever stores the last of a tile's sources builds it, in the same thread, and then what that completes above. What was
not built so is built at the end: of a run that was broken off, of a store that was there before its levels were wanted,
or of a tile that was fetched again.

Law: a tile's mark is its signature, and its pixels are what the signature says. So a stale tile loses its mark,
durably, before it is overwritten, and a tile whose sources are what its mark says is never built again. Nothing depends
on which marks become durable first: what was built of a tile whose own mark was lost is right if that tile comes back
the same, and else stale.

Memory: for each thread a write unit, and the four chunks below one of its chunks; for a region that is a polygon a byte
for each place of a tile. Cost: each pixel is read once, and a third of all pixels written.
"""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from eezarr.store.arrays import consolidate, grow_group, make_group, open_arrays
from eezarr.store.chunks import chunk_writer, unread_array
from eezarr.store.halving import halve_mask
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
from eezarr.store.stages import Halving, Stage
from eezarr.threads import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from eezarr.plan import Plan
    from eezarr.store.halving import Resampling
    from eezarr.store.levels import Level
    from eezarr.store.location import Location

__all__ = ["Pyramid"]

_FLUSH_S = 1.0
_THREADS = min(4, usable_cores())
"""More gain nothing: Zarr's pipeline has threads of its own."""


class Pyramid:
    """The levels of a store that is being filled, or is full; made by `open`. Thread-safe."""

    def __init__(self, *, location: Location, base: Stage, levels: Sequence[Level], record: LevelsRecord) -> None:
        self._location = location
        self._base = base
        self._levels = levels
        self._record = record
        self._halvings = _halvings(location, base, levels, dict(record.methods))
        self._claims: set[tuple[int, int]] = set()
        self._claiming = threading.Lock()

    @classmethod
    def open(cls, location: Location, base: Stage, methods: Mapping[str, Resampling] | None) -> Self | None:
        """Lay the pyramid out, or take up the one that is there; return None if none is wanted.

        Args:
            location: The store.
            base: Its own plan, arrays and marks.
            methods: How each band's levels are made. None: as those that are there were, which are kept true whatever a
                later job asks for; a store that has none gets none.

        Raises:
            StoreError: If the storage fails.
        """
        levels = levels_of(base.plan)
        record = _prepare(location, base, levels, methods)
        return None if record is None else cls(location=location, base=base, levels=levels, record=record)

    @staticmethod
    def is_whole(location: Location, plan: Plan, methods: Mapping[str, Resampling] | None) -> bool:
        """Return whether the levels of a complete store are all there and told of, or none are wanted.

        Args:
            location: The store.
            plan: Its plan.
            methods: As in `open`.

        Raises:
            StoreError: If the storage fails.
        """
        found = read_levels(location)
        if not levels_of(plan) or (found is None and methods is None):
            return True
        wanted = None if methods is None else tuple(methods.items())
        return (
            found is not None
            and (found.state, found.lineage, found.steps) == ("whole", plan.lineage, plan.step_count)
            and wanted in (None, found.methods)
        )

    @property
    def methods(self) -> dict[str, Resampling]:
        """How each band's levels are made."""
        return dict(self._record.methods)

    def on_stored(self, index: int) -> None:
        """Build all that has its sources since a tile of the store is marked, unless another thread is about it.

        Cost: none but look-ups for three tiles of four; for the others what building takes.

        Raises:
            StoreError: If the storage fails; what was not built is stale, and built by `complete`.
        """
        self._climb(0, index)

    def flush(self) -> None:
        """Make the marks durable.

        Raises:
            StoreError: If the storage fails.
        """
        for halving in self._halvings:
            halving.level.marks.flush()

    def complete(self) -> int:
        """Build what is missing or stale, the store being complete, and tell readers of the levels.

        Returns:
            How many tiles it took.

        Raises:
            StoreError: If the storage fails; the same call goes on from there.
        """
        built = 0
        for halving in self._halvings:
            stale = _stale(halving)
            first = next(stale, None)
            if first is not None:
                self._begin()
                built += _build(halving, itertools.chain([first], stale))
        if self._record.state != "whole":
            self.flush()
            advertise(self._location, self._base.plan, self._levels, self.methods)
            self._record = replace(self._record, state="whole")
            write_levels(self._location, self._record)
        return built

    def _begin(self) -> None:
        """Tell readers of no levels while they change."""
        if self._record.state == "whole":
            withdraw(self._location)
            self._record = replace(self._record, state="building")

    def _climb(self, depth: int, index: int) -> None:
        """Build what a tile completes in the level above it, and what that completes, to the top."""
        if depth == len(self._halvings):
            return
        for above in self._halvings[depth].above(index):
            if self._has_sources(depth, above) and self._bring_up(depth, above):
                self._climb(depth + 1, above)

    def _has_sources(self, depth: int, index: int) -> bool:
        """Whether all is there that a tile is made of; where nothing of the region is, there is nothing to wait for."""
        halving = self._halvings[depth]
        marks = halving.below.marks
        return all(marks.is_marked(source) or not self._is_wanted(depth, source) for source in halving.sources(index))

    def _bring_up(self, depth: int, index: int) -> bool:
        """Build a tile if it is stale; return whether it is there now, and not another thread's."""
        halving, claim = self._halvings[depth], (depth, index)
        with self._claiming:
            if claim in self._claims:
                return False
            self._claims.add(claim)
        try:
            signature = halving.signature(index)
            if signature is not None and halving.level.marks.checksum(index) != signature:
                _make(halving, index, signature)
            return signature is not None
        finally:
            with self._claiming:
                self._claims.remove(claim)

    def _is_wanted(self, depth: int, index: int) -> bool:
        """Whether a tile of the stage below a level has anything of the region."""
        if self._base.plan.coverage is None:
            return True
        plan = self._halvings[depth].below.plan
        line, col = divmod(index // plan.band_groups, plan.cols)
        return bool(self._touched[depth][line % plan.rows, col])

    @cached_property
    def _touched(self) -> list[npt.NDArray[np.bool_]]:
        """For the store and each level but the last, the places of tiles that have anything of the region."""
        plan = self._base.plan
        steps = range(0, plan.rows * plan.cols * plan.band_groups, plan.band_groups)
        wanted = np.fromiter(map(plan.is_wanted, steps), np.bool_, len(steps)).reshape(plan.rows, plan.cols)
        found = [wanted]
        for _ in self._halvings[1:]:
            found.append(np.asarray(halve_mask(found[-1]), np.bool_))
        return found


def _prepare(
    location: Location, base: Stage, levels: Sequence[Level], methods: Mapping[str, Resampling] | None
) -> LevelsRecord | None:
    """Return the record of a pyramid whose arrays are there, as long in time as the plan; None if none is wanted."""
    plan, found = base.plan, read_levels(location)
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
        withdraw(location)
        # What was made in another way would pass for a source, and be built upon, until its own turn comes.
        for level in levels if found.methods != wanted else ():
            location.remove_below(level.marks_prefix)
        for level in levels if found.steps != plan.step_count else ():
            grow_group(location, level.plan, level.specs, level.group)
            consolidate(location, level.group)
    record = replace(record, state="building")
    write_levels(location, record)
    return record


def _halvings(
    location: Location, base: Stage, levels: Sequence[Level], methods: Mapping[str, Resampling]
) -> list[Halving]:
    """Open the levels, finest first, each with what is below it."""
    halvings: list[Halving] = []
    below = base
    for level in levels:
        arrays = open_arrays(location, level.specs, level.group)
        is_zarrs = any(chunk_writer(array, location, level.plan.layout.compressor) is None for array in arrays)
        stage = Stage(
            plan=level.plan,
            specs=level.specs,
            arrays=arrays,
            marks=Marks.load(level.plan, location, level.marks_prefix),
            unread=tuple(unread_array(array, location) for array in arrays) if is_zarrs else (),
        )
        halvings.append(Halving(location=location, level=stage, below=below, methods=methods))
        below = stage
    return halvings


def _stale(halving: Halving) -> Iterator[tuple[int, int]]:
    """Yield the tiles that are not what their sources say, each with the signature that it will have."""
    for index in range(halving.level.plan.tile_count):
        signature = halving.signature(index)
        if signature is not None and halving.level.marks.checksum(index) != signature:
            yield index, signature


def _make(halving: Halving, index: int, signature: int) -> None:
    """Build a tile and mark it; the mark that it had, if any, is durably gone before its pixels are."""
    marks = halving.level.marks
    if marks.is_marked(index):
        marks.unmark(index)
        marks.flush()
    halving.make(halving.level.plan.tile(index))
    marks.mark(index, signature)


def _build(halving: Halving, stale: Iterator[tuple[int, int]]) -> int:
    """Build and mark tiles, a bounded number at a time; marks are durable within a second, and at the end."""
    marks, flushed_s, built = halving.level.marks, time.monotonic(), 0
    running: set[Future[None]] = set()
    try:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="eezarr-levels") as pool:
            while True:
                for index, signature in itertools.islice(stale, _THREADS + 1 - len(running)):
                    running.add(pool.submit(_make, halving, index, signature))
                if not running:
                    return built
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    built += 1
                if time.monotonic() >= flushed_s + _FLUSH_S:
                    marks.flush()
                    flushed_s = time.monotonic()
    finally:
        marks.flush()
