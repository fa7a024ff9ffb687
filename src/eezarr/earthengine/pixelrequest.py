"""One request for pixels or a picture, checked before it is sent.

Where the reference leaves a choice, it is made here, and the service never has to guess:

1. `region` and `grid`: getPixels reads the bounding box of the region in the output CRS. With dimensions the box is
   rescaled to them; with a transform its lattice is kept and the box cut to it. A whole grid says all that a region
   could, so both together are refused.
2. A grid of which parts are left out is completed from the asset's own (getPixels). For a computed image the reference
   does not say from what: there a grid is whole, or absent altogether.
3. `visualizationOptions` go with every format: NPY and GeoTIFF then hold the 8-bit colours.
4. JPEG and PNG show one or three bands. Whether bands without options are 8-bit is for the service to tell.

Source: https://developers.google.com/earth-engine/reference/rest/v1/projects.assets/getPixels,
https://developers.google.com/earth-engine/reference/rest/v1/ImageFileFormat
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from eezarr.calls import checked_record
from eezarr.earthengine.expression import parse_expression
from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.earthengine.expression import Expression, Serializable
    from eezarr.earthengine.visualization import Visualization

__all__ = ["FileFormat", "PartialGrid", "PixelRequest", "RequestKind"]

FileFormat: TypeAlias = Literal[
    "NPY", "GEO_TIFF", "PNG", "JPEG", "AUTO_JPEG_PNG", "ZIPPED_GEO_TIFF", "ZIPPED_GEO_TIFF_PER_BAND", "TF_RECORD_IMAGE"
]

RequestKind: TypeAlias = Literal["getPixels", "computePixels", "thumbnails.create"]

_PICTURES = frozenset({"PNG", "JPEG", "AUTO_JPEG_PNG"})
_ZIPPED = frozenset({"ZIPPED_GEO_TIFF", "ZIPPED_GEO_TIFF_PER_BAND"})
_ANY = _PICTURES | {"NPY", "GEO_TIFF"}
_AFFINE = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class PartialGrid:
    """A pixel grid of which parts are left to the asset's own.

    Raises:
        InvalidInput: If one side is given without the other, a side is not positive, or the transform has not six
            numbers.
    """

    crs: str | None = None
    """A code, such as `EPSG:32610`, or WKT; None: the asset's."""
    transform: tuple[float, ...] | None = None
    """Six numbers in rasterio's order: a, b, c, d, e, f; None: the asset's lattice."""
    height: int | None = None
    """Rows; None: as many as there are."""
    width: int | None = None
    """Columns; None: as many as there are."""

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None) or min(self.height or 1, self.width or 1) < 1:
            raise InvalidInput(
                f"A grid of {self.height} x {self.width} pixels cannot be.", hint="Give height and width, or neither."
            )
        if self.transform is not None and len(self.transform) != 6:
            raise InvalidInput(
                f"A transform of {len(self.transform)} numbers cannot be.", hint="Give six: a, b, c, d, e, f."
            )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return None not in (self.crs, self.transform, self.height)

    def to_request(self) -> dict[str, object]:
        """Return the JSON of what is stated."""
        grid: dict[str, object] = {}
        if self.height is not None:
            grid["dimensions"] = {"width": self.width, "height": self.height}
        if self.transform is not None:
            grid["affineTransform"] = dict(zip(_AFFINE, map(float, self.transform), strict=True))
        if self.crs is not None:
            grid["crsWkt" if "[" in self.crs else "crsCode"] = self.crs
        return grid


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRequest:
    """The body of getPixels, computePixels or thumbnails.create; see the module for what goes together.

    Raises:
        InvalidInput: If the parts contradict each other.
    """

    file_format: FileFormat = "NPY"
    """The encoding of the answer; which ones a method has, `body` checks."""
    bands: tuple[str, ...] | None = None
    """Bands in the order wanted; None: all."""
    grid: PixelGrid | PartialGrid | None = None
    """The pixels; None: the image's own."""
    region: Mapping[str, object] | None = field(default=None, hash=False)
    """GeoJSON geometry in longitude and latitude (getPixels); its bounding box in the output CRS is read."""
    visualization: Visualization | None = None
    """How values become 8-bit colours; None: values as they are."""
    expression: Expression | Serializable | None = None
    """What is computed (computePixels, thumbnails): an `ee.Image`, or what `parse_expression` made; kept as that."""
    workload_tag: str | None = None
    """Tag under which usage is reported, instead of the client's."""

    def __post_init__(self) -> None:
        if self.expression is not None:
            object.__setattr__(self, "expression", parse_expression(self.expression))
        names: object = self.bands  # whoever has no type checker may give anything
        if not isinstance(names, tuple | list | None) or not all(isinstance(name, str) for name in names or ()):
            raise InvalidInput(f"{str(self.bands)[:100]!r} are no bands.", hint='Write them as bands=("B4", "B8").')
        count = None if self.bands is None else len(self.bands)
        if self.file_format not in get_args(FileFormat):
            raise InvalidInput(
                f"{str(self.file_format)[:40]!r} is no file format.", hint=f"Use {', '.join(get_args(FileFormat))}."
            )
        if count == 0:
            raise InvalidInput("No band is asked for.", hint="Name one at least, or leave `bands` out.")
        if self.file_format in _PICTURES and count not in (None, 1, 3):
            raise InvalidInput(f"A picture of {count} bands cannot be.", hint="Name one band or three.")
        if self.visualization is not None and count is not None:
            self.visualization.require_bands(count)
        if self.region is not None:
            _check_region(self.region, self.grid)

    def body(self, kind: RequestKind) -> dict[str, object]:
        """Return the JSON body for a method; for a thumbnail without the workload tag, which its query holds.

        Raises:
            InvalidInput: If the method does not take such a request; the message names the method.
        """
        self._check(kind)
        document: dict[str, object] = {"fileFormat": self.file_format}
        if self.expression is not None:
            document["expression"] = json.loads(str(self.expression))
        if self.bands is not None:
            document["bandIds"] = list(self.bands)
        if self.grid is not None:
            document["grid"] = self.grid.to_request()
        if self.region is not None:
            document["region"] = dict(self.region)
        if self.visualization is not None:
            document["visualizationOptions"] = self.visualization.to_request()
        if self.workload_tag is not None and kind != "thumbnails.create":
            document["workloadTag"] = self.workload_tag
        return document

    def _check(self, kind: RequestKind) -> None:
        is_served = self.file_format in _ANY or (self.file_format in _ZIPPED and kind == "thumbnails.create")
        if not is_served:
            raise InvalidInput(f"{kind} does not answer in the format {self.file_format}.", hint=_format_hint(self))
        if kind == "getPixels":
            if self.expression is not None:
                raise InvalidInput("getPixels computes no expression.", hint="Use compute_pixels.")
            return
        if self.expression is None:
            raise InvalidInput(
                f"{kind} needs an expression.",
                hint="Give an `ee.Image`, or use `parse_expression`.",
            )
        if self.region is not None:
            raise InvalidInput(
                f"{kind} knows no region.", hint="Give the grid instead: `PixelGrid.from_region` makes it."
            )
        if isinstance(self.grid, PartialGrid) and not self.grid.is_whole:
            raise InvalidInput(
                f"{kind} was given part of a grid; what the rest would be is not defined.",
                hint="Give crs, transform, height and width, or no grid at all.",
            )


def _check_region(region: Mapping[str, object], grid: PixelGrid | PartialGrid | None) -> None:
    if not isinstance(region.get("type"), str):
        raise InvalidInput("The region is no GeoJSON geometry.", hint="Give an object with `type` and `coordinates`.")
    if region["type"] in {"Feature", "FeatureCollection"}:
        raise InvalidInput(f"The region is a {region['type']}.", hint="Give its `geometry`.")
    is_settled = isinstance(grid, PixelGrid) or (grid is not None and None not in (grid.transform, grid.height))
    if is_settled:
        raise InvalidInput(
            "A region and a grid with transform and dimensions say the same thing twice.",
            hint="Leave the region, the transform or the dimensions out.",
        )


def _format_hint(request: PixelRequest) -> str:
    if request.file_format == "TF_RECORD_IMAGE":
        return "TFRecord files are written by exports: use export_image."
    if request.file_format in _ZIPPED:
        return "Zipped GeoTIFFs are made by thumbnails: use create_thumbnail."
    return f"Use one of {', '.join(sorted(_ANY))}."
