"""Lazy pixels: what a band of an image is before anyone asks for a grid.

Law: a band is a graph of nodes; `Run.plane` reads each node once per block of a request, however many bands use it.
A plane's values under its mask mean nothing: the world fills them last. Blocks are at most 131 072 pixels, so memory
grows with the graph's width, never with the request or the collection's extent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from eezarr.emulator.pyramid import sample_pyramid
from eezarr.emulator.raster import Grid, Plane

if TYPE_CHECKING:
    from eezarr.emulator.scenes import Ground, Scene, View
    from eezarr.emulator.texture import Indices

Array: TypeAlias = npt.NDArray[Any]
"""Pixels of whatever type a band has: known at run time only."""

BLOCK_HEIGHT, BLOCK_WIDTH = 256, 512
"""Pixels of a block: about what a core's second-level cache holds of a scene's intermediate arrays."""


class Pixels(Protocol):
    """A node: pixels on any grid."""

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer (height, width) values and their mask; ask other nodes through `run`."""
        ...


class Run:
    """The reading of one block: remembers what each node answered."""

    __slots__ = ("_known", "grounds", "views")

    def __init__(self) -> None:
        self._known: dict[tuple[int, Grid], tuple[Pixels, Plane]] = {}
        self.grounds: dict[tuple[int, int, bytes, bytes], Ground] = {}
        """What lies at the block's places: shared by the scenes of a tile."""
        self.views: dict[tuple[Scene, bytes, bytes], View] = {}
        """What scenes show of the block's places: shared by their bands."""

    def plane(self, node: Pixels, grid: Grid) -> Plane:
        """Answer a node's plane on a grid, read at most once."""
        key = (id(node), grid)
        if key not in self._known:
            self._known[key] = (node, node.read(grid, self))
        return self._known[key][1]


def cast_to(values: Array, dtype: str) -> Array:
    """Answer values in another type: integers are clamped to its range and lose their fraction, NaN becomes 0."""
    target = np.dtype(dtype)
    if values.dtype == target:
        return values
    if target.kind in "iu":
        limits = np.iinfo(target)
        wide = np.nan_to_num(values, nan=0.0) if values.dtype.kind == "f" else values
        if not np.can_cast(values.dtype, target, "safe"):
            wide = np.clip(np.asarray(wide, np.float64), limits.min, limits.max)
        return wide.astype(target)
    with np.errstate(over="ignore"):
        return values.astype(target)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredPixels:
    """A stored band, nearest neighbour through its pyramid."""

    stored: SharedStored
    dtype: str
    policy: str

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        plane = sample_pyramid(_InRun(stored=self.stored, run=run), grid, self.policy)
        return Plane(values=plane.values.astype(self.dtype, copy=False), valid=plane.valid)


class SharedStored(Protocol):
    """A stored band that may share work with other bands of its asset, through the run."""

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        ...

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Answer the pixels at every pair of rows and columns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _InRun:
    """A shared band during one run, as `sampling` wants it."""

    stored: SharedStored
    run: Run

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        return self.stored.grid

    @property
    def is_bounded(self) -> bool:
        """Answer whether pixels end where the grid does."""
        return True

    @property
    def extent(self) -> tuple[float, float]:
        """Answer the size of the grid."""
        return self.grid.height, self.grid.width

    def block(self, rows: Indices, cols: Indices) -> Plane:
        """Answer the pixels at every pair of rows and columns."""
        return self.stored.block(rows, cols, self.run)
