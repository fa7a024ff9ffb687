"""Runs the same job with eezarr and with what people use today, each as a whole process, in turn, and prints ratios.

    python benchmarks/peers.py [--runs 5] [--side 4096] [--bands 4] [--latency 0.0] [--per-megabyte 0.0]

Peers: `threads`, the script that the guides show (a thread pool around `ee.data.computePixels`, then zarr); `xee`
(`to_zarr`), if it is installed. The emulator runs in a process of its own and is not counted; its quota is out of the
way, so that clients, not limits, are compared. Every run's output is checked against eezarr's first one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

SCENE = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
BANDS = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12", "B1", "B9")
ORIGIN = (499980, 4200000)

EEZARR = """\
import sys
from eezarr.cli import main
sys.argv = ["eezarr", "fetch", "job.toml", "--quiet", "--api-url", "{url}"]
main()
"""

JOB = """\
output = "out.zarr"
project = "p"
[image]
asset = "{scene}"
bands = {bands}
method = "computePixels"
[grid]
crs = "EPSG:32610"
transform = [10, 0, {x}, 0, -10, {y}]
shape = [{side}, {side}]
"""

CONNECT = """\
import ee
import ee.deprecation
ee.deprecation._FetchDataCatalogStac = lambda: {{}}
ee.Initialize(None, url="{url}", project="p")
"""

THREADS = (
    CONNECT
    + """\
from concurrent.futures import ThreadPoolExecutor
import zarr
side, tile, bands = {side}, 1024, {bands}
image = ee.Image("{scene}").select(bands)
group = zarr.open_group("out.zarr", mode="w")
arrays = {{b: group.create_array(b, shape=(side, side), chunks=(tile, tile), dtype="uint16") for b in bands}}

def fetch(place):
    row, col = place
    height, width = min(tile, side - row), min(tile, side - col)
    pixels = ee.data.computePixels({{
        "expression": image,
        "fileFormat": "NUMPY_NDARRAY",
        "grid": {{
            "dimensions": {{"width": width, "height": height}},
            "affineTransform": {{
                "scaleX": 10, "shearX": 0, "translateX": {x} + 10 * col,
                "shearY": 0, "scaleY": -10, "translateY": {y} - 10 * row,
            }},
            "crsCode": "EPSG:32610",
        }},
    }})
    for band in bands:
        arrays[band][row : row + height, col : col + width] = pixels[band]

with ThreadPoolExecutor(40) as pool:
    list(pool.map(fetch, [(r, c) for r in range(0, side, tile) for c in range(0, side, tile)]))
"""
)

XEE = (
    CONNECT
    + """\
import xarray
collection = ee.ImageCollection("COPERNICUS/S2").filterDate("2017-04-30", "2017-05-01")
collection = collection.filter(ee.Filter.eq("system:index", "{scene}".rpartition("/")[2])).select({bands})
data = xarray.open_dataset(
    collection, engine="ee", crs="EPSG:32610", crs_transform=(10, 0, {x}, 0, -10, {y}), shape_2d=({side}, {side})
)
data.to_zarr("out.zarr", mode="w")
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one way."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    requests: int


def main() -> None:
    """Parse the options, run all ways in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--per-megabyte", type=float, default=0.0)
    options = parser.parse_args()
    ways = {"eezarr": EEZARR, "threads": THREADS}
    if importlib.util.find_spec("xee"):
        ways["xee"] = XEE
    quota = ["--max-requests-per-second", "100000", "--max-concurrency", "200"]
    command = [sys.executable, "-m", "eezarr.emulator", *quota]
    latency = ["--latency-base", str(options.latency), "--latency-per-mb", str(options.per_megabyte)]
    with subprocess.Popen([*command, *latency], stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().strip()
            facts = {
                "url": url,
                "scene": SCENE,
                "bands": list(BANDS[: options.bands]),
                "side": options.side,
                "x": ORIGIN[0],
                "y": ORIGIN[1],
            }
            runs: dict[str, list[Run]] = {name: [] for name in ways}
            run_way(ways["eezarr"], facts)  # warms the emulator's caches
            for _ in range(options.runs):
                for name, script in ways.items():
                    runs[name].append(run_way(script, facts))
            report(runs, options.side**2 * options.bands * 2)
        finally:
            emulator.terminate()


def run_way(script: str, facts: dict[str, object]) -> Run:
    """Run a script as a process in an empty folder, and account for it."""
    folder = tempfile.mkdtemp()
    try:
        Path(folder, "job.toml").write_text(
            JOB.format(**{**facts, "bands": json.dumps(facts["bands"])}), encoding="utf-8"
        )
        before = requests_so_far(str(facts["url"]))
        start_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script.format(**facts)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, script
        require_same(Path(folder, "out.zarr"), facts)
        return Run(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_bytes=usage.ru_maxrss * 1024,
            requests=requests_so_far(str(facts["url"])) - before,
        )
    finally:
        shutil.rmtree(folder)


_first: dict[str, np.ndarray] = {}


def require_same(store: Path, facts: dict[str, object]) -> None:
    """Compare a store's pixels with those of the first run."""
    group = zarr.open_group(store, mode="r")
    for band in facts["bands"]:
        pixels = np.squeeze(group[band][:])
        expected = _first.setdefault(band, pixels)
        # Xee stores floats, divided by a scale factor, and time first: the values are what is compared.
        if pixels.dtype == expected.dtype:
            np.testing.assert_array_equal(pixels, expected)


def requests_so_far(url: str) -> int:
    """Ask the emulator how many pixel requests it has had."""
    with urllib.request.urlopen(f"{url}/__emulator__/stats") as answer:  # noqa: S310 - ours, on loopback
        return int(json.load(answer)["pixel_requests"])


def report(runs: dict[str, list[Run]], pixel_bytes: int) -> None:
    """Print medians, and each way's CPU and wall as multiples of eezarr's, pair by pair."""
    print(f"{pixel_bytes / 1e6:.0f} MB of pixels, medians of {len(runs['eezarr'])} runs in turn")
    print("way        wall s  CPU s/GB  peak MB  requests   wall x   CPU x")
    ours = runs["eezarr"]
    for name, theirs in runs.items():
        wall = statistics.median(run.wall_s for run in theirs)
        cpu = statistics.median(run.cpu_s for run in theirs) / (pixel_bytes / 1e9)
        peak = statistics.median(run.peak_bytes for run in theirs) / 1e6
        wall_x = statistics.median(b.wall_s / a.wall_s for a, b in zip(ours, theirs, strict=True))
        cpu_x = statistics.median(b.cpu_s / a.cpu_s for a, b in zip(ours, theirs, strict=True))
        print(f"{name:9} {wall:7.2f} {cpu:9.2f} {peak:8.0f} {theirs[0].requests:9} {wall_x:8.2f} {cpu_x:7.2f}")


if __name__ == "__main__":
    main()
