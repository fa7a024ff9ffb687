"""The arrays of samples: names, shapes, chunks, types. Nothing is written here.

    pixels  (sample, [time,] band, y, x)    a chunk is one sample, a shard some
    mask    (sample, [time,] [band,] y, x)  0 or 1, where the job keeps masks
    target  (sample, y, x)                  where there is an image of labels

Where a sample has fewer images than the time axis is long, the rest of its chunk is fill, its mask 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.plan import MASK_DTYPE
from eezarr.store.layout import MASK_NAME, STACKED_NAME, ArraySpec
from eezarr.store.metadata import least_likely

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eezarr.grid import Shape2D
    from eezarr.plan import Band, Field, Fill, Masking, Tile
    from eezarr.planes import Block
    from eezarr.samples import SampleLayout, SamplePlan

__all__ = ["TARGET_NAME", "SampleForm", "blank_blocks", "form_of", "sample_specs", "slot_parts"]

TARGET_NAME = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleForm:
    """All that the arrays of samples depend on."""

    count: int
    """Samples."""
    steps: int | None
    """Length of the time axis; None without time."""
    bands: tuple[Band, ...]
    layout: SampleLayout
    masking: Masking
    target: Band | None

    @property
    def fill(self) -> Fill:
        """What stands where there are no pixels: the declared fill, else the type's least likely value."""
        if self.masking.mode != "none":
            return self.masking.fills[0]
        return least_likely(np.dtype(self.bands[0].dtype))


def form_of(plan: SamplePlan) -> SampleForm:
    """Return the form of a plan's arrays.

    Raises:
        InvalidInput: If shards are asked for in Zarr format 2.
    """
    if plan.layout.per_shard is not None and plan.layout.zarr_format == 2:
        raise InvalidInput("Zarr format 2 has no shards.", hint="Set format = 3, or shard = false.")
    return SampleForm(
        count=len(plan),
        steps=plan.step_count if plan.has_time else None,
        bands=plan.bands,
        layout=plan.layout,
        masking=plan.masking,
        target=plan.target,
    )


@lru_cache(maxsize=16)
def sample_specs(form: SampleForm) -> tuple[ArraySpec, ...]:
    """Return the arrays of pixels, masks and labels, those that there are, in this order."""
    masking = form.masking
    fill = masking.fills[0] if masking.mode == "fill" else None
    specs = [_spec(form, STACKED_NAME, form.bands[0].dtype, has_bands=True, fill=fill)]
    if masking.mode == "band":
        specs.append(_spec(form, MASK_NAME, MASK_DTYPE, has_bands=not masking.is_shared))
    if form.target is not None:
        specs.append(_spec(form, TARGET_NAME, form.target.dtype, has_bands=False, has_time=False))
    return tuple(specs)


def blank_blocks(form: SampleForm, count: int, shape: Shape2D | None = None) -> tuple[Block, ...]:
    """Return room for so many samples of each array, filled with what stands where there are no pixels.

    Args:
        form: What the arrays are like.
        count: Samples.
        shape: Pixels of each; None: those of a patch.
    """
    size = shape or form.layout.chunk
    return tuple(
        np.full(
            (count, *spec.chunk[1:-2], size.height, size.width),
            form.fill
            if spec.name == STACKED_NAME
            else 0
            if spec.name == MASK_NAME
            else least_likely(np.dtype(spec.dtype)),
            np.dtype(spec.dtype),
        )
        for spec in sample_specs(form)
    )


def _blank(form: SampleForm, spec: ArraySpec) -> Fill:
    """What stands in an array where nothing is: pixels are fill, masks 0, labels the type's least likely value."""
    if spec.name == STACKED_NAME:
        return form.fill
    return 0 if spec.name == MASK_NAME else least_likely(np.dtype(spec.dtype))


def slot_parts(
    form: SampleForm, blocks: Sequence[Block], slot: int, tile: Tile
) -> list[tuple[tuple[Field, ...], Block]]:
    """Return where a sample's fields belong in blocks, as `planes.unpack` takes them."""
    kinds = {STACKED_NAME: "pixels", MASK_NAME: "shared mask" if form.masking.is_shared else "mask"}
    parts: list[tuple[tuple[Field, ...], Block]] = []
    for spec, block in zip(sample_specs(form), blocks, strict=True):
        fields = tuple(field for field in tile.fields if field.kind == kinds.get(spec.name, "target"))
        has_time = "time" in spec.dimensions
        parts.append((fields, block[slot, : len(tile.steps)] if has_time else block[slot]))
    return parts


def _spec(
    form: SampleForm, name: str, dtype: str, *, has_bands: bool, has_time: bool = True, fill: Fill | None = None
) -> ArraySpec:
    size, layout = form.layout.chunk, form.layout
    names, sides = ["y", "x"], [size.height, size.width]
    if has_bands:
        names, sides = ["band", *names], [len(form.bands), *sides]
    if has_time and form.steps is not None:
        names, sides = ["time", *names], [form.steps, *sides]
    return ArraySpec(
        name=name,
        dtype=dtype,
        dimensions=("sample", *names),
        shape=(form.count, *sides),
        chunk=(1, *sides),
        shard=None if layout.per_shard is None else (layout.per_shard, *sides),
        fill=fill,
    )
