"""Between closed rings and shapely's shapes, and what shapes hold: the only reader of WKB and WKT.

Rule: a point is inside if it is within; on an edge, if what lies right of it is (on a level edge: above). So of two
polygons that share an edge, exactly one has a point on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray
    from shapely import Geometry

    from eezarr.geometry.antimeridian import Points, Rings

    Mask: TypeAlias = NDArray[np.bool_]

__all__ = ["apart", "holds", "is_valid", "polygons_of_shape", "repaired", "shape_of", "shapes_of"]


def shapes_of(polygons: Sequence[Rings]) -> NDArray[np.object_]:
    """Return polygons as shapely has them, one each, however invalid; rings have four positions or more."""
    rings = [ring for polygon in polygons for ring in polygon]
    ring_starts = np.cumsum([0, *map(len, rings)])
    starts = np.cumsum([0, *map(len, polygons)])
    corners = np.concatenate(rings)
    return np.asarray(
        shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (ring_starts, starts)), dtype=np.object_
    )


def is_valid(shapes: NDArray[np.object_]) -> Mask:
    """Return which polygons are valid: no ring crosses itself or another, and holes are inside."""
    return np.asarray(shapely.is_valid(shapes), dtype=np.bool_)


def repaired(rings: Rings) -> list[Rings]:
    """Return what an invalid polygon covers as valid ones: what its outer ring goes round, less what its holes do.

    Each ring is put in order alone: GEOS takes a hole outside its ring for a polygon.
    """
    covered, *holes = (_gone_round(ring) for ring in rings)
    return polygons_of_shape(covered.difference(shapely.union_all(holes)) if holes else covered)


def _gone_round(ring: Points) -> Geometry:
    return shapely.make_valid(shapely.Polygon(ring), method="structure", keep_collapsed=False)


def polygons_of_shape(shape: Geometry) -> list[Rings]:
    """Return the rings of all polygons of a shape, the outer one of each first."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and not part.is_empty]
    nested = [part for part in shapely.get_parts(shape) if part.geom_type.startswith(("Multi", "GeometryC"))]
    own = [[np.asarray(ring.coords, dtype=np.float64)[:, :2] for ring in (p.exterior, *p.interiors)] for p in parts]
    return own + [rings for part in nested for rings in polygons_of_shape(part)]


def apart(polygons: Sequence[Rings]) -> list[Rings]:
    """Return what valid polygons cover together as polygons none of which is over or beside another."""
    shape = shape_of(polygons)
    return list(polygons) if len(shapely.get_parts(shape)) == len(polygons) else polygons_of_shape(shape)


def shape_of(polygons: Sequence[Rings]) -> Geometry:
    """Return what valid polygons cover together as one valid shape."""
    shapes = shapes_of(polygons)
    if len(shapes) == 1:
        return shapes[0]
    together = shapely.multipolygons(shapes)
    return together if together.is_valid else shapely.union_all(shapes)


def holds(shape: Geometry, points: Points) -> Mask:
    """Return whether each point is inside a shape, by this module's rule. Cost: some microseconds a point."""
    shapely.prepare(shape)
    x, y = points[:, 0], points[:, 1]
    inside = np.asarray(shapely.contains_xy(shape, x, y), dtype=np.bool_)
    outer = np.flatnonzero(~inside)
    edge = outer[np.asarray(shapely.intersects_xy(shape, x[outer], y[outer]), dtype=np.bool_)]
    if len(edge):
        inside[edge] = _are_right_inside(shape, points[edge])
    return inside


def _are_right_inside(shape: Geometry, points: Points) -> Mask:
    """Whether points on edges have the inside to their right: edges further right are counted."""
    rings = [ring for polygon in polygons_of_shape(shape) for ring in polygon]
    start, end = np.concatenate([ring[:-1] for ring in rings]), np.concatenate([ring[1:] for ring in rings])
    # Each edge is computed from its lower end, so that two polygons that share it round alike.
    is_up = (start[:, 1] <= end[:, 1])[:, None]
    low, high = np.where(is_up, start, end), np.where(is_up, end, start)
    along = high - low
    rise = np.where(along[:, 1] == 0, 1.0, along[:, 1])
    counts = np.zeros(len(points), dtype=np.int64)
    for nth, (x, y) in enumerate(points.tolist()):
        spans = (low[:, 1] <= y) & (y < high[:, 1])
        crossing = low[spans, 0] + (y - low[spans, 1]) / rise[spans] * along[spans, 0]
        counts[nth] = np.count_nonzero(x < crossing)
    return np.asarray(counts % 2 == 1, dtype=np.bool_)
