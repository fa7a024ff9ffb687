"""The levels of a store's pyramid: their grids, where they are, and the record that says what can be believed of them.

A level is laid out as the store itself, in a group of its own: the same arrays, chunks, tiles and time axis on a grid
of half the pixels a side, until the longer side has 512 or fewer. Groups are named as GDAL names those that it makes:
`ovr_2x`, `ovr_4x`, … A tile of a level is made of four tiles of the level below, and of nothing else.

Law: readers learn of the levels from the group's attribute `multiscales`, and it is there only while every level is
whole and true: a store that is opened to be written and lacks a tile loses it first.

    record (making)  ->  groups and arrays  ->  record (building)  ->  tiles, marked  ->  attribute  ->  record (whole)

The attribute is the object of that convention as JSON text (see `attributes`): NetCDF holds no objects, so readers that
know the convention have to be given it, or a level's group, by hand.

The layout lists the levels and not the group's own arrays: a layout that begins with an array is that array's alone,
and no name stands for the group itself.

Source: https://github.com/zarr-conventions/multiscales
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import zarr
from affine import Affine

from eezarr.grid import PixelGrid, parse_crs
from eezarr.store.arrays import consolidate, replace_attributes
from eezarr.store.failures import storage_errors
from eezarr.store.layout import array_specs
from eezarr.store.metadata import group_attributes
from eezarr.store.record import OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eezarr.plan import Band, Plan
    from eezarr.store.halving import Resampling
    from eezarr.store.layout import ArraySpec
    from eezarr.store.location import Location
    from eezarr.store.metadata import JSON

__all__ = [
    "LEVELS_PREFIX",
    "Level",
    "LevelsRecord",
    "advertise",
    "distrust",
    "level_attributes",
    "levels_of",
    "read_levels",
    "resampling_of",
    "withdraw",
    "write_levels",
]

LEVELS_PREFIX = f"{OWN_PREFIX}/levels"
"""The key prefix of the record and the marks of levels."""

_RECORD_KEY = f"{LEVELS_PREFIX}/levels.json"
_SMALLEST = 512
_VERSION = 1

_GDAL_NAMES: dict[str, str] = {"mean": "average", "nearest": "nearest"}

_State: TypeAlias = Literal["making", "building", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a pyramid."""

    factor: int
    """Pixels of the store's grid for one of the level's, along both axes."""
    plan: Plan
    """The store's, on the level's grid: its tiles are the level's."""

    @property
    def group(self) -> str:
        """The name of its group."""
        return f"ovr_{self.factor}x"

    @property
    def marks_prefix(self) -> str:
        """Where its marks are."""
        return f"{LEVELS_PREFIX}/{self.factor}"

    @property
    def specs(self) -> tuple[ArraySpec, ...]:
        """Its arrays."""
        return array_specs(self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsRecord:
    """What is there of a pyramid."""

    state: _State
    """`making`: arrays may be missing. `building`: tiles may be missing, or out of date. `whole`: all is there."""
    lineage: str
    """The plan's."""
    steps: int
    """Time steps that the arrays have."""
    methods: tuple[tuple[str, Resampling], ...]
    """Name of each band, and how its pixels are made."""


def levels_of(plan: Plan) -> tuple[Level, ...]:
    """Return the levels of a plan's pyramid, finest first; none for a grid that is small by itself.

    The CRS, origin and type stay; a level's pixels are twice as large, so that at an odd edge the last of them reach
    beyond the grid below.
    """
    levels: list[Level] = []
    grid = plan.grid
    while max(grid.width, grid.height) > _SMALLEST:
        a, b, c, d, e, f = tuple(grid.transform)[:6]
        grid = PixelGrid(
            crs=grid.crs,
            transform=Affine(2 * a, 2 * b, c, 2 * d, 2 * e, f),
            width=math.ceil(grid.width / 2),
            height=math.ceil(grid.height / 2),
        )
        coarse = replace(plan, grid=grid, coverage=None, is_clipped=False)
        levels.append(Level(factor=2 << len(levels), plan=coarse))
    return tuple(levels)


def resampling_of(
    wanted: bool | Resampling, bands: Sequence[Band], policies: Mapping[str, str]
) -> dict[str, Resampling] | None:
    """Return how each band's levels are made, or None if none are wanted.

    Args:
        wanted: A method for all bands, or True: as the asset's own pyramid was made, where that is known; else the mean
            of floats, and the nearest of integers, which may be classes or flags.
        bands: The plan's.
        policies: The asset's pyramiding policies by band, in the service's words, as far as they are known.
    """
    if wanted is False:
        return None
    if wanted is not True:
        return {band.name: wanted for band in bands}
    by_type = {band.name: "MEAN" if band.dtype.startswith("float") else "SAMPLE" for band in bands}
    return {name: "mean" if policies.get(name, policy) == "MEAN" else "nearest" for name, policy in by_type.items()}


def read_levels(location: Location) -> LevelsRecord | None:
    """Return the record of a store's pyramid, or None if it has none that this version made.

    Raises:
        StoreError: If the storage fails.
    """
    body = location.get(_RECORD_KEY)
    if body is None:
        return None
    try:
        facts = json.loads(body)
        if facts["version"] != _VERSION or facts["state"] not in {"making", "building", "whole"}:
            return None
        methods = tuple((str(name), method) for name, method in facts["methods"] if method in _GDAL_NAMES)
        return LevelsRecord(
            state=facts["state"], lineage=str(facts["lineage"]), steps=int(facts["steps"]), methods=methods
        )
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def write_levels(location: Location, record: LevelsRecord) -> None:
    """Create or replace the record, in one piece.

    Raises:
        StoreError: If the storage fails.
    """
    facts = {
        "version": _VERSION,
        "state": record.state,
        "lineage": record.lineage,
        "steps": record.steps,
        "methods": [list(pair) for pair in record.methods],
    }
    location.put(_RECORD_KEY, json.dumps(facts, indent=1).encode())


def withdraw(location: Location) -> None:
    """Tell readers of no levels any more, as they may be about to become untrue; they stay, to be brought up to date.

    Raises:
        StoreError: If the storage fails.
    """
    record = read_levels(location)
    if record is None:
        return
    if record.state == "whole":
        write_levels(location, replace(record, state="building"))
    with storage_errors(location.url, "write the group's attributes"):
        group = zarr.open_group(location.store, mode="r+", use_consolidated=False)
        if "multiscales" not in group.attrs:
            return
        del group.attrs["multiscales"]
    consolidate(location)
    location.settle()


def distrust(location: Location, plan: Plan) -> None:
    """Have every level built again: stored pixels were found altered, perhaps before levels were made of them.

    Raises:
        StoreError: If the storage fails.
    """
    withdraw(location)
    for level in levels_of(plan):
        location.remove_below(level.marks_prefix)
    location.settle()


def advertise(location: Location, plan: Plan, levels: Sequence[Level], methods: Mapping[str, Resampling]) -> None:
    """Tell readers of the levels: by the attribute `multiscales`, in the consolidated metadata of the whole.

    Raises:
        StoreError: If the storage fails.
    """
    for level in levels:
        consolidate(location, level.group)
    multiscales: dict[str, JSON] = {"layout": _layout(plan, levels)}
    if len(set(methods.values())) == 1:
        multiscales["resampling_method"] = _GDAL_NAMES[next(iter(methods.values()))]
    replace_attributes(location, {"multiscales": multiscales})


def level_attributes(level: Level, methods: Mapping[str, Resampling]) -> dict[str, JSON]:
    """Return the attributes of a level's group."""
    facts: dict[str, JSON] = {"factor": level.factor, "methods": {name: methods[name] for name in methods}}
    return group_attributes(level.plan.grid, parse_crs(level.plan.grid.crs), facts)


def _layout(plan: Plan, levels: Sequence[Level]) -> list[JSON]:
    """The levels, each relative to the group's own arrays: exactly its factor, whatever the ratio of sizes."""
    axes = array_specs(plan)[0].dimensions
    layout: list[JSON] = []
    for level in levels:
        grid = level.plan.grid
        layout.append(
            {
                "asset": level.group,
                "transform": {
                    "scale": [float(level.factor) if axis in {"y", "x"} else 1.0 for axis in axes],
                    "translation": [0.0] * len(axes),
                },
                "spatial:shape": [grid.height, grid.width],
                "spatial:transform": [float(value) for value in tuple(grid.transform)[:6]],
            }
        )
    return layout
