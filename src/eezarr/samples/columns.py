"""What a file's columns mean: which one is the id, the label, the split, the date; and of what type the others are.

Law: a column has one type. Numbers are numbers only if nothing is lost: `007`, `1e3x` or `1_000` stay text, and whole
numbers beside empty cells stay whole. Empty cells, null and NaN are no value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from eezarr.calls import checked_record
from eezarr.errors import InvalidInput
from eezarr.samples.sites import Attributes, frozen, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from eezarr.samples.sites import Column

    RowName: TypeAlias = Callable[[int], str]
    """Says how a message calls a row, by its position: `line 17`, `feature 3`."""

__all__ = [
    "SiteColumns",
    "column_of",
    "column_of_texts",
    "coordinate_names",
    "find_column",
    "geometry_name",
    "make_attributes",
]

_PAIRS = (
    ("x", "y"),
    ("lon", "lat"),
    ("lng", "lat"),
    ("long", "lat"),
    ("longitude", "latitude"),
    ("decimallongitude", "decimallatitude"),
    ("pointx", "pointy"),
    ("xcoord", "ycoord"),
)
"""What columns of coordinates are called, in lower case, without spaces and underscores."""

_SERVICE_GEOMETRY = ".geo"
"""The column of geometries in the service's own exports of tables."""
_GEOMETRIES = frozenset({"wkt", "geometry", "geom", "thegeom", "wktgeom", "geomwkt", "geojson", "geo", "wkb", "shape"})
"""What other columns of geometries are called, likewise."""

_COMPACT_DAY = range(1000_01_01, 9999_12_32)
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)

_FRACTION = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"-?[1-9]\d*|0", re.ASCII)
_NOTHING = frozenset({"", "nan", "NaN", "null", "NULL", "NA"})
_WHOLE_LIMIT = 2**63


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class SiteColumns:
    """Which columns of a file say what; the others become properties.

    Raises:
        InvalidInput: If only one of `x` and `y` is named.
    """

    x: str | None = None
    """Longitude or easting, where the file has no geometries; default: `x`, `lon`, `lng`, `long`, `longitude`,
    `decimalLongitude` or `POINT_X`."""
    y: str | None = None
    """Latitude or northing; default: `y`, `lat`, `latitude`, `decimalLatitude` or `POINT_Y`."""
    id: str | None = None
    """Unique names; default: the position in the file, from 0."""
    label: str | None = None
    split: str | None = None
    date: str | None = None
    """ISO 8601, a date or a date and time, or a month for its first day; without a zone it is UTC."""

    def __post_init__(self) -> None:
        if (self.x is None) != (self.y is None):
            raise InvalidInput("Only one column of coordinates is named.", hint="Name both x and y, or neither.")


def find_column(wanted: str, names: Sequence[str]) -> str:
    """Return a column's name if the file has it.

    Raises:
        InvalidInput: If it has not; the hint names the nearest.
    """
    if wanted in names:
        return wanted
    close = get_close_matches(wanted, names, n=1) or [name for name in names if name.lower() == wanted.lower()]
    listed = ", ".join(names[:60]) or "none"
    raise InvalidInput(
        f"The file has no column {wanted!r}.",
        hint=f"Did you mean {close[0]!r}?" if close else f"Its columns are: {listed}.",
    )


def coordinate_names(columns: SiteColumns, names: Sequence[str]) -> tuple[str, str]:
    """Return the names of the columns of x and y.

    Raises:
        InvalidInput: If the file lacks them.
    """
    if columns.x is not None and columns.y is not None:
        return find_column(columns.x, names), find_column(columns.y, names)
    found = _pair(names)
    if found is None:
        raise InvalidInput(
            f"The file has no columns of coordinates among {', '.join(names[:60]) or 'none'}.",
            hint="Name them with x and y.",
        )
    return found


def geometry_name(columns: SiteColumns, names: Sequence[str]) -> str | None:
    """Return the name of a text table's column of geometries; None where coordinates are in two columns."""
    if columns.x is not None:
        return None
    if _SERVICE_GEOMETRY in names:
        return _SERVICE_GEOMETRY
    return None if _pair(names) else next((name for name in names if _bare(name) in _GEOMETRIES), None)


def _pair(names: Sequence[str]) -> tuple[str, str] | None:
    known = {_bare(name): name for name in reversed(names)}
    return next(((known[x], known[y]) for x, y in _PAIRS if x in known and y in known), None)


def _bare(name: str) -> str:
    return name.lower().replace(" ", "").replace("_", "")


def column_of(values: Sequence[object]) -> Column:
    """Return plain JSON values as a column: int64, float64 or object."""
    kinds = set(map(type, values))
    if kinds == {int} and all(-_WHOLE_LIMIT <= value < _WHOLE_LIMIT for value in values if isinstance(value, int)):
        return frozen(np.array(values, dtype=np.int64))
    if float in kinds and kinds <= {float, int, type(None)}:
        numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        return frozen(np.where(np.isfinite(numbers), numbers, math.nan))
    return frozen(_objects(values))


