"""How a command ends: one line for an error, and an exit code that says what kind it was."""

from __future__ import annotations

import functools
import signal
import sys
from typing import TYPE_CHECKING, ParamSpec

from eezarr.errors import EezarrError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["guarded", "one_line"]

P = ParamSpec("P")

INTERRUPTED = 130
TERMINATED = 143
"""128 + the signal's number, as shells count."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end by our errors and by signals as the exit codes promise.

    The first SIGINT or SIGTERM cancels what runs: requests in flight are dropped, marks are flushed. A second leaves
    at once.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        terminated: list[int] = []

        def on_terminate(number: int, _frame: FrameType | None) -> None:
            terminated.append(number)
            signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, on_terminate)
        try:
            command(*args, **kwargs)
        except EezarrError as error:
            sys.stderr.write(f"error: {one_line(error)}\n")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted: what is stored stays; run the same command again to go on\n")
            sys.exit(TERMINATED if terminated else INTERRUPTED)

    return run


def one_line(error: EezarrError) -> str:
    """Return an error's message and hint as one line."""
    return " ".join(str(error).split())
