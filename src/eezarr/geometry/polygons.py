"""GeoJSON geometries into polygons that cover something: what has no area is left out, rings that cross are put right.

What was left out or put right is noted with the name of its feature, and told in one warning for all.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.geometry.antimeridian import short_way
from eezarr.notices import EezarrWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eezarr.geometry.antimeridian import Points, Rings

__all__ = ["Notes", "Part", "covering", "polygon_parts", "ring_of"]

SHAPE_HINT = "Give a GeoJSON Polygon or MultiPolygon, or a Feature, FeatureCollection or GeometryCollection of them."
_RING_HINT = "A ring needs at least three corners."
_POSITION_HINT = "Positions are [x, y]."

_DEPTH = 32
"""Collections within collections: more is no geometry of anyone."""

_NAMED = 5
"""Notes that a warning lists at the most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One polygon, as it is given."""

    rings: Rings
    """Closed; the outer one first."""
    where: str
    """How a message calls the feature that it is of."""
    owner: int = 0
    """Which of several features that is."""


@dataclass(slots=True, kw_only=True)
class Notes:
    """What was left out of polygons, and what was put right."""

    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Each as a message, and what to do about it."""
    mended: list[str] = field(default_factory=list)

    def skip(self, message: str, *, hint: str) -> None:
        """Note what covers nothing."""
        self.skipped.append((message, hint))

    def warn(self, subject: str) -> None:
        """Warn of all that was noted, if anything was.

        Args:
            subject: What it was read from: `The region`.
        """
        if self.skipped:
            _warn(f"{subject}: what has no area is left out.", [message for message, _ in self.skipped])
        if self.mended:
            _warn(f"{subject}: rings are invalid; what they go round counts as inside, less the holes.", self.mended)

    def nothing_left(self, subject: str, *, hint: str) -> InvalidInput:
        """Return the error for when all was left out."""
        if not self.skipped:
            return InvalidInput(f"{subject} holds no polygon.", hint=hint)
        message, advice = self.skipped[0]
        more = f" (and {len(self.skipped) - 1} more like it)" if len(self.skipped) > 1 else ""
        return InvalidInput(f"{message}{more}", hint=advice)


def polygon_parts(
    geometry: object, where: str, notes: Notes, *, turn: float | None = None, owner: int = 0, depth: int = 0
) -> Iterator[Part]:
    """Yield the polygons of a GeoJSON geometry.

    Args:
        geometry: The geometry.
        where: How a message calls its feature: `the region`, `feature 3`.
        notes: Told of what has no area.
        turn: What longitude grows by in one turn, where edges go the short way round; None for other coordinates.
        owner: What `Part.owner` is.
        depth: How many collections it is in.

    Raises:
        InvalidInput: If it is no geometry, or its coordinates are no numbers.
    """
    if not isinstance(geometry, Mapping) or depth > _DEPTH:
        raise InvalidInput(f"There is no GeoJSON geometry in {where}.", hint=SHAPE_HINT)
    match geometry.get("type"):
        case "Polygon":
            polygons: Sequence[object] = [geometry.get("coordinates")]
        case "MultiPolygon":
            polygons = _items(geometry.get("coordinates"), where)
        case "GeometryCollection":
            for member in _items(geometry.get("geometries"), where):
                yield from polygon_parts(member, where, notes, turn=turn, owner=owner, depth=depth + 1)
            return
        case "Point" | "MultiPoint" | "LineString" | "MultiLineString" as kind:
            notes.skip(f"There is a {kind}, which has no area, in {where}.", hint=f"Buffer it first. {SHAPE_HINT}")
            return
        case kind:
            raise InvalidInput(f"There is a geometry of type {kind!r} in {where}.", hint=SHAPE_HINT)
    for polygon in polygons:
        rings = _rings(polygon, where, notes, turn)
        if rings:
            yield Part(rings=rings, where=where, owner=owner)


