"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from eezarr.events import (
    Answered,
    JobEnded,
    JobStarted,
    LimitChanged,
    Restricted,
    ServiceBack,
    ServiceLost,
    TileFailed,
    TilePostponed,
    TileSplit,
    TileStored,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from eezarr.events import Event, Observer

__all__ = ["Tracker", "showing_progress"]

LINE_INTERVAL_S = 5.0
"""Seconds between lines where there is no terminal: a log of a day's job stays under 20 000 lines."""

WINDOW_S = 20.0
"""Seconds over which the rate is taken."""


@dataclass(slots=True)
class Tracker:
    """What a display shows, kept up to date by events."""

    total: int = 0
    done: int = 0
    failed: int = 0
    pixel_bytes: int = 0
    throttled: int = 0
    retried: int = 0
    split: int = 0
    in_flight: int = 0
    limit: int | None = None
    """Requests at a time after the last refusal for load; None: none yet."""
    postponed: int = 0
    """Tiles that are asked for once more at the end."""
    lost_s: float | None = None
    """For so long nothing could be reached; None: it can."""
    is_restricted: bool = False
    is_over: bool = False
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def on_event(self, event: Event, now_s: float) -> None:
        """Take an event in."""
        match event:
            case JobStarted():
                self.total, self.done = event.tiles_total, event.tiles_resumed
            case TileStored():
                self.done += 1
                self.pixel_bytes += event.pixel_bytes
                self._recent.append((now_s, event.pixel_bytes))
            case Answered():
                self.in_flight = event.in_flight
            case JobEnded():
                self.in_flight, self.is_over = 0, True
            case _:
                self._on_trouble(event)

    def _on_trouble(self, event: Event) -> None:
        match event:
            case TileFailed():
                self.failed += 1
            case TilePostponed():
                self.postponed += 1
            case Waiting():
                self.retried += 1
                self.throttled += event.is_throttled
            case LimitChanged():
                self.limit = event.limit
            case Restricted():
                self.is_restricted = True
            case ServiceLost():
                self.lost_s = event.since_s
            case ServiceBack():
                self.lost_s = None
            case TileSplit():
                self.split += 1

    def bytes_per_s(self, now_s: float) -> float:
        """Pixels stored per second over the last while."""
        while self._recent and self._recent[0][0] < now_s - WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        return sum(size for _, size in self._recent) / max(now_s - self._recent[0][0], 0.5)

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds to go at the present rate; None if nothing came lately."""
        per_tile = sum(size for _, size in self._recent) / max(len(self._recent), 1)
        rate = self.bytes_per_s(now_s)
        return (self.total - self.done - self.failed) * per_tile / rate if rate else None

    def line(self, now_s: float) -> str:
        """All in one line, what matters most first: a narrow terminal cuts its end."""
        remaining_s = self.remaining_s(now_s)
        parts = [
            f"{self.done}/{self.total} tiles",
            f"{self.pixel_bytes / 1e6:.0f} MB",
            f"{self.bytes_per_s(now_s) / 1e6:.1f} MB/s",
            f"{self.in_flight} in flight",
            "" if remaining_s is None or self.is_over else f"{_duration(remaining_s)} to go",
            self.trouble(),
        ]
        return ", ".join(part for part in parts if part)

    def trouble(self) -> str:
        """What went wrong so far, in short; empty if nothing."""
        parts = [
            "" if self.lost_s is None else f"waiting for the service for {_duration(self.lost_s)}",
            f"{self.throttled} throttled" if self.throttled else "",
            f"{self.retried - self.throttled} retried" if self.retried > self.throttled else "",
            f"{self.split} split" if self.split else "",
            f"{self.postponed} postponed" if self.postponed else "",
            f"{self.failed} failed" if self.failed else "",
            f"limit {self.limit}" if self.limit else "",
            "parallelism restricted" if self.is_restricted else "",
        ]
        return ", ".join(part for part in parts if part)


class _Display(Protocol):
    def show(self, tracker: Tracker, now_s: float) -> None: ...


@dataclass(slots=True)
class _Lines:
    """One line every few seconds, and one at the end."""

    _next_s: float = 0.0

    def show(self, tracker: Tracker, now_s: float) -> None:
        is_over = tracker.is_over
        if not tracker.total or (now_s < self._next_s and not is_over):
            return
        self._next_s = now_s + LINE_INTERVAL_S
        sys.stderr.write(tracker.line(now_s) + "\n")


@dataclass(slots=True)
class _Bar:
    """A bar that is redrawn."""

    progress: Progress
    task: TaskID

    def show(self, tracker: Tracker, now_s: float) -> None:
        if tracker.total:
            line = tracker.line(now_s)
            self.progress.update(self.task, total=tracker.total, completed=tracker.done, description=line)


@contextmanager
def showing_progress(*, quiet: bool) -> Iterator[Observer]:
    """Show progress while the body runs; yield what is to be told of events."""
    tracker = Tracker()
    if quiet:
        yield lambda _: None
        return
    with _display() as display:

        def observe(event: Event) -> None:
            now_s = time.monotonic()
            tracker.on_event(event, now_s)
            display.show(tracker, now_s)

        yield observe


@contextmanager
def _display() -> Iterator[_Display]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    with Progress(
        BarColumn(bar_width=12),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True),
        refresh_per_second=4,
    ) as progress:
        yield _Bar(progress, progress.add_task("asking what the image is", total=None))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
