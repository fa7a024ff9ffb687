"""The name of a store: a place of its own, and none that says it is a file of another format."""

import os
from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field

from eezarr.errors import InvalidInput

__all__ = ["Output", "output_name"]

_ARRAYS = frozenset({".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf", ".hdf5", ".he5", ".grib", ".grib2", ".grb"})
_OTHERS = frozenset(
    f".{suffix}"
    for suffix in (
        *("tif", "tiff", "gtiff", "geotiff", "jp2", "j2k", "jpg", "jpeg", "png", "webp", "gif", "bmp", "vrt", "img"),
        *("zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "npy", "npz", "pt", "pth", "pkl", "tfrecord"),
        *("parquet", "geoparquet", "csv", "tsv", "txt", "toml", "json", "geojson", "kml", "kmz", "shp", "gpkg"),
        *("mbtiles", "pmtiles", "html", "pdf"),
    )
)


def output_name(output: object) -> str:
    """Return the output as text: a path, or a URL.

    Raises:
        InvalidInput: If it is empty, no path, or ends as files of another format do: a store is a folder of Zarr.
    """
    name = str(os.fspath(output)) if isinstance(output, str | os.PathLike) else ""
    if not name.strip() or "\0" in name:
        raise InvalidInput(
            f"{str(output)[:100]!r} is no output.", hint="Give a path, or a file://, s3://, gs:// or az:// URL."
        )
    path = PurePosixPath(name.replace("\\", "/").rstrip("/"))
    suffix = path.suffix.lower()
    if suffix in _ARRAYS | _OTHERS:
        way = f"then `eezarr convert {path.stem}.zarr {path.stem}.tif` writes GeoTIFF"
        if suffix in _ARRAYS:
            way += ", and `to_netcdf` of xarray NetCDF"
        raise InvalidInput(
            f"The output {name} is named as a {suffix} file, and a store is a folder of Zarr.",
            hint=f"Fetch into {path.stem}.zarr; {way}.",
        )
    return name


def _checked(value: object) -> str:
    try:
        return output_name(value)
    except InvalidInput as error:
        raise ValueError(f"{error.message.removesuffix('.')}. {error.hint.removesuffix('.')}") from error


Output: TypeAlias = Annotated[str, BeforeValidator(_checked), Field(min_length=1)]
"""A job's output."""
