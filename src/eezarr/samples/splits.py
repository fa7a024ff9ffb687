"""Which site trains and which one tests: by hash, by the file's own column, or by spatial blocks.

Law: a site's split depends on the seed, the fractions and its own group or block, and on nothing else: adding,
removing or reordering sites changes no other's. What has one group (the points of one polygon) or one block is never
divided. The fractions are then chances of groups or blocks: where these hold many sites each, the sites' own shares
differ more.

The chance of a key is the first 53 bits of `blake2b("seed NUL key", 8 bytes)`, as a fraction; splits take their parts
of [0, 1) in the order given.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from eezarr.errors import InvalidInput
from eezarr.grid.crs import LON_LAT, parse_crs, projector
from eezarr.samples.plane import EQUAL_AREA
from eezarr.samples.sites import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from eezarr.samples.sites import SiteTable

__all__ = ["SplitBy", "Splits", "assign_splits", "near_other_splits", "spatial_blocks"]

SplitBy: TypeAlias = Literal["hash", "column", "blocks"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Which split each site is in."""

    names: tuple[str, ...]
    """The splits, in the order given; by column, in the order of their first sites."""
    index: NDArray[np.int64]
    """Position of each site's split in `names`."""

    @property
    def counts(self) -> dict[str, int]:
        """How many sites each split has."""
        counts = np.bincount(self.index, minlength=len(self.names)).tolist()
        return dict(zip(self.names, counts, strict=True))

    def members(self, name: str) -> NDArray[np.int64]:
        """Return the positions of the sites of a split, in order.

        Raises:
            InvalidInput: If there is no such split.
        """
        if name not in self.names:
            raise InvalidInput(f"There is no split {name!r}.", hint=f"The splits are: {', '.join(self.names)}.")
        return np.flatnonzero(self.index == self.names.index(name))


def assign_splits(
    table: SiteTable,
    fractions: Mapping[str, float] | None = None,
    *,
    by: SplitBy = "hash",
    block_m: float | None = None,
    seed: int = 0,
) -> Splits:
    """Return each site's split.

    Args:
        table: The sites.
        fractions: What share of the groups or blocks each split takes; they sum to one. By column: may be left out;
            if it is not, the column may hold no other names.
        by: `hash`: by a hash of the group, which for a point is its id, for points drawn in a polygon the polygon's.
            `column`: as the file says. `blocks`: by a hash of the block that the site is in.
        block_m: Side of a block, in metres, for `blocks` alone.
        seed: Another seed, another choice.

    Raises:
        InvalidInput: If the fractions do not sum to one, `blocks` has no side, or a site's split is missing or unknown.
    """
    if (by == "blocks") != (block_m is not None):
        raise InvalidInput(
            "Splits by blocks need the side of a block, and no other splits do.",
            hint='Give the side in metres with by = "blocks".',
        )
    if by == "column":
        return _by_column(table, fractions)
    names, edges = _checked(fractions or {})
    if by == "hash":
        chances = _chances(table.attributes.groups.tolist(), seed)
    else:
        assert block_m is not None, "checked above"
        blocks, block = np.unique(spatial_blocks(table, block_m), axis=0, return_inverse=True)
        chances = _chances([f"{col} {row}" for col, row in blocks.tolist()], seed)[block.reshape(-1)]
    return Splits(names=names, index=frozen(np.searchsorted(edges, chances, side="right").astype(np.int64)))


