"""The job file: TOML in, one frozen record out, every mistake named before anything is sent.

A key that does not exist is an error that names the nearest one that does. Paths of other files (an expression, a
recipe, a region) are relative to the job file; the output is relative to where the command runs.
"""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from eezarr.errors import InvalidInput

__all__ = [
    "ExportJob",
    "ExportOptions",
    "FetchOptions",
    "GridOptions",
    "ImageOptions",
    "Job",
    "LimitOptions",
    "MaskOptions",
    "PixelJob",
    "StoreOptions",
]

Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ImageOptions(_Section):
    """What is read: exactly one of `asset`, `expression`, `python`."""

    asset: str | None = None
    """An asset id, such as `COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG`."""
    expression: Path | None = None
    """A JSON file with an Expression, as `ee.serializer.encode` or `Image.serialize()` write it."""
    python: str | None = None
    """`file.py:function`: a function without arguments that returns an `ee.Image` (extra `ee`)."""
    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The bands to fetch, in this order; default: all."""
    method: Literal["auto", "getPixels", "computePixels"] = "auto"
    """`auto`: getPixels for a plain asset, computePixels for the rest."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _exactly_one(self, ("asset", "expression", "python"))
        if self.method == "getPixels" and self.asset is None:
            raise ValueError('method = "getPixels" reads assets only; leave it out, or give an asset')
        return self


class GridOptions(_Section):
    """Which pixels: `native`, or `crs` with `resolution` or `scale`, or `crs` with `transform` and `shape`."""

    region: tuple[Number, Number, Number, Number] | Path | None = None
    """West, south, east, north in `region_crs`; or a GeoJSON file."""
    region_crs: str = "EPSG:4326"
    native: str | None = None
    """A band: its own grid, cropped to whole native pixels by the region, if any."""
    crs: str | None = None
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
        if self.native is not None:
            _none_of(self, "native", ("crs", "resolution", "scale", "transform", "shape"))
            return self
        if self.crs is None:
            raise ValueError("give native, or crs with resolution, scale or transform")
        _exactly_one(self, ("resolution", "scale", "transform"))
        if (self.transform is None) != (self.shape is None):
            raise ValueError("transform and shape go together: shape = [height, width]")
        if self.transform is not None:
            _none_of(self, "transform", ("region",))
        elif self.region is None:
            raise ValueError("a resolution or scale needs a region")
        return self


class MaskOptions(_Section):
    """What becomes of masked pixels."""

    mode: Literal["none"] = "none"
    """`none`: as the service answers, which is zero or whatever lies under the mask."""
    fill: int | float | None = None
    """What masked pixels become; not used by the mode `none`."""


class StoreOptions(_Section):
    """How pixels are stored."""

    layout: Literal["bands", "stacked"] = "bands"
    """`bands`: one array (y, x) a band, in its own type. `stacked`: one array `pixels` (band, y, x), one type."""
    chunk: Positive | None = None
    """Pixels per side; default 1024, stacked 512."""
    shard: bool = False
    """A tile is one stored object per array: fewer objects, which GDAL reads from 3.13 on."""
    compressor: Literal["auto", "zstd", "none"] = "auto"
    """`auto`: blosc lz4, bitshuffle for 1- and 2-byte types, shuffle for the rest."""
    format: Literal[2, 3] = 3
    """Zarr format; 2 for readers that know no v3 (GDAL before 3.12)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format == 2 and self.shard:
            raise ValueError("Zarr format 2 has no shards: leave out shard, or use format = 3")
        return self


class LimitOptions(_Section):
    """The limits of one request, where a project's differ from the documented ones."""

    bytes: Positive | None = None
    """Accounted bytes; default 33554432 for getPixels, 50331648 for computePixels."""
    side: Positive | None = None
    """Pixels a side; default 10000 and 32768."""
    bands: Positive | None = None
    """Bands; default 1024."""


class FetchOptions(_Section):
    """How pixels are asked for."""

    api_url: str = "https://earthengine-highvolume.googleapis.com"
    """The service; `EEZARR_API_URL` sets the default."""
    tile: Literal["auto"] | tuple[Positive, Positive] = "auto"
    """Height and width of a tile in pixels, whole chunks."""
    max_concurrency: Positive = 40
    """Requests at a time at the most."""
    max_requests_per_second: PositiveNumber = 100
    attempts: Positive = 8
    """Attempts for one tile; throttled ones do not count."""
    deadline_s: PositiveNumber = 1800
    """Seconds for one tile, waits included."""
    memory: ByteSize = ByteSize(2 << 30)
    """The most that tiles in flight may hold."""
    hedge: bool = False
    """Ask for a tile that is far slower than its peers a second time (at most 2 % more requests)."""
    gzip: bool | Literal["auto"] = "auto"
    """Ask for compressed bodies; `auto`: where the network is measured to be what binds."""
    workload_tag: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")
    """A label for the project's usage reports."""
    limits: LimitOptions = LimitOptions()

    @model_validator(mode="before")
    @classmethod
    def _default_url(cls, data: object) -> object:
        import os  # noqa: PLC0415 - here, where the environment is read

        url = os.environ.get("EEZARR_API_URL")
        return {"api_url": url, **data} if url and isinstance(data, dict) else data


