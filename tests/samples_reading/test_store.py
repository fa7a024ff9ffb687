"""Samples read back: against the arrays that plain Zarr wrote, and against xarray's own reading."""

import json
import multiprocessing
import pickle
import subprocess
import sys
import warnings
from itertools import count, product
from pathlib import Path

import numpy as np
import obstore
import pytest
import xarray as xr
import zarr

from eezarr.errors import ForeignStore, InvalidInput, StoreError
from eezarr.store import holds_samples, open_samples
from eezarr.store.location import locate
from samples_reading.stores import NO_TIME, make_samples

LAYOUTS = {
    "objects": {},
    "shards": {"shard": 8},
    "one shard": {"shard": 64},
    "zstd": {"compressor": "zstd"},
    "zstd in shards": {"compressor": "zstd", "shard": 8},
    "plain": {"compressor": "none"},
    "plain in shards": {"compressor": "none", "shard": 5},
    "format 2": {"zarr_format": 2},
    "format 2, zstd": {"zarr_format": 2, "compressor": "zstd"},
    "bytes": {"dtype": "uint8"},
    "doubles": {"dtype": "float64"},
    "time": {"times": 3, "shard": 8},
}
_numbers = count()


def memory():
    """A `memory://` URL that no other test has, and its Zarr store."""
    url = f"memory://samples-{next(_numbers)}"
    return url, locate(url).store


