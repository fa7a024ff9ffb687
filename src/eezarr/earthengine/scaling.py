"""Scale and offset of bands, where an image's properties tell them: kept beside the pixels, never applied.

Landsat's Collection 2 is the case: `SR_B4` is reflectance by REFLECTANCE_MULT_BAND_4 and REFLECTANCE_ADD_BAND_4, and
`ST_B10` is kelvin by TEMPERATURE_MULT_BAND_ST_B10 and TEMPERATURE_ADD_BAND_ST_B10. Level 1 has two such pairs a band
(radiance and reflectance), so there nothing is said.

Source: https://developers.google.com/earth-engine/datasets/catalog/LANDSAT_LC08_C02_T1_L2 (image properties)
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.earthengine.catalogue import AssetInfo
    from eezarr.plan import Band

__all__ = ["known_scaling", "scaled_bands"]

_PROPERTIES = (
    (re.compile(r"SR_B(\d+)"), "REFLECTANCE_{}_BAND_{}"),
    (re.compile(r"(ST_B\d+)"), "TEMPERATURE_{}_BAND_{}"),
)


def known_scaling(properties: Mapping[str, object], band: str) -> tuple[float, float] | None:
    """Return scale and offset of a band (value = stored * scale + offset), or None if the properties do not tell."""
    for pattern, name in _PROPERTIES:
        found = pattern.fullmatch(band)
        if found is not None:
            scale, offset = (properties.get(name.format(kind, found[1])) for kind in ("MULT", "ADD"))
            if _is_number(scale) and _is_number(offset):
                return float(scale), float(offset)
    return None


def scaled_bands(bands: Sequence[Band], images: Sequence[AssetInfo]) -> tuple[Band, ...]:
    """Return bands with the scale and offset that all images tell; bands of which they tell none, or several, as is."""
    scaled: list[Band] = []
    for band in bands:
        told = {known_scaling(image.properties, band.name) for image in images}
        known = told.pop() if len(told) == 1 else None
        scaled.append(band if known is None else replace(band, scale=known[0], offset=known[1]))
    return tuple(scaled)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
