"""From polygons to sites: random, stratified by class, on a regular grid, or one in the middle of each.

Law: what is drawn in a polygon depends on the seed, the polygon's id and its shape, and on nothing else: adding,
removing or reordering polygons changes no other's points. (Stratified: how many of them are used depends on the
others of its class; they are always its first.) A site's id is its polygon's, a slash and a count from 0; its group
is its polygon's id.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.samples.lattices import lattice_points
from eezarr.samples.plane import plane_of, ring_area
from eezarr.samples.sites import SiteTable, frozen, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from eezarr.grid.crs import Points
    from eezarr.samples.sites import PolygonTable

__all__ = ["Centroid", "GridPoints", "RandomPoints", "Strategy", "StratifiedPoints", "draw_sites"]

_PROBES = 33
"""Per side, where the areal scale of a projected CRS is looked at: it is smooth, so its maximum is found to 1 %."""

_FIRST_DRAW, _MAX_DRAW, _MAX_DRAWS = 64, 2**18, 2**26


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPoints:
    """Points uniform over a polygon's ground, as `samples.plane` has it."""

    per_polygon: int
    """How many in each polygon."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedPoints:
    """As many points in each class, whatever ground it has; within a class, uniform over its ground."""

    per_class: int
    """How many in all polygons of a class together; each polygon gets its share by area, largest remainders first."""
    class_column: str | None = None
    """The column that holds the class; default: the label."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoints:
    """The points of a square lattice that are inside; the lattice is that of the UTM zone of the polygon's middle."""

    spacing_m: float
    """Metres between neighbours; lattice points are at its multiples from the zone's origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Centroid:
    """One point inside each polygon: its centroid or, where that is outside, the middle of its widest part there."""


Strategy: TypeAlias = RandomPoints | StratifiedPoints | GridPoints | Centroid


def draw_sites(polygons: PolygonTable, strategy: Strategy) -> SiteTable:
    """Return the sites that a strategy puts in polygons, polygon by polygon; all lie inside.

    Raises:
        InvalidInput: If a count or spacing is not positive, a polygon has no class, or is too thin to draw in, or no
            polygon holds a point.
    """
    match strategy:
        case RandomPoints(per_polygon=wanted, seed=seed):
            counts = np.full(len(polygons), _positive(wanted, "per_polygon"), dtype=np.int64)
            return _sites(polygons, _drawn(polygons, counts, seed))
        case StratifiedPoints(seed=seed):
            return _sites(polygons, _drawn(polygons, _shares(polygons, strategy), seed))
        case GridPoints(spacing_m=spacing):
            _positive(spacing, "spacing_m")
            return _sites(polygons, [lattice_points(polygons, nth, spacing) for nth in range(len(polygons))])
        case Centroid():
            return _sites(polygons, [_middle(polygons, nth) for nth in range(len(polygons))])


def _sites(polygons: PolygonTable, drawn: list[Points]) -> SiteTable:
    counts = np.array([len(points) for points in drawn], dtype=np.int64)
    if not counts.sum():
        raise InvalidInput("No polygon holds a point.", hint="Choose a smaller spacing, or another strategy.")
    facts = polygons.attributes.take(np.repeat(np.arange(len(polygons)), counts))
    nths = (nth for count in counts.tolist() for nth in range(count))
    ids = np.empty(len(facts), dtype=np.object_)
    ids[:] = [f"{name}/{nth}" for name, nth in zip(facts.groups.tolist(), nths, strict=True)]
    x, y = np.concatenate(drawn).T
    if plane_of(polygons.crs).is_geographic:
        x = np.where((x < -180) | (x > 360), (x + 180) % 360 - 180, x)
    return SiteTable(
        crs=polygons.crs,
        x=frozen(np.ascontiguousarray(x)),
        y=frozen(np.ascontiguousarray(y)),
        attributes=replace(facts, ids=frozen(ids)),
    )


def _drawn(polygons: PolygonTable, counts: NDArray[np.int64], seed: int) -> list[Points]:
    names = polygons.attributes.ids.tolist()
    return [
        _random_points(polygons, nth, count, _generator(seed, names[nth])) if count else np.empty((0, 2))
        for nth, count in enumerate(counts.tolist())
    ]


def _generator(seed: int, polygon: str) -> np.random.Generator:
    key = hashlib.blake2b(f"{seed}\0{polygon}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def _random_points(polygons: PolygonTable, nth: int, count: int, generator: np.random.Generator) -> Points:
    """Uniform in the box, kept where inside and, where the ground is less than the plane's, by chance.

    Draws are taken three by three, whatever the size of a batch, so that a polygon's first points are the same however
    many are wanted.
    """
    from eezarr.geometry.shapes import holds

    shape, plane = polygons.shape(nth), plane_of(polygons.crs)
    corners = plane.of(np.concatenate(polygons.rings(nth)))
    low, high = corners.min(axis=0), corners.max(axis=0)
    most = 1.0 if plane.is_geographic else _most_dense(plane.density, low, high)
    kept: list[Points] = []
    size, drawn, found = max(_FIRST_DRAW, 2 * count), 0, 0
    while found < count:
        size, drawn = min(size, _MAX_DRAW), drawn + size
        if drawn > _MAX_DRAWS:
            raise InvalidInput(
                f"The polygon {polygons.attributes.ids[nth]!r} fills less than a millionth of the box round it.",
                hint="Use the strategy `centroid` or `grid` for polygons as thin as this, or cut it in pieces.",
            )
        chance = generator.random((size, 3))
        spots = low + (high - low) * chance[:, :2]
        places = plane.back(spots)
        good = holds(shape, places)
        if not plane.is_geographic:
            good[good] = chance[good, 2] * most < plane.density(spots[good])
        kept.append(places[good])
        found, size = found + len(kept[-1]), size * 2
    return np.concatenate(kept)[:count]


def _most_dense(density: Callable[[Points], NDArray[np.float64]], low: Points, high: Points) -> float:
    share = np.linspace(0, 1, _PROBES)
    probes = np.stack(np.meshgrid(*(low + (high - low) * share[:, None]).T), axis=-1).reshape(-1, 2)
    return 1.01 * float(density(probes).max())


def _shares(polygons: PolygonTable, strategy: StratifiedPoints) -> NDArray[np.int64]:
    """How many points each polygon gets: its class's, by area, the largest remainders first (ties: by id)."""
    per_class = int(_positive(strategy.per_class, "per_class"))
    classes = polygons.attributes.column(strategy.class_column)
    members: dict[str, list[int]] = {}
    for nth, value in enumerate(map(plain, classes)):
        if value is None:
            raise InvalidInput(
                f"The polygon {polygons.attributes.ids[nth]!r} has no class.",
                hint="Give every polygon a class, or leave those without out.",
            )
        members.setdefault(repr(value), []).append(nth)
    counts = np.zeros(len(polygons), dtype=np.int64)
    for nths in members.values():
        areas = [_area(polygons, nth) for nth in nths]
        exact = [per_class * area / sum(areas) for area in areas]
        floors = [math.floor(share) for share in exact]
        order = sorted(range(len(nths)), key=lambda k: (floors[k] - exact[k], polygons.attributes.ids[nths[k]]))
        for k in order[: per_class - sum(floors)]:
            floors[k] += 1
        counts[nths] = floors
    return counts


