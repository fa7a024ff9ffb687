"""Whether coordinates are on the Earth: checked for all sites at once, told for the first that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, short_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eezarr.grid.crs import Points
    from eezarr.samples.columns import RowName

__all__ = ["check_places"]

_MAX_LON = {"point": (-180.0, 360.0), "polygon": (-360.0, 540.0)}
"""Degrees: both habits for points, 0 to 360 and -180 to 180; polygons may run past the antimeridian."""

_ROUND_TRIP_M = 1.0
"""How near a projected place must come back from longitude and latitude: beyond its map, an inverse makes places up."""


def check_places(places: Points, crs: str, row: RowName, *, kind: str = "point") -> None:
    """Refuse coordinates that are missing, or not on the Earth.

    Args:
        places: Coordinates, shape (n, 2), x before y.
        crs: Their CRS.
        row: How a message calls the site of a row of `places`.
        kind: `point`, or `polygon` for corners.

    Raises:
        InvalidInput: For the first that is none; says how many others there are.
    """
    missing = np.asarray(~np.isfinite(places).all(axis=1), dtype=np.bool_)
    if missing.any():
        raise _first(missing, places, row, "are missing or not finite", hint="Give two finite numbers, x before y.")
    parsed = parse_crs(crs)
    if parsed.is_geographic:
        _check_degrees(crs, float(parsed.axis_info[0].unit_conversion_factor))
        west, east = _MAX_LON[kind]
        lon, lat = places[:, 0], places[:, 1]
        outside = np.asarray((np.abs(lat) > 90) | (lon < west) | (lon > east), dtype=np.bool_)
        if outside.any():
            hint = "Longitude comes first, latitude within 90 degrees; for other coordinates name their sites_crs."
            raise _first(outside, places, row, "are no longitude and latitude", hint=hint)
        return
    outside = ~_on_map(places, crs)
    if outside.any():
        hint = "Check that sites_crs is the CRS of the coordinates, x before y."
        raise _first(outside, places, row, f"are outside the map of {short_name(crs)}", hint=hint)


def _on_map(places: Points, crs: str) -> NDArray[np.bool_]:
    from pyproj import Transformer

    transformer = Transformer.from_crs(parse_crs(crs), parse_crs(LON_LAT), always_xy=True)
    several = places if len(places) != 1 else places.repeat(2, axis=0)
    lon, lat = transformer.transform(several[:, 0], several[:, 1])
    back = np.column_stack(transformer.transform(lon, lat, direction="INVERSE"))[: len(places)]
    tolerance = _ROUND_TRIP_M / float(parse_crs(crs).axis_info[0].unit_conversion_factor)
    # What PROJ cannot place is infinite, and infinity less anything is not near.
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(back - places) <= tolerance).all(axis=1), dtype=np.bool_)


def _check_degrees(crs: str, unit: float) -> None:
    if not np.isclose(unit, np.pi / 180):
        raise InvalidInput(
            f"{short_name(crs)} does not count in degrees.", hint="Give the sites in longitude and latitude, EPSG:4326."
        )


def _first(bad: NDArray[np.bool_], places: Points, row: RowName, why: str, *, hint: str) -> InvalidInput:
    nth = int(np.argmax(bad))
    x, y = places[nth]
    others = int(np.count_nonzero(bad)) - 1
    more = f" (and {others} more)" if others else ""
    return InvalidInput(f"The coordinates ({x:.10g}, {y:.10g}) in {row(nth)} {why}{more}.", hint=hint)
