"""The groups of a stored job as they should be: its own, and those of its overviews."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eezarr.grid import parse_crs
from eezarr.store.arrays import make_group
from eezarr.store.creation import provenance
from eezarr.store.integrity import GroupLayout
from eezarr.store.layout import array_specs
from eezarr.store.levels import level_attributes, levels_of, read_levels
from eezarr.store.metadata import group_attributes

if TYPE_CHECKING:
    from eezarr.plan import Plan
    from eezarr.store.attributes import JSON
    from eezarr.store.location import Location
    from eezarr.store.record import JobRecord

__all__ = ["job_layouts"]


def job_layouts(location: Location, record: JobRecord) -> list[GroupLayout]:
    """Return how the groups of a job should be: the store's own first.

    Raises:
        StoreError: If the storage fails.
    """
    plan = record.plan
    layouts = [_layout(plan, group_attributes(plan.grid, parse_crs(plan.grid.crs), provenance(record)))]
    levels = read_levels(location)
    if (
        levels is not None
        and levels.state != "making"
        and (levels.lineage, levels.steps)
        == (
            plan.lineage,
            plan.step_count,
        )
    ):
        methods = dict(levels.methods)
        layouts += [_layout(level.plan, level_attributes(level, methods), level.group) for level in levels_of(plan)]
    return layouts


def _layout(plan: Plan, attributes: dict[str, JSON], path: str = "") -> GroupLayout:
    specs = array_specs(plan)
    return GroupLayout.laid_out(
        partial(make_group, plan=plan, specs=specs, attributes=attributes, path=path),
        zarr_format=plan.layout.zarr_format,
        pixels=[spec.name for spec in specs],
        path=path,
    )
