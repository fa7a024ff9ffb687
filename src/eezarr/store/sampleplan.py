"""Some stored samples as a plan of their own, made of what the store says of each: grid, images, name.

Law: the sites' file, the job and the collection's listing are not looked at, so that what is asked for again is what
the store claims to hold.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import StoreError
from eezarr.samples import PatchGrids, SamplePlan, SampleSteps, SiteTable
from eezarr.samples.steps import NO_TIME
from eezarr.store.columns import open_column
from eezarr.store.failures import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eezarr.grid import Shape2D
    from eezarr.store.location import Location
    from eezarr.store.sampleform import SampleForm

    Rows = npt.NDArray[np.int64]

__all__ = ["plan_of_samples"]


def plan_of_samples(
    location: Location, form: SampleForm, samples: Sequence[int], *, image_key: str, has_own_images: bool
) -> SamplePlan:
    """Return a plan of some samples, in this order: its sample 0 is the first of them.

    Args:
        location: The store.
        form: What its arrays are like.
        samples: Positions in the store, ascending; one at least.
        image_key: What is read, in one canonical string.
        has_own_images: Whether each sample has images of its own, as of a collection.

    Raises:
        StoreError: If the columns do not say what a sample is, or the storage fails.
    """
    rows = np.array(samples, np.int64)
    places = np.column_stack([_column(location, name, rows).astype(np.float64) for name in ("longitude", "latitude")])
    layout = form.layout
    return SamplePlan(
        image_key=image_key,
        sites=SiteTable.of(places, ids=_texts(location, "id", rows)),
        rows=rows,
        grids=_grids(location, rows, layout.chunk),
        bands=form.bands,
        layout=dataclasses.replace(layout, per_shard=None),
        masking=form.masking,
        steps=_steps(location, rows, has_time=form.steps is not None) if has_own_images else None,
        has_time=form.steps is not None,
        target=form.target,
    )


def _grids(location: Location, rows: Rows, size: Shape2D) -> PatchGrids:
    """The patches' grids: their edges are whole numbers of pixels from the CRS origin, which rounding finds again."""
    transform = _column(location, "transform", rows).astype(np.float64)
    crs, zone = np.unique(np.array(_texts(location, "crs", rows)), return_inverse=True)
    width, height = float(transform[0, 0]), -float(transform[0, 4])
    grids = PatchGrids(
        crs=tuple(map(str, crs.tolist())),
        zone=zone.astype(np.int64).reshape(-1),
        col=np.rint(transform[:, 2] / width).astype(np.int64),
        row=np.rint(-transform[:, 5] / height).astype(np.int64),
        resolution=(width, height),
        size=size,
    )
    stated = np.array([[width, 0, left, 0, -height, top] for left, top in zip(grids.left, grids.top, strict=True)])
    if not np.array_equal(stated, transform):
        raise StoreError(
            f"The column transform in {location.url} was altered: it is not of patches on one lattice.",
            hint="Fetch the samples anew, with --overwrite.",
        )
    return grids


def _steps(location: Location, rows: Rows, *, has_time: bool) -> SampleSteps:
    """The images of each sample, as its columns name them; without time a sample is made of all of its images."""
    texts = _column(location, "image_ids", rows).reshape(len(rows), -1)
    times = _column(location, "times", rows).astype(np.int64) if has_time else np.zeros(texts.shape, np.int64)
    is_there = times != NO_TIME
    images = [str(text).split("\n") for text in texts[is_there].tolist()]
    names = tuple(name for step in images for name in step)
    return SampleSteps(
        names=names,
        sample_starts=np.concatenate([[0], np.cumsum(is_there.sum(axis=1))]).astype(np.int64),
        times=times[is_there],
        step_starts=np.cumsum([0, *map(len, images)]).astype(np.int64),
        images=np.arange(len(names), dtype=np.int32),
    )


def _texts(location: Location, name: str, rows: Rows) -> list[str]:
    return list(map(str, _column(location, name, rows).tolist()))


def _column(location: Location, name: str, rows: Rows) -> npt.NDArray[np.generic]:
    # Whole, since columns are small: NumPy 2.0 crashes where zarr picks rows of a table of texts.
    array = open_column(location, name)
    with storage_errors(location.url, f"read {name}"):
        return np.asarray(array[...])[rows]
