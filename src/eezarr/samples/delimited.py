"""Sites from text tables: a header, one site a record, and coordinates in two columns or geometries in one.

Fields are separated by what separates most names of the header: commas, semicolons, tabs or bars. Where that is no
comma, coordinates may have decimal commas; other columns then may, too. Lines that begin with `#` before the header
are comments. A column of geometries holds GeoJSON, as the service's own exports of tables do (`.geo`), WKT, or WKB in
hexadecimal digits.

Cost: some 3 us and 30 bytes a field while reading; a column of texts keeps some 60 bytes a site.
"""

from __future__ import annotations

import csv
import json
import re
from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eezarr.documents import parse_json
from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, canonical_crs
from eezarr.samples.columns import column_of_texts, coordinate_names, geometry_name, make_attributes
from eezarr.samples.geometries import GeometryBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from eezarr.samples.columns import SiteColumns
    from eezarr.samples.sites import Attributes, PolygonTable, SiteTable

__all__ = ["read_delimited"]

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_QUOTED = re.compile(r'"[^"]*"')
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d*(?:[eE][+-]?\d+)?\s*", re.ASCII)
_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*\d+\s*;)?\s*(?:MULTI|GEOMETRY)?(?:POINT|POLYGON|LINESTRING|COLLECTION)", re.IGNORECASE
)
_HEXADECIMAL = re.compile(r"\s*(?:[0-9A-Fa-f]{2}){9,}\s*")

_BATCH = 1 << 15
"""Records that are held as Python objects at a time."""
_KNOWN = 1 << 12
"""Different texts of a batch that are held once."""
_MAX_FIELD = 2**31 - 1
"""Characters of one field: a polygon of a million corners has 40 million."""


def read_delimited(lines: Iterable[str], columns: SiteColumns, sites_crs: str | None) -> SiteTable | PolygonTable:
    """Return the sites of a table.

    Args:
        lines: The file, opened with newline="".
        columns: Which columns say what.
        sites_crs: The CRS of the coordinates; default EPSG:4326.

    Raises:
        InvalidInput: If it is no table with a header, or a record of it is no site; the message names its line.
    """
    # The standard library knows one limit for all: 128 KiB, which a polygon of a few thousand corners exceeds.
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        table = _Table.of(lines)
    finally:
        csv.field_size_limit(limit)
    crs = canonical_crs(sites_crs or LON_LAT)
    builder = GeometryBuilder(table.row)
    used = _take_places(table, columns, builder)
    # Ids and splits stay as they are written: `007` is not `7`, and `1.0` not `1`.
    texts = {name for name in (columns.id, columns.split) if name is not None}
    known = {
        name: _as_text(cells) if name in texts else column_of_texts(cells, has_commas=table.has_commas)
        for name, cells in ((name, table.column(name)) for name in table.header if name not in used)
    }

    def attributes(sites: NDArray[np.int64]) -> Attributes:
        return make_attributes(known, columns, sites=sites, count=len(table.starts), row=table.row)

    return builder.table(crs, attributes)


@dataclass(slots=True, kw_only=True)
class _Table:
    """Cells by column, packed; and where each record starts."""

    header: list[str]
    separator: str
    cells: dict[str, list[NDArray[np.generic]]]
    """The columns that are not taken yet, batch by batch: 16 bytes a cell, and what of it is longer than 15."""
    starts: array[int] = field(default_factory=lambda: array("Q"))
    has_commas: bool = False
    """Whether coordinates are written with decimal commas."""

    @classmethod
    def of(cls, lines: Iterable[str]) -> _Table:
        first, skipped, rest = _first_line(lines)
        separator = _separator(first)
        reader = csv.reader(chain([first], rest) if first else [], delimiter=separator, strict=True)
        try:
            names = [name.strip("\ufeff") for name in next(reader, [])]
            table = cls(header=_header(names), separator=separator, cells={})
            table.cells = {name: [] for name in table.header}
            batch: list[list[str]] = []
            known: dict[str, str] = {}
            start = reader.line_num + 1
            for record in reader:
                if record:
                    if len(record) != len(names):
                        raise _uneven(start + skipped, len(record), len(names), separator)
                    batch.append([known.setdefault(cell, cell) for cell in record])
                    table.starts.append(start + skipped)
                    if len(known) > _KNOWN:
                        known.clear()
                    if len(batch) == _BATCH:
                        table._pack(names, batch)
                        batch = []
                start = reader.line_num + 1
        except csv.Error as error:
            raise InvalidInput(
                f"Line {reader.line_num + skipped} is no CSV: {error}.", hint="Mend the line."
            ) from error
        if not table.starts:
            raise InvalidInput("The file has a header, but no sites.", hint="Give a record for each site.")
        if batch:
            table._pack(names, batch)
        return table

    def row(self, nth: int) -> str:
        """Return how a message calls a record."""
        return f"line {self.starts[nth]}"

    def column(self, name: str) -> list[str]:
        """Take a column: it is not held any longer."""
        return [text for part in self.cells.pop(name) for text in part.tolist()]

    def _pack(self, names: list[str], batch: list[list[str]]) -> None:
        for name, cells in zip(names, zip(*batch, strict=True), strict=True):
            if name:
                self.cells[name].append(np.array(cells, dtype=np.dtypes.StringDType()))


def _first_line(lines: Iterable[str]) -> tuple[str, int, Iterator[str]]:
    """The line of the header, how many lines are before it, and those after."""
    rest = iter(lines)
    skipped = 0
    for line in rest:
        if not line.startswith("#") and line.strip():
            return line, skipped, rest
        skipped += 1
    return "", skipped, rest


def _separator(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(_SEPARATORS, key=bare.count)


def _header(names: list[str]) -> list[str]:
    """The names; a column without one is left out."""
    named = [name for name in names if name.strip()]
    twice = [name for nth, name in enumerate(named) if name in named[:nth]]
    if not named or twice:
        raise InvalidInput(
            f"The header names the column {twice[0]!r} twice." if twice else "The file has no header.",
            hint="The first line must name every column, each once.",
        )
    return named


def _uneven(line: int, count: int, wanted: int, separator: str) -> InvalidInput:
    what = _SEPARATORS[separator]
    return InvalidInput(
        f"Line {line} has {count} fields, the header has {wanted}, separated by {what}.",
        hint=f"Separate fields by {what}, as the header does, and quote those that hold {what} or line breaks.",
    )


def _take_places(table: _Table, columns: SiteColumns, builder: GeometryBuilder) -> set[str]:
    """Give the geometries to a builder; return the columns that they were in."""
    geometry = geometry_name(columns, table.header)
    if geometry is None:
        x, y = coordinate_names(columns, table.header)
        numbers = [_numbers(table, name) for name in (x, y)]
        builder.add_points(np.column_stack(numbers))
        return {x, y}
    texts = table.column(geometry)
    for first in range(0, len(texts), _BATCH):
        _add_geometries(builder, texts[first : first + _BATCH], geometry)
    return {geometry}


def _add_geometries(builder: GeometryBuilder, texts: list[str], name: str) -> None:
    from eezarr.geometry.binary import geojson_of_shapes, shapes_of_wkb, shapes_of_wkt

    known = [_WKT.match(text) is not None for text in texts]
    as_wkt = [text if is_wkt else None for text, is_wkt in zip(texts, known, strict=True)]
    as_wkb = [
        bytes.fromhex(text) if not is_wkt and _HEXADECIMAL.fullmatch(text) else None
        for text, is_wkt in zip(texts, known, strict=True)
    ]
    shapes, bad_wkt = shapes_of_wkt(as_wkt)
    others, bad_wkb = shapes_of_wkb(as_wkb)
    both = np.where(np.array([value is not None for value in as_wkb]), others, shapes)
    for nth, (text, shape) in enumerate(zip(texts, geojson_of_shapes(both), strict=True)):
        if nth in {bad_wkt, bad_wkb}:
            raise _no_geometry(text, name, builder.next_name)
        builder.add(shape if shape is not None else _geojson(text, name, builder.next_name))


def _geojson(text: str, name: str, where: str) -> object:
    """A cell as GeoJSON; the service writes a feature without geometry as an empty one."""
    if not text.strip():
        return None
    try:
        found = parse_json(text)
    except ValueError as error:
        raise _no_geometry(text, name, where) from error
    if not isinstance(found, dict):
        raise _no_geometry(text, name, where)
    if found.get("type") == "Feature":
        found = found.get("geometry")
    return None if isinstance(found, dict) and found.get("coordinates") == [] else found


def _no_geometry(text: str, name: str, where: str) -> InvalidInput:
    shown = json.dumps(text[:40], ensure_ascii=False)
    return InvalidInput(
        f"The column {name!r} holds {shown} in {where}, which is no geometry.",
        hint="Give GeoJSON or WKT, or name the columns of coordinates with x and y.",
    )


def _numbers(table: _Table, name: str) -> NDArray[np.float64]:
    """Coordinates as they are written: ASCII digits, and a decimal comma only where no comma separates."""
    parts: list[NDArray[np.float64]] = []
    count = 0
    for packed in table.cells.pop(name):
        texts = packed.tolist()
        if table.separator != "," and any(map(_DECIMAL_COMMA.fullmatch, texts)):
            table.has_commas = True
            texts = [text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text for text in texts]
        try:
            joined = "".join(texts)
            parts.append(np.array(list(map(float, texts)), dtype=np.float64))
        except ValueError:
            joined = "_"
        if "_" in joined or not joined.isascii():
            _refuse_first(texts, name, table, count)
        count += len(texts)
    return np.concatenate(parts)


def _refuse_first(texts: list[str], name: str, table: _Table, before: int) -> None:
    """Raise for the first of some coordinates that is no number; `before` records are before them."""
    for nth, text in enumerate(texts):
        try:
            float(text)
            is_number = text.isascii() and "_" not in text
        except ValueError:
            is_number = False
        if not is_number:
            what = f"is {text!r}, no number" if text.strip() else "is missing"
            where = table.row(before + nth)
            raise InvalidInput(
                f"The coordinate {name!r} in {where} {what}.",
                hint="Write it as `-122.25`, with a point.",
            )


def _as_text(texts: list[str]) -> NDArray[np.object_]:
    column = np.empty(len(texts), dtype=np.object_)
    column[:] = [text or None for text in texts]
    column.flags.writeable = False
    return column
