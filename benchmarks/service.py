"""The processes that answer: an emulator, and before it a replay; started, asked how they fared, and stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Usage

__all__ = ["Service", "Stats", "emulating", "replaying"]

_ROOT = Path(__file__).parents[1]
_UNLIMITED = ("--max-requests-per-second", "1000000", "--max-concurrency", "10000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a replay was asked since its last reset; see `replay.Counts`."""

    pixel_requests: int
    metadata_requests: int
    misses: int
    bytes_sent: int
    first_pixel_s: float | None
    first_core_seconds: tuple[float, float] | None
    drawn_s: tuple[float, ...]
    most_open: int

    def busy_share(self, usage: Usage) -> float:
        """Return the share of all cores' time that was used, from the first request for pixels to a process's end."""
        assert self.first_core_seconds is not None
        busy_s, total_s = (end - start for start, end in zip(self.first_core_seconds, usage.core_seconds, strict=True))
        return busy_s / total_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running replay."""

    url: str

    def stats(self) -> Stats:
        """Return what was asked since the last reset."""
        facts = self._ask("stats")
        return Stats(**{**facts, "drawn_s": tuple(facts["drawn_s"])})

    def reset(self) -> None:
        """Forget what was asked, but not what was learned."""
        self._ask("reset")

    def set_latency(self, **latency: float) -> None:
        """Set the latency of all answers from now on (see `replay.Latency`), and reset."""
        self._ask("latency", latency)

    def _ask(self, name: str, body: dict[str, float] | None = None) -> dict[str, Any]:
        data = json.dumps(body or {}).encode()
        with urllib.request.urlopen(f"{self.url}/__replay__/{name}", data) as answer:  # noqa: S310 - ours, on loopback
            document: dict[str, Any] = json.load(answer)
            return document


@contextmanager
def replaying(
    *, is_gzip: bool = False, is_periodic: bool = False, tls: tuple[Path, Path] | None = None
) -> Iterator[Service]:
    """Run an emulator without quota and a replay of it.

    Args:
        is_gzip: Whether bodies are compressed for clients that ask.
        is_periodic: Whether pixels repeat; see `periodic`.
        tls: Certificate and key, to serve https; the replay can then not be controlled.
    """
    with ExitStack() as stack:
        gzip = ("--gzip",) if is_gzip else ()
        emulator = stack.enter_context(_running("eezarr.emulator", *_UNLIMITED, *gzip))
        options = ["--upstream", emulator, *gzip, *(("--periodic",) if is_periodic else ())]
        options += ["--tls", *map(str, tls)] if tls else []
        yield Service(url=stack.enter_context(_running("benchmarks.replay", *options)))


@contextmanager
def emulating(*options: str) -> Iterator[str]:
    """Run an emulator with options of its command line, and yield its URL."""
    with _running("eezarr.emulator", *options) as url:
        yield url


@contextmanager
def _running(module: str, *options: str) -> Iterator[str]:
    """Run a module whose first line is its URL, and yield that."""
    command: Sequence[str] = (sys.executable, "-m", module, *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=clean_environment()) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
