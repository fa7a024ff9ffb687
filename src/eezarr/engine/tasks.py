"""A task group whose callers catch one class: the first of our errors comes out as itself, not in a group."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from eezarr.errors import EezarrError
from eezarr.threads import exhaustion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["task_group"]


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks together; the first that fails cancels the others.

    Raises:
        EezarrError: The first of ours that a task raised; that there is no memory or thread left comes before others.
    """
    try:
        with exhaustion():
            async with asyncio.TaskGroup() as group:
                yield group
    except* EezarrError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[EezarrError]) -> EezarrError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
