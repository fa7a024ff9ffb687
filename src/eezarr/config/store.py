"""`[store]`: how pixels are stored."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eezarr.config.sections import Positive, Section

__all__ = ["SampleStoreOptions", "StoreOptions"]

_NO_SHARDS = "Zarr format 2 has no shards: leave out shard, or use format = 3"


class StoreOptions(Section):
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
    overviews: bool | Literal["mean", "nearest"] = False
    """Coarser copies of the arrays, for readers that draw the whole region. `mean` or `nearest`: how they are made;
    true: as the asset's own are, or, of what is computed, the mean of floats and the nearest of integers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format == 2 and self.shard:
            raise ValueError(_NO_SHARDS)
        return self


class SampleStoreOptions(Section):
    """How samples are stored: a patch is a chunk, so there is no chunk and no layout to choose."""

    shard: Literal[False] | Annotated[int, Field(strict=True, gt=0)] = False
    """Samples per stored object; false: each is an object of its own."""
    compressor: Literal["auto", "zstd", "none"] = "auto"
    """`auto`: blosc lz4, bitshuffle for 1- and 2-byte types, shuffle for the rest."""
    format: Literal[2, 3] = 3
    """Zarr format; 2 for readers that know no v3."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format == 2 and self.shard:
            raise ValueError(_NO_SHARDS)
        return self
