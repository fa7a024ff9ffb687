"""`[grid]`: which pixels."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from eezarr.config.sections import Crs, Number, Positive, PositiveNumber, Section, exactly_one, none_of

__all__ = ["GridOptions"]


class GridOptions(Section):
    """Which pixels: `native`, or `crs` with `resolution` or `scale`, or `crs` with `transform` and `shape`."""

    region: tuple[Number, Number, Number, Number] | Path | None = None
    """West, south, east, north in `region_crs`; or a GeoJSON file."""
    region_crs: Crs = "EPSG:4326"
    clip: bool = False
    """Pixels whose centre is outside the polygons of a GeoJSON region are masked, too."""
    native: str | None = None
    """A band: its own grid, cropped to whole native pixels by the region, if any."""
    crs: Crs | None = None
    """An authority code or its number, WKT, or `utm`: the zone of the region's middle."""
    resolution: PositiveNumber | tuple[PositiveNumber, PositiveNumber] | None = None
    """CRS units per pixel: a number, or x and y."""
    scale: PositiveNumber | None = None
    """Nominal metres per pixel, as Earth Engine means it (1 degree = 111 319.49079327358 m)."""
    align: Literal["lattice", "region"] = "lattice"
    """`lattice`: edges on multiples of the resolution from the CRS origin. `region`: starts at the region's corner."""
    transform: tuple[Number, Number, Number, Number, Number, Number] | None = None
    """The exact grid, in rasterio's order: a, b, c, d, e, f."""
    shape: tuple[Positive, Positive] | None = None
    """Height and width, with `transform`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.clip and not isinstance(self.region, Path):
            raise ValueError("clip needs a region that is a GeoJSON file: a box has nothing to clip")
        if self.native is not None:
            none_of(self, "native", ("crs", "resolution", "scale", "transform", "shape"))
            return self
        if self.crs is None:
            raise ValueError("give native, or crs with resolution, scale or transform")
        exactly_one(self, ("resolution", "scale", "transform"))
        if (self.transform is None) != (self.shape is None):
            raise ValueError("transform and shape go together: shape = [height, width]")
        if self.transform is not None:
            none_of(self, "transform", ("region",))
        elif self.region is None:
            raise ValueError("a resolution or scale needs a region")
        return self
