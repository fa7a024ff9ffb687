"""A store's pixels on their way into a file: window by window, whole chunks at a time, what is masked put right.

Memory is a window's, whatever the region.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid import Window
from eezarr.outputs.cloudoptimized import Layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from eezarr.outputs.cloudoptimized import FileSpec
    from eezarr.plan import Plan
    from eezarr.store import StoredJob

__all__ = ["stored_layers"]

_WINDOW_SIDE = 1024
"""Pixels per side of a window, where chunks are no larger."""
_WINDOW_BYTES = 64 << 20
"""The most that the bands read at a time may hold, unless a chunk holds more."""


def stored_layers(job: StoredJob, step: int, spec: FileSpec, *, on_share: Callable[[float], None]) -> Iterator[Layers]:
    """Yield all windows of a file, row by row, each in as many parts as its bands take.

    Args:
        job: The store.
        step: Which of its time steps.
        spec: The file.
        on_share: Told how much of the file is read, 0 to 1.

    Raises:
        InvalidInput: If a valid pixel has the file's nodata value, and the store says which pixels are valid.
        StoreError: If the store cannot be read.
    """
    done, all_pixels = 0, spec.grid.shape.size
    for window in _windows(job.plan, spec):
        mask: npt.NDArray[np.bool_] | None = None
        at_once = _bands_at_once(job.plan, spec, window)
        for first in range(0, len(spec.bands), at_once):
            names = spec.bands[first : first + at_once]
            read = job.read_window(names, window, step=step)
            pixels = np.stack(read.pixels).astype(spec.dtype, copy=False)
            if spec.nodata is not None:
                _put_nodata(job, spec, names, pixels, read.is_valid)
            if spec.has_mask:
                valid = np.asarray(read.is_valid.all(axis=0))
                mask = valid if mask is None else mask & valid
            is_last = first + at_once >= len(spec.bands)
            yield Layers(window=window, first_band=first, pixels=pixels, mask=mask if is_last else None)
        done += window.shape.size
        on_share(done / all_pixels)


def _put_nodata(
    job: StoredJob,
    spec: FileSpec,
    names: Sequence[str],
    pixels: npt.NDArray[np.generic],
    is_valid: npt.NDArray[np.bool_],
) -> None:
    """Put the nodata value where there is no valid pixel; where the store says which are valid, none may have it."""
    assert spec.nodata is not None
    pixels[~is_valid] = spec.nodata
    if job.plan.masking.mode == "none" or math.isnan(spec.nodata):
        return
    for name, plane, valid in zip(names, pixels, is_valid, strict=True):
        if np.any(plane[valid] == spec.nodata):
            raise InvalidInput(
                f"Band {name} has valid pixels of the value {spec.nodata}, which would become nodata.",
                hint="Give a --nodata VALUE that no valid pixel has.",
            )


def _windows(plan: Plan, spec: FileSpec) -> Iterator[Window]:
    """Windows of whole chunks, row by row."""
    height, width = (
        chunk * max(1, _WINDOW_SIDE // chunk) for chunk in (plan.layout.chunk.height, plan.layout.chunk.width)
    )
    for row in range(0, spec.grid.height, height):
        for col in range(0, spec.grid.width, width):
            yield Window(
                row=row,
                col=col,
                height=min(height, spec.grid.height - row),
                width=min(width, spec.grid.width - col),
            )


def _bands_at_once(plan: Plan, spec: FileSpec, window: Window) -> int:
    """How many bands are read together: a chunk that holds several is decoded once where they fit."""
    fitting = _WINDOW_BYTES // (window.shape.size * np.dtype(spec.dtype).itemsize)
    return max(1, fitting, plan.layout.bands_per_chunk)
