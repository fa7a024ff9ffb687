"""The same pixels into a local Zarr, the ways that people have: eezarr, the guides' threads, Xee, geedim.

Each is a whole process. The scripts are what the projects' own pages show, with nothing tuned; they differ in what they
store (Xee floats divided by a scale factor, geedim one array of all bands), so each knows how its pixels are read back.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Usage, run_process, scratch_folder
from benchmarks.scenes import CRS, ORIGIN, SCENE
from benchmarks.stored import require_periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from benchmarks.scenes import Region
    from benchmarks.service import Service, Stats

__all__ = ["WAYS", "Run", "Way", "installed_ways", "require_equal", "run_periodic", "run_way"]

COMMAND = (sys.executable, "-m", "eezarr")
"""Our command line, as its users run it."""

_JOB = """\
output = "out.zarr"
project = "p"
[image]
asset = "{scene}"
bands = {bands}
method = "computePixels"
[grid]
crs = "{crs}"
transform = [10, 0, {x}, 0, -10, {y}]
shape = [{side}, {side}]
[fetch]
gzip = {gzip}
{fetch}
"""

_CONNECT = """\
import ee
import ee.deprecation
ee.deprecation._FetchDataCatalogStac = lambda: {{}}
ee.Initialize(None, url="{url}", project="p")
"""

_THREADS = (
    _CONNECT
    + """\
from concurrent.futures import ThreadPoolExecutor
import zarr
side, tile, bands = {side}, 1024, {bands}
image = ee.Image("{scene}").select(bands)
group = zarr.open_group("out.zarr", mode="w")
arrays = {{b: group.create_array(b, shape=(side, side), chunks=(tile, tile), dtype="uint16") for b in bands}}

def fetch(place):
    row, col = place
    height, width = min(tile, side - row), min(tile, side - col)
    pixels = ee.data.computePixels({{
        "expression": image,
        "fileFormat": "NUMPY_NDARRAY",
        "grid": {{
            "dimensions": {{"width": width, "height": height}},
            "affineTransform": {{
                "scaleX": 10, "shearX": 0, "translateX": {x} + 10 * col,
                "shearY": 0, "scaleY": -10, "translateY": {y} - 10 * row,
            }},
            "crsCode": "{crs}",
        }},
    }})
    for band in bands:
        arrays[band][row : row + height, col : col + width] = pixels[band]

with ThreadPoolExecutor(40) as pool:
    list(pool.map(fetch, [(r, c) for r in range(0, side, tile) for c in range(0, side, tile)]))
"""
)

_XEE = (
    _CONNECT
    + """\
import xarray
collection = ee.ImageCollection("COPERNICUS/S2").filterDate("2017-04-30", "2017-05-01")
collection = collection.filter(ee.Filter.eq("system:index", "{scene}".rpartition("/")[2])).select({bands})
data = xarray.open_dataset(
    collection, engine="ee", crs="{crs}", crs_transform=(10, 0, {x}, 0, -10, {y}), shape_2d=({side}, {side})
)
data.to_zarr("out.zarr", mode="w")
"""
)

_GEEDIM = (
    _CONNECT
    + """\
import geedim
import geedim.stac
geedim.stac.STACClient().get = lambda identifier: None
image = ee.Image("{scene}").select({bands})
image = image.gd.prepareForExport(crs="{crs}", crs_transform=(10, 0, {x}, 0, -10, {y}), shape=({side}, {side}))
data = image.gd.toXarray(masked=False)
for holder in (data, *data.coords.values()):
    holder.attrs = {{name: value for name, value in holder.attrs.items() if isinstance(value, (str, int, float))}}
data.to_dataset(name="pixels").to_zarr("out.zarr", mode="w")
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to fetch a region into `out.zarr`."""

    script: str | None
    """A Python script to be filled in; None: our command."""
    module: str | None
    """What must be installed."""
    read: Callable[[Path, str], npt.NDArray[np.generic]]
    """Reads one band's pixels back."""
    needs_gzip: bool = False
    """Whether it asks for compressed bodies (ours only: the official client always does)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one way."""

    usage: Usage
    stats: Stats


