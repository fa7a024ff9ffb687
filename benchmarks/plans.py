"""Plans of one scene's grid, made as a job makes them."""

from __future__ import annotations

from affine import Affine

from benchmarks.scenes import BANDS, CRS, ORIGIN
from eezarr.grid import PixelGrid, Shape2D
from eezarr.plan import COMPUTE_PIXELS_LIMITS, Band, Budget, LayoutRequest, Plan, make_plan

__all__ = ["plan_of"]


def plan_of(
    side: int,
    *,
    band_count: int = 4,
    tile: tuple[int, int] | None = None,
    chunk: int | None = None,
    pixel_m: float = 10.0,
    concurrency: int = 40,
) -> Plan:
    """Return the plan of a square region of uint16 bands, read by computePixels.

    Args:
        side: Pixels of the region's side.
        band_count: Bands.
        tile: Height and width of a tile; None chooses.
        chunk: Pixels of a chunk's side; None: the default.
        pixel_m: A pixel's side in metres: small ones keep large regions within the CRS.
        concurrency: Requests at a time at the most.
    """
    return make_plan(
        image_key="benchmark",
        grid=PixelGrid(
            crs=CRS, transform=Affine(pixel_m, 0.0, ORIGIN[0], 0.0, -pixel_m, ORIGIN[1]), width=side, height=side
        ),
        bands=tuple(Band(name, "uint16") for name in BANDS[:band_count]),
        limits=COMPUTE_PIXELS_LIMITS,
        layout=LayoutRequest(chunk=chunk),
        budget=Budget(concurrency=concurrency),
        tile=None if tile is None else Shape2D(*tile),
    )
