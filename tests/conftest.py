"""Shared by all tests: how many run at once, reproducible examples, and a bucket of moto's server, a real S3 API."""

import gc
import os
import urllib.request

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "eezarr", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.load_profile("eezarr")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for servers and processes now and then."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish():
    """Nearly all of the heap are modules, for good: look through all of it a tenth as often (a tenth of all CPU)."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, 10 * old)


@pytest.fixture(scope="module")
def s3():
    """Where the server is."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3, monkeypatch):
    """The URL of an empty bucket, and the environment that leads to it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for path, method in (("moto-api/reset", "POST"), ("pixels", "PUT")):
        urllib.request.urlopen(urllib.request.Request(f"{s3}/{path}", method=method)).close()
    return "s3://pixels"
