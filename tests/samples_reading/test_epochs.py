"""The order of an epoch, judged by counting: who has which sample, and how many batches everyone has."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eezarr.errors import InvalidInput
from eezarr.outputs.epochs import BatchOrder


def batches_of(order, samples, epoch=0, per_object=1):
    found = order.batches(np.asarray(samples, np.int64), epoch, per_object=per_object)
    return [found[number].tolist() for number in range(len(found))]


@given(
    count=st.integers(1, 300),
    batch_size=st.integers(1, 40),
    ranks=st.integers(1, 7),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 5),
    per_object=st.integers(1, 50),
    buffer=st.none() | st.integers(1, 60),
    drop_last=st.booleans(),
    is_shuffled=st.booleans(),
)
@example(  # one rank has two samples and one has three: the first one's second batch must not be empty
    count=5, batch_size=2, ranks=2, seed=0, epoch=0, per_object=1, buffer=None, drop_last=False, is_shuffled=True
)
def test_each_sample_comes_once_and_all_ranks_have_as_many_batches(
    count, batch_size, ranks, seed, epoch, per_object, buffer, drop_last, is_shuffled
):
    samples = np.arange(count) * 3 + 1
    orders = [
        BatchOrder(
            batch_size=batch_size,
            is_shuffled=is_shuffled,
            buffer=buffer,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            ranks=ranks,
        )
        for rank in range(ranks)
    ]
    if (count < ranks or (batch_size == 1 and count % ranks)) and not drop_last:
        with pytest.raises(InvalidInput, match="ranks"):
            batches_of(orders[0], samples, epoch, per_object)
        return
    every = [batches_of(order, samples, epoch, per_object) for order in orders]
    given_out = sorted(sample for rank in every for batch in rank for sample in batch)
    assert {len(rank) for rank in every} == {orders[0].batch_count(count)}
    sizes = {len(batch) for rank in every for batch in rank}
    if drop_last:
        assert sizes <= {batch_size}
        assert len(set(given_out)) == len(given_out)
        assert set(given_out) <= set(samples.tolist())
        assert count - len(given_out) < ranks * batch_size
    else:
        assert given_out == samples.tolist()
        assert min(sizes) >= 1
        assert max(sizes) <= batch_size
        assert (len(every[0]) - 1) * batch_size * ranks < count <= len(every[0]) * batch_size * ranks


def test_without_shuffling_the_order_is_the_stores():
    order = BatchOrder(batch_size=4, is_shuffled=False)
    assert batches_of(order, [1, 2, 3, 5, 8, 13]) == [[1, 2, 3, 5], [8, 13]]


def test_the_order_is_the_seeds_and_the_epochs():
    samples = np.arange(200)
    first = batches_of(BatchOrder(batch_size=200, seed=5), samples, epoch=1)
    assert first == batches_of(BatchOrder(batch_size=200, seed=5), samples, epoch=1)
    for other in ((5, 2), (6, 1), (1, 5)):
        assert first != batches_of(BatchOrder(batch_size=200, seed=other[0]), samples, epoch=other[1])
    # A stored one: another order in another version would not go on with an epoch that was broken off.
    assert batches_of(BatchOrder(batch_size=6, seed=7), range(6), epoch=3) == [[3, 4, 5, 0, 2, 1]]


def test_a_shuffle_has_no_place_that_a_sample_prefers():
    places = np.zeros((8, 8), int)
    for epoch in range(800):
        (batch,) = batches_of(BatchOrder(batch_size=8, seed=1), range(8), epoch)
        places[np.arange(8), batch] += 1
    assert abs(places - 100).max() < 45  # 4.5 standard deviations


def test_a_buffer_reads_from_few_objects_at_a_time():
    order = BatchOrder(batch_size=64, buffer=64, seed=3)
    for epoch in range(3):
        found = batches_of(order, range(1024), epoch, per_object=32)
        assert all(len({sample // 32 for sample in batch}) == 2 for batch in found)
        assert found[0] != sorted(found[0])
        shards = [{sample // 32 for sample in batch} for batch in found]
        assert shards != sorted(shards, key=min)
    everywhere = batches_of(BatchOrder(batch_size=64, seed=3), range(1024), per_object=32)
    assert min(len({sample // 32 for sample in batch}) for batch in everywhere) > 16


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"buffer": 0}, {"seed": -1}, {"seed": 2**64}, {"rank": 2, "ranks": 2}, {"ranks": 0}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInput):
        BatchOrder(**{"batch_size": 1, **wrong})
