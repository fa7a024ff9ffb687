"""Local files as assets: GeoTIFFs through rasterio, Zarr arrays through zarr, both imported only here and when used.

Files are opened anew for each block, so that threads share nothing and no handle stays open. A Zarr store is a group
or an array; its two-dimensional arrays that carry a grid mapping (`spatial_ref` with `crs_wkt` and `GeoTransform`)
are bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eezarr.emulator.globes import Extent
from eezarr.emulator.images import Band, Image, of_dtype
from eezarr.emulator.pixels import Array, Run, StoredPixels
from eezarr.emulator.raster import Grid, Plane

if TYPE_CHECKING:
    from pathlib import Path

    from eezarr.emulator.texture import Indices


class UnreadableFile(Exception):
    """A file that cannot serve as an asset."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiffBand:
    """A band of a raster file."""

    path: Path
    number: int
    """1 for the first band."""
    grid: Grid

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Read the rectangle that holds the pixels, and answer those asked for."""
        del run
        import rasterio  # noqa: PLC0415 (an extra: only for local files)
        from rasterio.windows import Window  # noqa: PLC0415

        top, left = int(rows[0]), int(cols[0])
        window = Window(left, top, int(cols[-1]) - left + 1, int(rows[-1]) - top + 1)
        with rasterio.open(self.path) as dataset:
            values = dataset.read(self.number, window=window)
            valid = dataset.read_masks(self.number, window=window) > 0
        return _picked(_served(values), valid, rows - top, cols - left)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZarrBand:
    """An array of a Zarr store."""

    path: Path
    name: str
    """Empty if the store is the array."""
    grid: Grid
    fill: float | None
    """Value of masked pixels; None: all are valid. NaN is always masked."""

    def block(self, rows: Indices, cols: Indices, run: Run) -> Plane:
        """Read the rectangle that holds the pixels, and answer those asked for."""
        del run
        import zarr  # noqa: PLC0415 (only for local stores)

        node = zarr.open(self.path, mode="r")
        array = node[self.name] if isinstance(node, zarr.Group) else node
        if not isinstance(array, zarr.Array):
            raise UnreadableFile(f"{self.path}: {self.name} is no array")
        top, left = int(rows[0]), int(cols[0])
        values = np.asarray(array[top : int(rows[-1]) + 1, left : int(cols[-1]) + 1])
        valid = np.ones(values.shape, np.bool_) if values.dtype.kind != "f" else ~np.isnan(values)
        if self.fill is not None and not np.isnan(self.fill):
            valid = valid & (values != self.fill)
        return _picked(_served(values), valid, rows - top, cols - left)


def _served(values: Array) -> Array:
    """Values in a type that the service knows: 64-bit integers become float64."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    return values.astype(np.float64) if values.dtype.kind in "iu" and values.dtype.itemsize == 8 else values


def _picked(values: Array, valid: npt.NDArray[np.bool_], rows: Indices, cols: Indices) -> Plane:
    places = np.ix_(rows, cols)
    return Plane(values=values[places], valid=valid[places])


def _dtype(dtype: np.dtype[np.generic]) -> str:
    return _served(np.zeros(0, dtype)).dtype.name


def _file_band(name: str, stored: TiffBand | ZarrBand, dtype: str, sentinel: float) -> Band:
    kind = of_dtype(dtype)
    return Band(
        id=name,
        type=kind,
        pixels=StoredPixels(stored=stored, dtype=dtype, policy="SAMPLE"),
        grid=stored.grid,
        is_bounded=True,
        footprint=StoredPixels(stored=Extent(grid=stored.grid), dtype="uint8", policy="SAMPLE"),
        pyramiding="SAMPLE",
        sentinel=sentinel,
    )


def open_tiff(path: Path, name: str) -> Image:
    """Answer a raster file as an image; bands are named by their descriptions, else b1, b2 and so on.

    Raises:
        UnreadableFile: if it has no CRS.
        rasterio.errors.RasterioIOError: if it cannot be opened.
    """
    import rasterio  # noqa: PLC0415 (an extra: only for local files)

    with rasterio.open(path) as dataset:
        if dataset.crs is None:
            raise UnreadableFile(f"{path} has no CRS")
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        crs = dataset.crs.to_string()
        grid = Grid(crs=crs, transform=(a, b, c, d, e, f), width=dataset.width, height=dataset.height)
        bands = []
        for number in range(1, dataset.count + 1):
            label = dataset.descriptions[number - 1] or f"b{number}"
            dtype = _dtype(np.dtype(dataset.dtypes[number - 1]))
            nodata = dataset.nodatavals[number - 1]
            stored = TiffBand(path=path, number=number, grid=grid)
            bands.append(_file_band(label, stored, dtype, 0.0 if nodata is None else float(nodata)))
    return Image(bands=tuple(bands), properties={"system:index": name.rsplit("/", 1)[-1]}, id=name, version=1)


def _zarr_grid(attributes: dict[str, object], shape: tuple[int, ...]) -> Grid | None:
    """The grid that a grid mapping's attributes state, if they do."""
    wkt, transform = attributes.get("crs_wkt") or attributes.get("spatial_ref"), attributes.get("GeoTransform")
    if not isinstance(wkt, str) or not isinstance(transform, str):
        return None
    c, a, b, f, d, e = (float(part) for part in transform.split())
    return Grid(crs=wkt, transform=(a, b, c, d, e, f), width=shape[1], height=shape[0])


def open_zarr(path: Path, name: str) -> Image:
    """Answer a Zarr group's (or one array's) two-dimensional arrays as an image, bands named as the arrays.

    Raises:
        UnreadableFile: if none has a grid mapping.
    """
    import zarr  # noqa: PLC0415 (only for local stores)

    node = zarr.open(path, mode="r")
    arrays = {"": node} if isinstance(node, zarr.Array) else dict(node.arrays())
    shared = dict(arrays["spatial_ref"].attrs) if "spatial_ref" in arrays else {}
    bands = []
    for key, array in arrays.items():
        if array.ndim != 2:
            continue
        attributes: dict[str, object] = {**shared, **dict(array.attrs)}
        grid = _zarr_grid(attributes, array.shape)
        if grid is None:
            continue
        fill = attributes.get("_FillValue")
        known = float(fill) if isinstance(fill, int | float) else None
        stored = ZarrBand(path=path, name=key, grid=grid, fill=known)
        bands.append(_file_band(key or "b1", stored, _dtype(array.dtype), 0.0 if known is None else known))
    if not bands:
        raise UnreadableFile(f"{path} holds no two-dimensional array with a spatial_ref (crs_wkt and GeoTransform)")
    return Image(bands=tuple(bands), properties={"system:index": name.rsplit("/", 1)[-1]}, id=name, version=1)


def open_file(path: Path, name: str) -> Image:
    """Answer a local file or directory as an image asset of a name."""
    is_zarr = path.suffix == ".zarr" or (path / "zarr.json").exists() or (path / ".zgroup").exists()
    return open_zarr(path, name) if is_zarr else open_tiff(path, name)
