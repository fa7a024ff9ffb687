"""Points and polygons as files state them, gathered into columns.

Rule: a site without geometry is left out (RFC 7946, 3.2); so is one that has no area among polygons, with a warning
that names it. What a polygon covers is what `geometry` says: parts of one site add up.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.geometry.antimeridian import joined_parts, short_way
from eezarr.geometry.polygons import Notes, covering, polygon_parts
from eezarr.grid.region import full_turn
from eezarr.samples.places import check_places
from eezarr.samples.sites import PolygonTable, SiteTable, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from eezarr.geometry.antimeridian import Rings
    from eezarr.geometry.polygons import Part
    from eezarr.grid.crs import Points
    from eezarr.samples.columns import RowName
    from eezarr.samples.sites import Attributes

__all__ = ["GeometryBuilder"]

_HINT = "Give Points, or Polygons and MultiPolygons."


class GeometryBuilder:
    """Takes one geometry a site; a file holds points, or areas, but not both.

    Args:
        row: How a message calls a site.
    """

    def __init__(self, row: RowName) -> None:
        self._row = row
        self._count = 0
        self._points = array("d")
        self._point_sites = array("q")
        self._parts: list[Part] = []
        self._notes = Notes()

    def add(self, geometry: object) -> None:
        """Take a GeoJSON geometry; the rings of polygons may be arrays.

        Raises:
            InvalidInput: If it is no geometry, its coordinates are no numbers, or it is not of the others' kind.
        """
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if kind == "Point":
            assert isinstance(geometry, dict), "a kind is a mapping's"
            self._add_point(geometry.get("coordinates"))
        elif kind in {"Polygon", "MultiPolygon", "GeometryCollection"}:
            self._check_alike(is_point=False)
            self._parts += polygon_parts(geometry, self.next_name, self._notes, owner=self._count)
        elif geometry is not None:
            self._notes.skip(f"There is a geometry of type {kind!r} in {self.next_name}.", hint=_HINT)
        self._count += 1

    def add_points(self, points: Points) -> None:
        """Take many points, shape (n, 2)."""
        self._check_alike(is_point=True)
        self._points.frombytes(np.ascontiguousarray(points, dtype=np.float64).tobytes())
        self._point_sites.extend(range(self._count, self._count + len(points)))
        self._count += len(points)

    def table(self, crs: str, attributes: Callable[[NDArray[np.int64]], Attributes]) -> SiteTable | PolygonTable:
        """Return what was taken.

        Args:
            crs: The CRS of the coordinates.
            attributes: Returns what is known of some sites, by their positions.

        Raises:
            InvalidInput: If nothing is left, or coordinates are missing or not on the Earth.
        """
        if self._point_sites:
            self._notes.warn("The sites")
            sites = np.array(self._point_sites, dtype=np.int64)
            places = np.array(self._points, dtype=np.float64).reshape(-1, 2)
            check_places(places, crs, lambda nth: self._row(int(sites[nth])))
            x, y = (frozen(np.ascontiguousarray(places[:, axis])) for axis in (0, 1))
            return SiteTable(crs=crs, x=x, y=y, attributes=attributes(sites))
        sites, areas = self._areas(crs)
        if not areas:
            if self._notes.skipped:
                raise self._notes.nothing_left("The file", hint=_HINT)
            raise InvalidInput(f"There is no geometry in {self._row(0)}, nor in any other.", hint=_HINT)
        self._notes.warn("The sites")
        rings = [_turned(ring, is_hole=nth > 0) for area in areas for part in area for nth, ring in enumerate(part)]
        return PolygonTable(
            crs=crs,
            corners=frozen(np.concatenate(rings)),
            ring_starts=frozen(np.cumsum([0, *map(len, rings)], dtype=np.int64)),
            polygon_starts=frozen(np.cumsum([0, *(sum(map(len, area)) for area in areas)], dtype=np.int64)),
            attributes=attributes(sites),
        )

    def _areas(self, crs: str) -> tuple[NDArray[np.int64], list[list[Rings]]]:
        """The sites that are left, and the polygons of each: valid, and none over another."""
        from eezarr.geometry.shapes import apart

        turn = full_turn(crs)
        parts = self._parts
        if turn is not None:
            parts = [replace(part, rings=short_way(part.rings, turn)) for part in parts]
        if parts:
            corners = np.concatenate([ring for part in parts for ring in part.rings])
            ends = np.cumsum([sum(map(len, part.rings)) for part in parts])
            check_places(
                corners,
                crs,
                lambda corner: parts[int(np.searchsorted(ends, corner, side="right"))].where,
                kind="polygon",
            )
        sites: list[int] = []
        areas: list[list[Rings]] = []
        for site, own in groupby(covering(parts, self._notes), key=lambda part: part.owner):
            rings = [part.rings for part in own]
            sites.append(site)
            areas.append(apart(rings if turn is None else joined_parts(rings, turn)) if len(rings) > 1 else rings)
        return np.array(sites, dtype=np.int64), areas

    def _add_point(self, position: object) -> None:
        self._check_alike(is_point=True)
        if not isinstance(position, list | tuple) or len(position) < 2 or not all(map(_is_number, position[:2])):
            raise InvalidInput(
                f"The coordinates {position!r} in {self.next_name} are missing or no numbers.",
                hint="Give two finite numbers, x before y.",
            )
        try:
            self._points.extend(map(float, position[:2]))
        except OverflowError as error:
            raise InvalidInput(
                f"The coordinates in {self.next_name} are too large for numbers.", hint="Mend the file."
            ) from error
        self._point_sites.append(self._count)

    def _check_alike(self, *, is_point: bool) -> None:
        if self._parts if is_point else self._point_sites:
            others = "polygons" if is_point else "points"
            raise InvalidInput(
                f"There is a {'point' if is_point else 'polygon'} in {self.next_name}, after {others}.",
                hint="Put points and polygons in files of their own.",
            )

    @property
    def next_name(self) -> str:
        """How a message calls the site whose geometry is taken next."""
        return self._row(self._count)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _turned(ring: Points, *, is_hole: bool) -> Points:
    """Outer rings counter-clockwise, holes clockwise; about the first corner, so that small rings keep their digits."""
    x, y = (ring - ring[0]).T
    is_left = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) > 0
    return ring[::-1] if is_left == is_hole else ring
