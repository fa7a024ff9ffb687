"""Sites from GeoJSON: a FeatureCollection, a list of Features, or Features one after another.

Features without geometry are left out (RFC 7946, 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.geometry.features import FeatureReader
from eezarr.grid.crs import LON_LAT, canonical_crs, parse_crs
from eezarr.grid.region import declared_crs
from eezarr.samples.columns import column_of, make_attributes
from eezarr.samples.geometries import GeometryBuilder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from eezarr.samples.columns import SiteColumns
    from eezarr.samples.sites import Attributes, Column, PolygonTable, SiteTable

__all__ = ["read_geojson"]

_HINT = "Give a FeatureCollection, or one Feature a line, of Points, Polygons or MultiPolygons."


def read_geojson(text: str, columns: SiteColumns, sites_crs: str | None) -> SiteTable | PolygonTable:
    """Return the sites of a GeoJSON text.

    Args:
        text: The file.
        columns: Which properties say what; a Feature's own `id` counts as a property `id`, if it has none.
        sites_crs: The CRS of the coordinates; default: what an old-style `crs` member says, else EPSG:4326.

    Raises:
        InvalidInput: If it is no GeoJSON, or a feature of it is no site; the message names the feature and its line.
    """
    reader = FeatureReader(text, hint=_HINT)
    shapes = GeometryBuilder(reader.row)
    properties: dict[str, list[object]] = {}
    known: dict[str, str] = {}
    for nth, feature in enumerate(reader.features()):
        shapes.add(feature.get("geometry"))
        given = feature.get("properties") or {}
        if not isinstance(given, dict):
            raise InvalidInput(f"The properties of {reader.row(nth)} are no object.", hint=_HINT)
        facts = given if "id" in given or "id" not in feature else {"id": feature["id"], **given}
        for name, value in facts.items():
            values = properties.setdefault(name, [])
            values.extend([None] * (nth - len(values)))
            values.append(known.setdefault(value, value) if isinstance(value, str) else value)
    count = len(reader.starts)
    if not count:
        raise InvalidInput("The file holds no features.", hint=_HINT)
    table: dict[str, Column] = {}
    for name in list(properties):
        values = properties.pop(name)
        table[name] = column_of(values + [None] * (count - len(values)))

    def attributes(sites: NDArray[np.int64]) -> Attributes:
        return make_attributes(table, columns, sites=sites, count=count, row=reader.row)

    return shapes.table(_crs(reader.crs, sites_crs), attributes)


def _crs(declared: object, sites_crs: str | None) -> str:
    """The CRS of the coordinates. RFC 7946 has no `crs` member any more, GDAL still writes one."""
    name = declared_crs(declared)
    if name is None:
        return canonical_crs(sites_crs or LON_LAT)
    found = LON_LAT if parse_crs(name).equals(parse_crs(LON_LAT), ignore_axis_order=True) else canonical_crs(name)
    if sites_crs is not None and not parse_crs(sites_crs).equals(parse_crs(name), ignore_axis_order=True):
        raise InvalidInput(
            f"The GeoJSON says that its CRS is {name}, sites_crs says {sites_crs}.",
            hint="Leave out sites_crs, or mend the file.",
        )
    return found
