"""Batches of samples in an order of their own, for any number of ranks and workers; an epoch can be gone on with.

Law: batch n of an epoch is the same whatever the number of workers. Worker w of W reads batches w, w + W, w + 2 W, …,
and a DataLoader takes one from each in turn, so batches come in order, too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.utils.data import IterableDataset, get_worker_info

from eezarr.errors import InvalidInput
from eezarr.outputs.batches import make_reader
from eezarr.outputs.epochs import BatchOrder
from eezarr.outputs.torch.tensors import opened, tensors_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from eezarr.outputs.batches import Normalisation
    from eezarr.outputs.epochs import Batches
    from eezarr.outputs.torch.tensors import Item, Transform
    from eezarr.store import SamplesStore
    from eezarr.store.sampled import Label

__all__ = ["SampleStream"]

_EPOCH, _WORKERS, _START, _USED_BY = range(4)
"""What this process and its workers know of each other: the epoch, how many workers iterate, the first batch of their
iteration, and which iteration began at a place that was loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an iteration is: batch `start` of an epoch, and so many more that one of `workers` has given."""

    epoch: int
    start: int
    done: int = 0
    workers: int = 1


class SampleStream(IterableDataset["Item"]):
    """Whole batches of samples, in an order that the seed and the epoch decide, for any number of ranks and workers.

    Items are dicts as those of `SampleDataset`, of tensors with a leading batch axis; `id` is a list. Give the stream
    to `DataLoader(stream, batch_size=None, num_workers=…)`, and call `set_epoch` before each epoch.

    Over all ranks each sample comes once an epoch, and every rank has as many batches (`len`) as the others; where
    samples do not divide evenly, the last batches are smaller, or left out with `drop_last`.

    An epoch that was broken off goes on at the batch that would have come next: `load_state_dict(state_dict())`, before
    the loader is asked. Without workers the stream knows its place. With them only the loop does, since workers read
    ahead: `state_dict(batches=n)`; with another number of workers it goes on the same. torchdata's StatefulDataLoader
    does all of it by itself.

    Args:
        store: Where the samples are: a path, a URL, or an open store.
        batch_size: Samples of a batch, on each rank.
        split: Only those of this split.
        label: Only those with this label.
        bands: Which bands, in which order; default: all.
        normalise: As of `SampleDataset`.
        masked: What pixels that are not valid become, where pixels are normalised; 0 is the band's mean.
        transform: Called with each batch; what it returns is given instead.
        shuffle: Whether each epoch has an order of its own; else it is that of the store.
        buffer: None: any sample can come anywhere. A number: shards come in random order, and of their samples so many
            in a row are shuffled among themselves; few shards are read from at a time, which spares an object store.
        seed: From 0 to 2**64 - 1.
        drop_last: Whether to leave out what does not fill a batch on every rank.
        rank: This process's, of `ranks`; default: as torch.distributed says now, else 0 of 1.
        ranks: How many processes share an epoch.

    Raises:
        InvalidInput: If no sample has the split or label, a band is not there, there are no statistics yet, or a number
            is out of its range.
        StoreError: If the store cannot be read.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | SamplesStore,
        *,
        batch_size: int,
        split: str | None = None,
        label: Label | None = None,
        bands: Sequence[str] | None = None,
        normalise: Normalisation = "stored",
        masked: float = 0.0,
        transform: Transform | None = None,
        shuffle: bool = True,
        buffer: int | None = None,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        super().__init__()
        self.store = opened(store)
        self.samples = self.store.select(split=split, label=label)
        """Positions in the store, ascending."""
        self._reader = make_reader(self.store, bands=bands, normalise=normalise, masked=masked)
        self._transform = transform
        own, all_ranks = _distributed()
        self._order = BatchOrder(
            batch_size=batch_size,
            is_shuffled=shuffle,
            buffer=buffer,
            seed=seed,
            drop_last=drop_last,
            rank=own if rank is None else rank,
            ranks=all_ranks if ranks is None else ranks,
        )
        self._resumed: _Place | None = None
        self._done = 0
        # Shared, because workers outlive epochs where they are persistent.
        self._shared = torch.zeros(4, dtype=torch.int64).share_memory_()

    @property
    def bands(self) -> tuple[str, ...]:
        """Names along the band axis."""
        return self._reader.bands

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels of the store that are texts, sorted, whatever the split: `label` is a position in them."""
        return self._reader.classes

    @property
    def epoch(self) -> int:
        """The epoch that an iteration gives, from 0."""
        return int(self._shared[_EPOCH])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives, also by persistent workers."""
        if epoch != self.epoch:
            self._shared[_EPOCH] = epoch
            self._shared[_START] = self._done = 0

    def __len__(self) -> int:
        """Return how many batches a whole epoch has, on each rank.

        Raises:
            InvalidInput: If they cannot be as many on each.
        """
        return self._order.batch_count(len(self.samples))

    def __iter__(self) -> Iterator[Item]:
        """Yield the batches of the epoch, or those that remain of it.

        Raises:
            InvalidInput: If ranks cannot have as many batches each, or the state is of another number of workers.
            StoreError: If the store cannot be read.
        """
        worker, workers = _worker()
        place = self._begin(workers)
        batches = self._batches(place.epoch)
        self._done = place.done
        number = place.start + worker + place.done * workers
        while number < len(batches):
            batch = tensors_of(self._reader.read(batches[number]))
            self._done += 1
            yield batch if self._transform is None else self._transform(batch)
            number += workers

    def state_dict(self, batches: int | None = None) -> dict[str, int | str]:
        """Return where the epoch is, for `load_state_dict`: plain numbers and a text.

        Args:
            batches: How many batches the loop has had of this iteration; needed where workers read them.

        Raises:
            InvalidInput: If it is needed and not given.
        """
        start, done, workers = int(self._shared[_START]), self._done, 1
        if batches is not None:
            start, done = start + batches, 0
        elif get_worker_info() is not None:
            workers = _worker()[1]
        elif self._shared[_WORKERS]:
            raise InvalidInput(
                "Workers read ahead, so the stream does not know which batches the loop has had.",
                hint="Count them, and call state_dict(batches=n).",
            )
        else:
            start, done = start + done, 0
        place = {"epoch": self.epoch, "start": start, "done": done, "workers": workers}
        return {**place, "order": self._identity}

    def load_state_dict(self, state: Mapping[str, int | str]) -> None:
        """Choose the epoch and the batch that the next iteration begins with, once.

        Raises:
            InvalidInput: If the state is of a stream with other samples, batches, ranks or seed.
        """
        if state.get("order") != self._identity:
            raise InvalidInput(
                "The state is of a stream with other samples, batches, ranks or seed.",
                hint="Make the stream as it was made when the state was saved.",
            )
        epoch, start, done, workers = (int(state[name]) for name in ("epoch", "start", "done", "workers"))
        self._resumed = _Place(epoch=epoch, start=start, done=done, workers=workers)
        for slot, value in ((_EPOCH, epoch), (_START, start), (_WORKERS, 0), (_USED_BY, 0)):
            self._shared[slot] = value
        self._done = done

    def _begin(self, workers: int) -> _Place:
        """The place that this iteration begins at; one that was loaded serves one iteration."""
        info = get_worker_info()
        # The base seed of a loader's iteration: the same in all its workers, another in the next iteration.
        iteration = 1 if info is None else max(1, info.seed - info.id)
        if not self._shared[_USED_BY]:
            self._shared[_USED_BY] = iteration
        resumed, self._resumed = self._resumed, None
        place = _Place(epoch=self.epoch, start=0, workers=workers)
        if resumed is not None and resumed.epoch == place.epoch and self._shared[_USED_BY] == iteration:
            if resumed.done and resumed.workers != workers:
                raise InvalidInput(
                    f"The state is one worker's of {resumed.workers}, and there are {workers}.",
                    hint="Use as many workers, or save state_dict(batches=n) outside of the workers.",
                )
            place = resumed
        self._shared[_START] = place.start
        self._shared[_WORKERS] = 0 if info is None else workers
        return place

    def _batches(self, epoch: int) -> Batches:
        return self._order.batches(self.samples, epoch, per_object=self.store.per_object)

    @cached_property
    def _identity(self) -> str:
        """A hash of all that decides which samples a batch holds, the rank left out."""
        order = self._order
        facts = [
            self.store.facts.get("fingerprint"),
            hashlib.sha256(self.samples.astype("<i8").tobytes()).hexdigest(),
            self.store.per_object if order.buffer else None,
            [order.batch_size, order.is_shuffled, order.buffer, order.seed, order.drop_last, order.ranks],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _distributed() -> tuple[int, int]:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _worker() -> tuple[int, int]:
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
