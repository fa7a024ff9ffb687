"""A real S3 API: moto's server on loopback, reached by the environment's usual variables."""

import urllib.request

import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from eezarr.errors import ForeignStore, StoreError
from eezarr.store import open_store

BUCKET = "pixels"


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def output(s3, monkeypatch):
    """A place in an empty bucket, and the environment that leads to it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for path, method in (("moto-api/reset", "POST"), (BUCKET, "PUT")):
        urllib.request.urlopen(urllib.request.Request(f"{s3}/{path}", method=method)).close()
    return f"s3://{BUCKET}/out.zarr"


def test_a_job_is_stored_left_and_resumed(bench, output):
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


def test_a_bucket_that_is_not_there_is_told(bench, output):
    with pytest.raises(StoreError, match="Cannot"):
        bench.sink(bench.plan(), output.replace(BUCKET, "nothing"))
