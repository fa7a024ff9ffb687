"""How an export writes files: the options of GeoTIFF and TFRecord.

Source: https://developers.google.com/earth-engine/reference/rest/v1/ImageFileExportOptions,
https://developers.google.com/earth-engine/guides/tfrecord
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from eezarr.calls import checked_record
from eezarr.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eezarr.grid import Shape2D

__all__ = ["GeoTiffOptions", "TfRecordOptions"]


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class GeoTiffOptions:
    """GeoTIFF files.

    Raises:
        InvalidInput: If a file is no whole number of tiles.
    """

    cloud_optimized: bool = False
    """Whether they are Cloud Optimized GeoTIFFs, with overviews."""
    tile_size: int = 256
    """Pixels per side of the tiles in a file."""
    file_shape: Shape2D | None = None
    """Rows and columns of one file, whole tiles; None: as large as the service makes them."""
    skip_empty: bool = False
    """Whether files that are masked throughout are left out."""
    no_data: float | None = None
    """What masked pixels become; None: as the service writes them."""

    def __post_init__(self) -> None:
        if self.tile_size < 1 or (
            self.file_shape and (self.file_shape.height % self.tile_size or self.file_shape.width % self.tile_size)
        ):
            raise InvalidInput(
                f"Files of {self.file_shape} pixels are no whole tiles of {self.tile_size}.",
                hint="Make each side of the file a multiple of `tile_size`.",
            )

    def to_request(self) -> dict[str, object]:
        """Return the JSON of the file format and its options."""
        options: dict[str, object] = {"tileSize": self.tile_size}
        if self.cloud_optimized:
            options["cloudOptimized"] = True
        if self.file_shape is not None:
            options["tileDimensions"] = {"width": self.file_shape.width, "height": self.file_shape.height}
        if self.skip_empty:
            options["skipEmptyFiles"] = True
        if self.no_data is not None:
            options["noData"] = {"floatValue": self.no_data}
        return {"fileFormat": "GEO_TIFF", "geoTiffOptions": options}


@checked_record
@dataclass(frozen=True, slots=True, kw_only=True)
class TfRecordOptions:
    """TFRecord files of patches.

    Raises:
        InvalidInput: If a number is out of its range.
    """

    patch: Shape2D
    """Rows and columns of a patch."""
    margin: Shape2D | None = None
    """Rows and columns that neighbouring patches share on each side; None: none."""
    compress: bool = False
    """Whether files are gzipped."""
    max_bytes: int | None = None
    """The most that a file may have before compression; None: as the service decides."""
    default_value: float | None = None
    """What masked pixels become in partly masked patches; None: zero."""
    tensor_depths: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Lengths of array bands, by band."""
    sequence_data: bool = False
    """Whether each pixel is a SequenceExample."""
    collapse_bands: bool = False
    """Whether all bands become one tensor."""
    max_masked_ratio: float | None = None
    """The most of a patch that may be masked, 0 to 1, or it is left out; None: 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensor_depths", MappingProxyType(dict(self.tensor_depths)))
        if min(self.patch.height, self.patch.width) < 1:
            raise InvalidInput(f"Patches of {self.patch} pixels cannot be.", hint="Give positive rows and columns.")
        if self.max_masked_ratio is not None and not 0 <= self.max_masked_ratio <= 1:
            raise InvalidInput(f"A masked share of {self.max_masked_ratio} cannot be.", hint="Give 0 to 1.")

    def to_request(self) -> dict[str, object]:
        """Return the JSON of the file format and its options."""
        options: dict[str, object] = {
            "tileDimensions": {"width": self.patch.width, "height": self.patch.height},
            "compress": self.compress,
            "sequenceData": self.sequence_data,
            "collapseBands": self.collapse_bands,
        }
        if self.margin is not None:
            options["marginDimensions"] = {"width": self.margin.width, "height": self.margin.height}
        if self.max_bytes is not None:
            options["maxSizeBytes"] = str(self.max_bytes)
        if self.default_value is not None:
            options["defaultValue"] = self.default_value
        if self.tensor_depths:
            options["tensorDepths"] = dict(self.tensor_depths)
        if self.max_masked_ratio is not None:
            options["maxMaskedRatio"] = self.max_masked_ratio
        return {"fileFormat": "TF_RECORD_IMAGE", "tfRecordOptions": options}
