"""From synchronous code into a loop: also where one runs already (notebooks)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["run_to_end"]

T = TypeVar("T")


def run_to_end(work: Coroutine[None, None, T]) -> T:
    """Return what a coroutine returns: in this thread, or in one of its own if a loop runs in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, thread_name_prefix="eezarr") as executor:
        return executor.submit(asyncio.run, work).result()
