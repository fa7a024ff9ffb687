"""The life of a store's sink: opened in a thread, giving signs of life while a job runs, closed however it ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from eezarr.engine.tasks import task_group
from eezarr.errors import StoreError
from eezarr.threads import to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["Held", "held"]

RENEWAL_S = 5.0
"""Seconds between two questions whether a sign of life is due."""


class Held(Protocol):
    """What a run holds against other runs. Its methods block, and may be called from any thread."""

    def renew(self) -> None:
        """Give a sign of life, if one is due.

        Raises:
            StoreError: If another run holds it now, or the storage fails.
        """
        ...

    def close(self) -> None:
        """Give it back.

        Raises:
            StoreError: If the storage fails.
        """
        ...


T = TypeVar("T", bound=Held)


@asynccontextmanager
async def held(opening: Callable[[], T]) -> AsyncIterator[T]:
    """Open something that a run holds, and hold it while the body runs.

    Args:
        opening: Opens it; blocks, and runs in a thread.

    Raises:
        StoreError: If another run takes it meanwhile.
    """
    opened: list[T] = []
    try:
        await to_its_end(asyncio.ensure_future(asyncio.to_thread(lambda: opened.append(opening()))))
        async with task_group() as group:
            beating = group.create_task(_beat(opened[0]))
            yield opened[0]
            beating.cancel()
    finally:
        for one in opened:
            await to_its_end(asyncio.ensure_future(asyncio.to_thread(_close, one)))


async def _beat(one: Held) -> None:
    while True:
        await asyncio.sleep(RENEWAL_S)
        try:
            await asyncio.to_thread(one.renew)
        except StoreError as error:
            if not error.is_transient:
                raise


def _close(one: Held) -> None:
    with suppress(StoreError):  # what it was held against sees that this process is gone, or that it is silent
        one.close()
