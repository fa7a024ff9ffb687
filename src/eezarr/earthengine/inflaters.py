"""The threads that inflate bodies, and whether any of them is free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from eezarr.threads import nicer_threads, to_its_end, usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inflaters"]


class Inflaters:
    """As many threads as there are cores, which begin with the first work. Used from one event loop."""

    def __init__(self) -> None:
        self._count = usable_cores()
        self._threads = nicer_threads(self._count, "inflate")
        self._in_hand = 0

    @property
    def is_busy(self) -> bool:
        """Whether all of them have work: what comes now is inflated later."""
        return self._in_hand >= self._count

    async def run(self, work: Callable[[], None]) -> None:
        """Do work in a thread, to its end also when cancelled: it writes to memory that is lent anew."""
        self._in_hand += 1
        try:
            await to_its_end(asyncio.get_running_loop().run_in_executor(self._threads, work))
        finally:
            self._in_hand -= 1

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)
