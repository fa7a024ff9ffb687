"""A region on an asset's own pixels, and whether two grids meet."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from eezarr.errors import InvalidInput
from eezarr.grid.crs import parse_crs, projector, short_name
from eezarr.grid.lattice import EDGE_PX, Bounds, whole_pixels
from eezarr.grid.model import PixelGrid, Window

if TYPE_CHECKING:
    from eezarr.grid.crs import Points, Project
    from eezarr.grid.region import Region

__all__ = ["crop_native", "footprints_overlap"]


def crop_native(native: PixelGrid, region: Region | None, region_crs: str = "EPSG:4326") -> PixelGrid:
    """Return the smallest window of a native grid that holds all of its pixels which the region touches.

    Its pixels are the asset's own: nothing is resampled, whatever the grid's rotation, shear or orientation.

    Args:
        native: The asset's grid.
        region: A box or GeoJSON polygons; None keeps the whole asset.
        region_crs: The region's CRS.

    Raises:
        InvalidInput: If the region is invalid or entirely outside the asset.
    """
    if region is None:
        return native
    from eezarr.grid.extent import region_extent
    from eezarr.grid.region import rings_of

    rings = rings_of(region, region_crs)
    problem: InvalidInput | None = None
    touched: Bounds | None = None
    try:
        touched = region_extent(
            rings, region_crs, native.crs, tolerance=EDGE_PX, to_uv=native.to_pixels, clip=_frame(native)
        )
    except InvalidInput as error:
        problem = error
    if touched is None:
        if _holds(rings, region_crs, native):
            return native
        raise problem or _outside(rings, region_crs, native)
    first_col, end_col = whole_pixels(touched.min_x, touched.max_x)
    first_row, end_row = whole_pixels(touched.min_y, touched.max_y)
    return native.window(Window(row=first_row, col=first_col, height=end_row - first_row, width=end_col - first_col))


def footprints_overlap(first: PixelGrid, second: PixelGrid) -> bool:
    """Return whether two grids share ground; True also where their CRSs do not let one say.

    Args:
        first: A grid.
        second: Another, in any CRS.
    """
    from eezarr.grid.extent import boundary_extent

    known = False
    for here, there in ((first, second), (second, first)):
        try:
            box, torn = boundary_extent([_outline(here)], _between(here, there), tolerance=0.01, clip=_frame(there))
        except InvalidInput:
            continue
        if box is not None or torn:
            return True
        known = True
    return not known


def _between(here: PixelGrid, there: PixelGrid) -> Project:
    """From one grid's pixel coordinates to another's."""
    project = projector(here.crs, there.crs)
    return lambda pixels: there.to_pixels(project(here.to_crs(pixels)))


def _frame(grid: PixelGrid) -> Bounds:
    """The grid in its own pixels, less a hair, so that what only touches its edge is outside."""
    return Bounds(EDGE_PX, EDGE_PX, grid.width - EDGE_PX, grid.height - EDGE_PX)


def _outline(grid: PixelGrid) -> Points:
    import numpy as np

    width, height = grid.width, grid.height
    return np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)], dtype=np.float64)


def _holds(rings: list[Points], region_crs: str, native: PixelGrid) -> bool:
    """Whether the whole asset is in the region, found from the asset's side: for regions that cannot be projected."""
    import numpy as np

    from eezarr.grid.extent import is_inside

    corners = _outline(native)
    share = np.linspace(0, 1, 9)[:-1, None]
    edges = np.concatenate([a + (b - a) * share for a, b in pairwise(corners)])
    try:
        points = projector(native.crs, region_crs)(native.to_crs(edges))
    except InvalidInput:
        return False
    if parse_crs(region_crs).is_geographic:
        west = min(float(ring[:, 0].min()) for ring in rings)
        points = np.column_stack([points[:, 0] + 360 * (points[:, 0] < west - 1e-9), points[:, 1]])
    return all(is_inside((float(x), float(y)), rings) for x, y in points)


def _outside(rings: list[Points], region_crs: str, native: PixelGrid) -> InvalidInput:
    import numpy as np

    from eezarr.grid.extent import boundary_extent

    points = np.concatenate(rings)
    region = _box_text((*points.min(axis=0), *points.max(axis=0)))
    asset, crs = _box_text(native.bounds), native.crs
    try:
        project = projector(native.crs, region_crs)
        box, torn = boundary_extent([_outline(native)], lambda pixels: project(native.to_crs(pixels)), tolerance=1e-6)
        if box is not None and not torn:
            asset, crs = _box_text(box), region_crs
    except InvalidInput:
        pass
    return InvalidInput(
        f"The region ({region} in {short_name(region_crs)}) is outside the asset ({asset} in {short_name(crs)}).",
        hint="Choose a region that overlaps the asset; check the order west, south, east, north and region_crs.",
    )


def _box_text(box: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.8g}" for value in box)
