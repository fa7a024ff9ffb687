"""Whole processes, accounted for by the kernel; ways that take turns; medians."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "Usage",
    "cache_folder",
    "clean_environment",
    "in_turns",
    "interleaved",
    "on_one_core",
    "run_process",
    "scratch_folder",
]

T = TypeVar("T")

_LAUNCHER = Path(__file__).with_name("launch.py")
_OURS = ("EEZARR_API_URL", "EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process took, from its start to its end."""

    start_s: float
    """By the machine's steady clock, which all its processes share."""
    wall_s: float
    cpu_s: float
    """User and system time of all its threads."""
    peak_bytes: int
    """The most memory that was resident."""
    core_seconds: tuple[float, float]
    """Busy and total seconds of all cores, at its end."""
    output: str
    """What it printed."""


def run_process(command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command in a folder to its end.

    Raises:
        RuntimeError: If it fails; with what it said.
    """
    report, output, errors = folder / "usage.json", folder / "stdout.txt", folder / "stderr.txt"
    with output.open("w") as out, errors.open("w") as err:
        subprocess.run(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), *command],
            cwd=folder,
            env=clean_environment() | dict(environment or {}),
            stdout=out,
            stderr=err,
            check=True,
        )
    facts = json.loads(report.read_text())
    if facts["code"] != 0:
        raise RuntimeError(f"{command[:4]} ended with {facts['code']}: {errors.read_text()[-2000:]}")
    return Usage(
        start_s=facts["start_s"],
        wall_s=facts["wall_s"],
        cpu_s=facts["cpu_s"],
        peak_bytes=facts["peak_bytes"],
        core_seconds=tuple(facts["cores"]),
        output=output.read_text(),
    )


def clean_environment() -> dict[str, str]:
    """Return the environment without what names another service, and with compiled modules, as users have them."""
    dropped = {"PYTHONDONTWRITEBYTECODE", *_OURS}
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"PYTHONWARNINGS": "ignore"}


def interleaved(ways: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """Run all ways in turn, so many times; each time another begins, so that what drifts meets all alike."""
    names = list(ways)
    results: dict[str, list[T]] = {name: [] for name in names}
    for turn in range(runs):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(ways[name]())
    return results


def in_turns(ways: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """Return the median of each way's figure; see `interleaved`."""
    return {name: median(figures) for name, figures in interleaved(ways, runs).items()}


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this thread, and the processes that it starts meanwhile, to one core; Linux only."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def cache_folder() -> Path:
    """Return the folder for what is computed once; EEZARR_BENCHMARK_CACHE names another."""
    default = Path(tempfile.gettempdir(), "eezarr-benchmarks")
    folder = Path(os.environ.get("EEZARR_BENCHMARK_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder; its files are emptied afterwards, and deleted when this process ends.

    Where files were just deleted, ext4 takes a tenth of a writer's CPU time to find an inode that was not among them:
    whoever writes next would pay for whoever wrote last.
    """
    folder = Path(tempfile.mkdtemp(prefix="eezarr-benchmark-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        yield folder
    finally:
        for file in folder.rglob("*"):
            if file.is_file():
                os.truncate(file, 0)
