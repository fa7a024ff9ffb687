"""Google Cloud Storage over HTTP: a server of the XML API on loopback, reached by the environment's usual variables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from eezarr.errors import StoreError
from eezarr.store import open_store
from eezarr.store.location import locate
from store.cloud_storage import KEYS_A_PAGE, CloudStorage

OUTPUT = "gs://pixels/deep/out.zarr"


@pytest.fixture
def storage(monkeypatch, tmp_path):
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with CloudStorage(buckets={"pixels": {}}) as storage:
        yield storage
    assert storage.complaints == []


@pytest.fixture(scope="module")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write_key(path, private_key):
    body = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    facts = {
        "type": "service_account",
        "client_email": "foo@my-project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": body.decode(),
        "token_uri": "http://127.0.0.1:9/nobody",
    }
    path.write_text(json.dumps(facts))
    return str(path)


@pytest.fixture(params=["emulator", "key"])
def access(request, storage, private_key, tmp_path, monkeypatch):
    """The two ways to reach it: as an emulator, without credentials, and as the service, with a key."""
    if request.param == "emulator":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url.removeprefix("http://"))
    else:
        storage.public_key = private_key.public_key()
        monkeypatch.setenv("GOOGLE_BASE_URL", storage.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", write_key(tmp_path / "key.json", private_key))
    return storage


def test_a_job_is_stored_left_and_resumed(bench, access):
    plan, stored = bench.plan(), [0, 2, 3]
    image = bench.pixels(plan)
    first = bench.sink(plan, OUTPUT)
    for index in stored:
        first.write(plan.tile(index), bench.cut(image, plan.tile(index)))
    first.flush()
    second = bench.sink(plan, OUTPUT)
    assert list(second.missing()) == [index for index in range(plan.tile_count) if index not in stored]
    bench.store_all(plan, OUTPUT, image)
    job = open_store(OUTPUT)
    assert job.is_complete
    assert list(job.verify()) == []
    for tile in plan:
        for band, part in zip(tile.bands, bench.planes(job, tile), strict=True):
            np.testing.assert_array_equal(part, image[band.name][tile.window.rows, tile.window.cols])
    assert all(key.startswith("deep/out.zarr/") for key in access.buckets["pixels"])
    assert bench.sink(bench.plan(dtypes=("uint8",)), OUTPUT, overwrite=True).stored_count == 0
    assert not any("/B2/" in key for key in access.buckets["pixels"])


def test_long_listings_are_read_to_their_end(access):
    location = locate("gs://pixels/place with ü/x")
    names = {f"k/{number}": bytes([number]) for number in range(3 * KEYS_A_PAGE + 1)}
    location.put_all(names)
    assert set(location.keys("k/")) == set(names)
    assert dict(location.get_each(names)) == names
    location.remove("k/1")
    location.remove("k/1")
    assert location.get("k/1") is None
    location.remove_below("k")
    assert location.keys("k/") == ()
    assert location.names() == ()


def test_a_bucket_that_is_not_there_is_told(bench, access):
    with pytest.raises(StoreError, match="Cannot"):
        bench.sink(bench.plan(), OUTPUT.replace("pixels", "nothing"))


def test_a_key_that_is_refused_is_told(bench, storage, private_key, tmp_path, monkeypatch):
    storage.public_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    monkeypatch.setenv("GOOGLE_BASE_URL", storage.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", write_key(tmp_path / "key.json", private_key))
    with pytest.raises(StoreError, match="401") as caught:
        bench.sink(bench.plan(), OUTPUT)
    assert "credentials" in caught.value.hint
    assert not caught.value.is_transient


def test_an_icechunk_repository_there(bench, storage, monkeypatch):
    pytest.importorskip("icechunk", reason="Icechunk is not installed: pip install icechunk")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
    output = f"icechunk+{OUTPUT}"
    plan = bench.plan()
    image = bench.store_all(plan, output)
    job = open_store(output)
    assert job.is_complete
    assert list(job.verify()) == []
    np.testing.assert_array_equal(job.read(plan.tile(0))[1], bench.cut(image, plan.tile(0))["B2"])
