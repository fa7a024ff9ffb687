"""How far a region reaches in other coordinates: a target CRS's, or an asset's pixels.

A straight edge becomes a curve, so its ends do not bound it. Edges are halved where the curve bends by more than a
tolerance and could still reach beyond what is known: exact to the tolerance at a few thousand projected points.
Source of the failure this avoids: Xee #176, #215, #226; rasters displaced or cut because only corners were projected.

Law: where halving never ends, the projection is torn (the antimeridian, or a map's own seam). Then the box is refused,
unless the region goes round the Earth or holds a pole, where the whole width is the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, projector, short_name
from eezarr.grid.lattice import Bounds

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from eezarr.grid.crs import Points, Project

    Mask: TypeAlias = NDArray[np.bool_]
    Box: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Lowest and highest (u, v)."""

__all__ = ["EVERYWHERE", "boundary_extent", "check_area", "is_inside", "region_extent"]

EVERYWHERE = Bounds(-np.inf, -np.inf, np.inf, np.inf)

_FIRST_CUTS = 512
"""Pieces of a perimeter before halving: enough that no curve bends twice within one."""

_HALVINGS = 54
"""Doubles have 53 bits: after so many halvings a piece that still jumps is a tear."""

_MAX_LIVE = 2048
"""Pieces in work at a time, those that bend most: bounds the cost where PROJ's own noise is above the tolerance."""

_PROBES, _MANY_EDGES = 24, 10_000
"""Points per side that look into a region; beyond so many edges it is small enough, or cut finely enough, to trust."""

_TEAR = 1e5
"""Tolerances: a jump larger than this across a piece of no length is a tear, and less is PROJ's noise."""


_FAR_LON, _FAR_LAT = 30.0, 90.0
"""Degrees from a CRS's area of use: UTM's neighbours, and Landsat's northern zones in the south, are nearer."""


class _Pieces(NamedTuple):
    """Pieces of edges: both ends, before and after projection; each of shape (n, 2)."""

    start: Points
    end: Points
    start_uv: Points
    end_uv: Points

    def where(self, mask: Mask) -> _Pieces:
        return _Pieces(*(part[mask] for part in self))


def region_extent(
    rings: list[Points],
    source: str,
    target: str,
    *,
    tolerance: float,
    to_uv: Project | None = None,
    clip: Bounds = EVERYWHERE,
) -> Bounds | None:
    """Return the bounding box of a region in a target CRS, or in what `to_uv` makes of its coordinates.

    Args:
        rings: Closed rings in the source CRS; holes run the other way round than outer rings, as `Area.rings` do.
        source: The rings' CRS.
        target: The CRS to project to.
        tolerance: By how much the box may fall short, in units of the result.
        to_uv: What to apply after the projection, such as an asset's inverse transform.
        clip: Count only what of the region is in this box; None is returned if nothing is.

    Raises:
        InvalidInput: If the target cannot show the region, or shows it in two parts.
    """
    _check_antimeridian(rings, source, target)
    to_target = projector(source, target)

    def project(points: Points) -> Points:
        return to_target(points) if to_uv is None else to_uv(to_target(points))

    box, torn = boundary_extent(rings, project, tolerance=tolerance, clip=clip)
    if not torn or box is None:
        if box is not None and clip is EVERYWHERE:
            _check_inside(rings, project, box, target)
        return box
    west, south, east, north = _torn_extent(rings, source, target, to_uv, box)
    low = max(west, clip.min_x), max(south, clip.min_y)
    high = min(east, clip.max_x), min(north, clip.max_y)
    return Bounds(*low, *high) if low[0] < high[0] and low[1] < high[1] else None


def boundary_extent(
    rings: list[Points], project: Project, *, tolerance: float, clip: Bounds = EVERYWHERE
) -> tuple[Bounds | None, bool]:
    """Return the box of what the projected rings enclose within `clip`, or None, and whether the projection tears them.

    Where it does, the box is that of the boundary's points alone and is not clipped.
    """
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    frame = np.array(clip[:2]), np.array(clip[2:])
    live = _first_pieces(rings, project)
    outline: list[_Pieces] = []
    for _ in range(_HALVINGS):
        middle = (live.start + live.end) / 2
        middle_uv = project(middle)
        low, high = _grown(low, high, np.concatenate([live.start_uv, middle_uv, live.end_uv]), frame)
        unsettled = _unsettled(live, middle_uv, (low, high), frame, tolerance)
        outline.append(live.where(~unsettled))
        low, high = _grown(low, high, _clipped_ends(outline[-1], frame), frame)
        live = _halved(live.where(unsettled), middle[unsettled], middle_uv[unsettled])
        if not len(live.start):
            break
    starts = np.concatenate([piece.start_uv for piece in (*outline, live)])
    ends = np.concatenate([piece.end_uv for piece in (*outline, live)])
    if (np.abs(live.end_uv - live.start_uv) > _TEAR * tolerance).any():
        return _bounds(starts.min(axis=0), starts.max(axis=0)), True
    if clip is not EVERYWHERE:
        corners = np.array([(x, y) for x in (clip.min_x, clip.max_x) for y in (clip.min_y, clip.max_y)])
        low, high = _grown(low, high, corners[_enclosed(corners, starts, ends)], frame)
    return (_bounds(low, high) if (low <= high).all() else None), False


