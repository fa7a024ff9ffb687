"""Sites from GeoParquet, and from Parquet with columns of coordinates; the only importer of pyarrow.

Source: https://geoparquet.org/releases/v1.1.0/ (metadata key `geo`; no `crs` means OGC:CRS84, null means unknown)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, canonical_crs, parse_crs
from eezarr.samples.columns import column_of, coordinate_names, make_attributes
from eezarr.samples.geometries import GeometryBuilder
from eezarr.samples.sites import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray
    from pyarrow.parquet import ParquetFile

    from eezarr.samples.columns import SiteColumns
    from eezarr.samples.sites import Attributes, Column, PolygonTable, SiteTable

__all__ = ["read_geoparquet"]

_BATCH = 65_536
"""Rows at a time: some megabytes."""


def read_geoparquet(path: Path, columns: SiteColumns, sites_crs: str | None) -> SiteTable | PolygonTable:
    """Return the sites of a Parquet file.

    Args:
        path: The file.
        columns: Which columns say what.
        sites_crs: The CRS of the coordinates; default: what the file says, else EPSG:4326.

    Raises:
        InvalidInput: If pyarrow is not there, the file is no Parquet, or a row of it is no site.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InvalidInput("Parquet needs pyarrow.", hint="pip install 'eezarr[samples]'") from error
    try:
        with ParquetFile(path) as file:
            return _read(file, columns, sites_crs)
    except ArrowException as error:
        raise InvalidInput(f"The file cannot be read as Parquet: {error}.", hint="Write it anew.") from error


def _read(file: ParquetFile, columns: SiteColumns, sites_crs: str | None) -> SiteTable | PolygonTable:
    count = file.metadata.num_rows
    if not count:
        raise InvalidInput("The file holds no rows.", hint="Give a row for each site.")
    names = list(file.schema_arrow.names)
    described = _described(file)
    shapes = GeometryBuilder(_row)
    if described is None:
        used = list(coordinate_names(columns, names))
        crs = canonical_crs(sites_crs or LON_LAT)
        shapes.add_points(np.column_stack([_numbers(file, name) for name in used]))
    else:
        geometry, used, declared = described
        crs = _crs(declared, sites_crs)
        for values in _batches(file, geometry):
            _add_geometries(shapes, values.to_pylist())
    table = {name: _column(file, name) for name in names if name not in used}

    def attributes(sites: NDArray[np.int64]) -> Attributes:
        return make_attributes(table, columns, sites=sites, count=count, row=_row)

    return shapes.table(crs, attributes)


def _described(file: ParquetFile) -> tuple[str, list[str], object] | None:
    """The primary column, all columns of geometries and their boxes, and the CRS; None without `geo` metadata."""
    body = (file.schema_arrow.metadata or {}).get(b"geo")
    if body is None:
        return None
    try:
        facts = json.loads(body)
        primary, entries = str(facts["primary_column"]), facts["columns"]
        entry = entries[primary]
        covering = entry.get("covering", {}).get("bbox", {})
        boxes = [str(path[0]) for path in covering.values()]
        encoding = entry["encoding"]
        crs = entry.get("crs", LON_LAT)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InvalidInput("The file's `geo` metadata is damaged.", hint="Write the file anew.") from error
    if encoding != "WKB" or primary not in file.schema_arrow.names:
        raise InvalidInput(
            f"The geometries in the column {primary!r} are encoded as {encoding!r}.",
            hint="Write the file with geometries as WKB, GeoParquet's default.",
        )
    return primary, [*map(str, entries), *boxes], crs


def _crs(declared: object, sites_crs: str | None) -> str:
    if declared is None:
        return canonical_crs(sites_crs or LON_LAT)
    text = declared if isinstance(declared, str) else json.dumps(declared)
    found = parse_crs(text)
    if sites_crs is not None and not parse_crs(sites_crs).equals(found, ignore_axis_order=True):
        raise InvalidInput(
            f"The file says that its CRS is {found.name}, sites_crs says {sites_crs}.",
            hint="Leave out sites_crs, or mend the file.",
        )
    is_lon_lat = found.equals(parse_crs(LON_LAT), ignore_axis_order=True) or found.to_authority() == ("OGC", "CRS84")
    return LON_LAT if is_lon_lat else canonical_crs(text)


def _add_geometries(builder: GeometryBuilder, values: list[bytes | None]) -> None:
    from eezarr.geometry.binary import geojson_of_shapes, points_of_shapes, shapes_of_wkb

    shapes, bad = shapes_of_wkb(values)
    points = points_of_shapes(shapes) if bad is None else None
    if points is not None:
        builder.add_points(points)
        return
    for nth, geometry in enumerate(geojson_of_shapes(shapes)):
        if nth == bad:
            raise InvalidInput(
                f"The geometry in {builder.next_name} is no point or polygon, or is damaged.",
                hint="Give Points, or Polygons and MultiPolygons, as WKB.",
            )
        builder.add(geometry)


def _batches(file: ParquetFile, name: str) -> Iterator[pa.Array]:
    for batch in file.iter_batches(batch_size=_BATCH, columns=[name]):
        yield batch.column(0)


def _numbers(file: ParquetFile, name: str) -> Column:
    column = _column(file, name)
    if column.dtype.kind not in "if":
        raise InvalidInput(f"The coordinates {name!r} are no numbers.", hint="Store them as doubles.")
    return column


def _column(file: ParquetFile, name: str) -> Column:
    """A column, times as UTC in microseconds, the rest as plain JSON values."""
    import pyarrow as pa

    kind = file.schema_arrow.field(name).type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        unit = pa.timestamp("us", getattr(kind, "tz", None))
        parts = [values.cast(unit, safe=False).to_numpy(zero_copy_only=False) for values in _batches(file, name)]
        return frozen(np.concatenate(parts).astype("datetime64[us]"))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        parts = [values.to_numpy(zero_copy_only=False) for values in _batches(file, name)]
        if pa.types.is_floating(kind) or not any(part.dtype.kind == "f" for part in parts):
            return column_of(np.concatenate(parts).tolist())
    values = [value for part in _batches(file, name) for value in part.to_pylist()]
    try:
        json.dumps(values)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"The column {name!r} holds values of type {kind}, which JSON has none for.",
            hint="Leave the column out, or store it as numbers or text.",
        ) from error
    return column_of(values)


def _row(nth: int) -> str:
    return f"row {nth}"
