"""From synchronous code into a loop: also where one runs already (notebooks), and never past an interrupt.

A loop in a thread of its own knows nothing of Ctrl-C, nor of a notebook's stop button: both raise KeyboardInterrupt in
the main thread, which only waits. So whoever waits cancels the work, and waits until it has ended.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

__all__ = ["run_to_end"]

T = TypeVar("T")

_STARTING_S = 5.0
"""Seconds in which a thread has begun if it was started at all."""


def run_to_end(work: Coroutine[None, None, T]) -> T:
    """Return what a coroutine returns: in this thread, or in one of its own if a loop runs in this one.

    Raises:
        KeyboardInterrupt: If it was interrupted: the work has been cancelled and has ended. After a second interrupt it
            is not waited for any more.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with _interruptible():
        return _Aside(work).result()


class _Aside(Generic[T]):
    """Work in a thread of its own, which is cancelled if whoever waits for it is interrupted."""

    def __init__(self, work: Coroutine[None, None, T]) -> None:
        self._work = work
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]] = Future()
        self._outcome: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, name="eezarr")

    def result(self) -> T:
        """Begin, wait for the end, and return what the work returns, or raise what it raises."""
        try:
            self._thread.start()  # an interrupt may come in here, when the work has begun
            return self._outcome.result()
        except BaseException:
            if not self._outcome.done():  # it is an interrupt of ours, not what the work raised
                self._cancel()
            raise
        finally:
            self._join()

    def _join(self) -> None:
        try:
            with suppress(RuntimeError):  # it was never started
                self._thread.join()
        except BaseException:
            self._cancel()  # once more, for a clean-up that takes long
            raise

    def _run(self) -> None:
        try:
            self._outcome.set_result(asyncio.run(self._noted()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised in the thread that waits
            self._outcome.set_exception(error)

    async def _noted(self) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._begun.set_result((asyncio.get_running_loop(), task))
        return await self._work

    def _cancel(self) -> None:
        try:
            loop, task = self._begun.result(timeout=_STARTING_S)
        except TimeoutError:
            self._work.close()
            return
        with suppress(RuntimeError):  # its loop has been closed meanwhile
            loop.call_soon_threadsafe(task.cancel)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt here, where asyncio's handlers would only tell a loop that stands still."""
    handler = signal.getsignal(signal.SIGINT)
    home = getattr(getattr(handler, "func", handler), "__module__", None) or ""
    if threading.current_thread() is not threading.main_thread() or not home.startswith("asyncio."):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
