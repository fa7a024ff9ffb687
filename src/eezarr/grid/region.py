"""A region: a box or GeoJSON, as people have it, read into closed rings and rejected with a reason if it has no area.

Rule: edges are straight in the region's own CRS (planar), not geodesics: what a box says is what is covered.
Longitudes may run past 180: a box whose west is east of its east crosses the antimeridian, and so does an edge of a
polygon that is longer than half a turn (see `geometry.antimeridian`).

What polygons cover is said in `geometry`: what any of them goes round, less its own holes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np

from eezarr.documents import read_text
from eezarr.errors import InvalidInput
from eezarr.geometry.antimeridian import joined_parts
from eezarr.geometry.features import GEOMETRIES, FeatureReader, is_geojson_text
from eezarr.geometry.polygons import SHAPE_HINT, Notes, covering, polygon_parts
from eezarr.grid.crs import parse_crs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eezarr.geometry.polygons import Part
    from eezarr.grid.crs import Points

__all__ = ["Area", "Region", "declared_crs", "full_turn", "polygons_of", "read_region", "rings_of"]


@runtime_checkable
class HasGeoInterface(Protocol):
    """What shapely, geopandas, odc-geo and others give their geometries as: GeoJSON."""

    @property
    def __geo_interface__(self) -> Mapping[str, object]:
        """GeoJSON, as a mapping."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Area:
    """A region that has been read; made by `read_region`. It may stand wherever a region may."""

    crs: str
    """The CRS of the coordinates, in which edges are straight."""
    is_box: bool
    """Whether it was given as a box, which says how far a grid reaches, and drops nothing."""
    polygons: tuple[tuple[Points, ...], ...]
    """The closed rings of each polygon, the outer one first; each polygon is valid, and they may overlap."""

    @property
    def rings(self) -> list[Points]:
        """All rings, outer ones counter-clockwise, holes clockwise: what is inside counts other than zero."""
        return [
            ring if (_signed_area(ring) >= 0) == (nth == 0) else ring[::-1]
            for polygon in self.polygons
            for nth, ring in enumerate(polygon)
        ]


Region: TypeAlias = (
    "Sequence[float] | Mapping[str, object] | Sequence[Mapping[str, object]] | str | Path | HasGeoInterface | Area"
)
"""(west, south, east, north); GeoJSON polygons as a mapping, a list of features, text or the path of a file; anything
with `__geo_interface__`; or a region that has been read."""

_BOX_HINT = "Give (west, south, east, north) in region_crs, with south < north; or GeoJSON polygons, or a file of them."
_URN_HINT = "Set region_crs to the CRS of the coordinates, or leave the polygons in longitude and latitude."


def read_region(region: Region, region_crs: str) -> Area:
    """Return a region as polygons in its own CRS.

    In a geographic CRS the whole region is moved by full turns, so that its least longitude is in [-180, 180). Features
    without geometry are left out (RFC 7946, 3.2); those without area, too, with a warning that names them, as one names
    rings that cross themselves.

    Raises:
        InvalidInput: If the region is no box or polygons, is empty, is not on the Earth, or its file cannot be read.
    """
    if isinstance(region, Area):
        return region
    turn = full_turn(region_crs)
    if _is_box(region):
        polygons = [[_box(region, turn)]]
        is_box = True
    else:
        polygons, is_box = _polygons(region, region_crs, turn), False
    if turn is not None:
        polygons = _on_earth(polygons, turn)
    return Area(crs=region_crs, is_box=is_box, polygons=tuple(tuple(rings) for rings in polygons))


def rings_of(region: Region, region_crs: str) -> list[Points]:
    """Return the rings of a region: `Area.rings` of `read_region`."""
    return read_region(region, region_crs).rings


def polygons_of(region: Region, region_crs: str) -> list[list[Points]]:
    """Return the rings of a region by polygon, first the outer one, then the holes, as they were given."""
    return [list(polygon) for polygon in read_region(region, region_crs).polygons]


def full_turn(crs: str) -> float | None:
    """Return what longitude grows by in one turn round the Earth, such as 360; None in a projected CRS."""
    parsed = parse_crs(crs)
    return round(2 * math.pi / float(parsed.axis_info[0].unit_conversion_factor), 9) if parsed.is_geographic else None


def declared_crs(member: object) -> str | None:
    """Return what an old-style `crs` member of GeoJSON says, as PROJ knows it; None if it says nothing.

    RFC 7946 has no such member any more; GDAL still writes one.
    """
    properties = member.get("properties") if isinstance(member, Mapping) else None
    if not isinstance(properties, Mapping):
        return None
    code = properties.get("code")
    if isinstance(code, int | str) and "name" not in properties:
        return f"EPSG:{code}"
    name = properties.get("name")
    if not isinstance(name, str) or not name.strip():
        return None
    name = name.strip()
    if re.fullmatch(r"(?i)(OGC:(1\.3)?:?)?CRS84", name):
        return "OGC:CRS84"
    return re.sub(r"^(?i:(EPSG|OGC|ESRI))::", r"\1:", name)


def _is_box(region: object) -> bool:
    if isinstance(region, np.ndarray):
        return True
    if isinstance(region, str | bytes | Path | Mapping) or not isinstance(region, Sequence):
        return False
    return not (len(region) and all(isinstance(item, Mapping) for item in region))


