"""Our own writing of chunks: the very bytes that Zarr would have written, for every layout that it is used for."""

from __future__ import annotations

import math
import os
import shutil

import numpy as np
import pytest
from numcodecs import Blosc

from eezarr.store import disk, sink


def objects(store):
    """Every stored object of an array's chunks, by its path."""
    return {
        path.relative_to(store): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and ".eezarr" not in path.parts and not path.name.startswith(("zarr.json", ".z"))
    }


def is_same(ours, zarrs, itemsize):
    """The same bytes; but the lowest zarr tells Blosc a type size of 1 in format 3."""
    if ours == zarrs:
        return True
    is_old = zarrs[3] == 1 != itemsize == ours[3]
    return is_old and bytes(Blosc().decode(ours)) == bytes(Blosc().decode(zarrs))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("compressor", ["auto", "zstd", "none"])
@pytest.mark.parametrize("kind", ["bands", "stacked"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_the_bytes_are_zarrs(bench, tmp_path, monkeypatch, zarr_format, compressor, kind, dtype):
    fills = {"B1": 7, "B2": 7} if dtype != "float64" else {"B1": math.nan, "B2": math.nan}
    plan = bench.plan(
        shape=(150, 100),
        dtypes=(dtype, dtype),
        kind=kind,
        compressor=compressor,
        zarr_format=zarr_format,
        fills=fills,
        steps=2,
        step_starts=(0, 1),
    )
    image = bench.pixels(plan)
    if dtype.startswith("float"):
        for name in image.dtype.names:
            if name.startswith("p"):
                image[name] = np.nan_to_num(image[name])
    bench.store_all(plan, tmp_path / "own.zarr", image)
    monkeypatch.setattr(sink, "chunk_writer", lambda *_: None)
    bench.store_all(plan, tmp_path / "zarr.zarr", image)
    ours, zarrs = objects(tmp_path / "own.zarr"), objects(tmp_path / "zarr.zarr")
    assert len(ours) >= 2 * 3 * 2
    assert ours.keys() == zarrs.keys()
    # No comparison of the tables: pytest would explain megabytes of difference for minutes.
    assert [path for path in ours if not is_same(ours[path], zarrs[path], np.dtype(dtype).itemsize)] == []


def test_shards_and_object_stores_go_through_zarr(bench, tmp_path):
    sharded = bench.sink(bench.plan(sharded=True), tmp_path / "s.zarr")
    remote = bench.sink(bench.plan(), bench.memory())
    local = bench.sink(bench.plan(), tmp_path / "l.zarr")
    assert [len(one._writers) for one in (sharded, remote, local)] == [0, 0, 3]


def test_a_failed_write_leaves_no_partial_file(bench, tmp_path, monkeypatch):
    plan = bench.plan()
    made = bench.sink(plan, tmp_path / "s.zarr")
    writer = made._writers[0]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write((slice(0, 64), slice(0, 64)), np.zeros((64, 64), np.uint16))
    assert list((tmp_path / "s.zarr").rglob("*.partial")) == []


def test_what_one_call_leaves_over_the_next_one_writes(bench, tmp_path, monkeypatch):
    plan = bench.plan()
    image, write = bench.pixels(plan), os.write
    bench.store_all(plan, tmp_path / "whole.zarr", image)
    monkeypatch.setattr(disk.os, "write", lambda descriptor, body: write(descriptor, body[:1000]))
    bench.store_all(plan, tmp_path / "pieces.zarr", image)
    assert objects(tmp_path / "pieces.zarr") == objects(tmp_path / "whole.zarr")


def test_folders_that_vanish_are_made_again(bench, tmp_path):
    plan = bench.plan()
    made = bench.sink(plan, tmp_path / "s.zarr")
    block = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for _ in range(2):
        made._writers[0].write((slice(64, 128), slice(0, 64)), block)
        shutil.rmtree(tmp_path / "s.zarr/B1/c")
    made._writers[0].write((slice(64, 128), slice(0, 64)), block)
    assert (tmp_path / "s.zarr/B1/c/1/0").is_file()
