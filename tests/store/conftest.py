"""Plans, pixels and stores to test with. The oracle is always the structured array that the tiles were cut from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import numpy as np
import pytest
from affine import Affine

from eezarr.grid import PixelGrid, Shape2D
from eezarr.plan import Band, Plan, StoreLayout, record_dtype
from eezarr.store import ZarrSink

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
UTM = Affine(10, 0, 499980, 0, -10, 4200000)

_numbers = count()


@dataclass(frozen=True)
class Workbench:
    """What tests make; stateless, so that hypothesis may use it too."""

    now: datetime = NOW

    def plan(
        self,
        *,
        shape=(300, 410),
        tile=(128, 128),
        chunk=(64, 64),
        dtypes=("uint16", "uint16", "uint16"),
        names=None,
        kind="bands",
        bands_per_tile=None,
        sharded=False,
        compressor="auto",
        zarr_format=3,
        crs="EPSG:32610",
        transform=UTM,
        image_key="image",
    ) -> Plan:
        names = names or [f"B{n + 1}" for n in range(len(dtypes))]
        bands_per_tile = bands_per_tile or len(dtypes)
        return Plan(
            image_key=image_key,
            grid=PixelGrid(crs=crs, transform=transform, height=shape[0], width=shape[1]),
            bands=tuple(Band(name, dtype) for name, dtype in zip(names, dtypes, strict=True)),
            layout=StoreLayout(
                kind=kind,
                chunk=Shape2D(*chunk),
                bands_per_chunk=bands_per_tile if kind == "stacked" else 1,
                is_sharded=sharded,
                compressor=compressor,
                zarr_format=zarr_format,
            ),
            tile_shape=Shape2D(*tile),
            bands_per_tile=bands_per_tile,
        )

    def pixels(self, plan: Plan, seed: int = 0):
        """(height, width) structured: every bit pattern, NaN payloads included."""
        dtype = record_dtype(plan.bands)
        shape = (plan.grid.height, plan.grid.width)
        noise = np.random.default_rng(seed).integers(0, 256, shape[0] * shape[1] * dtype.itemsize, np.uint8)
        return noise.view(dtype).reshape(shape)

    def cut(self, image, tile):
        """What a source would answer for a tile: its own packed array."""
        part = image[tile.window.rows, tile.window.cols]
        body = np.empty(part.shape, record_dtype(tile.bands))
        for band in tile.bands:
            body[band.name] = part[band.name]
        return body

    def sink(self, plan, output, *, fills=None, overwrite=False) -> ZarrSink:
        return ZarrSink.create(
            plan, output, image_info={"asset": "an/asset"}, now=NOW, fills=fills or {}, overwrite=overwrite
        )

    def store_all(self, plan, output, image=None, *, fills=None):
        """Store every tile of an image, finish, and return the image."""
        image = self.pixels(plan) if image is None else image
        sink = self.sink(plan, output, fills=fills)
        for index in list(sink.missing()):
            tile = plan.tile(index)
            sink.write(tile, self.cut(image, tile))
        assert sink.finish(NOW)
        return image

    def memory(self) -> str:
        """A `memory://` URL that no other test has."""
        return f"memory://test-{next(_numbers)}"


@pytest.fixture(scope="session")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture(params=["local", "memory"])
def output(request, tmp_path, bench) -> str:
    """A place for a store: on disk, and in an object store."""
    return str(tmp_path / "store.zarr") if request.param == "local" else bench.memory()
