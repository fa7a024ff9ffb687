"""The order in which samples are stored: as given or shuffled, and cut into shards.

Law: a shuffle is the same on every machine and with every NumPy: it sorts by raw 64-bit draws of PCG64, whose stream
NumPy guarantees (NEP 19), where that of `Generator.permutation` may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.samples.sites import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["shard_ranges", "shuffled"]


def shuffled(count: int, *, seed: int) -> NDArray[np.int64]:
    """Return the positions 0 to count - 1 in an order that only the count and the seed decide."""
    draws = np.random.PCG64(seed).random_raw(count)
    return frozen(np.argsort(draws, kind="stable").astype(np.int64))


def shard_ranges(count: int, per_shard: int) -> list[range]:
    """Return the samples of each shard: all have `per_shard` but the last.

    Raises:
        InvalidInput: If a shard would hold none.
    """
    if per_shard < 1:
        raise InvalidInput(f"A shard of {per_shard} samples is empty.", hint="Give at least one sample a shard.")
    return [range(first, min(first + per_shard, count)) for first in range(0, count, per_shard)]
