"""Geometries and projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.emulator.geometry import EVERYWHERE, Geometry, Projection, box, intersects
from eezarr.emulator.sampling import crs_of
from eezarr.emulator.values import Value, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Arguments, Function

Point = tuple[float, float]


def _points(arguments: Arguments, value: Value) -> tuple[Point, ...]:
    """A list of pairs, or a flat list of numbers, as points."""
    if isinstance(value, list) and value and all(isinstance(item, int | float) for item in value):
        flat = [float(item) for item in value if isinstance(item, int | float)]
        return tuple(zip(flat[::2], flat[1::2], strict=True))
    points: list[Point] = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Geometry) and item.type == "Point":
            points.append(item.parts[0][0])
            continue
        pair = [float(number) for number in item if isinstance(number, int | float)] if isinstance(item, list) else []
        if len(pair) < 2:
            arguments.fail("Invalid GeoJSON geometry: a position must be a list of two numbers.")
        points.append((pair[0], pair[1]))
    if not points:
        arguments.fail("Invalid GeoJSON geometry: no coordinates.")
    return tuple(points)


def _depth(value: Value) -> int:
    """How deep lists are nested."""
    return 1 + _depth(value[0]) if isinstance(value, list) and value else 0


def _projection(arguments: Arguments) -> Projection:
    return arguments.projection("crs") if arguments.has("crs") else Projection()


def _is_geodesic(arguments: Arguments, projection: Projection) -> bool:
    """The service's default: geodesic in lon/lat, straight elsewhere."""
    return arguments.flag("geodesic", crs_of(projection.crs).is_geographic)


def _constructor(kind: str, depth: int) -> Function:
    """A constructor of shapes whose coordinates nest so deep: 1 a point, 2 a line, 3 a polygon, 4 several."""

    def function(arguments: Arguments) -> Value:
        coordinates = arguments.value("coordinates")
        while _depth(coordinates) < depth:
            coordinates = [coordinates]
        projection = _projection(arguments)
        items = coordinates if isinstance(coordinates, list) else []
        if depth == 1:
            parts = [_points(arguments, items)[:1]]
        elif depth == 2:
            points = _points(arguments, items)
            parts = [(point,) for point in points] if kind == "MultiPoint" else [points]
        elif depth == 3:
            parts = [_points(arguments, part) for part in items]
        else:
            parts = [_points(arguments, ring) for part in items if isinstance(part, list) for ring in part]
        is_geodesic = "Point" not in kind and _is_geodesic(arguments, projection)
        return Geometry(type=kind, parts=tuple(parts), projection=projection, is_geodesic=is_geodesic)

    return function


def rectangle(arguments: Arguments) -> Value:
    """Answer the box around two corners."""
    points = _points(arguments, arguments.value("coordinates"))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    projection = _projection(arguments)
    shape = box(min(xs), min(ys), max(xs), max(ys), projection)
    return Geometry(
        type="Polygon", parts=shape.parts, projection=projection, is_geodesic=_is_geodesic(arguments, projection)
    )


def bbox(arguments: Arguments) -> Value:
    """Answer a box of meridians and parallels."""
    west, south, east, north = (float(arguments.number(name)) for name in ("west", "south", "east", "north"))
    return box(west, south, east, north)


def _shape(arguments: Arguments) -> Geometry:
    return arguments.geometry("geometry" if arguments.function.startswith("Geometry.") else "feature")


def _bounds(arguments: Arguments) -> Value:
    projection = arguments.projection("proj") if arguments.has("proj") else Projection()
    shape = _shape(arguments)
    return EVERYWHERE if shape.is_everywhere else box(*shape.bounds(projection), projection)


def _centroid(arguments: Arguments) -> Value:
    """The middle of the bounding box: exact for boxes only."""
    west, south, east, north = _shape(arguments).bounds()
    return Geometry(type="Point", parts=((((west + east) / 2, (south + north) / 2),),))


def _coordinates(arguments: Arguments) -> Value:
    return decode(_shape(arguments).geojson()["coordinates"])


def _meets(arguments: Arguments) -> Value:
    return intersects(arguments.geometry("left"), arguments.geometry("right"))


def projection(arguments: Arguments) -> Value:
    """Answer a projection of a CRS and a transform."""
    crs = arguments.text("crs")
    crs_of(crs)
    if not arguments.has("transform"):
        return Projection(crs=crs)
    a, b, c, d, e, f = arguments.numbers("transform")
    return Projection(crs=crs, transform=(a, b, c, d, e, f))


def _scale(arguments: Arguments) -> Value:
    own = arguments.projection("projection")
    x, y = float(arguments.number("x")), float(arguments.number("y"))
    a, b, c, d, e, f = own.transform
    return Projection(crs=own.crs, transform=(a * x, b * y, c, d * x, e * y, f))


def _translate(arguments: Arguments) -> Value:
    own = arguments.projection("projection")
    x, y = float(arguments.number("x")), float(arguments.number("y"))
    a, b, c, d, e, f = own.transform
    return Projection(crs=own.crs, transform=(a, b, c + a * x + b * y, d, e, f + d * x + e * y))


def _transform_text(arguments: Arguments) -> Value:
    a, b, c, d, e, f = arguments.projection("projection").transform
    rows = [("elt_0_0", a), ("elt_0_1", b), ("elt_0_2", c), ("elt_1_0", d), ("elt_1_1", e), ("elt_1_2", f)]
    parameters = "".join(f', \n  PARAMETER["{name}", {value}]' for name, value in rows)
    return f'PARAM_MT["Affine", \n  PARAMETER["num_row", 3], \n  PARAMETER["num_col", 3]{parameters}]'


FUNCTIONS: Mapping[str, Function] = {
    "GeometryConstructors.Point": _constructor("Point", 1),
    "GeometryConstructors.MultiPoint": _constructor("MultiPoint", 2),
    "GeometryConstructors.LineString": _constructor("LineString", 2),
    "GeometryConstructors.LinearRing": _constructor("LinearRing", 2),
    "GeometryConstructors.MultiLineString": _constructor("MultiLineString", 3),
    "GeometryConstructors.Polygon": _constructor("Polygon", 3),
    "GeometryConstructors.MultiPolygon": _constructor("MultiPolygon", 4),
    "GeometryConstructors.Rectangle": rectangle,
    "GeometryConstructors.BBox": bbox,
    "Geometry.bounds": _bounds,
    "Feature.bounds": _bounds,
    "Geometry.centroid": _centroid,
    "Geometry.coordinates": _coordinates,
    "Geometry.intersects": _meets,
    "Feature.intersects": _meets,
    "Geometry.isUnbounded": lambda arguments: _shape(arguments).is_everywhere,
    "Geometry.type": lambda arguments: _shape(arguments).type,
    "Geometry.projection": lambda arguments: _shape(arguments).projection,
    "Projection": projection,
    "Projection.atScale": lambda arguments: arguments.projection("projection").scaled_to(
        float(arguments.number("meters"))
    ),
    "Projection.nominalScale": lambda arguments: arguments.projection("proj").nominal_scale,
    "Projection.crs": lambda arguments: arguments.projection("projection").crs,
    "Projection.wkt": lambda arguments: crs_of(arguments.projection("projection").crs).to_wkt("WKT1_GDAL"),
    "Projection.scale": _scale,
    "Projection.translate": _translate,
    "Projection.transform": _transform_text,
}
"""GeometryConstructors.Point, Geometry.bounds, Projection, …"""
