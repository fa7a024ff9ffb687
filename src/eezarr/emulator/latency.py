"""How long an answer takes, as a function of its size, the request and the attempt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from eezarr.emulator.draw import normal, uniform

if TYPE_CHECKING:
    from eezarr.emulator.settings import LatencySettings


def pixel_latency_s(
    settings: LatencySettings, *, accounted_bytes: int, pixels: int, request: str, attempt: int
) -> float:
    """Answer the seconds between a request for pixels and the first byte of its answer."""
    mean = settings.base_s + settings.per_megabyte_s * accounted_bytes / 1e6 + settings.per_megapixel_s * pixels / 1e6
    return mean * _factor(settings, request, attempt)


def metadata_latency_s(settings: LatencySettings, *, request: str, attempt: int) -> float:
    """Answer the seconds that any other request takes."""
    return settings.metadata_s * _factor(settings, request, attempt)


def _factor(settings: LatencySettings, request: str, attempt: int) -> float:
    factor = 1.0
    if settings.jitter:
        factor = math.exp(settings.jitter * normal(settings.seed, "jitter", request, attempt))
    if uniform(settings.seed, "straggler", request, attempt) < settings.straggler_fraction:
        factor *= settings.straggler_factor
    return factor
