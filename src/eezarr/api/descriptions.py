"""Descriptions that a client asked for: of assets, of expressions, of the types that one pixel tells, of listings.

Rule: each is asked for once in a client's life. Calls that want the same one at the same time share one request, which
goes on while any of them waits; a failure is not kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

__all__ = ["Descriptions"]

T = TypeVar("T")

KEPT = 20_000
"""Records that are kept, those used last: assets, bands, and the images of listings, each of some kilobytes."""


@dataclass(slots=True, eq=False)
class _Request:
    """A description that is being asked for."""

    task: asyncio.Task[object]
    waiting: int = 0


class Descriptions:
    """Descriptions by what was asked; for one event loop at a time."""

    def __init__(self, *, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._size = 0
        self._requests: dict[Hashable, _Request] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the description of a key, asked for if it is not kept.

        Raises:
            EezarrError: What asking failed with; the next call asks again.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return cast("T", self._kept[key])
        request = self._requests.get(key)
        if request is None:
            request = self._requests[key] = _Request(asyncio.create_task(self._asked(key, ask)))
        request.waiting += 1
        try:
            return cast("T", await asyncio.shield(request.task))
        finally:
            request.waiting -= 1
            if not request.waiting and not request.task.done():
                await _stopped(request.task)

    def forget(self) -> None:
        """Drop all descriptions, those that are being asked for too: later calls ask anew."""
        self._kept.clear()
        self._size = 0
        self._requests.clear()

    async def _asked(self, key: Hashable, ask: Callable[[], Awaitable[object]]) -> object:
        own = asyncio.current_task()
        try:
            value = await ask()
            request = self._requests.get(key)
            if request is not None and request.task is own:
                self._keep(key, value)
            return value
        finally:
            request = self._requests.get(key)
            if request is not None and request.task is own:
                del self._requests[key]

    def _keep(self, key: Hashable, value: object) -> None:
        """Keep a description, the one that was asked for last however large it is."""
        self._kept[key] = value
        self._size += _records(value)
        while self._size > self._most and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._size -= _records(dropped)


def _records(value: object) -> int:
    return len(value) if isinstance(value, tuple) else 1


async def _stopped(task: asyncio.Task[object]) -> None:
    """Cancel a task that nobody waits for any more, and wait until it has let go of what it holds."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
