"""Threads beside an event loop, which let it go first; and a machine that has no memory or threads left."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from eezarr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["exhaustion", "nicer_threads", "to_its_end", "usable_cores"]

_NO_THREAD = "can't start new thread"
"""The text of a RuntimeError. Source: Modules/_threadmodule.c of CPython."""

_NO_ROOM = "failed to map segment"
"""In the text of an ImportError: the loader found no room for a library. Source: elf/dl-map-segments.h of glibc."""

_NICE = 5
"""By how much the threads are nicer than the loop: the 99th percentile of its lag sinks by a third (measured)."""


def usable_cores() -> int:
    """Return how many cores this process may use: where it is kept to some, the others do nothing for it."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextmanager
def exhaustion() -> Iterator[None]:
    """Raise one of our errors where this machine has no memory or no threads left, alone or in a group.

    Raises:
        StoreError: If what the block raises is that, or is among others.
    """
    lacking = None
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ImportError, BaseExceptionGroup) as error:
        lacking = _lacking(error)
        if lacking is None:
            raise
    if lacking is not None:  # raised here, without what it came through, which holds the very memory that is lacking
        raise StoreError(
            f"This machine has no {lacking} left for the job.",
            hint="Lower `memory` or `max_concurrency`, or raise the limit (`ulimit -v`, `ulimit -u`); what is stored "
            "stays, and the same command resumes.",
        )


def _lacking(error: BaseException) -> str | None:
    """Return what an error says that there is none of."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_lacking, error.exceptions)), None)
    is_unmapped = isinstance(error, ImportError) and _NO_ROOM in str(error)
    if isinstance(error, MemoryError) or is_unmapped or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "memory"
    return "threads" if isinstance(error, RuntimeError) and _NO_THREAD in str(error) else None


def nicer_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Return so many threads, not begun yet, for work that the event loop must not wait for.

    Where cores are few the loop goes first: it has little to do, and all connections wait for it.
    """
    return ThreadPoolExecutor(count, thread_name_prefix=f"eezarr-{name}", initializer=_stand_back)


async def to_its_end(work: asyncio.Future[None]) -> None:
    """Wait for a thread's work to its end, also when cancelled, and however often: it uses memory that is lent anew.

    Raises:
        Exception: What the work raised, unless the waiting was cancelled.
    """
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody else will ask
        raise


def _stand_back() -> None:
    if sys.platform == "linux":  # where threads have priorities of their own
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICE)
