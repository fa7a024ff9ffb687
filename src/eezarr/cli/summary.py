"""What a job came to, on standard output: in JSON all keys of the summary, however it ends."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.errors import EezarrError, Incomplete
from eezarr.events import JobStarted, TileStored
from eezarr.outputs.reasons import reasons_of
from eezarr.outputs.report import Report, Tally
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.events import Event

__all__ = ["Account", "print_end", "summarised"]


_INTERRUPTED = ("Interrupted.", "Run the same command again to go on; what is stored stays.")


@dataclass(slots=True)
class Account:
    """What is known of a job while it runs; an `Observer`."""

    output: str | None = None
    """Where it stores, once the job was read."""
    report: Report | None = None
    """Its report, once it has ended with one."""
    _tally: Tally = field(default_factory=Tally)
    _start_s: float = field(default_factory=time.monotonic)
    _total: int = 0
    _resumed: int = 0
    _written: int = 0

    def __call__(self, event: Event) -> None:
        """Count the event, if it is one that counts."""
        self._tally(event)
        if isinstance(event, JobStarted):
            self.output, self._total, self._resumed = event.output, event.tiles_total, event.tiles_resumed
        elif isinstance(event, TileStored):
            self._written += 1

    def facts(self) -> dict[str, object]:
        """Return the summary: of the report, or of what was seen where the job ended without one."""
        tally = self._tally
        report = self.report or Report(
            output=self.output or "",
            tiles_total=self._total,
            tiles_written=self._written,
            tiles_resumed=self._resumed,
            requests_sent=tally.sent,
            requests_retried=tally.retried,
            requests_throttled=tally.throttled,
            requests_split=tally.split,
            bytes_received=tally.received_bytes,
            bytes_pixels=tally.pixel_bytes,
            seconds=time.monotonic() - self._start_s,
            missing=(),
        )
        facts = report.to_json()
        return facts if self.report is not None else facts | {"complete": False, "output": self.output}


@contextmanager
def summarised(*, noun: str, as_json: bool) -> Iterator[Account]:
    """Yield an account of a job, and print it when the job ends, in whatever way.

    Args:
        noun: What its tiles are called.
        as_json: Whether to print JSON; else there is nothing to print of a job without a report.
    """
    account = Account()
    try:
        with exhaustion():
            yield account
    except EezarrError as error:
        if isinstance(error, Incomplete) and isinstance(error.report, Report):
            account.report = error.report
        _print(account, error.message, error.hint, error.exit_code, noun=noun, as_json=as_json)
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        code = end.code if isinstance(end, SystemExit) else 128 + signal.SIGINT
        if code:
            _print(account, *_INTERRUPTED, code, noun=noun, as_json=as_json)
        raise
    if account.report is not None:
        sys.stdout.write(_json(account.facts()) if as_json else _text(account.report, noun))


def print_end(code: int) -> None:
    """Print the summary of a command that ended before it read its job."""
    if code == 2:
        said = ("The command line is wrong.", "See standard error, and `eezarr fetch --help`.")
    else:
        said = _INTERRUPTED
    _print(Account(), *said, code, noun="", as_json=True)


def _print(account: Account, message: str, hint: str, code: object, *, noun: str, as_json: bool) -> None:
    if as_json:
        error = {"message": message, "hint": hint, "exit_code": code}
        sys.stdout.write(_json(account.facts() | {"error": error}))
    elif account.report is not None:
        sys.stdout.write(_text(account.report, noun))


def _json(facts: dict[str, object]) -> str:
    return json.dumps(facts) + "\n"


def _text(report: Report, noun: str) -> str:
    done = report.tiles_written + report.tiles_resumed
    lines = [
        f"{report.output}: {done} of {report.tiles_total} {noun}"
        + (f" ({report.tiles_resumed} were there)" if report.tiles_resumed else ""),
        f"{report.bytes_pixels / 1e6:.1f} MB of pixels in {report.seconds:.1f} s, {report.requests_sent} requests, "
        f"{report.requests_retried} of them repeated, {report.requests_throttled} throttled",
        *(f"missing: {len(reason.tiles)} {noun}: {reason}" for reason in reasons_of(report.missing)),
    ]
    return "\n".join(lines) + "\n"
