"""The oracle for regions of any size: what `periodic` serves, compared chunk row by chunk row, in bounded memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import zarr

from benchmarks.periodic import PERIOD
from benchmarks.scenes import Region

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["require_periodic"]


def require_periodic(store: Path, region: Region) -> None:
    """Compare all pixels of a store with the repeated block.

    Raises:
        AssertionError: If one differs.
    """
    block = Region(side=PERIOD, band_count=region.band_count).expected()
    expected = {band: np.tile(plane, -(-region.side // PERIOD))[:, : region.side] for band, plane in block.items()}
    group = zarr.open_group(store, mode="r")

    def check(place: tuple[str, int]) -> None:
        band, row = place
        array = group[band]
        assert isinstance(array, zarr.Array)
        assert array.shape == (region.side, region.side)
        found = np.asarray(array[row : row + PERIOD])
        if not np.array_equal(found, expected[band][: len(found)]):
            raise AssertionError(f"{band}: rows from {row} on are not what was served")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, [(band, row) for band in region.bands for row in range(0, region.side, PERIOD)]))
