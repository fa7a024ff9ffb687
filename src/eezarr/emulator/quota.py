"""Whether a request is admitted: a cap on those in flight, and two buckets that refill with time.

The decision is pure but for the clock it is given. The 429 texts are those of recorded replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.emulator.errors import MINUTE_TEXT, RATE_TEXT, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.emulator.settings import QuotaSettings


class Slot:
    """One admitted request's place; given back once, however often `release` is called.

    Attributes:
        is_released: Whether it was given back.
    """

    __slots__ = ("_quota", "is_released")

    def __init__(self, quota: Quota) -> None:
        """Take a place that `quota` has already counted."""
        self._quota = quota
        self.is_released = False

    def release(self) -> None:
        """Give the place back."""
        if not self.is_released:
            self.is_released = True
            self._quota.in_flight -= 1


class Quota:
    """Counts requests against `QuotaSettings`, which may differ from call to call.

    Attributes:
        in_flight: Requests admitted and not yet answered.
        peak: The most that ever were in flight.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with full buckets; `clock` answers seconds, as `time.monotonic` does."""
        self._clock = clock
        self._second = _Bucket(clock())
        self._minute = _Bucket(clock())
        self.in_flight = 0
        self.peak = 0

    def admit(self, settings: QuotaSettings) -> Slot:
        """Answer a slot, to be released when the request is answered.

        Raises:
            ApiError: 429; nothing was counted.
        """
        now = self._clock()
        if settings.max_concurrency is not None and self.in_flight >= settings.max_concurrency:
            raise _refusal(RATE_TEXT, settings)
        if not self._second.has_token(now, settings.max_requests_per_second, window_s=1.0):
            raise _refusal(RATE_TEXT, settings)
        if not self._minute.has_token(now, settings.max_requests_per_minute, window_s=60.0):
            raise _refusal(MINUTE_TEXT, settings)
        self._second.spend()
        self._minute.spend()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return Slot(self)


class _Bucket:
    """Tokens that refill evenly, a window's worth at most."""

    __slots__ = ("_spent", "_time")

    def __init__(self, now: float) -> None:
        self._spent = 0.0
        self._time = now

    def has_token(self, now: float, per_window: float | None, *, window_s: float) -> bool:
        """Refill up to `now`, and answer whether a whole token is there."""
        elapsed, self._time = now - self._time, now
        if per_window is None:
            self._spent = 0.0
            return True
        self._spent = max(0.0, self._spent - elapsed * per_window / window_s)
        # A bucket of fewer than one token would never admit anything.
        return self._spent + 1 <= max(1.0, per_window) + 1e-9

    def spend(self) -> None:
        self._spent += 1


def _refusal(text: str, settings: QuotaSettings) -> ApiError:
    return ApiError(code=429, message=text, retry_after_s=settings.retry_after_s)