Pyramiding: TypeAlias = Literal["MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"]


class GeoTiffSection(_Section):
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


class TfRecordSection(_Section):
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
    tensor_depths: dict[str, Positive] = {}
    """Lengths of array bands, by band."""
    sequence_data: bool = False
    collapse_bands: bool = False
    max_masked_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """The most of a patch that may be masked."""


class ExportOptions(_Section):
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
    pyramiding_overrides: dict[str, Pyramiding] = {}
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
        _none_of(self, self.destination, tuple(name for name in every if name not in kept))
        if self.geotiff is not None:
            _none_of(self, "geotiff", ("tfrecord",))
        return self


class PixelJob(_Section):
    """What every job has: what to read, on which grid, and how to ask."""

    project: str | None = None
    """Default: EARTHENGINE_PROJECT, GOOGLE_CLOUD_PROJECT, else what the credentials name."""
    image: ImageOptions
    grid: GridOptions
    fetch: FetchOptions = Field(default_factory=lambda: FetchOptions.model_validate({}))
    folder: Path = Field(default=Path(), exclude=True)
    """Where the job file lies; paths of other files start here."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the job of a TOML file.

        Raises:
            InvalidInput: If the file cannot be read, is no TOML, or says something that makes no job.
        """
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidInput(
                f"The job file {path} cannot be read: {error.strerror or error}.", hint="Give the path of a job file."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is not TOML: {error}.", hint="Mend that line.") from error
        return cls.parse({**data, "folder": path.parent}, name=str(path))

    @classmethod
    def parse(cls, data: dict[str, object], *, name: str = "The job") -> Self:
        """Return the job of a mapping, as a TOML file would hold it.

        Raises:
            InvalidInput: If it makes no job; the message names every mistake.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems = "; ".join(_explain(cls, problem) for problem in error.errors(include_url=False))
            raise InvalidInput(
                f"{name}: {problems}.", hint="`eezarr schema` prints all keys with what they mean."
            ) from error

    def replaced(
        self, *, output: str | None = None, api_url: str | None = None, max_concurrency: int | None = None
    ) -> Self:
        """Return the job with what the command line overrides.

        Raises:
            InvalidInput: If a value makes no job.
        """
        fetch = {"api_url": api_url, "max_concurrency": max_concurrency}
        data = self.model_dump(exclude_unset=True)
        data["fetch"] = {**data.get("fetch", {}), **{key: value for key, value in fetch.items() if value is not None}}
        data["folder"] = self.folder
        return self.parse({**data, **({"output": output} if output else {})})

    def beside(self, path: Path) -> Path:
        """Return the place of a file that the job names."""
        return self.folder / path


class Job(PixelJob):
    """A checked job of `eezarr fetch`: pixels into a store."""

    output: str
    """A path, or a file://, s3://, gs:// or az:// URL."""
    mask: MaskOptions = MaskOptions()
    store: StoreOptions = StoreOptions()
    export: ExportOptions | None = None
    """For `eezarr export` only."""


class ExportJob(PixelJob):
    """A checked job of `eezarr export`: needs no output. The same file may serve `eezarr fetch`, too."""

    export: ExportOptions
    output: str | None = None
    """For `eezarr fetch` only."""
    mask: MaskOptions = MaskOptions()
    store: StoreOptions = StoreOptions()


def json_schema() -> str:
    """Return the JSON Schema of a job file."""
    schema = Job.model_json_schema()
    schema["properties"].pop("folder")
    schema["required"].remove("output")
    schema["anyOf"] = [{"required": ["output"]}, {"required": ["export"]}]
    return json.dumps(schema, indent=2)


def _exactly_one(section: _Section, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(section, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}, not {' and '.join(given) or 'none'}")


def _none_of(section: _Section, beside: str, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(section, name) is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} cannot stand beside {beside}")


def _explain(model: type[BaseModel], problem: object) -> str:
    assert isinstance(problem, dict)
    path = [str(part) for part in problem["loc"]]
    place = ".".join(path) or "the job"
    if problem["type"] == "extra_forbidden":
        return f"there is no key {place!r}{_nearest(model, path)}"
    if problem["type"] == "missing":
        return f"{place!r} is missing"
    return f"{place!r}: {str(problem['msg']).removeprefix('Value error, ')} (got {problem['input']!r})"


def _nearest(model: type[BaseModel], path: list[str]) -> str:
    for part in path[:-1]:
        annotation = model.model_fields[part].annotation
        sections = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        model = next(kind for kind in sections if issubclass(kind, BaseModel))
    names = [name for name in model.model_fields if name != "folder"]
    close = get_close_matches(path[-1], names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; the keys here are {', '.join(names)}"