def column_of_texts(texts: Sequence[str], *, has_commas: bool = False) -> Column:
    """Return a text table's cells as a column: whole numbers, numbers or text, whichever holds them all unchanged.

    Args:
        texts: The cells.
        has_commas: Whether numbers are written with decimal commas.
    """
    if has_commas:
        pointed = [text.replace(",", ".") for text in texts]
        if all(text in _NOTHING or _FRACTION.fullmatch(text) for text in pointed):
            texts = pointed
    filled = [text for text in texts if text not in _NOTHING]
    if filled and all(map(_WHOLE.fullmatch, filled)):
        return column_of([None if text in _NOTHING else int(text) for text in texts])
    if filled and all(map(_FRACTION.fullmatch, filled)):
        return column_of([math.nan if text in _NOTHING else float(text) for text in texts])
    return frozen(_objects([text or None for text in texts]))


def make_attributes(
    table: Mapping[str, Column],
    columns: SiteColumns,
    *,
    count: int,
    row: RowName,
    sites: NDArray[np.int64] | None = None,
) -> Attributes:
    """Return what a file says of its places.

    Args:
        table: Its columns, but for the coordinates.
        columns: Which of them say what.
        count: How many rows there are.
        row: How a message calls a row.
        sites: The rows that are sites, if not all are.

    Raises:
        InvalidInput: If a column is missing, an id is missing or used twice, or a label, split or date is none.
    """
    names = list(table)
    used = [find_column(name, names) for name in (columns.id, columns.label, columns.split, columns.date) if name]
    positions = np.arange(count, dtype=np.int64) if sites is None else sites
    if len(positions) < count:
        all_rows = row

        def row(nth: int) -> str:
            return all_rows(int(positions[nth]))

        table = {name: frozen(values[positions]) for name, values in table.items()}
    ids = _ids(None if columns.id is None else table[columns.id], positions, row)
    return Attributes(
        ids=ids,
        groups=ids,
        labels=None if columns.label is None else _labels(_property(table[columns.label]), columns.label, row),
        label_name=columns.label,
        splits=None if columns.split is None else _texts(table[columns.split], columns.split, row),
        dates=None if columns.date is None else _dates(table[columns.date], columns.date, row),
        properties={name: _property(values) for name, values in table.items() if name not in used},
    )


def _property(column: Column) -> Column:
    """Times as text: JSON has none."""
    if column.dtype.kind != "M":
        return column
    texts = np.datetime_as_string(column.astype("datetime64[us]"), timezone="UTC").tolist()
    return frozen(_objects([None if text == "NaT" else text for text in texts]))


def _ids(column: Column | None, positions: NDArray[np.int64], row: RowName) -> NDArray[np.object_]:
    if column is None:
        return frozen(_objects(list(map(str, positions.tolist()))))
    ids = _texts(column, "id", row)
    first: dict[str, int] = {}
    for nth, name in enumerate(ids.tolist()):
        if name is None:
            raise InvalidInput(f"The id in {row(nth)} is missing.", hint="Give every site an id, or name no id column.")
        if first.setdefault(name, nth) != nth:
            raise InvalidInput(
                f"The id {name!r} in {row(nth)} is that of {row(first[name])}, too.",
                hint="Ids must be unique; without an id column, positions in the file are used.",
            )
    return ids


def _labels(column: Column, name: str, row: RowName) -> Column:
    if column.dtype != np.object_:
        return column
    values = [int(value) if isinstance(value, bool) else value for value in column.tolist()]
    _check_each(values, (str, int, float), f"label {name!r}", row)
    return column_of(values)


def _texts(column: Column, name: str, row: RowName) -> NDArray[np.object_]:
    if set(map(type, column)) <= {str, type(None)}:
        return column.astype(np.object_, copy=False)
    values = [plain(value) for value in column.tolist()]
    _check_each(values, (str, int, float), f"column {name!r}", row)
    return frozen(_objects([None if value is None else str(value) for value in values]))


def _check_each(values: Sequence[object], kinds: tuple[type, ...], what: str, row: RowName) -> None:
    for nth, value in enumerate(values):
        if value is not None and not isinstance(value, kinds):
            raise InvalidInput(
                f"The {what} in {row(nth)} is {value!r}.", hint="Give a text or a number, or leave it empty."
            )


def _dates(column: Column, name: str, row: RowName) -> NDArray[np.datetime64]:
    if column.dtype.kind == "M":
        return frozen(column.astype("datetime64[us]"))
    moments = [_moment(value, name, nth, row) for nth, value in enumerate(column.tolist())]
    return frozen(np.array(moments, dtype="datetime64[us]"))


def _moment(value: object, name: str, nth: int, row: RowName) -> datetime | None:
    """The time in UTC, without its zone, as NumPy wants it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        time = datetime.fromisoformat(_day(value))
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"The date {name!r} in {row(nth)} is {value!r}.",
            hint="Write it as `2017-04-01`, `20170401`, `2017-04` or `2017-04-01T12:00:00Z`.",
        ) from error


def _day(value: object) -> str:
    """A date's text; a month is its first day. A number is one only as `20170401`: others may be years or seconds."""
    if isinstance(value, str):
        text = value.strip()
        return f"{text}-01" if _MONTH.fullmatch(text) else text
    if isinstance(value, int | float) and not isinstance(value, bool) and value in _COMPACT_DAY:
        return str(int(value))
    return ""


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    """Filled by item: NumPy would make lists of equal length a matrix."""
    column = np.empty(len(values), dtype=np.object_)
    for nth, value in enumerate(values):
        column[nth] = value
    return column
