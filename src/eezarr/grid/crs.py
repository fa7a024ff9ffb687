"""Coordinate reference systems: how a job names one, what PROJ makes of it, how points move between two.

PROJ is imported inside the functions: a command that never projects a region does not pay for it.
All coordinates are x before y (longitude before latitude), as in Earth Engine and rasterio, whatever the CRS's
authority says.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from pyproj import CRS

    Points: TypeAlias = NDArray[np.float64]
    """Coordinates of shape (n, 2), x before y."""
    Project: TypeAlias = Callable[[Points], Points]

__all__ = ["LON_LAT", "canonical_crs", "crs_wkt", "normal_code", "parse_crs", "pixel_size", "projector", "short_name"]

LON_LAT = "EPSG:4326"

EARTH_RADIUS_M = 6_378_137.0
"""WGS 84's semi-major axis: Earth Engine's degree is 2 pi r / 360 = 111 319.49079327358 m in every geographic CRS.

Source: https://developers.google.com/earth-engine/guides/scale
"""

_MAP_LIMIT_M = 1e8
"""No map of the Earth is larger: beyond lie points that a projection sends towards infinity, as Mercator its poles."""

_ALIASES = {"SR-ORG:6974": "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"}
"""Codes that Earth Engine knows and PROJ's database does not: MODIS's sinusoidal grid.

Source: https://spatialreference.org/ref/sr-org/6974/
"""

_CODE = re.compile(r"\s*([A-Za-z][\w-]*:\w+)\s*")


def normal_code(text: str) -> str:
    """Return an authority code in capitals (`epsg:4326` is `EPSG:4326`); any other text as it is."""
    match = _CODE.fullmatch(text)
    return match[1].upper() if match else text


def canonical_crs(text: str) -> str:
    """Return a CRS in a form that a request can carry: an authority code, or WKT.

    PROJ strings, PROJ JSON and OGC URNs become a code or, where there is none, WKT 1, as Earth Engine writes it.

    Raises:
        InvalidInput: If PROJ does not know it, or it is no horizontal CRS.
    """
    crs = parse_crs(text)
    if _CODE.fullmatch(text):
        return normal_code(text)
    if "[" in text and not text.lstrip().startswith("{"):
        return text.strip()
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt("WKT1_GDAL")


def crs_wkt(text: str) -> str:
    """Return the WKT 2 of a CRS, as the CF attribute `crs_wkt` and the `proj:wkt2` convention want it.

    Raises:
        InvalidInput: If PROJ does not know it, or it is no horizontal CRS.
    """
    return parse_crs(text).to_wkt()


@lru_cache(maxsize=64)
def parse_crs(text: str) -> CRS:
    """Return what PROJ makes of an authority code, WKT, a PROJ string or PROJ JSON.

    Raises:
        InvalidInput: If PROJ does not know it, or it is neither geographic nor projected.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    name = normal_code(text)
    try:
        crs = CRS.from_user_input(_ALIASES.get(name, name))
    except CRSError as error:
        raise InvalidInput(
            f"The CRS {short_name(name)} is unknown.",
            hint="Give an authority code such as `EPSG:32610`, or the CRS's WKT.",
        ) from error
    if not (crs.is_geographic or crs.is_projected):
        raise InvalidInput(
            f"The CRS {short_name(name)} ({crs.type_name}) has no map coordinates.",
            hint="Choose a geographic or projected CRS, such as `EPSG:4326` or a UTM zone.",
        )
    return crs


def pixel_size(scale: float, crs: str) -> float:
    """Return the side, in CRS units, of a pixel of `scale` metres, as Earth Engine means it.

    Degrees come as `degrees(scale / radius)`, which gives the very doubles that Earth Engine's exports hold:
    8.983152841195215e-05 for 10 m, 0.00026949458523585647 for 30 m. Dividing by 111 319.49… is one bit off.

    Args:
        scale: Nominal metres per pixel.
        crs: An authority code or WKT.
    """
    parsed = parse_crs(crs)
    per_unit = float(parsed.axis_info[0].unit_conversion_factor)
    if not parsed.is_geographic:
        return scale / per_unit
    degree = math.radians(1)
    in_degrees = math.degrees(scale / EARTH_RADIUS_M)
    return in_degrees if math.isclose(per_unit, degree) else in_degrees * degree / per_unit


@lru_cache(maxsize=64)
def projector(source: str, target: str) -> Project:
    """Return a function that moves points from one CRS to another; between equal CRSs it changes no bit.

    Raises:
        InvalidInput: If a CRS is unknown. The function raises it for points that the target cannot show.
    """
    from pyproj import Transformer

    start, end = parse_crs(source), parse_crs(target)
    if start == end:
        return _unmoved
    transformer = Transformer.from_crs(start, end, always_xy=True)
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
