"""Where a store can be, what may be stored in it, and what users are told when it cannot."""

from __future__ import annotations

import errno
import math

import numpy as np
import obstore.store
import pytest
import zarr
from zarr.storage import LocalStore, ObjectStore

from eezarr.errors import InvalidInput, StoreError
from eezarr.store import open_store
from eezarr.store.failures import storage_errors
from eezarr.store.location import Location, locate
from eezarr.store.marks import Marks
from eezarr.store.record import read_record


def test_paths_and_file_urls_are_the_same_place(bench, tmp_path, monkeypatch):
    plan = bench.plan()
    bench.store_all(plan, f"file://{tmp_path}/a%20b/s.zarr")
    assert open_store(tmp_path / "a b" / "s.zarr").is_complete
    monkeypatch.chdir(tmp_path)
    assert open_store("a b/s.zarr").is_complete


def test_object_stores_are_configured_by_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url, kind in (
        ("s3://bucket/a/s.zarr", obstore.store.S3Store),
        ("gs://bucket/a/s.zarr", obstore.store.GCSStore),
        ("az://container/a/s.zarr", obstore.store.AzureStore),
    ):
        store = locate(url).store
        assert isinstance(store, ObjectStore)
        assert isinstance(store.store, kind)
        assert store.store.prefix == "a/s.zarr"


def test_an_environment_that_lacks_something_is_a_store_error(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match="Account must be specified") as caught:
        locate("az://container/s.zarr")
    assert "Debug source" not in str(caught.value)


@pytest.mark.parametrize(
    "output",
    [
        "ftp://host/s.zarr",
        "s3:///s.zarr",
        "file://elsewhere/s.zarr",
        "s3://key:hunter2@bucket/s.zarr",
        "az://container/s.zarr?sig=hunter2",
    ],
)
def test_other_places_are_refused_without_repeating_secrets(output):
    with pytest.raises(InvalidInput) as caught:
        locate(output)
    assert "hunter2" not in str(caught.value)


def test_a_signature_is_not_repeated(tmp_path):
    with pytest.raises(StoreError) as caught, storage_errors(str(tmp_path), "write tile 3"):
        raise OSError("PUT https://host/x?sig=hunter2&se=1 failed: 403")
    assert "hunter2" not in str(caught.value)
    assert "PUT https://host/x" in str(caught.value)


def test_a_file_in_the_way_is_a_store_error(tmp_path, bench):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "s.zarr"):
        with pytest.raises(StoreError, match="is a file") as caught:
            bench.sink(bench.plan(), output)
        assert caught.value.exit_code == 5


def test_a_directory_that_may_not_be_written_is_a_store_error(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # tests run as root, too
    with pytest.raises(StoreError, match="not writable"):
        locate(tmp_path / "s.zarr")


def test_nothing_is_there_to_open(tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        open_store(tmp_path / "s.zarr")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EACCES, "right to write"),
        (errno.EROFS, "read-only"),
    ],
)
def test_a_write_that_the_disk_refuses_leaves_the_tile_missing(bench, tmp_path, monkeypatch, code, hint):
    plan = bench.plan()
    image = bench.pixels(plan)
    sink = bench.sink(plan, tmp_path)

    def refuse(*_args, **_named):
        raise OSError(code, "refused")

    with monkeypatch.context() as patch:
        # Zarr's writes and ours alike.
        patch.setattr("eezarr.store.disk._write_all", refuse)
        with pytest.raises(StoreError, match="write tile 0") as caught:
            sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    assert hint in caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)
    assert not sink.is_stored(0)
    sink.write(plan.tile(0), bench.cut(image, plan.tile(0)))
    assert sink.is_stored(0)


def test_an_object_store_that_refuses_is_a_store_error(bench):
    plan, location = bench.plan(), locate(bench.memory())

    class Refusing(ObjectStore):
        async def set(self, key, value):
            raise obstore.exceptions.PermissionDeniedError("403 for key")

    refusing = Location(url="s3://bucket/s.zarr", store=Refusing(location.store.store))
    marks = Marks(plan, refusing)
    marks.mark(0, 1)
    with pytest.raises(StoreError, match="403 for key") as caught:
        marks.flush()
    assert "credentials" in caught.value.hint


