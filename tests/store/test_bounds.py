"""A store of a stranger: nothing is read that has no end, or is larger than it can be."""

from __future__ import annotations

import os
import sys

import pytest
import zarr

from eezarr.errors import EezarrError, StoreError
from eezarr.grid import Window
from eezarr.store import open_store
from eezarr.store.location import locate

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes are files there")]

BAITS = {
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "pipe": os.mkfifo,
    "sparse": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
}


def baited(path, bait):
    path.unlink()
    BAITS[bait](path)


@pytest.mark.parametrize("bait", BAITS)
@pytest.mark.parametrize("layout", [{}, {"sharded": True}, {"zarr_format": 2}, {"compressor": "none"}], ids=str)
def test_a_chunk_that_is_larger_than_it_can_be_is_damaged(bench, tmp_path, bait, layout):
    plan = bench.plan(**layout)
    bench.store_all(plan, tmp_path)
    chunk = "B2/0.0" if layout.get("zarr_format") == 2 else "B2/c/0/0"
    baited(tmp_path / chunk, bait)
    job = open_store(tmp_path)
    assert [tile.index for tile in job.verify()] == [0]
    with pytest.raises(StoreError, match=r"no regular file|no more than|checksum"):
        job.read_window(["B2"], Window(row=0, col=0, height=10, width=10))
    with pytest.raises(StoreError):
        job.read_overview(["B2"], 8)


@pytest.mark.parametrize("bait", BAITS)
@pytest.mark.parametrize("key", [".eezarr/job.json", ".eezarr/marks/0", "B1/zarr.json", "zarr.json", "x/c/0"])
def test_no_other_object_is_read_without_end(bench, tmp_path, bait, key):
    bench.store_all(bench.plan(), tmp_path)
    baited(tmp_path / key, bait)
    if "marks" in key and bait != "sparse":
        # What is no file is no page: its tiles are fetched again.
        assert bench.sink(bench.plan(), tmp_path, repair=False).stored_count == 0
        return
    with pytest.raises(EezarrError):
        bench.sink(bench.plan(), tmp_path, repair=False)


def test_an_object_in_a_bucket_that_is_too_large_is_not_fetched(bench):
    output = bench.memory()
    plan = bench.plan()
    bench.store_all(plan, output)
    location = locate(output)
    location.put("B2/c/0/0", bytes(1 << 20))
    assert [tile.index for tile in open_store(output).verify()] == [0]
    with pytest.raises(StoreError, match="no more than"):
        open_store(output).read(plan.tile(0))
    assert zarr.open_group(location.store, mode="r")["B2"].shape == (172, 282)
