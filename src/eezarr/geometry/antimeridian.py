"""Polygons across the line where longitudes jump: edges go the short way, and parts that were cut there are joined.

Rule: an edge of more than half a turn and less than a whole one goes the other way round; one of exactly a turn goes
round the Earth. A ring that comes back a turn away from where it began goes round a pole, and holds the nearer one.

Rule: parts that are cut at 180 degrees, as RFC 7946 asks, or that cross it each in its own turn, are put side by side
if together they are at most half a turn wide; wider ones stay, and what of them crosses 180 is cut there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    Points: TypeAlias = NDArray[np.float64]
    Rings: TypeAlias = list[Points]
    """The rings of a polygon, the outer one first; each closed, of shape (n, 2)."""

__all__ = ["joined_parts", "short_way"]

_SAME = 1e-9
"""Turns: two longitudes less apart than this (4 cm) are one."""


def short_way(rings: Rings, turn: float) -> Rings:
    """Return a polygon's rings without jumps of longitude, its holes in the same turn as its outer ring.

    A ring that has none is returned as it is.

    Args:
        rings: Closed rings.
        turn: What longitude grows by in one turn round the Earth.
    """
    unwrapped = [_unwrapped(ring, turn) for ring in rings]
    if all(after is before for after, before in zip(unwrapped, rings, strict=True)):
        return rings
    outer, *holes = unwrapped
    west, east = _span(outer)
    turned = [outer]
    for hole in filter(len, holes):
        low, high = _span(hole)
        by = turn * round(((west + east) - (low + high)) / 2 / turn)
        turned += _moved([hole], by)
    return turned


def joined_parts(parts: Sequence[Rings], turn: float) -> list[Rings]:
    """Return several polygons side by side where they were cut at half a turn; each without jumps of longitude."""
    if len(parts) < 2:
        return list(parts)
    half, slack = turn / 2, _SAME * turn
    spans = np.array([_span(rings[0]) for rings in parts])
    low, high = spans[:, 0], spans[:, 1]
    if (high - low >= turn - slack).any():
        return list(parts)
    crosses = ((low < half - slack) & (high > half + slack)) | ((low < -half - slack) & (high > -half + slack))
    meets = (np.abs(high - half) <= slack).any() and (np.abs(low + half) <= slack).any()
    if not (crosses.any() or meets):
        return list(parts)
    shifts = _side_by_side(low, high, turn)
    moved = low + shifts, high + shifts
    if moved[1].max() - moved[0].min() <= half + slack:
        return [_moved(rings, float(by)) for rings, by in zip(parts, shifts, strict=True)]
    return [
        piece for rings, cut in zip(parts, crosses, strict=True) for piece in (_cut(rings, turn) if cut else [rings])
    ]


def _unwrapped(ring: Points, turn: float) -> Points:
    # What is not finite is for the caller to find.
    with np.errstate(invalid="ignore"):
        steps = np.diff(ring[:, 0])
    size = np.abs(steps)
    jumps = (size > turn / 2) & (size < turn * (1 - _SAME))
    if not jumps.any():
        return ring
    turns = np.where(jumps, np.copysign(turn, steps), 0.0)
    straight = ring.copy()
    straight[1:, 0] -= np.cumsum(turns)
    if abs(straight[-1, 0] - straight[0, 0]) > turn / 2:
        pole = np.copysign(turn / 4, straight[:, 1].mean())
        ends = [(straight[-1, 0], pole), (straight[0, 0], pole), tuple(straight[0])]
        return np.concatenate([straight, np.array(ends)])
    straight[-1] = straight[0]
    return straight


def _side_by_side(low: NDArray[np.float64], high: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """By how many turns each part moves, so that all start right after the widest gap between them."""
    start = low % turn
    order = np.argsort(start, kind="stable")
    ends = np.maximum.accumulate(start[order] + (high - low)[order])
    # What reaches round the end of the turn fills the beginning of it.
    gaps = np.append(start[order][1:], start[order][0] + turn) - np.maximum(ends, ends[-1] - turn)
    first = int(np.argmax(gaps))
    begin = start[order][(first + 1) % len(order)]
    placed = np.where(start < begin - _SAME * turn, start + turn, start)
    placed -= turn * np.floor((placed.min() + turn / 2) / turn)
    return np.round((placed - low) / turn) * turn


def _cut(rings: Rings, turn: float) -> list[Rings]:
    """A polygon cut at the odd half turns, its pieces between minus half a turn and half a turn."""
    import shapely

    from eezarr.geometry.shapes import polygons_of_shape, shape_of

    shape, half = shape_of([rings]), turn / 2
    _, south, _, north = shape.bounds
    pieces: list[Rings] = []
    for nth in (-1, 0, 1):
        frame = shapely.box(nth * turn - half, south - 1, nth * turn + half, north + 1)
        pieces += [_moved(piece, -nth * turn) for piece in polygons_of_shape(shape.intersection(frame))]
    return pieces


def _moved(rings: Rings, by: float) -> Rings:
    return [ring + np.array([by, 0.0]) for ring in rings] if by else rings


def _span(ring: Points) -> tuple[float, float]:
    return float(ring[:, 0].min()), float(ring[:, 0].max())
