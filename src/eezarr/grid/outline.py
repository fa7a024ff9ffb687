"""From a region's polygons to straight edges in a grid's pixels, as near to the true outline as `TOLERANCE_PX`.

An edge that is straight in the region's CRS is a curve in the grid's. It is halved until the chord is right at its
quarters, too: a curve shaped like an S, as an edge through UTM's middle meridian is, meets its chord in the middle.

Laws:

1. How an edge is cut depends on that edge and the grid alone, whichever way it runs. Two polygons that share an edge
   share its pieces to the bit.
2. Only what is near the grid is projected. The rest is pressed onto the sides of a box round the grid, which changes
   nothing within the box: what PROJ cannot show far away, or shows twice, does not matter.
3. Polygons add up: each counts once round its outer ring, and back round its holes. Inside is what counts other than
   zero, so that polygons which overlap, as features of a file may, do not cut holes into each other.
4. Where halving never ends, the projection is torn, and the region is refused.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, projector, short_name
from eezarr.grid.lattice import Bounds
from eezarr.grid.region import full_turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from eezarr.grid.crs import Points, Project
    from eezarr.grid.model import PixelGrid

    Mask: TypeAlias = NDArray[np.bool_]

__all__ = ["TOLERANCE_PX", "Edges", "pixel_edges", "ring_edges"]

TOLERANCE_PX = 0.01
"""Pixels: how far a straight piece may be from the true outline."""

_SETTLED_PX = TOLERANCE_PX / 2
"""What is allowed at the quarters and the middle: between them a smooth curve is less than twice as far off."""

_HALVINGS = 54
"""Doubles have 53 bits: after so many halvings a piece that still jumps is a tear."""

_MAX_LIVE = 2**23
"""Pieces in work at a time: so many only if PROJ's own noise, some 1e-9 m, is above the tolerance."""

_PER_SIDE = 64
"""Points per side of the grid that tell how far it reaches; `_MARGIN` is dozens of times what a side bends between."""

_MARGIN = 1 / 64
"""Share of the grid's extent by which the box round it is larger."""


class Edges(NamedTuple):
    """Straight edges, in no order."""

    start: Points
    end: Points
    turn: NDArray[np.int8]
    """+1 or -1: what the count of polygons changes by when an edge that runs down the rows is crossed to the right."""

    def where(self, mask: Mask) -> Edges:
        """Return some of them."""
        return Edges(self.start[mask], self.end[mask], self.turn[mask])


class _Pieces(NamedTuple):
    """Pieces of edges: start, middle and end, before and after projection; each of shape (n, 2)."""

    start: Points
    middle: Points
    end: Points
    start_uv: Points
    middle_uv: Points
    end_uv: Points
    turn: NDArray[np.int8]

    def where(self, mask: Mask) -> _Pieces:
        places = (self.start, self.middle, self.end, self.start_uv, self.middle_uv, self.end_uv)
        start, middle, end, start_uv, middle_uv, end_uv = (part[mask] for part in places)
        return _Pieces(start, middle, end, start_uv, middle_uv, end_uv, self.turn[mask])


def ring_edges(polygons: Sequence[Sequence[Points]]) -> Edges:
    """Return the edges of polygons in their own CRS.

    Args:
        polygons: Their rings, each closed; the first of each is the outer one, the rest are holes.
    """
    rings = [ring for polygon in polygons for ring in polygon]
    sides = [1 if nth == 0 else -1 for polygon in polygons for nth in range(len(polygon))]
    turns = [side if _area(ring) >= 0 else -side for ring, side in zip(rings, sides, strict=True)]
    start = np.concatenate([ring[:-1] for ring in rings])
    end = np.concatenate([ring[1:] for ring in rings])
    turn = np.repeat(np.array(turns, np.int8), [len(ring) - 1 for ring in rings])
    return Edges(start, end, turn).where((start != end).any(axis=1))


