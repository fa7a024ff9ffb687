"""A real S3 API: moto's server on loopback, reached by the environment's usual variables."""

import numpy as np
import pytest

from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store


def test_a_job_is_stored_left_and_resumed(bench, bucket):
    output = f"{bucket}/out.zarr"
    plan, stored = bench.plan(), [0, 2, 3]
    image = bench.pixels(plan)
    first = bench.sink(plan, output)
    for index in stored:
        first.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    first.flush()
    second = bench.sink(plan, output)
    missing = list(second.missing())
    assert missing == [index for index in range(plan.tile_count) if index not in stored]
    for index in missing:
        second.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    assert second.finish(bench.now)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    for tile in plan:
        for band, part in zip(tile.bands, bench.planes(job, tile), strict=True):
            np.testing.assert_array_equal(part, image[band.name][tile.window.rows, tile.window.cols])
    with pytest.raises(ForeignStore):
        bench.sink(bench.plan(shape=(300, 411)), output)


def test_a_bucket_that_is_not_there_is_told(bench, bucket):
    with pytest.raises(StoreError, match="Cannot"):
        bench.sink(bench.plan(), f"{bucket}-that-is-not-there/out.zarr")
