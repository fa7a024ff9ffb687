"""A job with overviews, from the service to the last level: built on the way, exact against the world."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import zarr

import eezarr as package
from eezarr.store import ZarrSink
from eezarr.store.stages import Halving
from known import SCENE, SCENE_NAME, environment

BANDS = ["B4", "QA60"]
PLACE = {"crs": "EPSG:32610", "transform": (10, 0, 499980, 0, -10, 4200000), "height": 1400, "width": 1200}
IMAGE = f'asset = "{SCENE}"\nbands = ["B4", "QA60"]'
GRID = 'crs = "EPSG:32610"\ntransform = [10, 0, 499980, 0, -10, 4200000]\nshape = [1400, 1200]'
STORE = "[store]\noverviews = true\nchunk = 128\n[fetch]\ntile = [256, 256]"
"""6 x 5 tiles of the store, 3 x 3 and 2 x 2 of the levels, of 700 x 600 and 350 x 300 pixels."""


def halved(plane, *, is_mean):
    """Of an even number of rows and columns."""
    cells = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2)
    return np.rint(cells.mean(axis=(1, 3))).astype(plane.dtype) if is_mean else cells[:, 0, :, 0]


def test_levels_are_there_before_the_last_tile_is(emulator, truth, tmp_path, job, monkeypatch):
    """The tile in the corner is held back until all else is built, and none of what is above it is."""
    path = job(image=IMAGE, grid=GRID, rest=STORE, output=tmp_path / "out.zarr")
    made, all_else, write, make = [], threading.Event(), ZarrSink.write, Halving.make

    def hold(self, tile, pixels):
        if tile.index == 0:
            assert all_else.wait(60)
            assert len(made) == 13 - 2
            assert "multiscales" not in zarr.open_group(tmp_path / "out.zarr", mode="r").attrs
        write(self, tile, pixels)

    def watch(self, tile):
        make(self, tile)
        made.append((tile.region.height, tile.index))
        if len(made) == 13 - 2:
            all_else.set()

    monkeypatch.setattr(ZarrSink, "write", hold)
    monkeypatch.setattr(Halving, "make", watch)
    report = asyncio.run(package.run_job(package.Job.load(path).replaced(api_url=emulator.url)))
    assert report.is_complete
    assert made[-2:] == [(700, 0), (350, 0)]
    assert len(made) == len(set(made)) == 13
    require_exact(tmp_path / "out.zarr", truth)


MORTAL = """
import os, signal, sys
from itertools import count
from eezarr.cli import main

replace, numbers, last = os.replace, count(), int(sys.argv.pop(1))

def visible(source, target, **options):
    if next(numbers) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **options)

os.replace = visible
main()
"""
"""The command line; it dies right before so many of its stored objects are seen."""


def test_a_job_that_is_killed_over_and_over_ends_with_right_levels(emulator, truth, tmp_path, job):
    emulator.configure({"latency": {"base_s": 0.15}})
    job(image=IMAGE, grid=GRID, rest=f"{STORE}\nmax_concurrency = 2")
    codes = []
    for last in (180, 80, 30, -1):
        command = ["-c", MORTAL, str(last), "fetch", "job.toml", "--api-url", emulator.url]
        ended = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
        codes.append(ended.returncode)
        attributes = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs
        assert ("multiscales" in attributes) == (0 in codes)
    assert codes[:1] == [-signal.SIGKILL]
    assert 30 < emulator.stats().pixel_requests < 4 * 30
    assert codes[-1] == 0
    require_exact(tmp_path / "out.zarr", truth)


def require_exact(path, truth):
    """The store is what the world has, and each level what is below it."""
    stored = zarr.open_group(path, mode="r")
    assert [entry["asset"] for entry in json.loads(stored.attrs["multiscales"])["layout"]] == ["ovr_2x", "ovr_4x"]
    for name, plane in zip(BANDS, truth(SCENE_NAME, BANDS, **PLACE), strict=True):
        np.testing.assert_array_equal(stored[name][:], plane)
        half = halved(plane, is_mean=name == "B4")
        np.testing.assert_array_equal(stored[f"ovr_2x/{name}"][:], half)
        np.testing.assert_array_equal(stored[f"ovr_4x/{name}"][:], halved(half, is_mean=name == "B4"))
