"""Runs every benchmark and writes what was found: `python -m benchmarks [--runs 5] [--tiny] [--only NAME ...]`.

The results go to RESULTS.md and results.svg beside this file, or into another folder with `--output`. A full run takes
about an hour on two cores and needs them to itself; `--tiny` tries the machinery, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.findings import Scale, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("stages", "pipeline", "inflating", "latency", "lag", "memory", "planning", "reading", "samples")
_PACKAGES = ("eezarr", "zarr", "numcodecs", "numpy", "aiohttp", "isal", "earthengine-api", "xee", "geedim")
_FOLDER = Path(__file__).parent


def main() -> None:
    """Parse the options, run, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="times that each way has its turn (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="try the machinery in seconds; the figures mean nothing")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--output", type=Path, default=_FOLDER, metavar="DIR", help="where to write")
    options = parser.parse_args()
    scale = Scale(runs=1 if options.tiny else options.runs, is_tiny=options.tiny)
    if options.tiny and options.output == _FOLDER:
        parser.error("the figures of --tiny mean nothing: give another --output")
    load = os.getloadavg()[0]
    sections: list[Section] = []
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        sections.append(importlib.import_module(f"benchmarks.{name}").measure(scale))
    write(sections, options.output, scale=scale, load=load)


def write(sections: Sequence[Section], folder: Path, *, scale: Scale, load: float) -> None:
    """Write RESULTS.md and, where matplotlib is installed, results.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Results", _conditions(scale, load)]
    if importlib.util.find_spec("matplotlib"):
        from benchmarks.plot import draw  # noqa: PLC0415 - an extra

        draw(sections, folder / "results.svg")
        parts.append("![Every figure as a share of its target](results.svg)")
    parts += [section.to_markdown().rstrip() for section in sections]
    (folder / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _conditions(scale: Scale, load: float) -> str:
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    tiny = " **Tiny: the figures mean nothing.**" if scale.is_tiny else ""
    return (
        f"`python -m benchmarks` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {_processor()}, "
        f"{_memory_gib():.0f} GiB of memory, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; load before it began: {load:.1f}; {scale.runs} turns each.{tiny}\n\n"
        f"Versions: {versions}."
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


if __name__ == "__main__":
    main()
