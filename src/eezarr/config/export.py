"""`[export]`: a batch export, for `eezarr export`."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eezarr.config.sections import Number, Positive, Section, none_of

__all__ = ["ExportOptions", "GeoTiffSection", "TfRecordSection"]

Pyramiding: TypeAlias = Literal["MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"]


class GeoTiffSection(Section):
    """How an export writes GeoTIFF files."""

    cloud_optimized: bool = False
    tile_size: Positive = 256
    """Pixels per side of the tiles in a file."""
    file_shape: tuple[Positive, Positive] | None = None
    """Height and width of one file, whole tiles; default: as large as the service makes them."""
    skip_empty: bool = False
    """Leave out files that are masked throughout."""
    no_data: Number | None = None
    """What masked pixels become; default: as the service writes them."""


class TfRecordSection(Section):
    """How an export writes TFRecord files."""

    patch: tuple[Positive, Positive]
    """Height and width of a patch."""
    margin: tuple[Positive, Positive] | None = None
    """Height and width that a patch shares with its neighbours."""
    compress: bool = False
    max_bytes: Positive | None = None
    """The most that a file may have before compression."""
    default_value: Number | None = None
    """What masked pixels become in partly masked patches; default 0."""
    tensor_depths: dict[str, Positive] = Field(default_factory=dict)
    """Lengths of array bands, by band."""
    sequence_data: bool = False
    collapse_bands: bool = False
    max_masked_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """The most of a patch that may be masked."""


class ExportOptions(Section):
    """A batch export, for `eezarr export`: files in Cloud Storage or Drive, or an asset."""

    destination: Literal["cloud-storage", "drive", "asset"]
    bucket: str | None = None
    """For cloud-storage: the bucket's name."""
    folder: str | None = None
    """For drive: the folder's name; default: the root."""
    prefix: str | None = None
    """For files: what their names begin with."""
    asset: str | None = None
    """For an asset: `projects/P/assets/...`."""
    overwrite: bool = False
    """For an asset: replace one that is there."""
    pyramiding: Pyramiding = "MEAN"
    """For an asset: how coarser levels are made."""
    pyramiding_overrides: dict[str, Pyramiding] = Field(default_factory=dict)
    """For an asset: the same, for single bands."""
    geotiff: GeoTiffSection | None = None
    """For files: GeoTIFF, which is the default."""
    tfrecord: TfRecordSection | None = None
    """For files: TFRecord."""
    description: Annotated[str, Field(max_length=100)] = ""
    """What the list of operations shows."""
    max_pixels: Positive = 100_000_000
    """A guard against larger exports than intended."""
    priority: Annotated[int, Field(ge=0, le=9999)] | None = None
    """Higher is sooner; default 100. Other values are for paid projects."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = {"cloud-storage": ("bucket", "prefix"), "drive": ("prefix",), "asset": ("asset",)}[self.destination]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.destination} needs {' and '.join(missing)}")
        optional = ("folder", "geotiff", "tfrecord") if self.destination == "drive" else ("geotiff", "tfrecord")
        kept = {*needed, *(() if self.destination == "asset" else optional)}
        every = ("bucket", "folder", "prefix", "asset", "geotiff", "tfrecord")
        none_of(self, self.destination, tuple(name for name in every if name not in kept))
        if self.geotiff is not None:
            none_of(self, "geotiff", ("tfrecord",))
        return self