def is_inside(point: tuple[float, float], rings: list[Points]) -> bool:
    """Return whether rings go round a point, holes the other way, or one is on it to a billionth of their size."""
    starts = np.concatenate([ring[:-1] for ring in rings])
    ends = np.concatenate([ring[1:] for ring in rings])
    spot = np.array([point])
    along = ends - starts
    length2 = np.maximum((along**2).sum(axis=1), np.finfo(np.float64).tiny)
    share = np.clip(((spot - starts) * along).sum(axis=1) / length2, 0, 1)
    gap = np.abs(starts + along * share[:, None] - spot).max(axis=1).min()
    return bool(gap <= 1e-9 * np.ptp(starts, axis=0).max() or _enclosed(spot, starts, ends)[0])


def _first_pieces(rings: list[Points], project: Project) -> _Pieces:
    starts = np.concatenate([ring[:-1] for ring in rings])
    along = np.concatenate([ring[1:] for ring in rings]) - starts
    lengths = np.abs(along).max(axis=1)
    cuts = np.maximum(1, np.ceil(lengths / lengths.sum() * _FIRST_CUTS)).astype(np.int64)
    edge = np.repeat(np.arange(len(cuts)), cuts)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(cuts) - cuts, cuts)
    begin = starts[edge] + along[edge] * (nth / cuts[edge])[:, None]
    last = nth + 1 == cuts[edge]
    end = np.where(last[:, None], (starts + along)[edge], np.roll(begin, -1, axis=0))
    return _Pieces(begin, end, project(begin), project(end))


def _halved(pieces: _Pieces, middle: Points, middle_uv: Points) -> _Pieces:
    return _Pieces(
        np.concatenate([pieces.start, middle]),
        np.concatenate([middle, pieces.end]),
        np.concatenate([pieces.start_uv, middle_uv]),
        np.concatenate([middle_uv, pieces.end_uv]),
    )


def _unsettled(pieces: _Pieces, middle_uv: Points, box: Box, frame: Box, tolerance: float) -> Mask:
    """Whether a piece, bent by at most four times what its middle shows, may still widen the box within the frame."""
    bend = np.abs(middle_uv - (pieces.start_uv + pieces.end_uv) / 2)
    lows = np.minimum(pieces.start_uv, pieces.end_uv)
    highs = np.maximum(pieces.start_uv, pieces.end_uv)
    leaves = ((lows - 4 * bend < frame[0]) | (highs + 4 * bend > frame[1])).any(axis=1)
    bend[leaves] = bend[leaves].max(axis=1, keepdims=True, initial=0.0)
    lows = np.maximum(lows - 4 * bend, frame[0])
    highs = np.minimum(highs + 4 * bend, frame[1])
    widens = ((bend > tolerance) & ((lows < box[0]) | (highs > box[1]))).any(axis=1)
    live = widens & (lows <= highs).all(axis=1)
    if np.count_nonzero(live) > _MAX_LIVE:
        worst = np.argsort(np.where(live, bend.max(axis=1), -1.0))[-_MAX_LIVE:]
        live = np.zeros(len(live), dtype=np.bool_)
        live[worst] = True
    return np.asarray(live, dtype=np.bool_)


def _grown(low: Points, high: Points, points: Points, frame: Box) -> tuple[Points, Points]:
    within = points[((points >= frame[0]) & (points <= frame[1])).all(axis=1)]
    return np.minimum(low, within.min(axis=0, initial=np.inf)), np.maximum(high, within.max(axis=0, initial=-np.inf))


def _clipped_ends(pieces: _Pieces, frame: Box) -> Points:
    """Where straight pieces enter and leave the frame (Liang and Barsky), pulled onto it against rounding."""
    along = pieces.end_uv - pieces.start_uv
    flat = along == 0
    step = np.where(flat, 1.0, along)
    first = np.where(flat, -np.inf, (frame[0] - pieces.start_uv) / step)
    second = np.where(flat, np.inf, (frame[1] - pieces.start_uv) / step)
    enter = np.maximum(np.minimum(first, second).max(axis=1), 0.0)
    leave = np.minimum(np.maximum(first, second).min(axis=1), 1.0)
    beside = (flat & ((pieces.start_uv < frame[0]) | (pieces.start_uv > frame[1]))).any(axis=1)
    cut = (enter <= leave) & ~beside
    ends = [(pieces.start_uv + along * share[:, None])[cut] for share in (enter, leave)]
    return np.asarray(np.clip(np.concatenate(ends), *frame), dtype=np.float64)


