"""Points and polygons as files state them, gathered into columns."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.samples.places import check_places
from eezarr.samples.sites import PolygonTable, SiteTable, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._rings: list[Points] = []
        self._polygon_starts = array("q", [0])

    def add(self, geometry: object) -> None:
        """Take a GeoJSON geometry.

        Raises:
            InvalidInput: If it is missing, empty, neither a point nor an area, or not of the others' kind.
        """
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
        if kind == "Point":
            self.add_point(coordinates)
        elif kind == "Polygon":
            self.add_area([coordinates])
        elif kind == "MultiPolygon":
            self.add_area(coordinates)
        else:
            what = "no geometry" if geometry is None else f"a geometry of type {kind!r}"
            raise InvalidInput(f"There is {what} in {self.next_name}.", hint=_HINT)

    def add_point(self, position: object) -> None:
        """Take a point: two numbers, or more, of which the first two count."""
        self._check_alike(is_point=True)
        if not isinstance(position, list | tuple) or len(position) < 2 or not all(map(_is_number, position[:2])):
            raise InvalidInput(
                f"The coordinates {position!r} in {self.next_name} are missing or no numbers.",
                hint="Give two finite numbers, x before y.",
            )
        self._points.extend(position[:2])
        self._count += 1

    def add_points(self, points: Points) -> None:
        """Take many points, shape (n, 2)."""
        self._check_alike(is_point=True)
        self._points.extend(points.ravel().tolist())
        self._count += len(points)

    def add_area(self, polygons: object) -> None:
        """Take one site's polygons, each a list of rings, the outer one first."""
        self._check_alike(is_point=False)
        before = len(self._rings)
        for polygon in _items(polygons):
            for nth, ring in enumerate(_items(polygon)):
                self._rings.append(self._ring(ring, is_hole=nth > 0))
        if len(self._rings) == before:
            raise InvalidInput(f"The polygon in {self.next_name} is empty.", hint=_HINT)
        self._polygon_starts.append(len(self._rings))
        self._count += 1

    def table(self, crs: str, attributes: Attributes) -> SiteTable | PolygonTable:
        """Return what was taken.

        Raises:
            InvalidInput: If coordinates are missing or not on the Earth.
        """
        if not self._rings:
            places = np.array(self._points, dtype=np.float64).reshape(-1, 2)
            check_places(places, crs, self._row)
            x, y = (frozen(np.ascontiguousarray(places[:, axis])) for axis in (0, 1))
            return SiteTable(crs=crs, x=x, y=y, attributes=attributes)
        corners = np.concatenate(self._rings)
        ring_starts = np.cumsum([0, *map(len, self._rings)], dtype=np.int64)
        starts = np.array(self._polygon_starts, dtype=np.int64)

        def row(corner: int) -> str:
            ring = int(np.searchsorted(ring_starts, corner, side="right")) - 1
            return self._row(int(np.searchsorted(starts, ring, side="right")) - 1)

        check_places(corners, crs, row, kind="polygon")
        return PolygonTable(
            crs=crs,
            corners=frozen(corners),
            ring_starts=frozen(ring_starts),
            polygon_starts=frozen(starts),
            attributes=attributes,
        )

    def _ring(self, ring: object, *, is_hole: bool) -> Points:
        try:
            points = np.array(ring)
        except ValueError:
            points = np.empty(0, dtype=np.object_)
        if points.ndim != 2 or points.dtype.kind not in "iuf" or points.shape[1] < 2 or not len(points):
            raise InvalidInput(
                f"The polygon in {self.next_name} has positions that are missing or no numbers.",
                hint="Positions are [x, y].",
            )
        points = points[:, :2].astype(np.float64)
        if (points[0] != points[-1]).any():
            points = np.concatenate([points, points[:1]])
        area = _signed_area(points)
        if area == 0:
            raise InvalidInput(
                f"The polygon in {self.next_name} has a ring without area.", hint="A ring needs at least three corners."
            )
        return points[::-1] if (area > 0) == is_hole else points

    def _check_alike(self, *, is_point: bool) -> None:
        if self._count and is_point == bool(self._rings):
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


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _signed_area(ring: Points) -> float:
    """Twice the area; about the first corner, so that small rings far from the origin keep their digits."""
    # Coordinates that are not finite are refused later, with all others that are not on the Earth.
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = (ring - ring[0]).T
        return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