@pytest.mark.parametrize("place", ["disk", "memory"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_masks_and_targets_are_what_was_written(layout, place, tmp_path):
    url, store = (str(tmp_path / "s.zarr"),) * 2 if place == "disk" else memory()
    made = make_samples(store, mask="shared", target=True, failed=(3, 9, 36), **LAYOUTS[layout])
    samples = open_samples(url)
    asked = np.random.default_rng(1).permutation(np.concatenate([made.stored, made.stored[:4]]))
    np.testing.assert_array_equal(samples.pixels(asked), made.pixels[asked])
    np.testing.assert_array_equal(samples.masks(asked), made.mask[asked])
    np.testing.assert_array_equal(samples.targets(asked), made.target[asked])
    assert samples.pixels(asked).dtype == made.pixels.dtype
    assert samples.pixels([]).shape == (0, *made.pixels.shape[1:])
    assert len(samples) == 37


def test_near_parts_of_a_shard_are_one_request_of_an_object_store(monkeypatch):
    url, store = memory()
    made = make_samples(store, shard=16, count=40)
    samples = open_samples(url)
    samples.pixels([0, 16, 32])  # the shards' indices
    asked = []
    get = obstore.get_async

    async def counted(store, key, *, options):
        asked.append(key)
        return await get(store, key, options=options)

    monkeypatch.setattr(obstore, "get_async", counted)
    order = [17, 3, 31, 1, 20, 2]
    np.testing.assert_array_equal(samples.pixels(order), made.pixels[order])
    assert sorted(asked) == ["pixels/c/0/0/0/0", "pixels/c/1/0/0/0"]


def test_columns_and_properties(tmp_path):
    made = make_samples(tmp_path / "s.zarr", times=2)
    samples = open_samples(tmp_path / "s.zarr")
    for name, values in made.columns.items():
        np.testing.assert_array_equal(samples.column(name), values)
    assert samples.bands == ("B2", "B3", "B4")
    assert samples.properties == ("soil",)
    np.testing.assert_array_equal(samples.property_of("soil"), np.arange(37) / 2)
    assert not samples.has_column("colour")
    for ask in (samples.column, samples.property_of):
        with pytest.raises(InvalidInput, match="colour"):
            ask("colour")
    with pytest.raises(InvalidInput, match="mask"):
        samples.masks([0])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_texts_are_texts_in_both_formats(zarr_format, tmp_path):
    make_samples(tmp_path / "s.zarr", zarr_format=zarr_format)
    samples = open_samples(tmp_path / "s.zarr")
    assert samples.column("id").dtype == np.dtypes.StringDType()
    assert samples.select(label="forest").tolist() == list(range(0, 37, 3))


def test_a_selection_leaves_out_what_is_not_there(tmp_path):
    make_samples(tmp_path / "s.zarr", failed=(3, 9))
    samples = open_samples(tmp_path / "s.zarr")
    everything = [n for n in range(37) if n not in (3, 9)]
    assert samples.select().tolist() == everything
    assert samples.select(split="val").tolist() == [n for n in everything if n % 4 == 3]
    assert samples.select(split="train", label="water").tolist() == [n for n in everything if n % 4 != 3 and n % 3 == 1]
    with pytest.raises(InvalidInput, match="No sample") as caught:
        samples.select(label="wter")
    assert caught.value.hint == "There are forest, water."


@pytest.mark.parametrize("labels", [(1, 2, 3), (0.5, float("nan"), 2.0)])
def test_numbers_are_labels_too(labels, tmp_path):
    make_samples(tmp_path / "s.zarr", labels=labels)
    samples = open_samples(tmp_path / "s.zarr")
    assert samples.select(label=labels[2]).tolist() == list(range(2, 37, 3))
    assert samples.select(label=str(labels[2])).tolist() == list(range(2, 37, 3))
    with pytest.raises(InvalidInput, match="label 'x'"):
        samples.select(label="x")


def test_positions_outside_are_refused(tmp_path):
    make_samples(tmp_path / "s.zarr")
    samples = open_samples(tmp_path / "s.zarr")
    for wrong in ([-1], [37], [0, 40]):
        with pytest.raises(IndexError):
            samples.pixels(wrong)


@pytest.mark.parametrize("shard", [None, 8])
def test_a_sample_that_should_be_there_and_is_not_is_no_zeros(shard, tmp_path):
    make_samples(tmp_path / "s.zarr", shard=shard, failed=(5,))
    number, key = (4, "4") if shard is None else (9, "1")
    (tmp_path / "s.zarr" / "pixels" / "c" / key / "0" / "0" / "0").unlink()
    samples = open_samples(tmp_path / "s.zarr")
    with pytest.raises(StoreError, match=f"first of sample {number}") as caught:
        samples.pixels([number, 0])
    assert "--repair" in caught.value.hint


def test_what_is_not_there_and_not_said_to_be_is_the_fill(tmp_path):
    make_samples(tmp_path / "s.zarr", dtype="float32", fill=-5.0, failed=(5,))
    assert (open_samples(tmp_path / "s.zarr").pixels([5]) == -5).all()


@pytest.mark.parametrize(
    ("compressor", "cut"),
    # A frame of zstd may be followed by anything.
    sorted(set(product(("auto", "zstd", "none"), ("truncated", "longer", "empty", "other"))) - {("zstd", "longer")}),
)
def test_a_damaged_object_is_an_error(compressor, cut, tmp_path):
    made = make_samples(tmp_path / "s.zarr", compressor=compressor)
    bodies = Path(made.path) / "pixels" / "c"
    file = bodies / "4" / "0" / "0" / "0"
    body = file.read_bytes()
    other = make_samples(tmp_path / "other.zarr", compressor=compressor, size=(5, 5))
    smaller = (Path(other.path) / "pixels" / "c" / "4" / "0" / "0" / "0").read_bytes()
    damaged = {"truncated": body[:-7], "longer": body + b"0", "empty": b"", "other": smaller}[cut]
    file.write_bytes(damaged)
    with pytest.raises(StoreError, match="Cannot read pixels"):
        open_samples(tmp_path / "s.zarr").pixels([4])


def test_a_damaged_index_of_a_shard_is_an_error(tmp_path):
    make_samples(tmp_path / "s.zarr", shard=8)
    file = tmp_path / "s.zarr" / "pixels" / "c" / "1" / "0" / "0" / "0"
    body = bytearray(file.read_bytes())
    body[-20] ^= 1
    file.write_bytes(body)
    samples = open_samples(tmp_path / "s.zarr")
    samples.pixels([0])
    with pytest.raises(StoreError, match="index"):
        samples.pixels([8])


def test_an_array_of_another_layout_is_refused(tmp_path):
    made = make_samples(tmp_path / "s.zarr")
    group = zarr.open_group(made.path, mode="r+", use_consolidated=False)
    del group["pixels"]
    group.create_array("pixels", shape=made.pixels.shape, chunks=(4, 3, 6, 5), dtype="uint16")
    document = Path(made.path) / "zarr.json"
    facts = json.loads(document.read_text())
    document.write_text(json.dumps({name: fact for name, fact in facts.items() if name != "consolidated_metadata"}))
    samples = open_samples(made.path)
    with pytest.raises(StoreError, match="altered"):
        samples.pixels([0])


def test_other_places_hold_no_samples(tmp_path):
    zarr.create_group(tmp_path / "group.zarr", attributes={"eezarr": {"kind": "image"}})
    (tmp_path / "folder").mkdir()
    make_samples(tmp_path / "s.zarr")
    assert holds_samples(tmp_path / "s.zarr")
    for other in ("group.zarr", "folder"):
        assert not holds_samples(tmp_path / other)
        with pytest.raises(ForeignStore, match="no samples"):
            open_samples(tmp_path / other)
    with pytest.raises(StoreError, match="no store"):
        open_samples(tmp_path / "nowhere")


@pytest.mark.parametrize(("masking", "options"), [("none", {}), ("fill", {"fill": 7}), ("band", {"mask": "each"})])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_validity_is_what_the_store_declares(masking, options, zarr_format, tmp_path):
    made = make_samples(tmp_path / "s.zarr", zarr_format=zarr_format, **options)
    samples = open_samples(tmp_path / "s.zarr")
    assert samples.masking == masking
    valid = samples.validity([4, 2], samples.pixels([4, 2]))
    expected = {
        "none": None,
        "fill": made.pixels[[4, 2]] != 7,
        "band": None if made.mask is None else made.mask[[4, 2]],
    }
    if masking == "none":
        assert valid is None
    else:
        np.testing.assert_array_equal(valid, expected[masking])
        assert not valid.all()


def test_floats_that_are_not_finite_are_never_valid(tmp_path):
    made = make_samples(tmp_path / "s.zarr", dtype="float32", fill=3.0)
    made.pixels[0, 0, 0] = [np.nan, np.inf, -np.inf, 3.0, 4.0]
    zarr.open_group(made.path, mode="r+")["pixels"][0] = made.pixels[0]
    samples = open_samples(made.path)
    valid = samples.validity([0], samples.pixels([0]))
    assert valid[0, 0, 0].tolist() == [False, False, False, False, True]


def test_steps_without_an_image_are_not_valid(tmp_path):
    made = make_samples(tmp_path / "s.zarr", times=3)
    samples = open_samples(tmp_path / "s.zarr")
    there = made.columns["times"] != NO_TIME
    asked = np.arange(36, 0, -1)
    np.testing.assert_array_equal(samples.have_steps(asked), there[asked])
    valid = samples.validity(asked, samples.pixels(asked))
    assert valid.shape == (36, 3, 6, 5)
    np.testing.assert_array_equal(valid, np.broadcast_to(there[asked][..., None, None], valid.shape))
    assert not there[asked].all()


def test_xarray_opens_it_quietly_and_lazily(tmp_path):
    made = make_samples(tmp_path / "s.zarr", times=2, shard=8)
    samples = open_samples(made.path)
    dataset = samples.to_xarray()
    xr.testing.assert_identical(dataset, xr.open_zarr(made.path, chunks=None))
    assert dataset["pixels"].dims == ("sample", "time", "band", "y", "x")
    assert {"id", "label", "split", "band", "times", "crs"} <= set(dataset.coords)
    np.testing.assert_array_equal(dataset["pixels"].isel(sample=[7, 3]).values, made.pixels[[7, 3]])
    assert np.isnat(dataset["times"].values[made.columns["times"] == NO_TIME]).all()
    assert samples.to_xarray(chunks={"sample": 10})["pixels"].chunks[0] == (10, 10, 10, 7)


def test_it_pickles_as_its_place(tmp_path):
    made = make_samples(tmp_path / "s.zarr")
    samples = open_samples(made.path)
    samples.pixels([0])
    packed = pickle.dumps(samples)
    assert len(packed) < len(made.path) + 100
    np.testing.assert_array_equal(pickle.loads(packed).pixels([8]), made.pixels[[8]])  # noqa: S301 - our own


def _sum_of(samples, connection):
    try:
        connection.send(int(samples.pixels(np.arange(len(samples))).sum()))
    except InvalidInput as error:
        connection.send(error.hint)


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_forked_child_reads_files_and_refuses_an_object_store(place, tmp_path):
    url, store = (str(tmp_path / "s.zarr"),) * 2 if place == "disk" else memory()
    made = make_samples(store)
    samples = open_samples(url)
    samples.pixels([0])
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
        child = context.Process(target=_sum_of, args=(samples, there))
        child.start()
    answer = here.recv()
    child.join()
    assert answer == int(made.pixels.sum()) if place == "disk" else "spawn" in answer


def test_reading_imports_no_client_of_earth_engine():
    script = (
        "import sys, eezarr.store, eezarr.outputs.batches\n"
        "print([n for n in ('aiohttp', 'google.auth', 'pydantic', 'requests', 'typer', 'xarray') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
