"""Reads sites from a file: the only module of this package that opens one, with `geoparquet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eezarr.calls import checked_call
from eezarr.documents import path_text
from eezarr.errors import InvalidInput
from eezarr.samples.columns import SiteColumns
from eezarr.samples.delimited import read_delimited
from eezarr.samples.geojson import read_geojson

if TYPE_CHECKING:
    from eezarr.samples.sites import PolygonTable, SiteTable

__all__ = ["SUFFIXES", "read_sites"]

_GEOJSON = (".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".jsonl")
_PARQUET = (".parquet", ".geoparquet")
_DELIMITED = (".csv", ".tsv", ".tab", ".txt")
SUFFIXES = (".csv", *_GEOJSON, *_PARQUET, ".tsv", ".tab", ".txt")
"""What the files that can be read are called."""


@checked_call
def read_sites(
    path: str | Path, *, columns: SiteColumns | None = None, sites_crs: str | None = None
) -> SiteTable | PolygonTable:
    """Return the sites of a CSV, GeoJSON or GeoParquet file, in its order.

    CSV (or with semicolons, tabs or bars) has a header, and columns of coordinates or one of geometries: GeoJSON, as in
    the service's own exports of tables, or WKT. GeoJSON is a FeatureCollection, a list of Features, or Features one
    after another (one a line, or as RFC 8142 has it), of Points, or of Polygons and MultiPolygons. GeoParquet holds the
    same as WKB; Parquet without geometries is read as CSV is.

    Args:
        path: The file; its suffix says what it is.
        columns: Which columns say what.
        sites_crs: The CRS of the coordinates; default: what the file says, else EPSG:4326.

    Returns:
        Points, or the areas to draw points in.

    Raises:
        InvalidInput: If the file cannot be read, or a site in it is invalid; the message names line or feature.
    """
    place, named = Path(path_text(path, noun="file of sites")), columns or SiteColumns()
    suffix = place.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(
            f"{place.name} is no file of sites: its suffix is {suffix or 'missing'}.",
            hint=f"Give CSV, GeoJSON or GeoParquet: {', '.join(SUFFIXES)}.",
        )
    try:
        if suffix in _PARQUET:
            from eezarr.samples.geoparquet import read_geoparquet

            return read_geoparquet(place, named, sites_crs)
        if suffix in _DELIMITED:
            with place.open(encoding="utf-8-sig", newline="") as lines:
                return read_delimited(lines, named, sites_crs)
        return read_geojson(place.read_text(encoding="utf-8-sig"), named, sites_crs)
    except OSError as error:
        raise InvalidInput(
            f"The sites in {place} cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{place.name} is no UTF-8 text (byte {error.start}).", hint="Save the file with the encoding UTF-8."
        ) from error
    except InvalidInput as error:
        raise InvalidInput(f"{place.name}: {error.message}", hint=error.hint) from error