def _plain(store: Path, band: str) -> npt.NDArray[np.generic]:
    import zarr  # noqa: PLC0415 - not where only job texts are made

    array = zarr.open_group(store, mode="r")[band]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def _unscaled(store: Path, band: str) -> npt.NDArray[np.generic]:
    import xarray  # noqa: PLC0415 - only where Xee is

    with xarray.open_zarr(store) as data:
        # Xee stores value / 10 and says so: the values differ from ours in the last digits of a float.
        return np.asarray(np.rint(data[band].squeeze().transpose("y", "x").values), np.uint16)


def _one_of_all(store: Path, band: str) -> npt.NDArray[np.generic]:
    import xarray  # noqa: PLC0415 - only where geedim is

    with xarray.open_zarr(store) as data:
        return np.asarray(data["pixels"].sel(band=band).transpose("y", "x").values)


WAYS = {
    "eezarr": Way(script=None, module=None, read=_plain),
    "eezarr, gzip": Way(script=None, module=None, read=_plain, needs_gzip=True),
    "threads": Way(script=_THREADS, module="ee", read=_plain),
    "xee": Way(script=_XEE, module="xee", read=_unscaled),
    "geedim": Way(script=_GEEDIM, module="geedim", read=_one_of_all),
}


def installed_ways(*names: str) -> dict[str, Way]:
    """Return those of these ways whose module is installed."""
    return {name: WAYS[name] for name in names if WAYS[name].module is None or _is_installed(WAYS[name].module or "")}


def job_text(region: Region, *, is_gzip: bool = False, fetch: str = "") -> str:
    """Return our job file for a region; `fetch` is more of its section of that name."""
    return _JOB.format(**_facts(region), gzip=json.dumps(is_gzip or "auto"), fetch=fetch)


def run_way(way: Way, region: Region, service: Service, *, fetch: str = "", command: Sequence[str] = COMMAND) -> Run:
    """Run one way in an empty folder, account for it, and compare what it stored with the oracle.

    Args:
        way: Which.
        region: What it fetches.
        service: From where.
        fetch: More of our job's section of that name.
        command: What our command line is run with.

    Raises:
        AssertionError: If a pixel differs.
    """
    with scratch_folder() as folder:
        (folder / "job.toml").write_text(job_text(region, is_gzip=way.needs_gzip, fetch=fetch), encoding="utf-8")
        if way.script is None:
            whole = [*command, "fetch", "job.toml", "--json", "--quiet", "--api-url", service.url]
        else:
            whole = [sys.executable, "-c", way.script.format(**_facts(region), url=service.url)]
        service.reset()
        usage = run_process(whole, folder)
        stats = service.stats()
        require_equal(way, folder / "out.zarr", region)
    return Run(usage=usage, stats=stats)


def run_periodic(region: Region, service: Service, *, fetch: str = "", command: Sequence[str] = COMMAND) -> Run:
    """Run our command in an empty folder against a service whose pixels repeat; as `run_way`, for regions of any size.

    Raises:
        AssertionError: If a pixel differs.
    """
    with scratch_folder() as folder:
        (folder / "job.toml").write_text(job_text(region, fetch=fetch), encoding="utf-8")
        service.reset()
        usage = run_process([*command, "fetch", "job.toml", "--quiet", "--api-url", service.url], folder)
        stats = service.stats()
        require_periodic(folder / "out.zarr", region)
    return Run(usage=usage, stats=stats)


def require_equal(way: Way, store: Path, region: Region) -> None:
    """Compare a store with the oracle.

    Raises:
        AssertionError: If a pixel differs.
    """
    for band, expected in region.expected().items():
        np.testing.assert_array_equal(way.read(store, band), expected, err_msg=band)


def _facts(region: Region) -> dict[str, object]:
    return {
        "scene": SCENE,
        "bands": json.dumps(region.bands),
        "side": region.side,
        "crs": CRS,
        "x": ORIGIN[0],
        "y": ORIGIN[1],
    }


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
