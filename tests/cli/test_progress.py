"""What progress says: the line from scripted events, and the bar on a real terminal's width."""

import io

import pytest
from rich.console import Console

from eezarr.cli.progress import Tracker, showing_progress
from eezarr.events import (
    Answered,
    JobEnded,
    JobStarted,
    LimitChanged,
    ServiceBack,
    ServiceLost,
    TilePostponed,
    TileStored,
    Waiting,
)

EVENTS = [
    JobStarted(output="o", tiles_total=100, tiles_resumed=40, pixel_bytes=1),
    Answered(what="tile 1", attempt=1, seconds=1, outcome="ok", in_flight=7),
    TileStored(tile=1, pixel_bytes=5_000_000, attempts=1, seconds=1),
    Waiting(what="tile 2", attempt=1, wait_s=1, is_throttled=True, reason="429"),
    LimitChanged(limit=9),
]


def test_the_line_has_all_that_matters():
    tracker = Tracker()
    for event in EVENTS:
        tracker.on_event(event, 100.0)
    assert tracker.line(101.0) == ("41/100 tiles, 5 MB, 5.0 MB/s, 7 in flight, 59 s to go, 1 throttled, limit 9")
    tracker.on_event(JobEnded(is_complete=True, seconds=1), 101.0)
    assert "to go" not in tracker.line(101.0)


def test_the_line_says_that_the_service_is_waited_for_until_it_is_back():
    tracker = Tracker()
    tracker.on_event(EVENTS[0], 100.0)
    tracker.on_event(TilePostponed(tile=3, where="tile 3", error="503", attempts=8), 100.0)
    tracker.on_event(ServiceLost(reason="No address.", since_s=75.4, wait_s=30), 101.0)
    assert tracker.line(101.0).endswith("waiting for the service for 1 min 15 s, 1 postponed")
    tracker.on_event(ServiceBack(after_s=100), 102.0)
    assert "waiting" not in tracker.line(102.0)


@pytest.mark.parametrize("width", [60, 100])
def test_a_narrow_terminal_cuts_the_end_only(monkeypatch, width):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    with showing_progress(quiet=False) as observe:
        for event in EVENTS:
            observe(event)
    assert "41/100 tiles, 5 MB" in terminal.getvalue()
    assert Console(file=terminal).width == width
