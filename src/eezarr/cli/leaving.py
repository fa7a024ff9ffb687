"""How a command ends: one line for an error, an exit code that says what kind it was, and two ways out of a job.

The first SIGINT or SIGTERM cancels what runs: requests in flight are dropped, what is being written is finished, marks
are flushed. A second one leaves at once.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from eezarr.errors import EezarrError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

__all__ = ["guarded", "leave", "one_line", "run_interruptibly"]

P = ParamSpec("P")
T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STORED = "what is stored stays; run the same command again to go on"


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end by our errors as their exit codes promise."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from eezarr.threads import exhaustion

        try:
            with exhaustion():
                command(*args, **kwargs)
        except EezarrError as error:
            sys.stderr.write(f"error: {one_line(error)}\n")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            _leave(signal.SIGINT)

    return run


def run_interruptibly(work: Coroutine[None, None, T], *, left: Callable[[], str] = lambda: STORED) -> T:
    """Run a job to its end and return what it returns; interrupted, leave with 128 + the signal's number.

    Args:
        work: The job.
        left: Says what an interruption leaves behind, and what to do with it.
    """
    import asyncio

    received: list[signal.Signals] = []

    async def watched() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def on_signal(number: int, _frame: object) -> None:
            if received:
                os._exit(128 + number)
            received.append(signal.Signals(number))
            loop.call_soon_threadsafe(task.cancel)  # which also wakes the loop

        with _handling(on_signal):
            return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if not received:
            raise
        _leave(received[0], left())


@contextmanager
def _handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Have signals handled by the interpreter, not by the loop, which on Windows cannot; only its main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former if former is not None else signal.SIG_DFL)


def leave(code: int) -> NoReturn:
    """Leave without taking the interpreter apart, which takes a third of a second and changes nothing."""
    if code:
        sys.unraisablehook = lambda _: None  # what fails for the same reason at the end is no news
    atexit._run_exitfuncs()  # noqa: SLF001 - what was registered for the end has its turn
    with suppress(BrokenPipeError):  # whoever read has had enough
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def one_line(error: EezarrError) -> str:
    """Return an error's message and hint as one line."""
    return " ".join(str(error).split())


def _leave(number: signal.Signals, left: str = STORED) -> NoReturn:
    sys.stderr.write(f"interrupted: {left}\n")
    sys.exit(128 + number)
