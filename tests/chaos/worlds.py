"""The emulator's world, watched: who reads what is counted, and can be refused for good. And the truth about it.

The oracle asks the world for the whole region at once: no planner, client, engine or store has a part in it.
"""

import threading
from dataclasses import dataclass, field

import numpy as np

from eezarr.emulator.raster import EvaluationError, Grid
from eezarr.emulator.world import SyntheticWorld

SERVED = {"int64": "float64", "uint64": "float64"}
"""Types that the service does not answer."""


@dataclass
class Watch:
    """What the world notices."""

    on_read: object = None
    """Called with the number of reads since it was set, when pixels are about to be read; in a server's thread."""
    is_poisoned: object = None
    """Tells of a grid whether it is refused for good."""
    reads: int = 0
    poisoned: list = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, on_read):
        with self._lock:
            self.reads, self.on_read = 0, on_read

    def note(self, grid):
        with self._lock:
            self.reads += 1
            call, number = self.on_read, self.reads
        if call:
            call(number)
        if self.is_poisoned and self.is_poisoned(grid):
            self.poisoned.append((grid.transform, grid.width, grid.height))
            raise EvaluationError("Image.select: Band pattern 'B22' did not match any bands. Available bands: [B2]")


class WatchedWorld(SyntheticWorld):
    """A synthetic world that tells its watch of every read of pixels through the server."""

    def __init__(self, watch, **options):
        super().__init__(**options)
        self.watch = watch

    def image(self, name):
        return WatchedRaster(super().image(name), self.watch)

    def evaluate(self, expression):
        value = super().evaluate(expression)
        return WatchedRaster(value, self.watch) if hasattr(value, "is_bounded") else value


@dataclass(frozen=True)
class WatchedRaster:
    """An image whose reads are noted."""

    raster: object
    watch: Watch

    @property
    def bands(self):
        return self.raster.bands

    @property
    def is_bounded(self):
        return self.raster.is_bounded

    def info(self):
        return self.raster.info()

    def read(self, grid, band_ids):
        self.watch.note(grid)
        return self.raster.read(grid, band_ids)


def truth(world, source, bands, *, crs, transform, height, width):
    """Planes of an asset or an expression by band, in the types that the service answers."""
    raster = world.image(source) if isinstance(source, str) else world.evaluate(source)
    place = Grid(crs=crs, transform=tuple(map(float, transform)), width=width, height=height)
    planes = raster.read(place, list(bands))
    return {
        band: np.asarray(plane.values, SERVED.get(plane.values.dtype.name, plane.values.dtype))
        for band, plane in zip(bands, planes, strict=True)
    }
