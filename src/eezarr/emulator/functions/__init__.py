"""The algorithms that expressions may call, by their names in the Earth Engine API.

Each module holds one family and ends with its table, `FUNCTIONS`. Types and names of results follow the published
documentation where it says; where it is silent the choice is stated beside the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eezarr.emulator.functions import (
    arithmetic,
    collections,
    composites,
    containers,
    display,
    filters,
    geometries,
    images,
    masks,
    objects,
    places,
    reducers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.emulator.arguments import Function

FUNCTIONS: Mapping[str, Function] = {
    **arithmetic.FUNCTIONS,
    **collections.FUNCTIONS,
    **composites.FUNCTIONS,
    **containers.FUNCTIONS,
    **display.FUNCTIONS,
    **filters.FUNCTIONS,
    **geometries.FUNCTIONS,
    **images.FUNCTIONS,
    **masks.FUNCTIONS,
    **objects.FUNCTIONS,
    **places.FUNCTIONS,
    **reducers.FUNCTIONS,
}
"""Every algorithm the emulator computes."""