def near_other_splits(
    table: SiteTable, fractions: Mapping[str, float], *, block_m: float, buffer_m: float, seed: int = 0
) -> NDArray[np.bool_]:
    """Return which sites are nearer than a buffer to a block that is in another split than their own.

    It depends on a site's own place and the blocks round it, whether sites are in them or not. Distances are metres on
    the ground, at the site's latitude.

    Raises:
        InvalidInput: If the buffer is not positive, or so large that a block is all buffer.
    """
    blocks = spatial_blocks(table, block_m)
    lon_lat = table.lon_lat()
    spots = projector(LON_LAT, EQUAL_AREA)(lon_lat)
    # Equal area: what is narrower on the ground than in the plane is as much longer.
    narrower = _ground_per_plane(lon_lat[:, 1])
    least = float(min(narrower.min(initial=1.0), (1 / narrower).min(initial=1.0)))
    if not (math.isfinite(buffer_m) and 0 < buffer_m < block_m * least / 2):
        raise InvalidInput(
            f"A buffer of {buffer_m:g} m leaves nothing of blocks of {block_m:g} m, which are "
            f"{block_m * least:.0f} m wide at these latitudes.",
            hint="Give a buffer above zero and less than half of that, or a larger block_size.",
        )
    _, edges = _checked(fractions)
    offsets = [(across, down) for across in (-1, 0, 1) for down in (-1, 0, 1) if across or down]
    around = np.unique(np.concatenate([blocks, *(blocks + offset for offset in offsets)]), axis=0)
    chances = _chances([f"{col} {row}" for col, row in around.tolist()], seed)
    split_of = dict(
        zip(map(tuple, around.tolist()), np.searchsorted(edges, chances, side="right").tolist(), strict=True)
    )
    own = np.array([split_of[block] for block in map(tuple, blocks.tolist())], dtype=np.int64)
    within = spots - blocks * block_m
    near = np.zeros(len(table), dtype=np.bool_)
    for offset in offsets:
        gaps = [
            np.zeros(len(table)) if step == 0 else within[:, axis] if step < 0 else block_m - within[:, axis]
            for axis, step in enumerate(offset)
        ]
        apart = np.hypot(gaps[0] * narrower, gaps[1] / narrower)
        asked = np.flatnonzero(~near & (apart < buffer_m))
        other = np.array([split_of[block] for block in map(tuple, (blocks[asked] + offset).tolist())], dtype=np.int64)
        near[asked] = other != own[asked]
    return near


def _ground_per_plane(latitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many metres on the ground a metre eastwards in EASE-Grid 2.0 is; northwards it is as much more than one."""
    from pyproj import Proj

    factors = Proj(parse_crs(EQUAL_AREA)).get_factors(np.zeros(len(latitudes)), latitudes)
    return np.asarray(1 / np.asarray(factors.parallel_scale), dtype=np.float64)


def spatial_blocks(table: SiteTable, block_m: float) -> NDArray[np.int64]:
    """Return the (column, row) of the block that each site is in, shape (n, 2).

    Blocks are the squares of a lattice in EASE-Grid 2.0 (EPSG:6933) from its origin: all have the same area on the
    ground. They are square there at 30 degrees of latitude; towards the poles they are narrower and longer. Sites near
    a common edge of two blocks are still neighbours: make blocks much larger than patches, and see `near_other_splits`.

    Raises:
        InvalidInput: If the side is not positive.
    """
    if not (math.isfinite(block_m) and block_m > 0):
        raise InvalidInput(f"The side of a block is {block_m} m.", hint="Give metres, above zero.")
    places = projector(LON_LAT, EQUAL_AREA)(table.lon_lat())
    return np.floor(places / block_m).astype(np.int64)


def _checked(fractions: Mapping[str, float]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The names, and where in [0, 1) each split but the last ends."""
    values = list(fractions.values())
    if not all(math.isfinite(value) and value > 0 for value in values) or not math.isclose(math.fsum(values), 1):
        listed = ", ".join(f"{name} = {value:g}" for name, value in fractions.items()) or "none"
        raise InvalidInput(
            f"The fractions of the splits ({listed}) are not positive numbers that sum to one.",
            hint="Write, say, train = 0.8, val = 0.1, test = 0.1.",
        )
    return tuple(fractions), np.cumsum(values)[:-1]


def _chances(keys: Sequence[str], seed: int) -> NDArray[np.float64]:
    start = f"{seed}\0".encode()
    digests = b"".join(hashlib.blake2b(start + key.encode(), digest_size=8).digest() for key in keys)
    # 53 bits: a double below one for each.
    return (np.frombuffer(digests, dtype=">u8") >> 11).astype(np.float64) / 2.0**53


def _by_column(table: SiteTable, fractions: Mapping[str, float] | None) -> Splits:
    given = table.attributes.splits
    if given is None:
        raise InvalidInput(
            "The sites have no column of splits.", hint="Name it with split, or split by hash or blocks."
        )
    values = given.tolist()
    names = tuple(fractions or dict.fromkeys(value for value in values if value is not None))
    place = {name: nth for nth, name in enumerate(names)}
    index = np.array([place.get(value, -1) for value in values], dtype=np.int64)
    if (index < 0).any():
        nth = int(np.argmax(index < 0))
        site, value = table.attributes.ids[nth], values[nth]
        close = [] if value is None else get_close_matches(value, names, n=1)
        raise InvalidInput(
            f"The site {site!r} "
            + ("has no split" if value is None else f"is in the unknown split {value!r}")
            + f" ({int((index < 0).sum())} such sites).",
            hint=f"Did you mean {close[0]!r}?" if close else f"Give each site one of: {', '.join(names) or 'none'}.",
        )
    return Splits(names=names, index=frozen(index))