def _rings(polygon: object, where: str, notes: Notes, turn: float | None) -> Rings:
    """The rings of a polygon that have an area; none if its outer one has not."""
    rings = _items(polygon, where)
    if not rings or not len(_items(rings[0], where)):
        notes.skip(f"The polygon in {where} is empty.", hint=SHAPE_HINT)
        return []
    given = [ring_of(ring, where) for ring in rings]
    outer, *holes = given if turn is None else short_way(given, turn)
    if _is_flat(outer):
        notes.skip(f"There is a polygon without area in {where}.", hint=_RING_HINT)
        return []
    kept = [hole for hole in holes if not _is_flat(hole)]
    if len(kept) < len(holes):
        notes.skip(f"There is a hole without area in {where}.", hint=_RING_HINT)
    return [outer, *kept]


def ring_of(ring: object, where: str) -> Points:
    """Return a ring's positions, closed, of shape (n, 2).

    Raises:
        InvalidInput: If they are not all two numbers or more, of which the first two count.
    """
    if isinstance(ring, np.ndarray):
        points = ring
    else:
        positions = _items(ring, where)
        if not positions:
            return np.empty((0, 2))
        points = _array(positions)
        if points.ndim != 2 or points.shape[1] < 2:
            points = _array([position[:2] if isinstance(position, list | tuple) else () for position in positions])
        if points.ndim == 2 and not {bool, np.bool_}.isdisjoint(map(type, chain.from_iterable(_rows(positions)))):
            points = np.empty(0)
    if points.ndim != 2 or points.shape[1] < 2 or points.dtype.kind not in "iuf":
        raise InvalidInput(
            f"There is a polygon in {where} with positions that are missing or no numbers.", hint=_POSITION_HINT
        )
    points = points[:, :2].astype(np.float64)
    return np.concatenate([points, points[:1]]) if (points[0] != points[-1]).any() else points


def covering(parts: Sequence[Part], notes: Notes) -> list[Part]:
    """Return what polygons cover, as valid polygons; one that is valid stays as it is, to the bit.

    Args:
        parts: Polygons of finite coordinates.
        notes: Told of those that are not valid, or cover nothing.
    """
    from eezarr.geometry.shapes import is_valid, repaired, shapes_of

    if not parts:
        return []
    shapes = shapes_of([part.rings for part in parts])
    found: list[Part] = []
    for part, shape, is_good in zip(parts, shapes, is_valid(shapes).tolist(), strict=True):
        if is_good:
            found.append(part)
            continue
        pieces = repaired(part.rings)
        if pieces:
            notes.mended.append(f"There is an invalid ring in {part.where}: {_reason(shape)}.")
            found += [replace(part, rings=rings) for rings in pieces]
        else:
            notes.skip(f"There is a polygon without area in {part.where}.", hint=_RING_HINT)
    return found


def _reason(shape: object) -> str:
    import shapely

    reason, _, spot = str(shapely.is_valid_reason(shape)).partition("[")
    return f"{reason.strip().lower()} at ({', '.join(spot.rstrip(']').split())})" if spot else reason.lower()


def _warn(head: str, notes: list[str]) -> None:
    more = [f"And {len(notes) - _NAMED} more."] if len(notes) > _NAMED else []
    warnings.warn(EezarrWarning(" ".join([head, *notes[:_NAMED], *more])), stacklevel=3)


def _is_flat(ring: Points) -> bool:
    """Whether a ring has no width or no height, or too few corners; what is flat aslant is found by GEOS."""
    return len(ring) < 4 or bool((ring.min(axis=0) == ring.max(axis=0)).any())


def _array(positions: Sequence[object]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        return np.array(positions)
    except (ValueError, OverflowError):
        return np.empty(0)


def _rows(positions: Sequence[object]) -> Iterator[Sequence[object]]:
    return (position[:2] for position in positions if isinstance(position, list | tuple))


def _items(value: object, where: str) -> Sequence[object]:
    if isinstance(value, np.ndarray):
        return value  # type: ignore[return-value]
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidInput(f"There is {_short(value)} in {where} where a list is due.", hint=SHAPE_HINT)
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
