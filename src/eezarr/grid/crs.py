"""Coordinate reference systems: how a job names one, what PROJ makes of it, how points move between two.

PROJ is imported inside the functions: a command that never projects a region does not pay for it.
All coordinates are x before y (longitude before latitude), as in Earth Engine and rasterio, whatever the CRS's
authority says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from pyproj import CRS

    Points: TypeAlias = NDArray[np.float64]
    """Coordinates of shape (n, 2), x before y."""
    Project: TypeAlias = Callable[[Points], Points]

__all__ = [
    "LON_LAT",
    "UTM",
    "CrsLike",
    "canonical_crs",
    "crs_text",
    "crs_wkt",
    "is_number",
    "is_utm",
    "normal_code",
    "parse_crs",
    "pixel_size",
    "projector",
    "short_name",
    "utm_zone",
]


class SupportsWkt(Protocol):
    """A CRS of another library: pyproj, rasterio, odc-geo."""

    def to_wkt(self) -> str:
        """Return the CRS as WKT."""
        ...


CrsLike: TypeAlias = "str | int | Mapping[str, object] | SupportsWkt"
"""A CRS as people have it: `32610`, `"EPSG:32610"`, WKT, a PROJ string, PROJ JSON (text or a mapping), or an object of
another library with `to_wkt()`."""

LON_LAT = "EPSG:4326"
UTM = "utm"
"""Where it is taken: the UTM zone, on WGS 84, of the region's or the site's middle."""
_UTM_SOUTH, _UTM_NORTH = -80.0, 84.0

EARTH_RADIUS_M = 6_378_137.0
"""WGS 84's semi-major axis: Earth Engine's degree is 2 pi r / 360 = 111 319.49079327358 m in every geographic CRS.

Source: https://developers.google.com/earth-engine/guides/scale
"""

_MAP_LIMIT_M = 1e8
"""No map of the Earth is larger: beyond lie points that a projection sends towards infinity, as Mercator its poles."""

_SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
_ALIASES = dict.fromkeys(("SR-ORG:6974", "SR-ORG:6842", "SR-ORG:6965"), _SINUSOIDAL)
"""Codes that Earth Engine knows and PROJ's database does not: MODIS's sinusoidal grid, under each of its numbers.

Source: https://spatialreference.org/ref/sr-org/6974/
"""

_CODE = re.compile(r"\s*([A-Za-z][\w-]*:\w+)\s*")
_WKT_CODE = re.compile(r'(?:AUTHORITY|ID)\s*\[\s*"(SR-ORG)"\s*,\s*"?(\d+)"?\s*\]\s*\]\s*\Z', re.IGNORECASE)
_AXIS = re.compile(r'PARAMETER\s*\[\s*"semi_(major|minor)"\s*,\s*([-+0-9.eE]+)\s*\]', re.IGNORECASE)
"""The axes of the ellipsoid as Earth Engine and GDAL print them in a projection's WKT. PROJ ignores them, and takes the
datum's: at 50 degrees north MODIS's pixels would lie 19 km off."""

_EARTH_AXES_M = (6_300_000.0, 6_450_000.0)
"""Semi-major axes of all ellipsoids and spheres that maps of the Earth use; other planets' are far from them."""
_CODE_HINT = "Give an authority code such as `EPSG:32610`, or the CRS's WKT."


def crs_text(crs: CrsLike) -> str:
    """Return a CRS as text that `parse_crs` reads: an authority code or WKT as they are, all else made one of them.

    Raises:
        InvalidInput: If it is nothing that stands for a CRS.
    """
    if isinstance(crs, str):
        text = crs.strip()
        if text.isascii() and text.isdigit():
            return f"EPSG:{int(text)}" if len(text) < 10 else text
        return normal_code(crs)
    if not isinstance(crs, bool) and isinstance(crs, Integral):
        return f"EPSG:{int(crs)}"
    try:
        if isinstance(crs, Mapping):
            return json.dumps(dict(crs))
        write = getattr(crs, "to_wkt", None) or getattr(crs, "ExportToWkt", None)
        wkt = write() if callable(write) and not isinstance(crs, type) else None
    except Exception as error:
        raise InvalidInput(f"The CRS {short_name(repr(crs))} cannot be read: {error}.", hint=_CODE_HINT) from error
    if not isinstance(wkt, str) or not wkt:
        raise InvalidInput(f"{short_name(repr(crs))} is no CRS.", hint=_CODE_HINT)
    return _code_of(parse_crs(wkt)) or wkt


