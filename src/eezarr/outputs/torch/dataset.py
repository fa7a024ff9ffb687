"""Samples by number, for a DataLoader with any sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from eezarr.outputs.batches import make_reader
from eezarr.outputs.torch.tensors import item_of, opened, tensors_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from eezarr.outputs.batches import Normalisation
    from eezarr.outputs.torch.tensors import Item, Transform
    from eezarr.store import SamplesStore
    from eezarr.store.sampled import Label

__all__ = ["SampleDataset"]


class SampleDataset(Dataset["Item"]):
    """Samples by number, for a DataLoader with any sampler; those that are not there are left out.

    An item is a dict, which the default `collate_fn` makes batches of:

    - `pixels`: ([time,] band, y, x), float32 where normalised, else as stored
    - `mask`: which pixels are valid, bool, of their shape or of that without the band axis; where the store can tell
    - `target`: (y, x), the patch of labels, where there is one
    - `label`: of the site, where there is one: a text's position in `classes` (-100 for none), or a number
    - `times`: (time,) milliseconds since 1970, -2**63 for a step that is not there; where there is a time axis
    - `id` of the site, and `index`, the position in the store

    Args:
        store: Where the samples are: a path, a URL, or an open store.
        split: Only those of this split.
        label: Only those with this label.
        bands: Which bands, in which order; default: all.
        normalise: "stored": by the statistics of the store's training split; or by others, by band; None: not at all.
        masked: What pixels that are not valid become, where pixels are normalised; 0 is the band's mean.
        transform: Called with each item; what it returns is given instead.
        style: "torchgeo": the names of torchgeo's samples instead: `image`, `mask` (the target, int64), `label`, `crs`
            and `bounds` (west, south, east, north in that CRS).

    Raises:
        InvalidInput: If no sample has the split or label, a band is not there, or there are no statistics yet.
        StoreError: If the store cannot be read.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | SamplesStore,
        *,
        split: str | None = None,
        label: Label | None = None,
        bands: Sequence[str] | None = None,
        normalise: Normalisation = "stored",
        masked: float = 0.0,
        transform: Transform | None = None,
        style: Literal["plain", "torchgeo"] = "plain",
    ) -> None:
        super().__init__()
        self.store = opened(store)
        self.samples = self.store.select(split=split, label=label)
        """Positions in the store."""
        self._reader = make_reader(self.store, bands=bands, normalise=normalise, masked=masked)
        self._transform = transform
        self._style = style

    @property
    def bands(self) -> tuple[str, ...]:
        """Names along the band axis."""
        return self._reader.bands

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels of the store that are texts, sorted, whatever the split: `label` is a position in them."""
        return self._reader.classes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Item:
        """Return one sample.

        Raises:
            IndexError: If the number is not in `range(len(self))`.
            StoreError: If the store cannot be read.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[Item]:
        """Return several samples in one read, as a DataLoader asks for a batch.

        Raises:
            IndexError: If a number is not in `range(len(self))`.
            StoreError: If the store cannot be read.
        """
        batch = self._reader.read(self.samples[np.asarray(numbers, np.int64)])
        tensors = tensors_of(batch)
        items = [item_of(tensors, number) for number in range(len(numbers))]
        if self._style == "torchgeo":
            items = [
                self._as_torchgeo(item, sample) for item, sample in zip(items, batch.samples.tolist(), strict=True)
            ]
        return items if self._transform is None else [self._transform(item) for item in items]

    def _as_torchgeo(self, item: Item, sample: int) -> Item:
        made: Item = {"image": item["pixels"]}
        if isinstance(target := item.get("target"), torch.Tensor):
            made["mask"] = target.to(torch.int64)
        if "label" in item:
            made["label"] = item["label"]
        a, b, c, d, e, f = self.store.column("transform")[sample].tolist()
        size = self.store.size
        corners = [(col, row) for col in (0, size.width) for row in (0, size.height)]
        xs, ys = zip(*[(c + a * col + b * row, f + d * col + e * row) for col, row in corners], strict=True)
        made["crs"] = str(self.store.column("crs")[sample])
        made["bounds"] = torch.tensor([min(xs), min(ys), max(xs), max(ys)], dtype=torch.float64)
        return made
