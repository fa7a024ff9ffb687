"""How far this machine's clock is off, told from the date of a response: signed requests for tokens depend on it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

__all__ = ["CLOCK_HINT", "clock_error", "skew_s"]

_MAX_SKEW_S = 60.0
"""Signed requests for tokens are rejected when the clock is minutes off; a minute is worth a word."""

CLOCK_HINT = "Set the clock: `timedatectl set-ntp true`, or as your system does it."


def skew_s(date: str, now_s: float) -> float | None:
    """Return the seconds by which a clock is ahead of a response's `Date` header; None if that is no date.

    Args:
        date: The header's value, or empty.
        now_s: Seconds since the epoch, by that clock.
    """
    try:
        return now_s - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def clock_error(date: str, now_s: float, host: str) -> str:
    """Return how this machine's clock differs from a host's, in words; empty unless it is more than a minute.

    Args:
        date: The `Date` header of the host's response, or empty.
        now_s: Seconds since the epoch, by this machine's clock.
        host: The host's name.
    """
    skew = skew_s(date, now_s)
    if skew is None or abs(skew) <= _MAX_SKEW_S:
        return ""
    minutes = round(abs(skew) / 60)
    days, hours = divmod(minutes // 60, 24)
    long = f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
    return f"this machine's clock is {long} {'ahead of' if skew > 0 else 'behind'} that of {host}"