def normal_code(text: str) -> str:
    """Return an authority code in capitals (`epsg:4326` is `EPSG:4326`); any other text as it is."""
    match = _CODE.fullmatch(text)
    return match[1].upper() if match else text


def canonical_crs(crs: CrsLike) -> str:
    """Return a CRS in a form that a request can carry: an authority code, or WKT.

    PROJ strings, PROJ JSON and OGC URNs become a code or, where there is none, WKT 1, as Earth Engine writes it.

    Raises:
        InvalidInput: If PROJ does not know it, or it is no horizontal CRS.
    """
    text = crs_text(crs)
    parsed = parse_crs(text)
    if _CODE.fullmatch(text):
        return normal_code(text)
    if "[" in text and not text.lstrip().startswith("{"):
        return text.strip()
    if code := _code_of(parsed):
        return code
    try:
        return str(parsed.to_wkt("WKT1_GDAL") or parsed.to_wkt())
    except RuntimeError:  # a method that WKT 1 has no name for
        return parsed.to_wkt()


def crs_wkt(crs: CrsLike) -> str:
    """Return the WKT 2 of a CRS, as the CF attribute `crs_wkt` and the `proj:wkt2` convention want it.

    Raises:
        InvalidInput: If PROJ does not know it, or it is no horizontal CRS.
    """
    return parse_crs(crs).to_wkt()


def is_utm(crs: CrsLike) -> bool:
    """Return whether a CRS is the word `utm`, which stands for a zone."""
    return isinstance(crs, str) and crs.strip().lower() == UTM


