"""An export as an asset: pixels go to files of the emulator's own, and the world takes them in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from eezarr.emulator.exports.operation import PERMISSION_DENIED, UNIMPLEMENTED
from eezarr.emulator.exports.source import ExportFailure, ExportSource
from eezarr.emulator.raster import AssetExists, AssetNotFound, StoredBand, StoredImage, WritableWorld

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from eezarr.emulator.exports.request import AssetTarget
    from eezarr.emulator.raster import World

_BLOCK = 256


def asset_steps(
    source: ExportSource, target: AssetTarget, world: World, folder: Path, version: int
) -> Generator[int, None, None]:
    """Write the pixels and make them an asset; yield the pixels of each block.

    Args:
        source: The image.
        target: Name and pyramiding policies.
        world: What takes the asset in.
        folder: Where the files go; they stay there.
        version: Of the asset, microseconds since 1970.

    Raises:
        ExportFailure: The asset may not be written.
    """
    if not isinstance(world, WritableWorld):
        raise ExportFailure("The world that this emulator serves takes in no assets.", code=UNIMPLEMENTED)
    _require_writable(world, target)
    folder.mkdir(parents=True, exist_ok=True)
    image = _image(source, target, folder, version)
    is_kept = False
    try:
        for band, dtype in zip(image.bands, source.dtypes, strict=True):
            _allocate(band, dtype, (source.grid.height, source.grid.width))
        for block in source.window.blocks(source.block_side(_BLOCK)):
            place = np.s_[block.top : block.top + block.height, block.left : block.left + block.width]
            for band, plane in zip(image.bands, source.read(block), strict=True):
                np.load(band.values, mmap_mode="r+", allow_pickle=False)[place] = plane.values
                np.load(band.valid, mmap_mode="r+", allow_pickle=False)[place] = plane.valid
            yield block.pixels
        world.put_image(target.name, image, overwrite=target.overwrite)
        is_kept = True
    except AssetExists:
        raise _cannot_overwrite(target) from None
    finally:
        if not is_kept:
            for band in image.bands:
                band.values.unlink(missing_ok=True)
                band.valid.unlink(missing_ok=True)


def _require_writable(world: World, target: AssetTarget) -> None:
    if target.name.startswith("projects/earthengine-public/"):
        message = f"Permission 'earthengine.assets.create' denied on resource '{target.name}' (or it may not exist)."
        raise ExportFailure(message, code=PERMISSION_DENIED)
    if target.overwrite:
        return
    try:
        world.asset(target.name)
    except AssetNotFound:
        return
    raise _cannot_overwrite(target)


def _cannot_overwrite(target: AssetTarget) -> ExportFailure:
    return ExportFailure(f"Cannot overwrite asset '{target.name}'.")


def _image(source: ExportSource, target: AssetTarget, folder: Path, version: int) -> StoredImage:
    overrides = dict(target.overrides)
    stem = uuid4().hex
    bands = tuple(
        StoredBand(
            id=band.id,
            values=folder / f"{stem}-{index}.npy",
            valid=folder / f"{stem}-{index}-valid.npy",
            pyramiding=overrides.get(band.id, target.policy),
        )
        for index, band in enumerate(source.bands)
    )
    return StoredImage(grid=source.grid, bands=bands, properties=source.properties, version=version)


def _allocate(band: StoredBand, dtype: np.dtype[np.generic], shape: tuple[int, int]) -> None:
    for path, kind in ((band.values, dtype), (band.valid, np.dtype(np.bool_))):
        np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
