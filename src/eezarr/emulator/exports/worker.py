"""A thread that does one thing after the other, and is never left in the middle of one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_T = TypeVar("_T")


class Worker:
    """One thread; files that one step has opened are the next step's to write, and close."""

    def __init__(self) -> None:
        """Prepare; the thread starts with the first step."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="emulator-export")

    def __enter__(self) -> Self:
        """Answer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the thread end."""
        self._pool.shutdown(wait=False)

    async def do(self, step: Callable[[], _T]) -> _T:
        """Answer what a step answers; a cancellation waits for the step's end."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, step)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise
