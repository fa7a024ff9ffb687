"""Sites from CSV: a header, one site a record, coordinates in two columns."""

from __future__ import annotations

import csv
from array import array
from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, canonical_crs
from eezarr.samples.columns import column_of_texts, coordinate_names, make_attributes
from eezarr.samples.places import check_places
from eezarr.samples.sites import SiteTable, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from eezarr.samples.columns import RowName, SiteColumns

__all__ = ["read_delimited"]


def read_delimited(lines: Iterable[str], columns: SiteColumns, sites_crs: str | None) -> SiteTable:
    """Return the sites of a CSV file.

    Args:
        lines: The file, opened with newline="".
        columns: Which columns say what.
        sites_crs: The CRS of the coordinates; default EPSG:4326.

    Raises:
        InvalidInput: If it is no CSV with a header, or a record of it is no site; the message names its line.
    """
    header, cells, starts = _records(lines)
    names = coordinate_names(columns, header)

    def row(nth: int) -> str:
        return f"line {starts[nth]}"

    crs = canonical_crs(sites_crs or LON_LAT)
    places = np.column_stack([_numbers(cells.pop(name), name, row) for name in names])
    check_places(places, crs, row)
    # Popped one by one, so that texts and columns of the whole file are not in memory at once.
    texts = {name for name in (columns.id, columns.split) if name is not None}
    table = {
        name: column_of_texts(cells.pop(name)) if name not in texts else _as_text(cells.pop(name))
        for name in header
        if name in cells
    }
    attributes = make_attributes(table, columns, count=len(places), row=row)
    x, y = (frozen(np.ascontiguousarray(places[:, axis])) for axis in (0, 1))
    return SiteTable(crs=crs, x=x, y=y, attributes=attributes)


def _records(lines: Iterable[str]) -> tuple[list[str], dict[str, list[str]], Sequence[int]]:
    """The header, the cells of each column, and the line that each record starts on."""
    reader = csv.reader(lines, strict=True)
    try:
        header = _header(next(reader, []))
        width, start = len(header), reader.line_num + 1
        starts, cells = array("Q"), [list[str]() for _ in header]
        additions = [column.append for column in cells]
        known: dict[str, str] = {}
        for record in reader:
            if record:
                if len(record) != width:
                    raise InvalidInput(
                        f"Line {start} has {len(record)} fields, the header has {width}.",
                        hint="Quote fields that hold commas or line breaks.",
                    )
                for add, cell in zip(additions, record, strict=True):
                    add(known.setdefault(cell, cell))
                starts.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInput(f"Line {reader.line_num} is no CSV: {error}.", hint="Mend the line.") from error
    if not starts:
        raise InvalidInput("The file has a header, but no sites.", hint="Give a record for each site.")
    return header, dict(zip(header, cells, strict=True)), starts


def _header(names: list[str]) -> list[str]:
    twice = [name for nth, name in enumerate(names) if name in names[:nth]]
    if not names or twice:
        raise InvalidInput(
            f"The header names the column {twice[0]!r} twice." if twice else "The file has no header.",
            hint="The first line must name every column, each once.",
        )
    return names


def _numbers(texts: list[str], name: str, row: RowName) -> NDArray[np.float64]:
    try:
        return np.array(list(map(float, texts)), dtype=np.float64)
    except ValueError:
        for nth, text in enumerate(texts):
            try:
                float(text)
            except ValueError as error:
                what = f"is {text!r}, no number" if text.strip() else "is missing"
                raise InvalidInput(
                    f"The coordinate {name!r} in {row(nth)} {what}.", hint="Write it as `-122.25`, with a point."
                ) from error
        raise


def _as_text(texts: list[str]) -> NDArray[np.object_]:
    """Ids and splits stay as they are written: `007` is not `7`, and `1.0` not `1`."""
    column = np.empty(len(texts), dtype=np.object_)
    column[:] = [text or None for text in texts]
    return frozen(column)
