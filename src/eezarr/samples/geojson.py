"""Sites from GeoJSON: a FeatureCollection, or Features one after another.

Features are parsed one at a time: half a million of them as Python objects would take gigabytes.
Source: https://www.rfc-editor.org/rfc/rfc7946, https://www.rfc-editor.org/rfc/rfc8142
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, canonical_crs, parse_crs
from eezarr.samples.columns import column_of, make_attributes
from eezarr.samples.geometries import GeometryBuilder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from eezarr.samples.columns import SiteColumns
    from eezarr.samples.sites import Column, PolygonTable, SiteTable

__all__ = ["read_geojson"]

_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n\x1e]*")
"""RFC 8142 puts a record separator before each Feature."""

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
    reader = _Reader(text)
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
    attributes = make_attributes(table, columns, count=count, row=reader.row)
    return shapes.table(_crs(reader.crs, sites_crs), attributes)


@dataclass(slots=True)
class _Reader:
    """Goes through a text object by object, and remembers where each feature starts."""

    text: str
    starts: list[int] = field(default_factory=list)
    crs: object = None
    decoder: json.JSONDecoder = field(default_factory=lambda: json.JSONDecoder(parse_constant=lambda _: None))

    def row(self, nth: int) -> str:
        return f"feature {nth} (line {self._line(self.starts[nth])})"

    def features(self) -> Iterator[dict[str, object]]:
        at = self._skip(0, _BETWEEN)
        while at < len(self.text):
            start, members = at, dict[str, object]()
            at = self._expect("{", at)
            while self.text[at : at + 1] != "}":
                if members:
                    at = self._expect(",", at)
                name, at = self._value(at)
                at = self._expect(":", at)
                if name == "features" and self.text[at : at + 1] == "[":
                    at = yield from self._collection(at)
                    members["features"] = None
                else:
                    members[str(name)], at = self._value(at)
            if members.get("type") == "Feature":
                self.starts.append(start)
                yield members
            elif members.get("type") != "FeatureCollection" or "features" not in members:
                raise InvalidInput(f"Line {self._line(start)} starts a {members.get('type')!r}.", hint=_HINT)
            self.crs = members.get("crs", self.crs)
            at = self._skip(at + 1, _BETWEEN)

    def _collection(self, at: int) -> Generator[dict[str, object], None, int]:
        at = self._expect("[", at)
        is_first = True
        while self.text[at : at + 1] != "]":
            at = at if is_first else self._expect(",", at)
            is_first = False
            self.starts.append(at)
            feature, at = self._value(at)
            if not isinstance(feature, dict) or feature.get("type") != "Feature":
                raise InvalidInput(f"The item in {self.row(len(self.starts) - 1)} is no Feature.", hint=_HINT)
            yield feature
        return self._skip(at + 1, _BLANK)

    def _value(self, at: int) -> tuple[object, int]:
        try:
            value, end = self.decoder.raw_decode(self.text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else at
            raise self._broken(place) from error
        return value, self._skip(end, _BLANK)

    def _expect(self, sign: str, at: int) -> int:
        if self.text[at : at + 1] != sign:
            raise self._broken(at)
        return self._skip(at + 1, _BLANK)

    def _skip(self, at: int, blank: re.Pattern[str]) -> int:
        found = blank.match(self.text, at)
        return found.end() if found else at

    def _broken(self, at: int) -> InvalidInput:
        where = f"near {self.text[at : at + 20]!r}" if at < len(self.text) else "where the file ends"
        return InvalidInput(f"Line {self._line(at)} is no GeoJSON, {where}.", hint=_HINT)

    def _line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1


def _crs(declared: object, sites_crs: str | None) -> str:
    """The CRS of the coordinates. RFC 7946 has no `crs` member any more, GDAL still writes one."""
    properties = declared.get("properties") if isinstance(declared, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        return canonical_crs(sites_crs or LON_LAT)
    found = LON_LAT if parse_crs(name).equals(parse_crs(LON_LAT), ignore_axis_order=True) else canonical_crs(name)
    if sites_crs is not None and not parse_crs(sites_crs).equals(parse_crs(name), ignore_axis_order=True):
        raise InvalidInput(
            f"The GeoJSON says that its CRS is {name}, sites_crs says {sites_crs}.",
            hint="Leave out sites_crs, or mend the file.",
        )
    return found
