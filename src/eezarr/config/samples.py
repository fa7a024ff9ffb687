"""Jobs of `eezarr samples`: patches at sites, as `[samples]` says."""

from collections.abc import Iterable
from math import fsum, isclose
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from eezarr.config.image import OneImage
from eezarr.config.jobfile import JobFile
from eezarr.config.output import Output
from eezarr.config.sections import Crs, Positive, PositiveNumber, Section, Text, exactly_one, given, none_of
from eezarr.config.store import SampleStoreOptions

__all__ = ["LabelImageOptions", "PolygonOptions", "SampleOptions", "SamplesJob", "SplitOptions"]

GEOJSON = (".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".jsonl")
SUFFIXES = (".csv", *GEOJSON, ".parquet", ".geoparquet", ".tsv", ".tab", ".txt")
"""What files of sites are called: those that `eezarr.samples.reading` takes, without its imports."""


def _site_file(path: Path) -> Path:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a file of sites ends in {', '.join(SUFFIXES)}")
    return path


class PolygonOptions(Section):
    """Where in polygons the sites are; without it each polygon is one site, as by `centroid`."""

    strategy: Literal["random", "stratified", "grid", "centroid"]
    """`random`: anywhere. `stratified`: anywhere, so many a class. `grid`: at a spacing. `centroid`: one inside."""
    per_polygon: Positive | None = None
    """For random: sites in each polygon."""
    per_class: Positive | None = None
    """For stratified: sites of each class, shared out over its polygons by area."""
    class_column: Text | None = None
    """For stratified: the column that says a polygon's class."""
    spacing: PositiveNumber | None = None
    """For grid: metres from one site to the next."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = {
            "random": ("per_polygon",),
            "stratified": ("per_class", "class_column"),
            "grid": ("spacing",),
            "centroid": (),
        }[self.strategy]
        every = ("per_polygon", "per_class", "class_column", "spacing")
        none_of(self, f'strategy = "{self.strategy}"', tuple(name for name in every if name not in needed))
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f'strategy = "{self.strategy}" needs {" and ".join(missing)}')
        return self


class SplitOptions(Section):
    """Splits: names with their shares, such as `train = 0.8`, which add up to 1; or a column that has the names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(init=False)

    by: Literal["hash", "column", "blocks"] = "hash"
    """`hash`: each site by its own id. `column`: as `split` says. `blocks`: the sites of a block stay together."""
    block_size: PositiveNumber | None = None
    """For blocks: metres per side, more than neighbours have to do with each other."""
    buffer: PositiveNumber | None = None
    """For blocks: sites nearer than so many metres to a block of another split are left out; a patch's diagonal, at
    least, keeps patches of two splits apart."""

    @property
    def fractions(self) -> dict[str, float]:
        """The share of each split, in the file's order."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.by == "blocks") != (self.block_size is not None):
            says = "needs block_size, in metres" if self.by == "blocks" else "has no blocks: leave out block_size"
            raise ValueError(f'by = "{self.by}" {says}')
        if self.buffer is not None and (self.block_size is None or 2 * self.buffer >= self.block_size):
            raise ValueError('buffer is for by = "blocks", and less than half of block_size: else nothing is left')
        if self.by == "column":
            if self.fractions:
                raise ValueError(f'by = "column" has no shares: leave out {", ".join(self.fractions)}')
        elif not self.fractions:
            raise ValueError("give splits with their shares, such as train = 0.8, val = 0.1, test = 0.1")
        elif not isclose(total := fsum(self.fractions.values()), 1, abs_tol=1e-9):
            raise ValueError(f"the shares of {', '.join(self.fractions)} add up to {total:.6g}, not 1")
        return self


class LabelImageOptions(OneImage):
    """A second image, of which a patch is each sample's label: exactly one of `asset`, `expression`, `python`."""

    band: Text | None = None
    """The band with the labels; default: the image's only one."""


class SampleOptions(Section):
    """Patches of one size, each centred at a site."""

    sites: Annotated[Path, AfterValidator(_site_file)]
    """A CSV, GeoJSON or GeoParquet file of points or polygons; CSV also with semicolons or tabs."""
    sites_crs: Crs | None = None
    """The CRS of the sites' coordinates; default: what the file says, else EPSG:4326."""
    x: Text | None = None
    """The column with the longitude or easting, where the file has no geometries; default: `x`, `lon`, `lng`, `long`,
    `longitude`, `decimalLongitude` or `POINT_X`."""
    y: Text | None = None
    """The column with the latitude or northing; default: `y`, `lat`, `latitude`, `decimalLatitude` or `POINT_Y`."""
    id: Text | None = None
    """The column with the sites' unique names; default: the position in the file, from 0."""
    label: Text | None = None
    """The column with the labels."""
    split: Text | None = None
    """The column that says which split a site is in."""
    date: Text | None = None
    """The column with the sites' own dates."""
    size: Positive | tuple[Positive, Positive]
    """Pixels per side, or height and width."""
    crs: Crs = "utm"
    """One for all patches, such as `EPSG:3035`; or `utm`: each site's own UTM zone."""
    resolution: PositiveNumber | None = None
    """CRS units per pixel."""
    scale: PositiveNumber | None = None
    """Nominal metres per pixel, as Earth Engine means it."""
    nearest: Positive | None = None
    """For a collection: so many time steps, the nearest to the site's own date."""
    window_days: Positive | None = None
    """For a collection: only images at most so many days from the site's own date."""
    shuffle: bool = False
    """Store the samples in a random order."""
    seed: Annotated[int, Field(ge=0)] = 0
    """What is random is the same again with the same seed."""
    polygons: PolygonOptions | None = None
    """Where in polygons the sites are."""
    splits: SplitOptions | None = None
    """How sites are divided, for training and the rest."""
    label_image: LabelImageOptions | None = None
    """An image of labels."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        exactly_one(self, ("resolution", "scale"))
        mistakes = [*self._of_file(), *self._of_columns()]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _of_file(self) -> Iterable[str]:
        suffix = self.sites.suffix.lower()
        named = given(self, ("x", "y"))
        if len(named) == 1:
            yield "x and y go together: name both columns, or none"
        if named and suffix in GEOJSON:
            yield f"{' and '.join(named)} cannot stand beside a GeoJSON file, which has geometries"

    def _of_columns(self) -> Iterable[str]:
        dated = given(self, ("nearest", "window_days"))
        if dated and self.date is None:
            yield f"{' and '.join(dated)}: give date, too, the column with the sites' own dates"
        by = None if self.splits is None else self.splits.by
        if by == "column" and self.split is None:
            yield 'splits.by = "column" needs split, the column that says which'
        if by in {"hash", "blocks"} and self.split is not None:
            yield f'split names a column, but splits.by = "{by}" does not read it; leave one out'


class SamplesJob(JobFile):
    """A checked job of `eezarr samples`: patches at sites, into a store."""

    misplaced: ClassVar[dict[str, str]] = {
        "grid": "a job with [samples] has no grid: each patch is on one of its own",
        "export": "a job with [samples] is for `eezarr samples`, which exports nothing",
    }

    output: Output
    """A path, or a file://, s3://, gs:// or az:// URL."""
    samples: SampleOptions
    store: SampleStoreOptions = Field(default_factory=SampleStoreOptions)

    def _mistakes(self) -> Iterable[str]:
        yield from super()._mistakes()
        dated = given(self.samples, ("nearest", "window_days"))
        if dated and self.collection is None:
            yield f"'samples.{dated[0]}' is for a [collection]; an image has no time steps"
        if self.fetch.tile != "auto":
            yield "'fetch.tile' does not apply: the size of a patch is `samples.size`"