def _box(region: object, turn: float | None) -> Points:
    if not isinstance(region, Sequence | np.ndarray) or len(region) != 4:
        raise InvalidInput(f"The region {region!r} is no box.", hint=_BOX_HINT)
    west, south, east, north = (_number(value) for value in region)
    if west == east or south >= north:
        raise InvalidInput(f"The region {(west, south, east, north)} is empty.", hint=_BOX_HINT)
    if west > east:
        if turn is None:
            raise InvalidInput(
                f"The region {(west, south, east, north)} has west > east.",
                hint="Only a box in a geographic region_crs can cross the antimeridian; give west < east.",
            )
        east += turn
    return np.array([(west, south), (east, south), (east, north), (west, north), (west, south)], dtype=np.float64)


def _polygons(region: object, region_crs: str, turn: float | None) -> list[list[Points]]:
    """What GeoJSON covers, its edges the short way round."""
    notes = Notes()
    parts: list[Part] = []
    for feature, where in _features(region, region_crs):
        for part in polygon_parts(feature, where, notes, turn=turn):
            if not all(np.isfinite(ring).all() for ring in part.rings):
                raise InvalidInput(f"There is nan or infinity in {part.where}.", hint="Give finite numbers.")
            parts.append(part)
    found = [part.rings for part in covering(parts, notes)]
    if not found:
        raise notes.nothing_left("The region", hint=SHAPE_HINT)
    notes.warn("The region")
    return found if turn is None else joined_parts(found, turn)


def _features(region: object, region_crs: str) -> Iterator[tuple[object, str]]:
    """Yield the geometries of a region, but for features without any; and how a message calls each."""
    source = ""
    if isinstance(region, Path) or (isinstance(region, str) and not is_geojson_text(region)):
        source, region = str(region), _text_of_file(region)
    if isinstance(region, str):
        reader = FeatureReader(region, hint=SHAPE_HINT, takes_geometries=True, source=source)
        features: Iterable[object] = reader.features()
        yield from _located(features, reader.row)
        _check_declared_crs(reader.crs, region_crs)
        return
    if not isinstance(region, Mapping | Sequence) and isinstance(region, HasGeoInterface):
        region = region.__geo_interface__
    if isinstance(region, Mapping):
        _check_declared_crs(region.get("crs"), region_crs)
        if region.get("type") != "FeatureCollection":
            is_feature = region.get("type") == "Feature"
            yield from _located([region], lambda _: "the region") if is_feature else [(region, "the region")]
            return
        region = region.get("features")
    if isinstance(region, str | bytes) or not isinstance(region, Sequence):
        raise InvalidInput(f"The region holds {region!r} where a list is due.", hint=SHAPE_HINT)
    yield from _located(region, lambda nth: f"feature {nth} of the region")


def _located(features: Iterable[object], name: Callable[[int], str]) -> Iterator[tuple[object, str]]:
    is_any = False
    for nth, feature in enumerate(features):
        where = name(nth)
        if isinstance(feature, Mapping) and feature.get("type") in GEOMETRIES:
            yield feature, where
        elif not isinstance(feature, Mapping) or feature.get("type") != "Feature":
            raise InvalidInput(f"There is no GeoJSON Feature where {where} should be.", hint=SHAPE_HINT)
        elif feature.get("geometry") is not None:
            yield feature["geometry"], _named(where, feature)
        else:
            continue
        is_any = True
    if not is_any:
        raise InvalidInput("The region holds no polygon: no GeoJSON feature in it has a geometry.", hint=SHAPE_HINT)


def _named(where: str, feature: Mapping[str, object]) -> str:
    properties = feature.get("properties")
    known = {**(properties if isinstance(properties, Mapping) else {}), "": feature.get("id")}
    for key in ("", "id", "name", "NAME", "Name"):
        if isinstance(known.get(key), str | int):
            return f"{where} ({str(known[key])[:60]!r})"
    return where


def _text_of_file(region: str | Path) -> str:
    path = Path(region)
    try:
        is_there = isinstance(region, Path) or path.exists() or len(path.suffix) > 1
    except (OSError, ValueError):  # too long for a name, or with a null character
        is_there = False
    if not is_there:
        raise InvalidInput(
            f"The region {str(region)[:60]!r} is no box, no GeoJSON, and no file that is there.", hint=_BOX_HINT
        )
    hint = "Give the path of a GeoJSON file; `ogr2ogr area.geojson FILE` makes one of other files."
    return read_text(path, noun="region", hint=hint)


def _on_earth(polygons: list[list[Points]], turn: float) -> list[list[Points]]:
    points = np.concatenate([ring for rings in polygons for ring in rings])
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    if south < -turn / 4 or north > turn / 4 or west < -turn or east > turn + turn / 2:
        raise InvalidInput(
            f"The region's x from {west:.8g} to {east:.8g} and y from {south:.8g} to {north:.8g} are no longitudes and "
            "latitudes.",
            hint="Longitude comes first, latitude within 90 degrees; for other coordinates name their region_crs.",
        )
    if east - west > turn:
        raise InvalidInput(
            f"The region spans longitudes from {west:.8g} to {east:.8g}, more than a full turn.",
            hint="Use -180 to 180 for the whole Earth.",
        )
    shift = turn * math.floor((west + turn / 2) / turn)
    return [[ring - (shift, 0.0) for ring in rings] for rings in polygons] if shift else polygons


def _check_declared_crs(member: object, region_crs: str) -> None:
    name = declared_crs(member)
    if name is not None and not parse_crs(name).equals(parse_crs(region_crs), ignore_axis_order=True):
        raise InvalidInput(f"The GeoJSON says that its CRS is {name}, the job says {region_crs}.", hint=_URN_HINT)


def _signed_area(ring: Points) -> float:
    """Twice the area; about the first corner, so that small rings far from the origin keep their digits."""
    x, y = (ring - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidInput(f"The region holds {value!r} where a number is due.", hint="Give finite numbers.")
    return float(value)
