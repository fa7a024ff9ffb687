"""Geometries from WKB and WKT, in either byte order, with or without Z, M and SRID: as GeoJSON has them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from eezarr.geometry.antimeridian import Points

__all__ = ["geojson_of_shapes", "points_of_shapes", "shapes_of_wkb", "shapes_of_wkt"]

_SRID = re.compile(r"\s*SRID\s*=\s*\d+\s*;", re.IGNORECASE)
"""What PostGIS puts before WKT."""

_POINT = 0
_AREAS = (3, 6)


def shapes_of_wkb(values: Sequence[bytes | None]) -> tuple[NDArray[np.object_], int | None]:
    """Return what WKB says, None for None; and the position of the first that is none, or None."""
    return _first_bad(values, np.asarray(shapely.from_wkb(_objects(values), on_invalid="ignore"), dtype=np.object_))


def shapes_of_wkt(values: Sequence[str | None]) -> tuple[NDArray[np.object_], int | None]:
    """Return what WKT says, None for None; and the position of the first that is none, or None."""
    texts = [None if value is None else _SRID.sub("", value, count=1) for value in values]
    return _first_bad(texts, np.asarray(shapely.from_wkt(_objects(texts), on_invalid="ignore"), dtype=np.object_))


def points_of_shapes(shapes: NDArray[np.object_]) -> Points | None:
    """Return the coordinates of points, shape (n, 2); None if one of them is something else, or empty."""
    if (shapely.get_type_id(shapes) != _POINT).any() or shapely.is_empty(shapes).any():
        return None
    return np.asarray(shapely.get_coordinates(shapes), dtype=np.float64)


def geojson_of_shapes(shapes: NDArray[np.object_]) -> Iterator[dict[str, object] | None]:
    """Yield geometries as GeoJSON has them, None for None; the rings of polygons are arrays."""
    kinds = shapely.get_type_id(shapes)
    is_area = np.isin(kinds, _AREAS) & ~shapely.is_empty(shapes)
    areas = iter(_areas(shapes[is_area])) if is_area.any() else iter(())
    for shape, is_own in zip(shapes, is_area.tolist(), strict=True):
        if is_own:
            yield {"type": "MultiPolygon", "coordinates": next(areas)}
        elif shape is None:
            yield None
        else:
            is_empty = shape.is_empty and shape.geom_type in {"Point", "Polygon", "MultiPolygon"}
            yield {"type": shape.geom_type, "coordinates": []} if is_empty else shape.__geo_interface__


def _areas(shapes: NDArray[np.object_]) -> list[list[list[Points]]]:
    """The polygons of each shape, by their rings: cut from one array of all corners."""
    kind, corners, starts = shapely.to_ragged_array(shapes, include_z=False)
    ring_starts, polygon_starts = starts[0].tolist(), starts[1].tolist()
    shape_starts = starts[2].tolist() if kind == shapely.GeometryType.MULTIPOLYGON else list(range(len(shapes) + 1))
    rings = [corners[first:last] for first, last in pairwise(ring_starts)]
    polygons = [rings[first:last] for first, last in pairwise(polygon_starts)]
    return [polygons[first:last] for first, last in pairwise(shape_starts)]


def _first_bad(values: Sequence[object], shapes: NDArray[np.object_]) -> tuple[NDArray[np.object_], int | None]:
    given = np.array([value is not None for value in values], dtype=np.bool_)
    bad = given & np.asarray(shapely.is_missing(shapes), dtype=np.bool_)
    return shapes, int(np.argmax(bad)) if bad.any() else None


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=np.object_)
    column[:] = values
    return column
