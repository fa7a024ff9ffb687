"""Plans, pixels and stores to test with. The oracle is always the structured array that the tiles were cut from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest
from affine import Affine

from eezarr.grid import PixelGrid, Shape2D, Window
from eezarr.plan import Band, Plan, Step, StoreLayout, Tile, make_masking, record_dtype
from eezarr.store import ZarrSink

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ORIGIN = "https://earthengine.googleapis.com"
UTM = Affine(10, 0, 499980, 0, -10, 4200000)

_numbers = count()


@dataclass(frozen=True)
class Workbench:
    """What tests make; stateless, so that hypothesis may use it too."""

    now: datetime = NOW

    def plan(
        self,
        *,
        shape=(172, 282),
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
        fills=None,
        masks=None,
        steps=None,
        step_starts=(0,),
    ) -> Plan:
        names = names or [f"B{n + 1}" for n in range(len(dtypes))]
        bands_per_tile = bands_per_tile or len(dtypes)
        bands = tuple(Band(name, dtype) for name, dtype in zip(names, dtypes, strict=True))
        mode = "fill" if fills else "band" if masks else "none"
        return Plan(
            image_key=image_key,
            grid=PixelGrid(crs=crs, transform=transform, height=shape[0], width=shape[1]),
            bands=bands,
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
            masking=make_masking(mode, bands, fill=fills, is_shared=masks != "each"),
            steps=None if steps is None else tuple(map(self.step, range(steps))),
            step_starts=step_starts,
        )

    def step(self, number: int) -> Step:
        """One image a day."""
        return Step(time=NOW + timedelta(days=number), images=(f"projects/p/assets/{number}",))

    def pixels(self, plan: Plan, seed: int = 0):
        """(height, width) structured, all steps' fields beside each other: every bit pattern, NaN payloads included."""
        dtype = record_dtype(self.whole(plan).wire_bands)
        shape = (plan.grid.height, plan.grid.width)
        noise = np.random.default_rng(seed).integers(0, 256, shape[0] * shape[1] * dtype.itemsize, np.uint8)
        return noise.view(dtype).reshape(shape)

    def whole(self, plan: Plan) -> Tile:
        """All of a plan as one tile."""
        first = plan.tile(0)
        selection = replace(first.selection, bands=plan.bands, steps=range(plan.step_count))
        window = Window(row=0, col=0, height=plan.grid.height, width=plan.grid.width)
        return replace(first, window=window, selection=selection)

    def cut(self, image, tile):
        """What a source would answer for a tile: its own packed array."""
        part = image[tile.window.rows, tile.window.cols]
        body = np.empty(part.shape, record_dtype(tile.wire_bands))
        for band in tile.wire_bands:
            body[band.name] = part[band.name]
        return body

    def sink(self, plan, output, **options) -> ZarrSink:
        """A sink of a run; an earlier one that was left as it was, as by a kill, does not stand in its way."""
        options = {"image_info": {"asset": "an/asset"}, "origin": ORIGIN, "now": NOW, "repair": True} | options
        return ZarrSink.create(plan, output, **{"steal": True} | options)

    def store_all(self, plan, output, image=None):
        """Store every tile of an image, finish, and return the image."""
        image = self.pixels(plan) if image is None else image
        sink = self.sink(plan, output)
        for index in list(sink.missing()):
            tile = plan.tile(index)
            sink.write(tile, self.cut(image, tile))
        assert sink.finish(NOW)
        sink.close()
        return image

    def planes(self, job, tile):
        """A tile's stored planes, one (height, width) a field, in the order of the arrays."""
        return [plane for part in job.read(tile) for plane in part.reshape(-1, *part.shape[-2:])]

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
