"""Computed pixels: the nodes that functions of images make of other nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eezarr.emulator import geometry as shapes
from eezarr.emulator.geometry import Geometry, Projection
from eezarr.emulator.pixels import Array, Pixels, Run, cast_to
from eezarr.emulator.raster import Grid, Plane
from eezarr.emulator.sampling import centres, is_same_crs, nominal_scale, projected, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from eezarr.emulator.texture import Indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """The same value everywhere."""

    value: float | int
    dtype: str

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        del run
        shape = (grid.height, grid.width)
        return Plane(values=np.full(shape, self.value, self.dtype), valid=np.ones(shape, np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coordinate:
    """Longitude (axis 0) or latitude (axis 1) of each pixel's centre, float64; or x or y of another CRS."""

    axis: int
    crs: str = "EPSG:4326"

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        del run
        places = centres(grid)
        if not is_same_crs(grid.crs, self.crs):
            places = projected(grid.crs, self.crs, *places)
        values = np.asarray(places[self.axis], np.float64)
        return Plane(values=values, valid=np.isfinite(values))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Computed:
    """A function of pixels; masked where any input is, and where the function says so."""

    inputs: tuple[Pixels, ...]
    dtype: str
    function: Callable[..., Array]
    """Takes one array per input, answers one of any type."""
    defined: Callable[..., Array] | None = None
    """Takes the same, answers where the result exists; None: everywhere."""

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        planes = [run.plane(node, grid) for node in self.inputs]
        arrays = [plane.values for plane in planes]
        valid = planes[0].valid
        for plane in planes[1:]:
            valid = valid & plane.valid
        with np.errstate(all="ignore"):
            values = cast_to(self.function(*arrays), self.dtype)
            if self.defined is not None:
                valid = valid & self.defined(*arrays).astype(np.bool_)
        return Plane(values=values, valid=valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskOf:
    """The mask itself, float32 0 or 1; masked outside the footprint, if there is one."""

    of: Pixels
    footprint: Pixels | None

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        valid = run.plane(self.of, grid).valid
        known = np.ones_like(valid)
        if self.footprint is not None:
            # A coarse pixel is valid if a part of it is; the footprint is told by one point of it.
            known = valid | run.plane(self.footprint, grid).valid
        return Plane(values=valid.astype(np.float32), valid=known)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masked:
    """Pixels that remain where the mask's value is not zero, and not masked itself."""

    of: Pixels
    mask: Pixels
    is_replaced: bool = False
    """True: the old mask is forgotten (`Image.mask`); false: both must hold (`Image.updateMask`)."""

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        plane, mask = run.plane(self.of, grid), run.plane(self.mask, grid)
        weights: Array = mask.values
        shown = mask.valid & (weights > 0)
        return Plane(values=plane.values, valid=shown if self.is_replaced else shown & plane.valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unmasked:
    """Masked pixels take another node's value, inside the footprint if there is one."""

    of: Pixels
    value: Pixels
    footprint: Pixels | None
    dtype: str

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        plane, value = run.plane(self.of, grid), run.plane(self.value, grid)
        allowed = value.valid
        if self.footprint is not None:
            allowed = allowed & run.plane(self.footprint, grid).valid
        values = np.where(plane.valid, cast_to(plane.values, self.dtype), cast_to(value.values, self.dtype))
        return Plane(values=values, valid=plane.valid | allowed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clipped:
    """Pixels whose centre lies inside a shape."""

    of: Pixels
    geometry: Geometry

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        plane = run.plane(self.of, grid)
        return Plane(values=plane.values, valid=plane.valid & shapes.covers(self.geometry, grid))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topmost:
    """The last of several nodes that is not masked: a mosaic."""

    layers: tuple[Pixels, ...]
    dtype: str

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        shape = (grid.height, grid.width)
        values, valid = np.zeros(shape, self.dtype), np.zeros(shape, np.bool_)
        for layer in reversed(self.layers):
            plane = run.plane(layer, grid)
            new = plane.valid & ~valid
            if new.any():
                np.copyto(values, cast_to(plane.values, self.dtype), where=new)
                valid |= new
            if valid.all():
                break
        return Plane(values=values, valid=valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """`then` where the test is neither zero nor masked and `then` is valid; else `otherwise`."""

    otherwise: Pixels
    test: Pixels
    then: Pixels
    dtype: str

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        base, test, then = (run.plane(node, grid) for node in (self.otherwise, self.test, self.then))
        replaced = base.valid & test.valid & (test.values != 0) & then.valid
        values = np.where(replaced, cast_to(then.values, self.dtype), cast_to(base.values, self.dtype))
        return Plane(values=values, valid=base.valid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stacked:
    """A statistic over several nodes, of the valid pixels at each place."""

    layers: tuple[Pixels, ...]
    dtype: str
    statistic: Callable[[Array, Array], tuple[Array, Array]]
    """Takes values and validity (layer, height, width); answers values and validity (height, width)."""

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        planes = [plane for plane in (run.plane(layer, grid) for layer in self.layers) if plane.valid.any()]
        shape = (grid.height, grid.width)
        if not planes:
            planes = [Plane(values=np.zeros(shape), valid=np.zeros(shape, np.bool_))]
        with np.errstate(all="ignore"):
            values, valid = self.statistic(
                np.stack([plane.values for plane in planes]), np.stack([plane.valid for plane in planes])
            )
        return Plane(values=cast_to(values, self.dtype), valid=valid.astype(np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reprojected:
    """Pixels computed on a grid of their own, then nearest neighbour."""

    of: Pixels
    projection: Projection

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        return sample(_Endless(of=self.of, projection=self.projection, run=run), grid)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Endless:
    """A node on the pixels of a projection, without borders."""

    of: Pixels
    projection: Projection
    run: Run

    @property
    def grid(self) -> Grid:
        """Answer the pixels' own grid."""
        return Grid(crs=self.projection.crs, transform=self.projection.transform, width=1, height=1)

    @property
    def is_bounded(self) -> bool:
        """Answer whether pixels end where the grid does."""
        return False

    @property
    def extent(self) -> tuple[float, float]:
        """Answer the size of the grid."""
        return self.grid.height, self.grid.width

    def block(self, rows: Indices, cols: Indices) -> Plane:
        """Compute the rectangle that holds the pixels, and answer those asked for."""
        a, b, c, d, e, f = self.projection.transform
        top, left = int(rows[0]), int(cols[0])
        window = replace(
            self.grid,
            transform=(a, b, c + a * left + b * top, d, e, f + d * left + e * top),
            height=int(rows[-1]) - top + 1,
            width=int(cols[-1]) - left + 1,
        )
        plane = self.run.plane(self.of, window)
        places = np.ix_(rows - top, cols - left)
        return Plane(values=plane.values[places], valid=plane.valid[places])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bilinear:
    """Pixels of a projection, weighted by distance to the four nearest centres; masked where one of them is."""

    of: Pixels
    projection: Projection

    def read(self, grid: Grid, run: Run) -> Plane:
        """Answer the plane on a grid."""
        projection = _coarsened(self.projection, grid)
        a, b, c, d, e, f = projection.transform
        source = _Endless(of=self.of, projection=projection, run=run)
        x, y = centres(grid)
        if not is_same_crs(grid.crs, self.projection.crs):
            x, y = projected(grid.crs, self.projection.crs, x, y)
        scale = a * e - b * d
        col = (e * (x - c) - b * (y - f)) / scale - 0.5
        row = (a * (y - f) - d * (x - c)) / scale - 0.5
        known = np.isfinite(col) & np.isfinite(row)
        if not known.any():
            return Plane(values=np.zeros(known.shape), valid=known)
        col, row = np.where(known, col, col[known].min()), np.where(known, row, row[known].min())
        left, top = np.floor(col + 1e-6).astype(np.int64), np.floor(row + 1e-6).astype(np.int64)
        across, down = np.clip(col - left, 0, 1), np.clip(row - top, 0, 1)
        rows, cols = np.arange(top.min(), top.max() + 2), np.arange(left.min(), left.max() + 2)
        plane = source.block(rows, cols)
        total, valid = np.zeros(known.shape), known
        for i, j, weight in ((0, 0, (1 - down) * (1 - across)), (0, 1, (1 - down) * across),
                             (1, 0, down * (1 - across)), (1, 1, down * across)):  # fmt: skip
            place = (top - rows[0] + i, left - cols[0] + j)
            total += weight * plane.values[place]
            valid = valid & (plane.valid[place] | (weight == 0))
        return Plane(values=total, valid=valid)


def _coarsened(projection: Projection, grid: Grid) -> Projection:
    """The projection with pixels doubled as often as they stay within the request's."""
    a, b, c, d, e, f = projection.transform
    own = Grid(crs=projection.crs, transform=projection.transform, width=1, height=1)
    size = 2.0 ** max(0, np.floor(np.log2(nominal_scale(grid) / nominal_scale(own)) + 1e-9))
    return Projection(crs=projection.crs, transform=(a * size, b * size, c, d * size, e * size, f))