def test_an_obstore_directory_holds_the_same_store(bench, tmp_path):
    """What is written through obstore is what is written through files."""
    plan = bench.plan()
    image = bench.store_all(plan, tmp_path / "s.zarr")
    store = ObjectStore(obstore.store.LocalStore(tmp_path / "s.zarr"), read_only=True)
    location = Location(url="obstore", store=store)
    marks = Marks.load(read_record(location), location)
    assert marks.count == plan.tile_count
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["B3"][...], image["B3"])


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "y",
        "band",
        "time",
        "spatial_ref",
        "pixels",
        "mask",
        "a/b",
        "__b",
        ".b",
        "zarr.json",
        "a\\b",
        "a\nb",
        "b" * 201,
    ],
)
def test_names_that_no_array_can_have_are_refused_before_anything_is_made(bench, tmp_path, name):
    with pytest.raises(InvalidInput) as caught:
        bench.sink(bench.plan(dtypes=("uint8", "uint8"), names=["B1", name]), tmp_path / "s.zarr")
    assert repr(name)[:60] in caught.value.message
    assert "stacked" in caught.value.hint
    assert not (tmp_path / "s.zarr").exists()


def test_what_cannot_be_stored_is_said(bench, tmp_path):
    mixed = bench.plan(dtypes=("uint8", "uint8", "float32"), kind="stacked")
    with pytest.raises(InvalidInput, match="uint8: B1, B2; float32: B3"):
        bench.sink(mixed, tmp_path)
    with pytest.raises(InvalidInput, match="no shards"):
        bench.sink(bench.plan(sharded=True, zarr_format=2), tmp_path)
    with pytest.raises(InvalidInput, match="distinct"):
        bench.sink(bench.plan(names=["B1", "B1", "B2"]), tmp_path)
    with pytest.raises(InvalidInput, match="is unknown"):
        bench.sink(bench.plan(crs="EPSG:1"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("uint8", -1),
        ("uint8", 256),
        ("int16", 1.5),
        ("uint16", float("nan")),
        ("float32", 1e300),
        ("float32", -(10**400)),
    ],
)
def test_fills_that_no_pixel_can_have_are_refused(bench, tmp_path, dtype, fill):
    with pytest.raises(InvalidInput, match="no value of band"):
        bench.plan(dtypes=(dtype,), fills={"B1": fill})


def test_fills_of_no_band_and_unequal_fills_of_one_array_are_refused(bench, tmp_path):
    with pytest.raises(InvalidInput, match="B9, which the job does not read"):
        bench.plan(fills={"B1": 0, "B2": 0, "B3": 0, "B9": 0})
    with pytest.raises(InvalidInput, match="one fill"):
        bench.sink(bench.plan(kind="stacked", fills={"B1": 0, "B2": 0, "B3": 1}), tmp_path)


def test_an_integer_band_needs_a_fill_and_a_float_has_nan(bench):
    with pytest.raises(InvalidInput, match="'B1' \\(uint16\\) has no fill"):
        bench.plan(dtypes=("uint16", "float32"), fills={"B2": 1.5})
    assert math.isnan(bench.plan(dtypes=("float32", "uint8"), fills={"B2": 1}).masking.fills[0])


@pytest.mark.parametrize(
    ("dtype", "compressor", "codec"),
    [
        ("uint8", "auto", {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 1}),
        ("int16", "auto", {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 2}),
        ("float32", "auto", {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4}),
        ("float64", "auto", {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 8}),
        ("uint8", "zstd", {"name": "zstd", "level": 1}),
        ("uint8", "none", None),
    ],
)
def test_compressors_are_what_the_job_says(bench, output, dtype, compressor, codec):
    bench.sink(bench.plan(dtypes=(dtype,), compressor=compressor), output)
    array = zarr.open_group(locate(output).store, mode="r")["B1"]
    found = [one.to_dict() for one in array.compressors]
    if codec is None:
        assert found == []
        return
    flat = {"name": found[0]["name"], **found[0]["configuration"]}
    assert {key: flat[key] for key in codec} == codec


def test_zarrs_settings_are_as_they_were(bench, tmp_path):
    before = zarr.config.get("codec_pipeline.path"), zarr.config.get("array.write_empty_chunks")
    bench.store_all(bench.plan(), tmp_path)
    assert (zarr.config.get("codec_pipeline.path"), zarr.config.get("array.write_empty_chunks")) == before


def test_local_stores_are_files(tmp_path):
    assert isinstance(locate(tmp_path).store, LocalStore)
