"""A world of one collection with two images and one folder, whose every pixel is a known function of its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from google.auth import external_account_authorized_user
from google.oauth2 import service_account

from eezarr.emulator.raster import AssetNotFound, EvaluationError, Grid, Json, Plane, Raster, RasterBand
from eezarr.emulator.thread import EmulatorThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PUBLIC = "projects/earthengine-public/assets/"
NATIVE = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 500000.0, 0.0, -10.0, 4200000.0), width=64, height=48)
BANDS = {"B1": "uint16", "B2": "float32", "B3": "int64", "B4": "uint8"}


@dataclass(frozen=True)
class TinyRaster:
    """Value of a pixel: 1000 x row + column, of the native grid, plus the band's number; masked outside."""

    names: tuple[str, ...] = tuple(BANDS)
    is_bounded: bool = True

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        return tuple(
            RasterBand(id=name, dtype=BANDS[name], minimum=None, maximum=None, grid=NATIVE) for name in self.names
        )

    def read(self, grid: Grid, band_ids: Sequence[str]) -> list[Plane]:
        if grid.crs != NATIVE.crs:
            raise EvaluationError(f"no {grid.crs} here")
        a, _, c, _, e, f = grid.transform
        columns = np.floor((c + a * (np.arange(grid.width) + 0.5) - 500000.0) / 10).astype(int)
        rows = np.floor((f + e * (np.arange(grid.height) + 0.5) - 4200000.0) / -10).astype(int)
        inside = np.outer((rows >= 0) & (rows < 48), (columns >= 0) & (columns < 64))
        values = np.add.outer(1000 * rows, columns)
        planes = []
        for name in band_ids:
            band = np.where(inside, values + int(name[1:]), 77).astype(BANDS[name])
            planes.append(Plane(values=band, valid=inside))
        return planes

    def info(self) -> dict[str, Json]:
        bands: list[Json] = [
            {"id": name, "data_type": {"type": "PixelType", "precision": "int"}} for name in self.names
        ]
        return {"type": "Image", "id": "TEST/A", "version": 1, "bands": bands, "properties": {"TILE": "T10SEG"}}


@dataclass(frozen=True)
class TinyWorld:
    def asset(self, name: str) -> dict[str, Json]:
        kinds = {"TEST": "IMAGE_COLLECTION", "TEST/A": "IMAGE", "TEST/B": "IMAGE", "SHELF": "FOLDER"}
        short = name.removeprefix(PUBLIC)
        if short not in kinds:
            raise AssetNotFound(name)
        asset: dict[str, Json] = {"type": kinds[short], "name": name, "id": short}
        if kinds[short] == "IMAGE":
            day = 1 if short == "TEST/A" else 20
            west = 10.0 * (day == 20)
            ring: list[Json] = [[west, 0.0], [west + 5, 0.0], [west + 5, 5.0], [west, 5.0], [west, 0.0]]
            asset |= {
                "startTime": f"2020-01-{day:02d}T10:00:00Z",
                "endTime": f"2020-01-{day:02d}T10:00:05Z",
                "properties": {"CLOUDS": day * 2.5, "TILE": "T10SEG"},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        return asset

    def children(self, name: str) -> list[dict[str, Json]]:
        short = name.removeprefix(PUBLIC)
        inside = {"TEST": ["TEST/A", "TEST/B"], "SHELF": ["TEST"], "projects/earthengine-public": ["SHELF", "TEST"]}
        if short not in inside:
            raise AssetNotFound(name)
        return [self.asset(PUBLIC + child) for child in inside[short]]

    def image(self, name: str) -> Raster:
        if name not in (PUBLIC + "TEST/A", PUBLIC + "TEST/B"):
            raise AssetNotFound(name)
        return TinyRaster()

    def evaluate(self, expression: Mapping[str, Json]) -> Raster | Json:
        values, result = expression["values"], expression["result"]
        assert isinstance(values, dict)
        assert isinstance(result, str)
        node = values[result]
        assert isinstance(node, dict)
        if "constantValue" in node:
            return node["constantValue"]
        call = node["functionInvocationValue"]
        assert isinstance(call, dict)
        if call["functionName"] == "Image.constant":
            return TinyRaster(names=("B4",), is_bounded=False)
        if call["functionName"] == "Image.select":
            arguments = call["arguments"]
            assert isinstance(arguments, dict)
            selectors = arguments["bandSelectors"]
            assert isinstance(selectors, dict)
            return TinyRaster(names=tuple(selectors["constantValue"]))
        if call["functionName"] != "Image.load":
            raise EvaluationError(f"Function '{call['functionName']}' not found.")
        return TinyRaster()


@pytest.fixture(autouse=True)
def no_lookups_elsewhere(monkeypatch):
    """Sessions of google-auth ask a host of Google's about every service account, in a thread; not from here."""
    name = "_maybe_start_regional_access_boundary_refresh"
    for module in (service_account, external_account_authorized_user):
        monkeypatch.setattr(module.Credentials, name, lambda *_: None, raising=False)


@pytest.fixture
def world() -> TinyWorld:
    return TinyWorld()


@pytest.fixture
def emulator(world: TinyWorld) -> Iterator[EmulatorThread]:
    with EmulatorThread(world=world) as running:
        yield running
