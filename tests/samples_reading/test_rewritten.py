"""A shard that is written again while a reader holds its index: by a late sample, or by a repair."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import zarr

from eezarr.store import open_samples
from eezarr.store.location import locate
from samples_reading.stores import make_samples

pytestmark = pytest.mark.once

SHARD = 8
_numbers = count()


@pytest.fixture(params=["local", "memory"])
def output(request, tmp_path):
    return str(tmp_path / "s.zarr") if request.param == "local" else f"memory://rewritten-{next(_numbers)}"


@pytest.mark.parametrize("compressor", ["none", "zstd"])
def test_a_rewritten_shard_gives_the_samples_asked_for(output, compressor):
    """Without compression all frames are equally long: the old index would give other samples without an error."""
    store = locate(output).store
    made = make_samples(store, shard=SHARD, compressor=compressor)
    reader = open_samples(output)
    np.testing.assert_array_equal(reader.pixels(range(SHARD)), made.pixels[:SHARD])
    array = zarr.open_group(store, mode="r+")["pixels"]
    # A shard of fewer samples: each lies elsewhere in it.
    kept = [1, 4, 6]
    key = next(key for key in locate(output).keys("pixels/") if "/c/0/" in key)
    locate(output).remove(key)
    for sample in kept:
        array[sample] = made.pixels[sample]
    np.testing.assert_array_equal(reader.pixels(kept), made.pixels[kept])
    # And one that comes late.
    array[2] = made.pixels[2]
    np.testing.assert_array_equal(reader.pixels([1, 2, 6]), made.pixels[[1, 2, 6]])