def pixel_edges(edges: Edges, region_crs: str, grid: PixelGrid) -> Edges:
    """Return edges in a grid's pixels: (column, row), pixel centres at +0.5.

    Edges that change nothing in the grid are left out: those above it, below it, and to its right.

    Args:
        edges: The edges, straight in their own CRS.
        region_crs: That CRS.
        grid: The grid.

    Raises:
        InvalidInput: If the grid's CRS cannot show the outline near the grid, or shows it torn.
    """
    project = projector(region_crs, grid.crs)
    near = _near(edges, region_crs, grid)
    if not len(near.turn):
        return near
    return _followed(near, lambda places: grid.to_pixels(project(places)), grid)


def _area(ring: Points) -> float:
    x, y = (ring - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def _near(edges: Edges, region_crs: str, grid: PixelGrid) -> Edges:
    """The edges pressed into a box round the grid, in each of the full turns in which they meet it."""
    is_same = parse_crs(region_crs) == parse_crs(grid.crs)
    turn = full_turn(region_crs)
    if is_same and turn is None:
        return edges
    box = _surroundings(grid, region_crs)
    if box is None:
        return edges
    if turn is None:
        return _pressed(edges, box)
    points = np.concatenate([edges.start[:, 0], edges.end[:, 0]])
    first = int(np.ceil((box.min_x - points.max()) / turn))
    last = int(np.floor((box.max_x - points.min()) / turn))
    moved = [_moved(edges, turn * nth) for nth in range(first, last + 1)]
    # Nothing is projected between equal CRSs: edges stay whole, and their crossings exact.
    parts = moved if is_same else [_pressed(part, box) for part in moved]
    return _joined([edges.where(np.zeros(len(edges.turn), dtype=np.bool_)), *parts])


def _joined(parts: list[Edges]) -> Edges:
    return Edges(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _moved(edges: Edges, by: float) -> Edges:
    shift = np.array([by, 0.0])
    return Edges(edges.start + shift, edges.end + shift, edges.turn) if by else edges


def _surroundings(grid: PixelGrid, region_crs: str) -> Bounds | None:
    """A box in the region's CRS that the grid is well inside, or None if there is none: at a pole, off the Earth."""
    is_projected = not parse_crs(grid.crs).is_geographic
    share = np.linspace(0, 1, _PER_SIDE + 1)[:-1, None]
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * (grid.width, grid.height)
    sides = np.concatenate([a + (b - a) * share for a, b in pairwise(corners)])
    try:
        there = projector(grid.crs, region_crs)(grid.to_crs(sides))
        back = grid.to_pixels(projector(region_crs, grid.crs)(there))
    except InvalidInput:
        return None
    # Beyond its map, a projection's inverse makes places up.
    if (np.abs(back - sides) > 1e-3 * max(grid.width, grid.height)).any() or (is_projected and _holds_pole(grid)):
        return None
    turn = full_turn(region_crs)
    if turn is not None:
        there = np.column_stack([np.unwrap(there[:, 0], period=turn), there[:, 1]])
    low, high = there.min(axis=0), there.max(axis=0)
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    if turn is not None and is_projected and high[0] - low[0] > turn:
        # No map repeats itself: the box ends where the map, round its own middle, is cut open.
        middle = (low[0] + high[0]) / 2
        low[0], high[0] = middle - turn / 2, middle + turn / 2
    return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _holds_pole(grid: PixelGrid) -> bool:
    """Whether a pole is in a grid, or so near that longitudes along its sides jump."""
    for latitude in (90.0, -90.0):
        try:
            pole = grid.to_pixels(projector(LON_LAT, grid.crs)(np.array([(0.0, latitude)])))[0]
        except InvalidInput:
            continue
        if (np.abs(pole / (grid.width, grid.height) - 0.5) <= 0.5 + 2 * _MARGIN).all():
            return True
    return False


def _pressed(edges: Edges, box: Bounds) -> Edges:
    for axis, line in ((0, box.min_x), (0, box.max_x), (1, box.min_y), (1, box.max_y)):
        edges = _cut(edges, axis, line)
    low, high = np.array(box[:2]), np.array(box[2:])
    start, end = np.clip(edges.start, low, high), np.clip(edges.end, low, high)
    return Edges(start, end, edges.turn).where((start != end).any(axis=1))


def _cut(edges: Edges, axis: int, line: float) -> Edges:
    """Cut edges where they cross a line x = c or y = c; computed from the end below it, whichever way they run."""
    crosses = (edges.start[:, axis] - line) * (edges.end[:, axis] - line) < 0
    if not crosses.any():
        return edges
    start, end, turn = edges.where(crosses)
    is_up = (start[:, axis] < line)[:, None]
    low, high = np.where(is_up, start, end), np.where(is_up, end, start)
    along = high - low
    spot = low + along * ((line - low[:, axis]) / along[:, axis])[:, None]
    whole = edges.where(~crosses)
    return Edges(
        np.concatenate([whole.start, start, spot]),
        np.concatenate([whole.end, spot, end]),
        np.concatenate([whole.turn, turn, turn]),
    )


def _followed(edges: Edges, project: Project, grid: PixelGrid) -> Edges:
    """Halve projected edges where they bend within the grid's reach."""
    frame = np.zeros(2), np.array((grid.width, grid.height), np.float64)
    live = _first_pieces(edges, project)
    settled: list[Edges] = []
    for _ in range(_HALVINGS):
        first, second = (live.start + live.middle) / 2, (live.middle + live.end) / 2
        first_uv, second_uv = project(first), project(second)
        bend = _bend(live, first_uv, second_uv)
        lows, highs = np.minimum(live.start_uv, live.end_uv), np.maximum(live.start_uv, live.end_uv)
        matters = ((highs + 4 * bend >= frame[0])[:, 1]) & (lows - 4 * bend <= frame[1]).all(axis=1)
        in_reach = matters & (highs + 4 * bend >= frame[0])[:, 0]
        unsettled = in_reach & (bend > _SETTLED_PX).any(axis=1)
        keep = matters & ~unsettled
        settled.append(Edges(live.start_uv[keep], live.end_uv[keep], live.turn[keep]))
        left = live.where(unsettled)
        live = _halved(left, (first[unsettled], first_uv[unsettled]), (second[unsettled], second_uv[unsettled]))
        if not len(live.turn):
            return _joined(settled)
        if len(live.turn) > _MAX_LIVE:
            raise _too_fine(grid.crs)
    raise _torn(grid.crs)


def _first_pieces(edges: Edges, project: Project) -> _Pieces:
    start, end, turn = edges
    middle = (start + end) / 2
    start_uv = project(start)
    # Most edges end where the next one starts, which is projected already.
    end_uv = np.roll(start_uv, -1, axis=0)
    loose = (np.roll(start, -1, axis=0) != end).any(axis=1)
    if loose.any():
        end_uv[loose] = project(end[loose])
    return _Pieces(start, middle, end, start_uv, project(middle), end_uv, turn)


def _bend(pieces: _Pieces, first_uv: Points, second_uv: Points) -> Points:
    """How far curves are from their chords at the quarters and in the middle, the most of the three; by axis."""
    start, end = pieces.start_uv, pieces.end_uv
    # Written so that an edge run the other way gives the same bits (law 1).
    first = np.abs(first_uv - (3 * start + end) / 4)
    middle = np.abs(pieces.middle_uv - (start + end) / 2)
    second = np.abs(second_uv - (start + 3 * end) / 4)
    return np.maximum(np.maximum(first, middle), second)


def _halved(pieces: _Pieces, first: tuple[Points, Points], second: tuple[Points, Points]) -> _Pieces:
    return _Pieces(
        np.concatenate([pieces.start, pieces.middle]),
        np.concatenate([first[0], second[0]]),
        np.concatenate([pieces.middle, pieces.end]),
        np.concatenate([pieces.start_uv, pieces.middle_uv]),
        np.concatenate([first[1], second[1]]),
        np.concatenate([pieces.middle_uv, pieces.end_uv]),
        np.concatenate([pieces.turn, pieces.turn]),
    )


def _torn(crs: str) -> InvalidInput:
    return InvalidInput(
        f"The region's polygon crosses the line where {short_name(crs)} is cut open.",
        hint="Split it there in two jobs, or use a projected CRS whose middle it is in, such as its UTM zone.",
    )


def _too_fine(crs: str) -> InvalidInput:
    return InvalidInput(
        f"The region's polygon cannot be followed in {short_name(crs)} to {TOLERANCE_PX} pixel: the pixels are too "
        "small for what PROJ tells apart.",
        hint="Choose a larger resolution or scale.",
    )
