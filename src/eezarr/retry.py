"""When a failed request is asked again, and after how long.

1. Only `Retryable` errors are. A permanent answer would only come again.
2. Throttling is not the tile's fault: it counts against the deadline, not against the attempts.
3. `Retry-After` is a floor under the jittered wait, never a replacement for it.
4. A wait that would overrun the deadline is not begun.
5. A body of other types than were planned is asked for three times at most: what comes again is what the service sends.
6. After throttling the wait only spreads the requests, up to 4 s: how much is sent is the gate's to decide, and it
   pauses when nothing is admitted. Longer waits would idle the last tiles of a job.
7. What is no fault of the request, such as an outage that it waited for, counts neither as an attempt nor as time.

Full jitter, doubling from 1 s to 60 s.
Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from eezarr.errors import BadBody, Outage, Retryable, Throttled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long a request is asked again."""

    attempts: int = 8
    """Answers that count, first one included; throttled ones do not."""
    deadline_s: float = 1800
    """Seconds for one request with all its attempts and waits."""
    first_wait_s: float = 1.0
    """Upper end of the first wait; it doubles with each attempt."""
    longest_wait_s: float = 60.0
    """Upper end of the longest wait."""
    longest_throttled_wait_s: float = 4.0
    """Upper end of the longest wait after throttling."""
    longest_probe_wait_s: float = 30.0
    """Upper end of the longest wait between two looks for a service that cannot be reached."""
    first_contact_attempts: int = 3
    """Attempts while nothing has been answered at all: a wrong address shall not take minutes to be told."""

    def retrying(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]],
        before_sleep: Callable[[tenacity.RetryCallState], None],
        is_in_contact: Callable[[], bool],
        paused_s: Callable[[], float] = lambda: 0.0,
    ) -> tenacity.AsyncRetrying:
        """Return a fresh retry loop for one request; it carries that request's state.

        Args:
            sleep: Waits so many seconds.
            before_sleep: Told of each failed attempt that will be followed by another.
            is_in_contact: Tells whether the service has answered anything yet, well or not.
            paused_s: Tells how long the request has waited for what is no fault of its own.
        """
        most_s = min(self.longest_wait_s, self.longest_throttled_wait_s)
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_can_help),
            stop=_CountedAttempts(self, is_in_contact) | _BeforeDeadline(self.deadline_s, paused_s),
            wait=_FlooredWait(
                tenacity.wait_random_exponential(multiplier=self.first_wait_s, max=self.longest_wait_s),
                throttled=tenacity.wait_random_exponential(multiplier=self.first_wait_s, max=most_s),
            ),
            sleep=sleep,
            before_sleep=before_sleep,
            reraise=True,
        )

    def probing(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]],
        before_sleep: Callable[[tenacity.RetryCallState], None],
        is_over: Callable[[float], bool],
    ) -> tenacity.AsyncRetrying:
        """Return a fresh loop of looks for a service that cannot be reached.

        Args:
            sleep: Waits so many seconds.
            before_sleep: Told of each failed look that will be followed by another.
            is_over: Tells whether a wait of so many seconds is no longer worth beginning.
        """
        wait = tenacity.wait_exponential_jitter(
            initial=self.first_wait_s, max=self.longest_probe_wait_s, jitter=self.first_wait_s
        )
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Retryable),
            stop=lambda state: is_over(state.upcoming_sleep),
            wait=_FlooredWait(wait, throttled=wait),
            sleep=sleep,
            before_sleep=before_sleep,
            reraise=True,
        )


def _can_help(error: BaseException) -> bool:
    """Return whether asking again can help."""
    return isinstance(error, Retryable) and not isinstance(error, Outage)


class _BeforeDeadline(tenacity.stop.stop_base):
    """Stops before a wait that would overrun the deadline; what the request has been paused for does not count."""

    def __init__(self, deadline_s: float, paused_s: Callable[[], float]) -> None:
        self._deadline_s = deadline_s
        self._paused_s = paused_s

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        spent_s = (retry_state.seconds_since_start or 0.0) - self._paused_s()
        return spent_s + retry_state.upcoming_sleep >= self._deadline_s


class _CountedAttempts(tenacity.stop.stop_base):
    """Stops after so many failures that were not throttling. One per request: it counts."""

    def __init__(self, policy: RetryPolicy, is_in_contact: Callable[[], bool]) -> None:
        self._policy = policy
        self._is_in_contact = is_in_contact
        self._counted = 0
        self._alike = 0

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        failure = failure_of(retry_state)
        if isinstance(failure, BadBody) and failure.most_attempts is not None:
            self._alike += 1
            if self._alike >= failure.most_attempts:
                return True
        if not isinstance(failure, Throttled):
            self._counted += 1
        most = self._policy.attempts
        if not self._is_in_contact():
            most = min(most, self._policy.first_contact_attempts)
        return self._counted >= most


class _FlooredWait(tenacity.wait.wait_base):
    """The jittered wait on top of what the service asked for."""

    def __init__(self, jittered: tenacity.wait.wait_base, *, throttled: tenacity.wait.wait_base) -> None:
        self._jittered = jittered
        self._throttled = throttled

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = failure_of(retry_state)
        floor_s = (error.retry_after_s or 0.0) if isinstance(error, Retryable) else 0.0
        wait = self._throttled if isinstance(error, Throttled) else self._jittered
        return floor_s + wait(retry_state)


def failure_of(retry_state: tenacity.RetryCallState) -> BaseException | None:
    """Return what an attempt failed with, or None."""
    outcome = retry_state.outcome
    return outcome.exception() if outcome is not None and outcome.failed else None