def _area(polygons: PolygonTable, nth: int) -> float:
    plane, rings = plane_of(polygons.crs), polygons.rings(nth)
    flat = abs(sum(ring_area(plane.of(ring)) for ring in rings))
    middle = np.array([(rings[0].min(axis=0) + rings[0].max(axis=0)) / 2])
    return flat * float(plane.density(middle)[0])


def _middle(polygons: PolygonTable, nth: int) -> Points:
    from eezarr.geometry.shapes import holds

    rings, shape = polygons.rings(nth), polygons.shape(nth)
    centroid = _centroid(rings)
    if holds(shape, centroid)[0]:
        return centroid
    corners = np.concatenate(rings)
    levels = np.unique(corners[:, 1])
    rows = [float(centroid[0, 1]), *((levels[:-1] + levels[1:]) / 2)[_nearest_first(levels, centroid[0, 1])]]
    for row in rows:
        crossings = _crossings(rings, row)
        if len(crossings) > 1:
            widths = crossings[1::2] - crossings[: len(crossings) // 2 * 2 : 2]
            widest = 2 * int(np.argmax(widths))
            middle = np.array([[(crossings[widest] + crossings[widest + 1]) / 2, row]])
            if holds(shape, middle)[0]:
                return middle
    raise InvalidInput("A polygon is so thin that no number is inside it.", hint="Leave it out, or buffer it.")


def _nearest_first(levels: NDArray[np.float64], row: float) -> NDArray[np.int64]:
    return np.argsort(np.abs((levels[:-1] + levels[1:]) / 2 - row), kind="stable")


def _crossings(rings: list[Points], row: float) -> NDArray[np.float64]:
    starts = np.concatenate([ring[:-1] for ring in rings])
    ends = np.concatenate([ring[1:] for ring in rings])
    spans = (starts[:, 1] > row) != (ends[:, 1] > row)
    low, along = starts[spans], (ends - starts)[spans]
    return np.sort(low[:, 0] + (row - low[:, 1]) / along[:, 1] * along[:, 0])


def _centroid(rings: Iterable[Points]) -> Points:
    total, moment = 0.0, np.zeros(2)
    for ring in rings:
        origin = ring[0]
        here, there = (ring - origin)[:-1], (ring - origin)[1:]
        cross = here[:, 0] * there[:, 1] - there[:, 0] * here[:, 1]
        total += float(cross.sum()) / 2
        moment += ((here + there) * cross[:, None]).sum(axis=0) / 6 + origin * (cross.sum() / 2)
    return (moment / total)[None]


def _positive(value: float, name: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"{name} is {value}.", hint="Give a number above zero.")
    return value
