"""Footprints of images as the service states them: what of the Earth an image is on, in longitude and latitude.

An image without a footprint, or with one that is not finite, is everywhere. So is what has no area: points and lines
say nothing of where pixels are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.geometry.antimeridian import joined_parts
from eezarr.geometry.polygons import Notes, covering, polygon_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.geometry.antimeridian import Rings

__all__ = ["footprint_polygons"]

_TURN = 360.0


def footprint_polygons(footprint: Mapping[str, object] | None) -> list[Rings]:
    """Return the valid polygons of a footprint, which may overlap; none where the image is everywhere."""
    if footprint is None:
        return []
    notes = Notes()
    try:
        parts = list(polygon_parts(_without_texts(footprint), "a footprint", notes, turn=_TURN))
    except InvalidInput:  # no geometry that we know
        return []
    if not all(np.isfinite(ring).all() for part in parts for ring in part.rings):
        return []
    return joined_parts([part.rings for part in covering(parts, notes)], _TURN)


def _without_texts(geometry: Mapping[str, object]) -> Mapping[str, object]:
    """A geometry with numbers for texts such as `-Infinity`, which those of unbounded images have."""
    if geometry.get("type") == "LinearRing":
        geometry = {"type": "Polygon", "coordinates": [geometry.get("coordinates")]}
    members = geometry.get("geometries")
    if isinstance(members, list):
        return {**geometry, "geometries": [_without_texts(part) for part in members if isinstance(part, dict)]}
    return {**geometry, "coordinates": _numbers(geometry.get("coordinates"))}


def _numbers(value: object) -> object:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float("inf") if isinstance(value, str) else value
