"""The order of samples: a permutation, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.errors import InvalidInput
from eezarr.samples import shard_ranges, shuffled


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 500), st.integers(0, 2**64))
def test_a_shuffle_is_a_permutation_that_the_seed_decides(count, seed):
    order = shuffled(count, seed=seed)
    assert sorted(order.tolist()) == list(range(count))
    assert np.array_equal(order, shuffled(count, seed=seed))


def test_a_shuffle_is_the_same_on_every_machine():
    """Written down once: a stored dataset's order must never change with a library."""
    assert shuffled(12, seed=7).tolist() == WRITTEN
    assert shuffled(12, seed=8).tolist() != WRITTEN


WRITTEN = [6, 3, 11, 4, 10, 9, 0, 2, 8, 7, 5, 1]


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 500), st.integers(1, 70))
def test_shards_hold_every_sample_once(count, per_shard):
    ranges = shard_ranges(count, per_shard)
    assert [nth for part in ranges for nth in part] == list(range(count))
    assert all(len(part) == per_shard for part in ranges[:-1])
    assert all(part for part in ranges)


def test_a_shard_holds_something():
    with pytest.raises(InvalidInput, match="empty"):
        shard_ranges(5, 0)
