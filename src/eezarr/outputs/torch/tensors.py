"""From batches of arrays to tensors by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from eezarr.store import SamplesStore, open_samples

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import numpy.typing as npt

    from eezarr.outputs.batches import Batch

    Item: TypeAlias = dict[str, torch.Tensor | str | list[str]]
    """A sample, or a batch: tensors and texts by name."""
    Transform: TypeAlias = Callable[[Item], Item]

__all__ = ["item_of", "opened", "tensors_of"]


def opened(store: str | os.PathLike[str] | SamplesStore) -> SamplesStore:
    """Return a store that is given open, or by its place."""
    return store if isinstance(store, SamplesStore) else open_samples(store)


def tensors_of(batch: Batch) -> Item:
    """Return a batch by name; the tensors share its memory."""
    made: Item = {}
    arrays: dict[str, npt.NDArray[np.generic] | None] = {
        "pixels": batch.pixels,
        "mask": batch.mask,
        "target": batch.target,
        "label": batch.label,
        "times": batch.times,
    }
    for name, values in arrays.items():
        if values is not None:
            made[name] = torch.from_numpy(values)
    if batch.label is not None and batch.label.dtype == np.float64:
        made["label"] = torch.from_numpy(batch.label.astype(np.float32))
    return {**made, "id": batch.ids, "index": torch.from_numpy(batch.samples)}


def item_of(batch: Item, number: int) -> Item:
    """One sample of a batch; its tensors are parts of the batch's."""
    return {name: values[number] for name, values in batch.items()}
