"""Ground area: the plane in which sites are drawn.

Equal area: in a geographic CRS, x is the longitude and y the northing of EASE-Grid 2.0 (EPSG:6933), a cylindrical
equal-area projection of the ellipsoid: equal boxes there are equal ground. In a projected CRS it is that CRS's own
plane, weighed by PROJ's areal scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from eezarr.grid.crs import LON_LAT, parse_crs, projector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eezarr.grid.crs import Points

__all__ = ["EQUAL_AREA", "Plane", "plane_of", "ring_area"]

EQUAL_AREA = "EPSG:6933"
"""EASE-Grid 2.0, global, in metres. Source: https://nsidc.org/data/user-resources/help-center/guide-ease-grids"""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where points are drawn so that equal areas are equal ground; made by `plane_of`."""

    crs: str
    """The polygons' CRS."""
    is_geographic: bool

    def of(self, places: Points) -> Points:
        """Return places of the CRS as places of the plane."""
        return np.column_stack([places[:, 0], _northings(places[:, 1])]) if self.is_geographic else places

    def back(self, spots: Points) -> Points:
        """Return places of the plane as places of the CRS."""
        return np.column_stack([spots[:, 0], _latitudes(spots[:, 1])]) if self.is_geographic else spots

    def density(self, spots: Points) -> NDArray[np.float64]:
        """Return ground area per area of the plane, up to a factor."""
        if self.is_geographic:
            return np.ones(len(spots))
        scale = _areal_scale(self.crs, projector(self.crs, LON_LAT)(spots))
        return np.asarray(1 / scale, dtype=np.float64)


@lru_cache(maxsize=16)
def plane_of(crs: str) -> Plane:
    """Return the plane to draw in, for polygons of a CRS."""
    return Plane(crs, parse_crs(crs).is_geographic)


def ring_area(ring: Points) -> float:
    """Return the signed area of a closed ring in its plane; counter-clockwise is positive."""
    x, y = (ring - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def _northings(latitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    return projector(LON_LAT, EQUAL_AREA)(np.column_stack([np.zeros(len(latitudes)), latitudes]))[:, 1]


def _latitudes(northings: NDArray[np.float64]) -> NDArray[np.float64]:
    return projector(EQUAL_AREA, LON_LAT)(np.column_stack([np.zeros(len(northings)), northings]))[:, 1]


def _areal_scale(crs: str, lon_lat: Points) -> NDArray[np.float64]:
    from pyproj import Proj

    factors = Proj(parse_crs(crs)).get_factors(lon_lat[:, 0], lon_lat[:, 1])
    return np.asarray(factors.areal_scale, dtype=np.float64)
