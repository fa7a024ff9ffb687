"""Fetches regions of growing size through the command line and prints time, CPU and memory of the whole process.

    python benchmarks/scene.py [--runs 5] [--sides 2745 5490 10980 21960] [--max-concurrency 40]

The emulator runs in a process of its own and is not counted. Memory is the process's peak resident set as the kernel
accounts it: it has to stay where it is while the region grows. Sides beyond 10 980 pixels reach beyond the scene, where
the service answers masked pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

JOB = """\
output = "out.zarr"
project = "my-project"
[image]
asset = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
bands = ["B2", "B3", "B4", "B8"]
[grid]
crs = "EPSG:32610"
transform = [10, 0, 499980, 0, -10, 4200000]
shape = [{side}, {side}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the command."""

    pixel_bytes: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


def main() -> None:
    """Parse the options and print a line per region."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="+", default=[2745, 5490, 10980, 21960])
    parser.add_argument("--max-concurrency", type=int, default=40)
    options = parser.parse_args()
    command = [sys.executable, "-m", "eezarr.emulator", "--max-requests-per-second", "10000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().strip()
            print("side px  pixels MB   wall s    MB/s  CPU s/GB  peak MB   (medians)")
            for side in options.sides:
                runs = [fetch(url, side, options.max_concurrency) for _ in range(options.runs)]
                print_medians(side, runs)
        finally:
            emulator.terminate()


def fetch(url: str, side: int, concurrency: int) -> Run:
    """Run the command once in an empty folder, and account for it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "job.toml").write_text(JOB.format(side=side), encoding="utf-8")
        command = [sys.executable, "-m", "eezarr", "fetch", "job.toml", "--json", "--quiet", "--api-url", url]
        start_s = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--max-concurrency", str(concurrency)], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        summary = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
    assert process.returncode == 0
    assert summary["complete"]
    return Run(
        pixel_bytes=summary["bytes"]["pixels"],
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def print_medians(side: int, runs: list[Run]) -> None:
    """Print the medians of some runs of one region."""
    size = runs[0].pixel_bytes
    wall_s = statistics.median(run.wall_s for run in runs)
    cpu_s = statistics.median(run.cpu_s for run in runs)
    peak = statistics.median(run.peak_bytes for run in runs)
    print(
        f"{side:7} {size / 1e6:10.1f} {wall_s:8.2f} {size / 1e6 / wall_s:7.0f} {cpu_s / (size / 1e9):9.2f} "
        f"{peak / 1e6:8.0f}"
    )


if __name__ == "__main__":
    main()
