"""Which images of a listed collection each sample reads.

Law: what a sample reads depends on its own place and date and on the images, and on no other sample. Without groups an
image counts for a sample if its footprint contains the whole patch; a patch that no image contains (within the window)
takes those that meet it. In groups all that meet it count, since what one lacks another may have.

`nearest` counts steps, or images where all become one; distances in time are of images' starts, a group's is its
nearest image's; of two equally far the earlier one is taken. A window is inclusive at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from eezarr.samples.footprints import CONTAINED
from eezarr.samples.steps import SampleSteps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from eezarr.samples.footprints import PatchIndex

__all__ = ["ImageTable", "StepKind", "Wanted", "match_images"]

StepKind: TypeAlias = Literal["each", "group", "one"]
"""What a step is: an image as it is, the images of a group, or all of a sample's images."""

_PAIRS_AT_ONCE = 1 << 22
"""Pairs of sample and image that are held before the nearest are chosen: some 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageTable:
    """The images of a collection, oldest first (those of the same start by name)."""

    names: tuple[str, ...]
    """Resource names."""
    starts: NDArray[np.int64]
    """Milliseconds since 1970."""
    footprints: Sequence[Mapping[str, object] | None]
    """GeoJSON, or None."""
    kind: StepKind
    groups: NDArray[np.int64]
    """The group of each image; its own position where each is a step."""
    times: NDArray[np.int64]
    """The step's time as each image's group has it: its own start, or that of the group's period."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """Which images in time; without dates all."""

    dates: NDArray[np.int64] | None = None
    """Each sample's own, in milliseconds since 1970; None: none is looked at."""
    nearest: int | None = None
    window_ms: int | None = None


class _Pairs(NamedTuple):
    samples: NDArray[np.int64]
    images: NDArray[np.int64]
    levels: NDArray[np.int8]

    def keep(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> _Pairs:
        return _Pairs(self.samples[which], self.images[which], self.levels[which])


def match_images(patches: PatchIndex, images: ImageTable, wanted: Wanted) -> SampleSteps:
    """Return the steps of each patch.

    Cost: a few microseconds for each pair of a patch and an image whose box it is in; memory 20 bytes a pair, of which
    only the nearest are kept where `nearest` counts images.
    """
    found: list[_Pairs] = []
    held = 0
    for nth, footprint in enumerate(images.footprints):
        samples, levels = patches.found(footprint)
        pairs = _Pairs(samples, np.full(len(samples), nth, dtype=np.int64), levels)
        found.append(_in_window(pairs, images, wanted))
        held += len(found[-1].samples)
        if held > _PAIRS_AT_ONCE and images.kind != "group":
            found = [_chosen(_joined(found), images, wanted)]
            held = len(found[0].samples)
    return _steps(len(patches.outlines), _chosen(_joined(found), images, wanted), images)


def _joined(parts: list[_Pairs]) -> _Pairs:
    if not parts:
        return _Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8))
    return _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _in_window(pairs: _Pairs, images: ImageTable, wanted: Wanted) -> _Pairs:
    if wanted.dates is None or wanted.window_ms is None:
        return pairs
    return pairs.keep(_apart(pairs, images, wanted.dates) <= wanted.window_ms)


def _apart(pairs: _Pairs, images: ImageTable, dates: NDArray[np.int64]) -> NDArray[np.int64]:
    apart: NDArray[np.int64] = np.abs(images.starts[pairs.images] - dates[pairs.samples])
    return apart


def _chosen(pairs: _Pairs, images: ImageTable, wanted: Wanted) -> _Pairs:
    """What is kept of some pairs; but for groups, choosing from parts first and then from the rest is the same."""
    if images.kind == "each" and len(pairs.samples):
        contained = np.zeros(int(pairs.samples.max()) + 1, dtype=np.bool_)
        contained[pairs.samples[pairs.levels == CONTAINED]] = True
        pairs = pairs.keep((pairs.levels == CONTAINED) | ~contained[pairs.samples])
    if wanted.nearest is None or wanted.dates is None or not len(pairs.samples):
        return pairs
    apart = _apart(pairs, images, wanted.dates)
    if images.kind != "group":
        order = np.lexsort((pairs.images, apart, pairs.samples))
        return pairs.keep(order[_rank(pairs.samples[order]) < wanted.nearest])
    groups = images.groups[pairs.images]
    order = np.lexsort((apart, groups, pairs.samples))
    is_first = _changes(pairs.samples[order], groups[order])
    heads = order[is_first]
    ranked = np.lexsort((groups[heads], apart[heads], pairs.samples[heads]))
    is_kept = np.zeros(len(heads), dtype=np.bool_)
    is_kept[ranked[_rank(pairs.samples[heads][ranked]) < wanted.nearest]] = True
    return pairs.keep(order[is_kept[np.cumsum(is_first) - 1]])


def _rank(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of each pair among those of its sample, where pairs are ordered by sample."""
    starts = np.flatnonzero(_changes(samples))
    return np.arange(len(samples)) - np.repeat(starts, np.diff(starts, append=len(samples)))


def _changes(*columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a row differs from the one before it."""
    if not len(columns[0]):
        return np.zeros(0, dtype=np.bool_)
    differs = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.concatenate([[True], differs])


def _steps(count: int, pairs: _Pairs, images: ImageTable) -> SampleSteps:
    groups = np.zeros(len(pairs.images), np.int64) if images.kind == "one" else images.groups[pairs.images]
    order = np.lexsort((pairs.images, groups, pairs.samples))
    samples, used, groups = pairs.samples[order], pairs.images[order], groups[order]
    starts = np.flatnonzero(_changes(samples, groups))
    # Steps are in order of their first images; groups are numbered so that nearly always they are that already.
    sizes, firsts = np.diff(starts, append=len(used)), used[starts]
    turn = np.lexsort((firsts, samples[starts]))
    used = used[np.repeat(starts[turn] - np.cumsum(sizes[turn]) + sizes[turn], sizes[turn]) + np.arange(len(used))]
    per_sample = np.bincount(samples[starts], minlength=count)
    occurring, positions = np.unique(used, return_inverse=True)
    return SampleSteps(
        names=tuple(images.names[image] for image in occurring.tolist()),
        sample_starts=np.concatenate([[0], np.cumsum(per_sample)]).astype(np.int64),
        times=images.times[firsts[turn]],
        step_starts=np.concatenate([[0], np.cumsum(sizes[turn])]).astype(np.int64),
        images=positions.reshape(-1).astype(np.int32),
    )
