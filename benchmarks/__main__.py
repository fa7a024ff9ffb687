"""Runs every benchmark and writes what was found: `python -m benchmarks [--runs 5] [--tiny] [--only NAME ...]`.

The results go to RESULTS.md and results.svg beside this file, or into another folder with `--output`; with `--only` the
other sections stay as they were found. A full run takes two hours on two cores and needs them to itself;
`--tiny` tries the machinery, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks.findings import Scale
from benchmarks.results import Result, conditions, keep, write

NAMES = (
    "stages",
    "growth",
    "steps",
    "pipeline",
    "gzipped",
    "inflating",
    "latency",
    "lag",
    "memory",
    "planning",
    "reading",
    "samples",
)
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
    machine, turn = conditions(scale, os.getloadavg()[0])
    for name in options.only:
        sys.stderr.write(f"{name} ...\n")
        section = importlib.import_module(f"benchmarks.{name}").measure(scale)
        keep(name, Result(section=section, machine=machine, turn=turn), options.output / "figures")
        write(NAMES, options.output / "figures", options.output)


if __name__ == "__main__":
    main()