def _enclosed(points: Points, starts: Points, ends: Points) -> Mask:
    """Whether edges go round points: those to the right, counted by their direction, are other than zero."""
    x, y = points[:, :1], points[:, 1:]
    spans = (starts[:, 1] > y) != (ends[:, 1] > y)
    rise = np.where(spans, ends[:, 1] - starts[:, 1], 1.0)
    crossing = starts[:, 0] + (y - starts[:, 1]) / rise * (ends[:, 0] - starts[:, 0])
    turns = np.where(ends[:, 1] > starts[:, 1], 1, -1)
    return np.asarray(np.where(spans & (x < crossing), turns, 0).sum(axis=1) != 0, dtype=np.bool_)


def _torn_extent(rings: list[Points], source: str, target: str, to_uv: Project | None, outline: Bounds) -> Bounds:
    """The box of a region that goes round the Earth: its boundary and the poles in it."""
    parts = [np.array([outline[:2], outline[2:]])]
    to_source, to_target = projector(LON_LAT, source), projector(LON_LAT, target)
    wide = bool(np.ptp(np.concatenate(rings)[:, 0]) >= 360 - 1e-9)
    round_the_earth = parse_crs(source).is_geographic and wide
    for pole in (90.0, -90.0):
        meridians = np.column_stack([np.linspace(-180.0, 180.0, 361), np.full(361, pole)])
        try:
            spot = to_source(meridians[:1])[0]
        except InvalidInput:
            continue
        if not parse_crs(source).is_geographic and is_inside((float(spot[0]), float(spot[1])), rings):
            round_the_earth = True
            line = to_target(meridians)
            parts.append(line if to_uv is None else to_uv(line))
    if not round_the_earth:
        raise InvalidInput(
            f"The region crosses the line where {short_name(target)} is cut open.",
            hint="Split it there in two jobs, or use a projected CRS whose middle it is in, such as its UTM zone.",
        )
    points = np.concatenate(parts)
    return _bounds(points.min(axis=0), points.max(axis=0))


def _check_inside(rings: list[Points], project: Project, box: Bounds, target: str) -> None:
    """Refuse a projection that folds: what is inside the region must lie inside the image of its boundary."""
    starts = np.concatenate([ring[:-1] for ring in rings])
    ends = np.concatenate([ring[1:] for ring in rings])
    low, high = starts.min(axis=0), starts.max(axis=0)
    share = (np.arange(_PROBES) + 0.5) / _PROBES
    probes = np.stack(np.meshgrid(*(low + (high - low) * share[:, None]).T), axis=-1).reshape(-1, 2)
    inside = probes[_enclosed(probes, starts, ends)] if len(starts) < _MANY_EDGES else probes[:0]
    if not len(inside):
        return
    image = project(inside)
    slack = 1e-6 * max(box.max_x - box.min_x, box.max_y - box.min_y)
    if (image < np.array(box[:2]) - slack).any() or (image > np.array(box[2:]) + slack).any():
        raise InvalidInput(
            f"{short_name(target)} cannot show this region in one piece: it reaches far beyond the CRS's area.",
            hint="Choose a smaller region, or a CRS made for it.",
        )


def _check_antimeridian(rings: list[Points], source: str, target: str) -> None:
    end = parse_crs(target)
    east = max(float(ring[:, 0].max()) for ring in rings)
    if parse_crs(source).is_geographic and end.is_geographic and east > 180 + 1e-9:
        raise InvalidInput(
            f"The region crosses the antimeridian, to longitude {east - 360:.8g}; a grid in a geographic CRS cannot.",
            hint="Split it at 180 degrees in two jobs, or choose a projected CRS, such as UTM zone 1 or 60.",
        )


def check_area(rings: list[Points], source: str, target: str) -> None:
    """Refuse what is sure to be a mistake, such as another continent's UTM zone; neighbours of the area are fine."""
    area = parse_crs(target).area_of_use
    if area is None or not parse_crs(source).is_geographic:
        return
    points = np.concatenate(rings)
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    area_east = area.east + 360 * (area.east < area.west)
    apart = abs(((west + east - area.west - area_east) / 2 + 180) % 360 - 180)
    gap_lon = apart - (east - west + area_east - area.west) / 2
    gap_lat = max(south - area.north, area.south - north)
    if gap_lon > _FAR_LON or gap_lat > _FAR_LAT:
        raise InvalidInput(
            f"The region (longitudes {west:.6g} to {east:.6g}, latitudes {south:.6g} to {north:.6g}) is far from what "
            f"{short_name(target)} is made for: longitudes {area.west:g} to {area.east:g}, latitudes {area.south:g} to "
            f"{area.north:g}.",
            hint="Check the order longitude, latitude, or choose a CRS made for this region.",
        )


def _bounds(low: Points, high: Points) -> Bounds:
    return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