def utm_zone(lon: float, lat: float) -> str:
    """Return the UTM zone of a place, by longitude alone, on WGS 84, such as `EPSG:32610`.

    Raises:
        InvalidInput: If the place is beyond 84 degrees north or 80 degrees south.
    """
    if not _UTM_SOUTH <= lat <= _UTM_NORTH:
        raise InvalidInput(
            f"({lon:.6g}, {lat:.6g}) is beyond UTM, which ends at 84 degrees north and 80 south.",
            hint="Name a CRS, such as EPSG:3413 for the Arctic or EPSG:3031 for the Antarctic.",
        )
    number = min(int(((lon + 180) % 360) // 6), 59)
    return f"EPSG:{number + (32701 if lat < 0 else 32601)}"


def parse_crs(crs: CrsLike) -> CRS:
    """Return what PROJ makes of a CRS.

    Raises:
        InvalidInput: If PROJ does not know it, it is neither geographic nor projected, or not of the Earth.
    """
    return _parsed(crs_text(crs))


@lru_cache(maxsize=64)
def _parsed(name: str) -> CRS:
    from pyproj import CRS

    if is_utm(name):
        raise InvalidInput(
            "The CRS `utm` is the zone of a region, and there is none here.", hint="Name the zone, as `EPSG:32610`."
        )
    found = _WKT_CODE.search(name)
    code = f"{found[1].upper()}:{found[2]}" if found else name
    try:
        crs = CRS.from_user_input(_ALIASES.get(code, name))
        axes = {axis.lower(): float(value) for axis, value in _AXIS.findall(name)}
        if "major" in axes and code not in _ALIASES:
            crs = _on_ellipsoid(crs, axes["major"], axes.get("minor", axes["major"]))
    except (RuntimeError, ValueError, TypeError) as error:  # pyproj's own are RuntimeErrors
        raise InvalidInput(f"The CRS {short_name(name)} is unknown.", hint=_CODE_HINT) from error
    if not (crs.is_geographic or crs.is_projected):
        raise InvalidInput(
            f"The CRS {short_name(name)} ({crs.type_name}) has no map coordinates.",
            hint="Choose a geographic or projected CRS, such as `EPSG:4326` or a UTM zone.",
        )
    shortest, longest = _EARTH_AXES_M
    if crs.ellipsoid is not None and not shortest < crs.ellipsoid.semi_major_metre < longest:
        raise InvalidInput(
            f"The CRS {short_name(name)} ({crs.name}) is not of the Earth.",
            hint="Choose a geographic or projected CRS of the Earth, such as `EPSG:4326` or a UTM zone.",
        )
    return crs


def _on_ellipsoid(crs: CRS, major_m: float, minor_m: float) -> CRS:
    """The same projection of another ellipsoid."""
    document = crs.to_json_dict()
    base = document["base_crs"]
    for key in ("id", "datum_ensemble"):
        base.pop(key, None)
    base["datum"] = {
        "type": "GeodeticReferenceFrame",
        "name": f"Unknown, of semi-axes {major_m:.12g} and {minor_m:.12g} m",
        "ellipsoid": {"name": "unknown", "semi_major_axis": major_m, "semi_minor_axis": minor_m},
    }
    document.pop("id", None)
    return type(crs).from_json_dict(document)


def _code_of(crs: CRS) -> str | None:
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else None


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def pixel_size(scale: float, crs: CrsLike) -> float:
    """Return the side, in CRS units, of a pixel of `scale` metres, as Earth Engine means it.

    Degrees come as `degrees(scale / radius)`, which gives the very doubles that Earth Engine's exports hold:
    8.983152841195215e-05 for 10 m, 0.00026949458523585647 for 30 m. Dividing by 111 319.49… is one bit off.

    Args:
        scale: Nominal metres per pixel.
        crs: Whose units.
    """
    if not is_number(scale) or scale <= 0:
        raise InvalidInput(f"The scale {scale!r} is not positive.", hint="Give metres per pixel, above zero.")
    parsed = parse_crs(crs)
    per_unit = float(parsed.axis_info[0].unit_conversion_factor)
    if not parsed.is_geographic:
        return scale / per_unit
    degree = math.radians(1)
    in_degrees = math.degrees(scale / EARTH_RADIUS_M)
    return in_degrees if math.isclose(per_unit, degree) else in_degrees * degree / per_unit


def projector(source: CrsLike, target: CrsLike) -> Project:
    """Return a function that moves points from one CRS to another; between equal CRSs it changes no bit.

    Raises:
        InvalidInput: If a CRS is unknown. The function raises it for points that the target cannot show.
    """
    return _projector(crs_text(source), crs_text(target))


@lru_cache(maxsize=64)
def _projector(source: str, target: str) -> Project:
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    start, end = parse_crs(source), parse_crs(target)
    if start == end:
        return _unmoved
    try:
        transformer = Transformer.from_crs(start, end, always_xy=True)
    except ProjError as error:
        raise InvalidInput(
            f"PROJ knows no way from {short_name(source)} to {short_name(target)}.",
            hint="Choose another CRS, such as `EPSG:4326` or a UTM zone.",
        ) from error
    limit = math.inf if end.is_geographic else _MAP_LIMIT_M / float(end.axis_info[0].unit_conversion_factor)

    def project(points: Points) -> Points:
        import numpy as np

        # Two points at least: pyproj takes arrays of one for numbers, which NumPy before 2.4 warns of.
        several = points if len(points) > 1 else points.repeat(2, axis=0)
        moved = np.column_stack(transformer.transform(several[:, 0], several[:, 1])).astype(np.float64)[: len(points)]
        good = (np.abs(moved) < limit).all(axis=1)
        if not good.all():
            x, y = points[int(np.argmin(good))]
            raise InvalidInput(
                f"{short_name(target)} cannot show the point ({x:.6g}, {y:.6g}) of {short_name(source)}.",
                hint=_area_hint(end),
            )
        return moved

    return project


def _unmoved(points: Points) -> Points:
    return points


def _area_hint(crs: CRS) -> str:
    area = crs.area_of_use
    if area is None:
        return "Choose a region inside the projection's area, or a CRS made for this region."
    return (
        f"It is made for longitudes {area.west:g} to {area.east:g} and latitudes {area.south:g} to {area.north:g}: "
        "choose a region inside, or a CRS made for this region."
    )


def short_name(crs: str) -> str:
    """Return a CRS as a message should show it: WKT only by its beginning."""
    return crs if len(crs) <= 60 else f"{crs[:57]}..."
