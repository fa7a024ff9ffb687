"""Sites: the places of a dataset's samples, and what is known of each.

Law: a table is columns, not records: half a million sites are a dozen arrays. A `Site` is made when one is asked for.
Arrays are read-only, so that a table is a value.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, projector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from shapely import Geometry

    from eezarr.grid.crs import Points

    Column: TypeAlias = NDArray[np.generic]
    """One value a site: int64, float64 (NaN: none), or object (plain JSON values, None: none)."""

__all__ = ["Attributes", "Json", "Label", "PolygonTable", "Site", "SiteTable", "frozen", "plain"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Label: TypeAlias = "str | int | float | None"

_Kind = TypeVar("_Kind", bound=np.generic)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place to sample."""

    id: str
    """Its name, unique in its table."""
    group: str
    """What it came from: the polygon that a point was drawn in, else the site itself."""
    x: float
    """Longitude or easting, in the table's CRS."""
    y: float
    """Latitude or northing, in the table's CRS."""
    label: Label
    """What is to be learnt; None where there is none."""
    split: str | None
    """The split that the file puts it in; None where there is none."""
    date: datetime | None
    """When it was observed, in UTC; None where there is none."""
    properties: Mapping[str, Json] = field(hash=False)
    """All else that the file says of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attributes:
    """What is known of each of a table's places, apart from where it is."""

    ids: NDArray[np.object_]
    """Text, unique."""
    groups: NDArray[np.object_]
    """Text: the polygon that a point was drawn in, else the id."""
    labels: Column | None = None
    label_name: str | None = None
    """The labels' name in the file."""
    splits: NDArray[np.object_] | None = None
    """Text, or None for no value."""
    dates: NDArray[np.datetime64] | None = None
    """UTC, in microseconds; NaT for no value."""
    properties: Mapping[str, Column] = field(default_factory=dict)
    """All other columns, by name, in the file's order."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: NDArray[np.int64]) -> Attributes:
        """Return the attributes of some places, in the order of their positions."""
        return replace(
            self,
            ids=frozen(self.ids[index]),
            groups=frozen(self.groups[index]),
            labels=None if self.labels is None else frozen(self.labels[index]),
            splits=None if self.splits is None else frozen(self.splits[index]),
            dates=None if self.dates is None else frozen(self.dates[index]),
            properties={name: frozen(values[index]) for name, values in self.properties.items()},
        )

    def column(self, name: str | None) -> Column:
        """Return a column by its name in the file; None asks for the labels.

        Raises:
            InvalidInput: If there is none of that name.
        """
        if self.labels is not None and name in (None, self.label_name):
            return self.labels
        if name is None:
            raise InvalidInput("The sites have no labels.", hint="Name the column that holds them.")
        if name not in self.properties:
            known = [*self.properties, *filter(None, [self.label_name])]
            raise InvalidInput(
                f"The sites have no column {name!r}.",
                hint=f"The columns are: {', '.join(known) or 'none'}.",
            )
        return self.properties[name]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteTable:
    """Points to sample."""

    crs: str
    """The CRS of `x` and `y`."""
    x: NDArray[np.float64]
    """Longitudes or eastings."""
    y: NDArray[np.float64]
    """Latitudes or northings."""
    attributes: Attributes

    @classmethod
    def of(
        cls,
        places: Sequence[tuple[float, float]] | Points,
        *,
        crs: str = LON_LAT,
        ids: Sequence[str] | None = None,
        labels: Sequence[str] | Sequence[int] | Sequence[float] | None = None,
        dates: Sequence[datetime] | None = None,
    ) -> SiteTable:
        """Return a table of places given in a program.

        Args:
            places: x before y: longitude and latitude, or easting and northing.
            crs: Their CRS.
            ids: Unique names; default: the positions, from 0.
            labels: What is to be learnt of each.
            dates: When each was observed; without a zone UTC.

        Raises:
            InvalidInput: If a column has another length, an id is used twice, or a place is not finite.
        """
        points = np.asarray(places, dtype=np.float64).reshape(-1, 2)
        names = list(map(str, range(len(points)))) if ids is None else list(ids)
        columns = {"ids": names, "labels": labels, "dates": dates}
        uneven = [name for name, column in columns.items() if column is not None and len(column) != len(points)]
        if uneven or len(set(names)) < len(names) or not np.isfinite(points).all():
            raise InvalidInput(
                f"{len(points)} places do not make a table with {', '.join(uneven) or 'these ids and coordinates'}.",
                hint="Give finite coordinates, unique ids, and columns of one value a place.",
            )
        own = np.array(names, dtype=np.object_)
        days = None if dates is None else [_utc(date) for date in dates]
        facts = Attributes(
            ids=frozen(own),
            groups=frozen(own),
            labels=None if labels is None else frozen(_column(labels)),
            dates=None if days is None else frozen(np.array(days, dtype="datetime64[us]")),
        )
        return cls(crs=crs, x=frozen(points[:, 0].copy()), y=frozen(points[:, 1].copy()), attributes=facts)

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Site]:
        return (self.site(nth) for nth in range(len(self)))

    def site(self, nth: int) -> Site:
        """Return one site by its position."""
        facts = self.attributes
        label = None if facts.labels is None else plain(facts.labels[nth])
        return Site(
            id=str(facts.ids[nth]),
            group=str(facts.groups[nth]),
            x=float(self.x[nth]),
            y=float(self.y[nth]),
            label=label if isinstance(label, str | int | float) else None,
            split=None if facts.splits is None else facts.splits[nth],
            date=None if facts.dates is None else _datetime(facts.dates[nth]),
            properties={name: plain(values[nth]) for name, values in facts.properties.items()},
        )

    def take(self, index: NDArray[np.int64]) -> SiteTable:
        """Return some sites, in the order of their positions."""
        return replace(self, x=frozen(self.x[index]), y=frozen(self.y[index]), attributes=self.attributes.take(index))

    def lon_lat(self) -> Points:
        """Return longitudes, in [-180, 180), and latitudes, of shape (n, 2)."""
        places = projector(self.crs, LON_LAT)(np.column_stack([self.x, self.y]))
        return np.column_stack([(places[:, 0] + 180) % 360 - 180, places[:, 1]])

    def digest(self) -> str:
        """Return a hash of all that says which pixels a sample is: ids, places and dates, in order."""
        facts = self.attributes
        text = hashlib.sha256()
        text.update(json.dumps([self.crs, facts.ids.tolist()], separators=(",", ":")).encode())
        text.update(self.x.astype("<f8").tobytes() + self.y.astype("<f8").tobytes())
        if facts.dates is not None:
            text.update(facts.dates.astype("<M8[us]").tobytes())
        return text.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolygonTable:
    """Areas to draw sites in: the corners of all polygons in one array.

    Rings are closed. Outer rings run counter-clockwise and holes clockwise, so that areas add up; holes come after
    their ring. Polygons are valid, and the parts of one are apart.
    """

    crs: str
    """The CRS of the corners; edges are straight in it. Longitudes may run past 180."""
    corners: Points
    """Corners of all rings, shape (n, 2), x before y."""
    ring_starts: NDArray[np.int64]
    """Where each ring starts in `corners`, and where the last one ends."""
    polygon_starts: NDArray[np.int64]
    """Where each polygon starts in `ring_starts`, and where the last one ends."""
    attributes: Attributes

    def __len__(self) -> int:
        return len(self.polygon_starts) - 1

    def rings(self, nth: int) -> list[Points]:
        """Return the closed rings of one polygon, outer ones and holes alike."""
        first, last = self.polygon_starts[nth : nth + 2]
        cuts = self.ring_starts[first : last + 1]
        return [self.corners[start:end] for start, end in pairwise(cuts.tolist())]

    def shape(self, nth: int) -> Geometry:
        """Return one polygon as shapely has it; it may have several parts."""
        from eezarr.geometry.shapes import shape_of

        parts: list[list[Points]] = []
        for ring in self.rings(nth):
            x, y = (ring - ring[0]).T
            if (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0:
                parts.append([])
            parts[-1].append(ring)
        return shape_of(parts)


def plain(value: object) -> Json:
    """Return one value of a column as plain JSON: None for NaN, Python's own numbers for NumPy's."""
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and math.isnan(number):
        return None
    assert number is None or isinstance(number, bool | int | float | str | list | dict)
    return number


def frozen(array: NDArray[_Kind]) -> NDArray[_Kind]:
    """Return an array, read-only from now on."""
    array.flags.writeable = False
    return array


def _column(values: Sequence[str] | Sequence[int] | Sequence[float]) -> Column:
    kind = {int: np.int64, float: np.float64}.get(type(values[0]) if len(values) else str, np.object_)
    return np.array(values, dtype=kind)


def _utc(date: datetime) -> datetime:
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def _datetime(moment: np.datetime64) -> datetime | None:
    return None if np.isnat(moment) else _EPOCH + timedelta(microseconds=int(moment.astype(np.int64)))
