"""What a job of samples says, as records: the sites, the patches that are cut for them, how they are divided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.calls import checked_record
from eezarr.errors import InvalidInput
from eezarr.grid import Shape2D, crs_text, is_utm
from eezarr.grid.crs import pixel_size
from eezarr.samples import (
    UTM,
    Centroid,
    GridPoints,
    PolygonTable,
    RandomPoints,
    SiteColumns,
    SplitFacts,
    StratifiedPoints,
    assign_splits,
    draw_sites,
    patch_grids,
    read_sites,
    shuffled,
)
from eezarr.samples.sites import frozen
from eezarr.samples.splits import near_other_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eezarr.config import PolygonOptions, SampleOptions, SamplesJob, SplitOptions
    from eezarr.grid import CrsLike
    from eezarr.samples import PatchGrids, SiteTable, Splits, Strategy

__all__ = ["Patches", "PlacedSites", "patches_of", "place_sites", "sites_of"]


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Which patch is cut for each site, of which images, and in which order samples are stored."""

    size: Shape2D
    """Pixels."""
    crs: CrsLike = UTM
    """One for all, or `utm`: each site's own zone."""
    resolution: float | None = None
    """CRS units per pixel. Exactly one of resolution and scale."""
    scale: float | None = None
    """Nominal metres per pixel, as Earth Engine means it."""
    splits: SplitFacts | None = None
    """How sites are divided; None: not at all."""
    nearest: int | None = None
    """Of a collection: so many time steps, the nearest to each site's own date."""
    window_days: int | None = None
    """Of a collection: only images at most so many days from each site's own date."""
    shuffle: bool = False
    """Whether samples are stored in a random order."""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "crs", crs_text(self.crs))
        if (self.resolution is None) == (self.scale is None):
            raise InvalidInput("Patches need exactly one of resolution and scale.", hint="Give one of them.")

    @property
    def pixel_side(self) -> float:
        """CRS units per pixel."""
        if self.scale is None:
            assert self.resolution is not None, "checked above"
            return self.resolution
        return self.scale if is_utm(self.crs) else pixel_size(self.scale, self.crs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedSites:
    """Sites in stored order, with their grids and splits."""

    sites: SiteTable
    rows: NDArray[np.int64]
    """Which of the sites, as they were given, each is."""
    grids: PatchGrids
    splits: Splits | None
    left_out: int = 0
    """Sites that are none of these: too near to another split."""


def patches_of(options: SampleOptions) -> Patches:
    """Return what a job says of its patches."""
    size = (options.size, options.size) if isinstance(options.size, int) else options.size
    return Patches(
        size=Shape2D(*size),
        crs=options.crs,
        resolution=options.resolution,
        scale=options.scale,
        splits=_split_facts(options),
        nearest=options.nearest,
        window_days=options.window_days,
        shuffle=options.shuffle,
        seed=options.seed,
    )


def sites_of(job: SamplesJob) -> SiteTable:
    """Return the sites of a job, as its file has them or drawn in its polygons.

    Raises:
        InvalidInput: If the file cannot be read, or a site in it is invalid.
    """
    options = job.samples
    columns = SiteColumns(
        x=options.x, y=options.y, id=options.id, label=options.label, split=options.split, date=options.date
    )
    found = read_sites(job.beside(options.sites), columns=columns, sites_crs=options.sites_crs)
    if isinstance(found, PolygonTable):
        return draw_sites(found, _strategy(options.polygons, options.seed))
    if options.polygons is not None:
        raise InvalidInput(
            f"{options.sites.name} holds points, so polygons does not apply.", hint="Leave out [samples.polygons]."
        )
    return found


def place_sites(sites: SiteTable, patches: Patches) -> PlacedSites:
    """Return sites in stored order, with their grids and splits.

    Raises:
        InvalidInput: If a site has no patch in the CRS, or no split, or all are too near to another split.
    """
    places = np.column_stack([sites.x, sites.y])
    side = patches.pixel_side
    grids = patch_grids(places, crs=patches.crs, resolution=side, size=patches.size, sites_crs=sites.crs)
    splits = None if patches.splits is None else _divided(sites, patches.splits, patches.seed)
    rows = shuffled(len(sites), seed=patches.seed) if patches.shuffle else np.arange(len(sites), dtype=np.int64)
    if patches.splits is not None and patches.splits.buffer_m is not None:
        rows = rows[~_near_others(sites, patches.splits, patches.seed)[rows]]
    return PlacedSites(
        sites=sites.take(rows),
        rows=frozen(rows),
        grids=replace(grids, zone=frozen(grids.zone[rows]), col=frozen(grids.col[rows]), row=frozen(grids.row[rows])),
        splits=None if splits is None else replace(splits, index=frozen(splits.index[rows])),
        left_out=len(sites) - len(rows),
    )


def _divided(sites: SiteTable, facts: SplitFacts, seed: int) -> Splits:
    return assign_splits(sites, dict(facts.fractions) or None, by=facts.by, block_m=facts.block_m, seed=seed)


def _near_others(sites: SiteTable, facts: SplitFacts, seed: int) -> NDArray[np.bool_]:
    if facts.by != "blocks" or facts.block_m is None or facts.buffer_m is None:
        raise InvalidInput("Only splits by blocks have a buffer.", hint='Give by = "blocks" with the side of a block.')
    near = near_other_splits(sites, dict(facts.fractions), block_m=facts.block_m, buffer_m=facts.buffer_m, seed=seed)
    if near.all():
        raise InvalidInput(
            f"All {len(sites)} sites are within the buffer of {facts.buffer_m:g} m of another split.",
            hint="Give a smaller buffer, or larger blocks.",
        )
    return near


def _split_facts(options: SampleOptions) -> SplitFacts | None:
    splits: SplitOptions | None = options.splits
    if splits is None:
        return None if options.split is None else SplitFacts(by="column")
    return SplitFacts(
        by=splits.by, fractions=tuple(splits.fractions.items()), block_m=splits.block_size, buffer_m=splits.buffer
    )


def _strategy(options: PolygonOptions | None, seed: int) -> Strategy:
    if options is None or options.strategy == "centroid":
        return Centroid()
    if options.strategy == "grid":
        assert options.spacing is not None, "a grid has a spacing"
        return GridPoints(spacing_m=options.spacing)
    if options.strategy == "random":
        assert options.per_polygon is not None, "random sites have a count"
        return RandomPoints(per_polygon=options.per_polygon, seed=seed)
    assert options.per_class is not None, "stratified sites have a count"
    return StratifiedPoints(per_class=options.per_class, class_column=options.class_column, seed=seed)
