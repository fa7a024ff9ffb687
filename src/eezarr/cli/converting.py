"""`eezarr convert`: a store as Cloud Optimized GeoTIFF."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.cli.progress import LINE_INTERVAL_S
from eezarr.errors import InvalidInput
from eezarr.outputs.conversion import convert_store
from eezarr.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.outputs.conversion import Conversion, ConversionProgress

__all__ = ["number", "run_conversion"]

_REDRAW_S = 0.25


@dataclass(slots=True)
class _Display:
    """A line that is redrawn on a terminal; elsewhere a line now and then."""

    _next_s: float = 0.0
    _shown: str = ""

    def show(self, progress: ConversionProgress) -> None:
        line = f"{progress.file}: {progress.stage}" + (f", {progress.share:.0%}" if progress.share < 1 else "")
        now_s = time.monotonic()
        if now_s < self._next_s or line == self._shown:
            return
        self._shown = line
        is_terminal = sys.stderr.isatty()
        self._next_s = now_s + (_REDRAW_S if is_terminal else LINE_INTERVAL_S)
        sys.stderr.write(f"\r\x1b[K{line}" if is_terminal else f"{line}\n")
        sys.stderr.flush()

    def close(self) -> None:
        if self._shown and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def number(text: str) -> int | float:
    """Return the number that an option says, `nan` included.

    Raises:
        InvalidInput: If it says none.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no number.", hint="Give a number such as 0, -9999 or nan.") from error


def run_conversion(store: str, path: Path, conversion: Conversion, *, quiet: bool) -> None:
    """Convert a store and say what was written."""
    job = open_store(store)
    display = _Display()
    try:
        files = convert_store(job, path, conversion, on_progress=(lambda _: None) if quiet else display.show)
    finally:
        display.close()
    for spec in files:
        marked = f", nodata {spec.nodata}" if spec.nodata is not None else ", with a mask" if spec.has_mask else ""
        sys.stdout.write(
            f"{spec.path}: {', '.join(spec.bands)} {spec.dtype}, {spec.grid.height} rows x {spec.grid.width} columns"
            f"{marked}\n"
        )
    missing = job.plan.wanted_count - job.stored_count
    if missing:
        sys.stdout.write(f"{missing} of {job.plan.wanted_count} tiles are missing\n")
