"""`eezarr fetch`: runs a job, shows it, and prints what became of it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eezarr.api import run_job
from eezarr.cli.leaving import run_interruptibly
from eezarr.cli.memory import keep_freed_memory
from eezarr.cli.progress import showing_progress
from eezarr.errors import EezarrError, Incomplete, InvalidInput
from eezarr.events import as_record
from eezarr.outputs.reasons import reasons_of
from eezarr.outputs.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from eezarr.config import Job
    from eezarr.events import Event, Observer

__all__ = ["run_fetch", "run_to_report"]


def run_fetch(job: Job, *, overwrite: bool, repair: bool, as_json: bool, events: Path | None, quiet: bool) -> None:
    """Run a job to its end; the summary goes to stdout.

    Raises:
        EezarrError: What the job ended with, if not with every tile.
    """
    run_to_report(
        lambda observe: run_job(job, overwrite=overwrite, repair=repair, observe=observe),
        output=job.output,
        noun="tiles",
        as_json=as_json,
        events=events,
        quiet=quiet,
    )


def run_to_report(
    start: Callable[[Observer], Coroutine[None, None, Report]],
    *,
    output: str,
    noun: str,
    as_json: bool,
    events: Path | None,
    quiet: bool,
) -> None:
    """Run what makes a report to its end, and print that.

    Args:
        start: Begins it, with who is to be told of events.
        output: Where it stores.
        noun: What its tiles are called.
        as_json: Whether to print JSON.
        events: A file that events are appended to.
        quiet: Whether to show no progress.

    Raises:
        EezarrError: What it ended with, if not with every tile.
    """
    keep_freed_memory()
    try:
        with _recording(events) as record, showing_progress(quiet=quiet) as show:

            def observe(event: Event) -> None:
                record(event)
                show(event)

            report = run_interruptibly(start(observe))
    except Incomplete as error:
        if isinstance(error.report, Report):
            _print(error.report, noun=noun, as_json=as_json)
        raise
    except EezarrError as error:
        if as_json:
            failure = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            sys.stdout.write(json.dumps({"complete": False, "output": output, "error": failure}) + "\n")
        raise
    _print(report, noun=noun, as_json=as_json)


@contextmanager
def _recording(path: Path | None) -> Iterator[Observer]:
    """Yield an observer that appends each event to a file as a JSON line, with its time; or one that does nothing."""
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"Events cannot be written to {path}: {error.strerror}.", hint="Give a file that can be written."
        ) from error
    with file:

        def record(event: Event) -> None:
            file.write(json.dumps({"time": datetime.now(UTC).isoformat(), **as_record(event)}) + "\n")
            file.flush()

        yield record


def _print(report: Report, *, noun: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.to_json()) + "\n")
        return
    done = report.tiles_written + report.tiles_resumed
    lines = [
        f"{report.output}: {done} of {report.tiles_total} {noun}"
        + (f" ({report.tiles_resumed} were there)" if report.tiles_resumed else ""),
        f"{report.bytes_pixels / 1e6:.1f} MB of pixels in {report.seconds:.1f} s, {report.requests_sent} requests, "
        f"{report.requests_retried} of them repeated, {report.requests_throttled} throttled",
        *(f"missing: {len(reason.tiles)} {noun}: {reason}" for reason in reasons_of(report.missing)),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
