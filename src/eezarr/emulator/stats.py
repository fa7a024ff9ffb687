"""What the emulator has seen and sent."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

_RECENT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRequest:
    """One legal request for pixels."""

    method: str
    """`getPixels`, `computePixels` or `thumbnails.getPixels`."""
    subject: str
    """The asset's name, or `expression`."""
    bands: tuple[str, ...]
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    accounted_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts since the start or the last reset."""

    requests: dict[str, dict[str, int]]
    """By route, then by status; `reset` is a connection that the emulator broke, `gone` one that the client left."""
    faults: dict[str, int]
    """Injected, by name."""
    pixel_requests: int
    """Requests for pixels that were answered with pixels, right or wrong."""
    pixels_served: int
    """Their grids' pixels."""
    in_flight: int
    peak_in_flight: int
    """The most API requests that were being answered at one time."""
    bytes_sent: int
    """Of bodies that were answered in full, as they travelled."""
    tokens_issued: int
    recent: tuple[PixelRequest, ...]
    """The last thousand legal requests for pixels, oldest first."""

    def count(self, route: str | None = None, status: int | None = None) -> int:
        """Answer how many requests there were, of one route and status or of any."""
        return sum(
            number
            for name, statuses in self.requests.items()
            for code, number in statuses.items()
            if route in (None, name) and (status is None or str(status) == code)
        )


class Counters:
    """Collects what `Stats` reports."""

    def __init__(self) -> None:
        """Start at zero."""
        self.clear()

    def clear(self) -> None:
        """Go back to zero."""
        self.requests: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.pixel_requests = 0
        self.pixels_served = 0
        self.bytes_sent = 0
        self.recent: deque[PixelRequest] = deque(maxlen=_RECENT)

    def report(self, *, in_flight: int, peak_in_flight: int, tokens_issued: int) -> Stats:
        """Answer the counts as of now."""
        requests: dict[str, dict[str, int]] = {}
        for (route, status), number in sorted(self.requests.items()):
            requests.setdefault(route, {})[status] = number
        return Stats(
            requests=requests,
            faults=dict(self.faults),
            pixel_requests=self.pixel_requests,
            pixels_served=self.pixels_served,
            in_flight=in_flight,
            peak_in_flight=peak_in_flight,
            bytes_sent=self.bytes_sent,
            tokens_issued=tokens_issued,
            recent=tuple(self.recent),
        )
