"""How large a tile is where nobody says: what is expected to be done first, if a request takes a + b x bytes.

    expected time = what a request takes  x  rounds until the last of them is done

Few large requests leave slots idle and end when the slowest does; many small ones pay `a` each. In a large region the
largest legal tile wins, in a small one a tile for each slot. Nobody can know a and b beforehand, and only their ratio
matters: the time of a request that gets nothing, in bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eezarr.grid import Shape2D

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Candidates"]

BYTES_OF_A_START = 5_000_000
"""As long as it takes to begin a request, so many bytes flow: half a second at 10 MB/s. An assumption of ours: the
service publishes no latencies. Where a tenth or six times as much is true, regions of one to four tiles a slot take up
to half as much time again, and larger ones hardly more (`benchmarks/latency.py`)."""

_NEAR = 1.02
"""Shapes that cost so little more than the fastest are as good: the squarest is taken, since a long one touches more of
the service's own blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The shapes that tiles may have: whole chunks, legal."""

    grid: Shape2D
    chunk: Shape2D
    most_pixels: int
    """Pixels of a request at the most."""
    most_side: int
    pixel_bytes: int
    """Bytes of a pixel, all bands of a request."""
    requests_per_place: int
    """Requests for each tile's place: band groups and time steps."""

    def fastest(self, slots: int, affords: Callable[[int, int], bool]) -> Shape2D:
        """Return the shape whose requests are expected to be done first.

        Args:
            slots: Requests at a time.
            affords: Whether tiles of so many bytes, so many of them, may be in hand at once.
        """
        costs: list[tuple[float, int, Shape2D, Shape2D]] = []
        for shape in self._shapes():
            largest = Shape2D(min(shape.height, self.grid.height), min(shape.width, self.grid.width))
            count = -(-self.grid.height // shape.height) * -(-self.grid.width // shape.width) * self.requests_per_place
            if affords(largest.size * self.pixel_bytes, count):
                costs.append((self._expected(largest, count, slots), count, largest, shape))
        if not costs:
            return self.chunk
        least = min(cost for cost, *_ in costs)
        near = [item for item in costs if item[0] <= least * _NEAR]
        return min(near, key=lambda item: (abs(item[2].height - item[2].width), item[1], item[2].size))[3]

    def _expected(self, largest: Shape2D, count: int, slots: int) -> float:
        """The time until the last request is done, in starts of a request.

        The rounds are the expected makespan of `count` log-normal times (sigma 0.3) on `slots`, each begun in order as
        soon as a slot is free: within 6 % of 300 draws of it for 1 to 800 requests on 40 slots.
        """
        slowest = 1 + largest.size * self.pixel_bytes / BYTES_OF_A_START
        if count <= slots:
            return slowest * (1 + math.log(count) / 4)
        mean_bytes = self.grid.size * self.pixel_bytes * self.requests_per_place / count
        return slowest + (1 + mean_bytes / BYTES_OF_A_START) * count / slots

    def _shapes(self) -> Iterator[Shape2D]:
        """All shapes of whole chunks that hold at most so many pixels; the single chunk always."""
        grid, chunk = self.grid, self.chunk
        yield chunk
        for width in range(chunk.width, grid.width + chunk.width, chunk.width):
            clipped_width = min(width, grid.width)
            if clipped_width > self.most_side or clipped_width * min(chunk.height, grid.height) > self.most_pixels:
                return
            most_height = min(self.most_pixels // clipped_width, self.most_side)
            last = -(-grid.height // chunk.height) if most_height >= grid.height else most_height // chunk.height
            for count in range(1, last + 1):
                yield Shape2D(count * chunk.height, width)
