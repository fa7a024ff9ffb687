"""Contact with the service: one tile's trouble, or nothing can be reached at all.

A request that fails may be the only one, or one of all. Rule:

1. After `SUSPICIOUS` failures in a row, of whichever requests and with no success in between, one request decides: one
   pixel of a tile that came before. If that comes, each failure was its own request's, and counts.
2. If it does not, contact is lost. All requests wait for one that asks for that pixel again and again, with growing
   waits. No attempt is counted and no deadline runs meanwhile.
3. When nothing has been reached for `patience_s`, the job ends.
4. Before anything has come, the rule of first contact holds (see `retry`), so that a wrong address is told in seconds.
   Once the service has answered anything, failures to connect at all count here, too: no request is their cause.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from eezarr.errors import EezarrError, Outage, Retryable, Throttled, Unreachable
from eezarr.events import ServiceBack, ServiceLost
from eezarr.retry import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import tenacity

    from eezarr.events import Observer
    from eezarr.retry import RetryPolicy

__all__ = ["Contact"]

SUSPICIOUS = 5
"""Failures in a row. Where every fifth request fails for itself, one of 3000 is followed by a needless look."""


class Contact:
    """Decides for all requests of a job whether nothing can be reached, and has them wait for it.

    Args:
        patience_s: How long nothing may be reached before the job ends.
        policy: How long the waits are.
        probe: Asks for a pixel that came before.
        is_in_contact: Tells whether the service has answered anything yet.
        observe: Told when contact is lost, and when it is back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        *,
        patience_s: float,
        policy: RetryPolicy,
        probe: Callable[[], Awaitable[object]],
        is_in_contact: Callable[[], bool],
        observe: Observer,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._patience_s = patience_s
        self._policy = policy
        self._probe = probe
        self._is_in_contact = is_in_contact
        self._observe = observe
        self._sleep = sleep
        self._failures = 0
        self._has_succeeded = False
        self._deciding = asyncio.Lock()
        self._decisions = 0
        self._was_lost = False
        self.losses = 0
        """Times that contact was lost."""
        self._lost_at_s: float | None = None
        self._end: Outage | None = None

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be reached now."""
        return self._lost_at_s is not None

    def on_success(self) -> None:
        """Note that a request succeeded."""
        self._failures = 0
        self._has_succeeded = True

    def on_answer(self) -> None:
        """Note that the service answered, though not with what was asked for."""
        self._failures = 0

    async def is_to_blame(self, error: Retryable) -> bool:
        """Count a request's failure; return whether it failed because nothing can be reached, when that is over.

        Raises:
            Outage: If it is not over within the patience.
        """
        if not self.is_lost and not self._counts(error):
            return False
        self._failures += 1
        if self.is_lost or self._failures >= SUSPICIOUS or self._deciding.locked():
            return await self.regained()
        return False

    async def regained(self) -> bool:
        """Find out whether anything can be reached, and wait until it can; return whether there was a wait.

        Raises:
            Outage: If nothing could be reached within the patience.
        """
        decisions = self._decisions
        async with self._deciding:
            if self._end is not None:
                raise self._end
            if self._decisions == decisions:
                self._was_lost = await self._decide()
                self._decisions += 1
            return self._was_lost

    def _counts(self, error: Retryable) -> bool:
        """Before anything has come, a body that is not what was asked for, or a 5xx, may be every request's."""
        is_connecting = isinstance(error, Unreachable) and error.is_connecting
        return self._has_succeeded or (is_connecting and self._is_in_contact())

    async def _decide(self) -> bool:
        looks = self._policy.probing(sleep=self._sleep, before_sleep=self._on_failed_look, is_over=self._is_over)
        try:
            async for look in looks:
                with look:
                    await self._look()
        except Retryable as error:
            self._end = self._outage(error)
            raise self._end from error
        self._failures = 0
        if self._lost_at_s is None:
            return False
        after_s, self._lost_at_s = self._now_s() - self._lost_at_s, None
        self._observe(ServiceBack(after_s=after_s))
        return True

    async def _look(self) -> None:
        try:
            await self._probe()
        except Throttled:
            return
        except Retryable:
            if self._lost_at_s is None:
                self._lost_at_s = self._now_s()
                self.losses += 1
            raise
        except EezarrError:
            return  # it answers

    def _on_failed_look(self, state: tenacity.RetryCallState) -> None:
        error, wait_s = failure_of(state), state.upcoming_sleep
        reason = error.message if isinstance(error, EezarrError) else repr(error)
        self._observe(ServiceLost(reason=reason, since_s=self._lost_s, wait_s=wait_s))

    def _is_over(self, wait_s: float) -> bool:
        return self._lost_s + wait_s >= self._patience_s

    @property
    def _lost_s(self) -> float:
        return 0.0 if self._lost_at_s is None else self._now_s() - self._lost_at_s

    def _outage(self, error: Retryable) -> Outage:
        return Outage(
            f"Nothing of the service could be reached for {self._lost_s:.0f} s: {error.message}",
            hint="What is stored stays: run the same again when the service can be reached, or raise `patience_s`.",
        )

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()
