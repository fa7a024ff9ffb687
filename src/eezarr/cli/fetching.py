"""`eezarr fetch`: runs a job, shows it, and prints what became of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eezarr.api import run_job
from eezarr.cli.leaving import run_interruptibly
from eezarr.cli.memory import keep_freed_memory
from eezarr.cli.progress import showing_progress
from eezarr.cli.summary import summarised
from eezarr.errors import InvalidInput
from eezarr.events import as_record

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from eezarr.config import Job
    from eezarr.events import Event, Observer
    from eezarr.outputs.report import Report

__all__ = ["run_fetch", "run_to_report"]


def run_fetch(
    load: Callable[[], Job],
    *,
    overwrite: bool,
    repair: bool,
    steal: bool,
    as_json: bool,
    events: Path | None,
    quiet: bool,
) -> None:
    """Read a job and run it to its end; the summary goes to stdout.

    Raises:
        EezarrError: What the job ended with, if not with every tile.
    """
    with summarised(noun="tiles", as_json=as_json) as account:
        job = load()
        account.output = job.output
        account.report = run_to_report(
            lambda observe: run_job(job, overwrite=overwrite, repair=repair, steal=steal, observe=observe),
            account,
            events=events,
            quiet=quiet,
        )


def run_to_report(
    start: Callable[[Observer], Coroutine[None, None, Report]], account: Observer, *, events: Path | None, quiet: bool
) -> Report:
    """Run what makes a report to its end.

    Args:
        start: Begins it, with who is to be told of events.
        account: Told of every event.
        events: A file that events are appended to.
        quiet: Whether to show no progress.

    Raises:
        EezarrError: What it ended with, if not with every tile.
    """
    keep_freed_memory()
    with _recording(events) as record, showing_progress(quiet=quiet) as show:

        def observe(event: Event) -> None:
            for told in (account, record, show):
                told(event)

        return run_interruptibly(start(observe))


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
