"""The emulated Earth Engine as one object: assets by name, values of expressions, pixels on grids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from eezarr.emulator.catalogue import Catalogue
from eezarr.emulator.images import Band, Image
from eezarr.emulator.interpreter import evaluate
from eezarr.emulator.pixels import BLOCK_HEIGHT, BLOCK_WIDTH, Array, Run, cast_to
from eezarr.emulator.raster import (
    AssetNotFound,
    EvaluationError,
    Grid,
    Json,
    Plane,
    RasterBand,
    StoredImage,
)
from eezarr.emulator.terrain import hashed
from eezarr.emulator.values import Collection, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UnderMask: TypeAlias = Literal["zero", "sentinel", "noise"]
"""What pixels hold under their mask: 0; what the asset stores there (0 for what is computed); or a hash of place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageRaster:
    """An image of the world as the server reads it."""

    image: Image
    under_mask: UnderMask

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        """Answer the bands as metadata describes them."""
        return tuple(band.described() for band in self.image.bands)

    @property
    def is_bounded(self) -> bool:
        """Answer whether pixels end where the grid does."""
        return bool(self.image.bands) and all(band.is_bounded or band.extent is not None for band in self.image.bands)

    def info(self) -> dict[str, Json]:
        """Answer what `getInfo()` prints."""
        return self.image.info()

    def read(self, grid: Grid, band_ids: Sequence[str]) -> list[Plane]:
        """Answer bands on a grid, block by block.

        Raises:
            EvaluationError: if a band does not exist or cannot be computed.
        """
        bands = [self.image.band(name) for name in band_ids]
        shape = (grid.height, grid.width)
        planes = [Plane(values=np.empty(shape, band.type.dtype), valid=np.empty(shape, np.bool_)) for band in bands]
        for top in range(0, grid.height, BLOCK_HEIGHT):
            for left in range(0, grid.width, BLOCK_WIDTH):
                height, width = min(BLOCK_HEIGHT, grid.height - top), min(BLOCK_WIDTH, grid.width - left)
                window = grid.part(top, left, height, width)
                place = (slice(top, top + window.height), slice(left, left + window.width))
                self._read_block(window, bands, planes, place)
        return planes

    def _read_block(
        self, window: Grid, bands: Sequence[Band], planes: Sequence[Plane], place: tuple[slice, slice]
    ) -> None:
        run = Run()
        for band, whole in zip(bands, planes, strict=True):
            try:
                plane = run.plane(band.pixels, window)
            except RecursionError:
                raise EvaluationError("Computation is nested too deeply.") from None
            values = whole.values[place]
            values[...] = cast_to(plane.values, band.type.dtype)
            whole.valid[place] = plane.valid
            if not plane.valid.all():
                self._fill(values, ~plane.valid, band, window)

    def _fill(self, values: Array, masked: npt.NDArray[np.bool_], band: Band, window: Grid) -> None:
        """Write what lies under the mask."""
        if self.under_mask == "noise":
            values[masked] = noise(window, np.dtype(band.type.dtype))[masked]
            return
        stored = self.under_mask == "sentinel" and band.sentinel is not None
        values[masked] = cast_to(np.asarray(band.sentinel if stored else 0), band.type.dtype)


def noise(grid: Grid, dtype: np.dtype[np.generic]) -> Array:
    """Answer worthless values that depend on each pixel's place only, so that every tiling finds the same."""
    a, b, c, d, e, f = grid.transform
    size = max(abs(a), abs(b)), max(abs(d), abs(e))
    cols, rows = np.arange(grid.width), np.arange(grid.height)
    x = (c + a * (cols + 0.5))[None, :] + (b * (rows + 0.5))[:, None]
    y = (f + d * (cols + 0.5))[None, :] + (e * (rows + 0.5))[:, None]
    places = [np.floor(place / step + 1e-3).astype(np.int64) for place, step in ((x, size[0]), (y, size[1]))]
    bits = hashed(places[1], places[0], 9)
    if dtype.kind == "f":
        return (bits / 2.0**20 - 1024.0).astype(dtype)
    return (bits >> np.uint32(32 - 8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").view(dtype)


class SyntheticWorld:
    """A `World` of synthetic assets and local files."""

    __slots__ = ("_catalogue", "identity", "under_mask")

    def __init__(
        self,
        *,
        under_mask: UnderMask = "zero",
        files: Mapping[str, str | Path] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Make a world.

        Args:
            under_mask: what pixels hold under their mask.
            files: asset id to the path of a GeoTIFF or a Zarr store.
            aliases: other ids of assets: new id to existing id.

        Raises:
            UnreadableFile: if a file cannot serve as an asset.
        """
        self.under_mask = under_mask
        paths = {identifier: Path(path) for identifier, path in (files or {}).items()}
        self._catalogue = Catalogue(paths, aliases or {})
        self.identity = _identity(under_mask, paths, aliases or {})
        """What tells this world from others whose pixels differ, also when it is made again elsewhere."""

    def asset(self, name: str) -> dict[str, Json]:
        """Answer the EarthEngineAsset JSON of a name; raises `AssetNotFound`."""
        return self._catalogue.asset(name)

    def children(self, name: str) -> list[dict[str, Json]]:
        """Answer the assets directly inside a collection or folder, ordered by name; raises `AssetNotFound`."""
        return self._catalogue.children(name)

    def image(self, name: str) -> ImageRaster:
        """Answer the image of an asset name; raises `AssetNotFound`, or `EvaluationError` if it is no image."""
        image = self._catalogue.load_image(name)
        if image is None:
            kind = self.asset(name)["type"]
            raise EvaluationError(f"Asset '{name}' is not an Image (found {kind}).")
        return ImageRaster(image=image, under_mask=self.under_mask)

    def put_image(self, name: str, image: StoredImage, *, overwrite: bool) -> None:
        """Make an exported image an asset; raises `AssetExists`."""
        self._catalogue.put_image(name, image, overwrite=overwrite)

    def evaluate(self, expression: Mapping[str, Json]) -> ImageRaster | Json:
        """Answer the value of an expression: an image, or the JSON that `getInfo()` prints of anything else.

        Raises:
            EvaluationError: with the service's message.
        """
        value = evaluate(expression, self._catalogue)
        if isinstance(value, Image):
            return ImageRaster(image=value, under_mask=self.under_mask)
        if isinstance(value, Collection) and len(value.elements) > MAX_ELEMENTS:
            raise EvaluationError(f"Collection query aborted after accumulating over {MAX_ELEMENTS} elements.")
        return encode(value)


MAX_ELEMENTS = 5000
"""Most elements that a collection may print."""

__all__ = ["AssetNotFound", "ImageRaster", "SyntheticWorld", "UnderMask"]


def _identity(under_mask: UnderMask, files: Mapping[str, Path], aliases: Mapping[str, str]) -> str:
    if not files and not aliases:
        return under_mask
    facts = [sorted(aliases.items())]
    for identifier, path in sorted(files.items()):
        state = path.stat()
        facts.append([(identifier, str(path.resolve())), (str(state.st_size), str(state.st_mtime_ns))])
    return f"{under_mask}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
