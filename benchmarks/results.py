"""What the benchmarks found, kept section by section: RESULTS.md, a picture, and for each section the figures as JSON.

A section that is measured again takes the place of what was found before; the others stay, each with its own date and
conditions. Written after each section, so that nothing is lost when a later one fails.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from benchmarks.findings import Section  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.findings import Scale

__all__ = ["Result", "conditions", "keep", "write"]

_PACKAGES = ("eezarr", "zarr", "numcodecs", "numpy", "aiohttp", "isal", "earthengine-api", "xee", "geedim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A section, and under which conditions it was found."""

    section: Section
    machine: str
    """Hardware and versions."""
    turn: str
    """Date, load, and how often each way was run."""


def conditions(scale: Scale, load: float) -> tuple[str, str]:
    """Return the machine and the turn, as `Result` has them."""
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    machine = (
        f"{os.cpu_count()} cores, {_processor()}, {_memory_gib():.0f} GiB of memory, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; {versions}."
    )
    tiny = " **Tiny: the figures mean nothing.**" if scale.is_tiny else ""
    return machine, f"{datetime.now(UTC):%Y-%m-%d}, load before it began {load:.1f}, at most {scale.runs} turns.{tiny}"


def keep(name: str, result: Result, folder: Path) -> None:
    """Write a section's figures down."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(TypeAdapter(Result).dump_json(result, indent=1) + b"\n")


def write(names: Sequence[str], figures: Path, folder: Path) -> None:
    """Write RESULTS.md of all sections whose figures there are and, where matplotlib is installed, results.svg.

    Args:
        names: All sections' names, in order.
        figures: Where `keep` wrote.
        folder: Where to write.
    """
    files = [path for name in names if (path := figures / f"{name}.json").exists()]
    results = [TypeAdapter(Result).validate_json(path.read_bytes()) for path in files]
    machine = results[-1].machine
    parts = ["# Results", f"`python -m benchmarks` on {machine}"]
    if importlib.util.find_spec("matplotlib"):
        from benchmarks.plot import draw  # noqa: PLC0415 - an extra

        draw([result.section for result in results], folder / "results.svg")
        parts.append("![Every figure as a share of its target](results.svg)")
    for result in results:
        other = "" if result.machine == machine else f" On {result.machine}"
        parts.append(result.section.to_markdown(f"{result.turn}{other}").rstrip())
    (folder / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


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
