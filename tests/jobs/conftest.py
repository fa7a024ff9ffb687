"""Whole jobs against the emulator: the command line as its users run it, and an oracle that shares nothing with it.

The oracle asks the emulator's world directly, for the whole region at once: no planner, client, engine or store.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from commands import run_command
from eezarr.emulator.raster import Grid
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from known import SCENE


@pytest.fixture(scope="session")
def world():
    return SyntheticWorld()


@pytest.fixture
def emulator(world):
    with EmulatorThread(world=world) as running:
        yield running


@pytest.fixture
def truth(world):
    """Pixels of a scene or an expression, as the world has them: (band, y, x)."""

    def read(source, bands, *, crs, transform, height, width):
        raster = world.image(source) if isinstance(source, str) else world.evaluate(source)
        a, b, c, d, e, f = transform
        grid = Grid(crs=crs, transform=(a, b, c, d, e, f), width=width, height=height)
        return np.stack([plane.values for plane in raster.read(grid, bands)])

    return read


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self):
        return json.loads(self.out)


@pytest.fixture
def eezarr(tmp_path):
    """Runs `eezarr` in the test's folder."""

    def run(*arguments, **variables):
        ended = run_command(tmp_path, *arguments, **variables)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def job(tmp_path):
    """Writes a job file; sections are given as TOML text."""

    def write(image=f'asset = "{SCENE}"\nbands = ["B2", "B4"]', grid="", name="job.toml", rest="", output="out.zarr"):
        text = f'output = "{output}"\nproject = "my-project"\n[image]\n{image}\n[grid]\n{grid}\n{rest}\n'
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
