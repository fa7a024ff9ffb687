"""Collections to fetch, and the truth about them: the emulator's world, asked image by image, put together by NumPy."""

import asyncio
import dataclasses
import json

import numpy as np
import zarr

import eezarr as package
from eezarr.emulator import catalogue
from eezarr.emulator.images import of_dtype
from eezarr.emulator.raster import EvaluationError, Grid
from eezarr.emulator.world import SyntheticWorld

COLLECTION = "COPERNICUS/S2"
SEG, SEH = "T10SEG", "T10SEH"
COARSE = Grid(crs="EPSG:32610", transform=(2000.0, 0.0, 490_000.0, 0.0, -2000.0, 4_205_000.0), width=60, height=45)
"""A tile and its surroundings: the edge of the swath on every second day, the sea of other tiles' pixels around it."""


def grid_toml(grid=COARSE):
    return f'crs = "{grid.crs}"\ntransform = {list(grid.transform)}\nshape = [{grid.height}, {grid.width}]'


def write(folder, collection, *, grid=None, rest="", output="out.zarr", name="job.toml"):
    """Write a job file of a collection; sections are given as TOML text."""
    head = f'output = "{folder / output}"\nproject = "p"\n'
    text = f"{head}[collection]\n{collection}\n[grid]\n{grid or grid_toml()}\n{rest}\n"
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def of(*, start, end, bands=("B4", "B8"), tiles=(SEG,), more="", collection=COLLECTION):
    """The section [collection]."""
    tile = " OR ".join(f'MGRS_TILE = "{tile[1:]}"' for tile in tiles)
    lines = (f'id = "{collection}"', f'start = "{start}"', f'end = "{end}"', f"filter = '{tile}'")
    return "\n".join((*lines, f"bands = {json.dumps(bands)}", more))


def run(path, emulator, **options):
    """Run a job file to its end."""
    job = package.Job.load(path).replaced(api_url=emulator.url)
    return asyncio.run(package.run_job(job, **options))


def stored(folder, output="out.zarr"):
    return zarr.open_group(folder / output, mode="r")


def names_of(start, end, *, tiles=(SEG,), collection=COLLECTION):
    """Full names of the images of a period, by time and name."""
    images = catalogue.sentinel2_images(collection)
    day = lambda name: f"{name[:4]}-{name[4:6]}-{name[6:8]}"  # noqa: E731
    found = sorted(name for name in images if start <= day(name) < end and name[-6:] in tiles)
    return [f"{catalogue.PUBLIC}{collection}/{name}" for name in found]


def image_of(name):
    """The emulator's record of an image."""
    parent, _, index = name.removeprefix(catalogue.PUBLIC).rpartition("/")
    return catalogue.sentinel2_images(parent)[index]


def start_ms(name):
    return image_of(name).properties["system:time_start"]


def layers(world, names, band, grid=COARSE, dtype=None):
    """One band of some images, masked where it is masked: (image, y, x)."""
    planes = [world.image(name).read(grid, [band])[0] for name in names]
    return np.ma.stack(
        [np.ma.masked_array(plane.values.astype(dtype or plane.values.dtype), ~plane.valid) for plane in planes]
    )


def newest(stack):
    """The last of the images that is valid, at each pixel."""
    top = stack[0].copy()
    for layer in stack[1:]:
        top = np.ma.where(layer.mask, top, layer)
    return top


REDUCERS = {
    "mosaic": newest,
    "median": lambda stack: np.ma.median(stack.astype(np.float64), axis=0),
    "mean": lambda stack: stack.astype(np.float64).mean(axis=0),
    "min": lambda stack: stack.min(axis=0),
    "max": lambda stack: stack.max(axis=0),
}


def alter(monkeypatch, changes):
    """Let the emulator's collection have other images: a function by the end of a name changes its image."""
    known = catalogue.sentinel2_images

    def altered(collection):
        return {
            name: next((change(image) for end, change in changes.items() if name.endswith(end)), image)
            for name, image in known(collection).items()
        }

    monkeypatch.setattr(catalogue, "sentinel2_images", altered)


def without(band):
    return lambda image: dataclasses.replace(image, bands=tuple(each for each in image.bands if each.id != band))


def typed(band, dtype):
    """An image one of whose bands has another type."""

    def change(image):
        kinds = [each.computed(of_dtype(dtype), each.pixels) if each.id == band else each for each in image.bands]
        return dataclasses.replace(image, bands=tuple(kinds))

    return change


class HeavyWorld(SyntheticWorld):
    """A world to which a request of more pixels times bands than some number is too heavy.

    What is refused is remembered: that a limit was met at all is for tests to require.
    """

    def __init__(self, most, **options):
        super().__init__(**options)
        self.most, self.refused = most, []

    def evaluate(self, expression):
        value = super().evaluate(expression)
        return HeavyRaster(value, self) if hasattr(value, "is_bounded") else value


@dataclasses.dataclass(frozen=True)
class HeavyRaster:
    """An image that can be too heavy to read."""

    raster: object
    world: HeavyWorld

    @property
    def bands(self):
        return self.raster.bands

    @property
    def is_bounded(self):
        return self.raster.is_bounded

    def info(self):
        return self.raster.info()

    def read(self, grid, band_ids):
        if grid.width * grid.height * len(band_ids) > self.world.most:
            self.world.refused.append((grid.width * grid.height, len(band_ids)))
            raise EvaluationError("User memory limit exceeded.")
        return self.raster.read(grid, band_ids)
