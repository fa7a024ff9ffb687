"""Which samples each batch of an epoch holds, for every rank: decided from numbers alone, by whoever asks.

Law: over all ranks each sample is in one batch of an epoch, once; every rank has as many batches as the others, so that
none waits for a step that another does not take. Where samples do not divide evenly, the last batches are smaller
(never empty), or, with `drop_last`, as few samples as that takes are left out, others in each epoch.

The order depends on the seed and the epoch only: on no number of workers, machine or version of NumPy (see
`samples.order`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.samples.order import shuffled

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BatchOrder", "Batches"]

_SEED_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """How an epoch's samples are ordered and cut.

    Raises:
        InvalidInput: If a number is out of its range.
    """

    batch_size: int
    """Samples of a batch, on each rank."""
    is_shuffled: bool = True
    """Whether each epoch has an order of its own; false: as they are stored."""
    buffer: int | None = None
    """None: any sample can come anywhere. A number: stored objects come in random order, and of their samples so many
    in a row are shuffled among themselves: few objects are read from at a time."""
    seed: int = 0
    drop_last: bool = False
    """Whether all batches are full."""
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.buffer is not None and self.buffer < 1) or not 0 <= self.seed < 1 << _SEED_BITS:
            raise InvalidInput(
                f"Batches of {self.batch_size}, a buffer of {self.buffer} and the seed {self.seed} do not go.",
                hint=f"Give positive numbers, and a seed from 0 to 2**{_SEED_BITS} - 1.",
            )
        if not 0 <= self.rank < self.ranks:
            raise InvalidInput(
                f"There is no rank {self.rank} of {self.ranks}.", hint="Ranks are 0 to one less than their number."
            )

    def batch_count(self, count: int) -> int:
        """Return how many batches each rank has of so many samples.

        Raises:
            InvalidInput: If they cannot be as many on every rank: there are fewer samples than ranks, or batches of one
                do not divide evenly.
        """
        if self.drop_last:
            return count // (self.ranks * self.batch_size)
        if count < self.ranks or (self.batch_size == 1 and count % self.ranks):
            raise InvalidInput(
                f"{count} samples in batches of {self.batch_size} do not give {self.ranks} ranks as many batches each.",
                hint="Use fewer ranks, or larger batches, or pass drop_last=True.",
            )
        most = -(-count // self.ranks)
        return -(-most // self.batch_size)

    def batches(self, samples: npt.NDArray[np.int64], epoch: int, *, per_object: int = 1) -> Batches:
        """Return the batches of this rank in an epoch.

        Args:
            samples: Positions in the store, ascending.
            epoch: From 0.
            per_object: Samples of one stored object, those of a shard.

        Raises:
            InvalidInput: As `batch_count`.
        """
        count = self.batch_count(len(samples))
        order = self._ordered(samples, epoch, per_object)
        if self.drop_last:
            order = order[: count * self.batch_size * self.ranks]
        first, end = (len(order) * rank // self.ranks for rank in (self.rank, self.rank + 1))
        own = order[first:end]
        # The last batches keep one sample each at the least.
        ends = [min(number * self.batch_size, len(own) - (count - number)) for number in range(1, count)]
        return Batches(samples=own, ends=(*ends, len(own)) if count else ())

    def _ordered(self, samples: npt.NDArray[np.int64], epoch: int, per_object: int) -> npt.NDArray[np.int64]:
        if not self.is_shuffled:
            return samples
        seed = (epoch << _SEED_BITS) + self.seed
        if self.buffer is None:
            return samples[shuffled(len(samples), seed=seed)]
        objects, inside = np.unique(samples // per_object, return_inverse=True)
        order = np.argsort(np.argsort(shuffled(len(objects), seed=seed))[inside], kind="stable")
        places = np.argsort(shuffled(len(samples), seed=seed + (1 << 2 * _SEED_BITS)))
        return samples[order[np.lexsort((places, np.arange(len(samples)) // self.buffer))]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """Batches of one rank in one epoch."""

    samples: npt.NDArray[np.int64]
    """All of them, in order."""
    ends: tuple[int, ...]
    """Where each batch ends in them."""

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
        """Return the samples of a batch, counted from 0."""
        return self.samples[self.ends[number - 1] if number else 0 : self.ends[number]]
