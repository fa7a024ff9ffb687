"""A service for jobs of samples, and the command that asks it."""

import subprocess
import sys

import pytest

from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from known import environment
from sampling import Bench


@pytest.fixture(scope="session")
def world():
    return SyntheticWorld(under_mask="noise")


@pytest.fixture
def emulator(world):
    with EmulatorThread(world=world) as running:
        yield running


@pytest.fixture
def bench(tmp_path, emulator, world):
    return Bench(folder=tmp_path, emulator=emulator, world=world)


@pytest.fixture
def eezarr(bench):
    def run(*arguments):
        command = [sys.executable, "-m", "eezarr", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=bench.folder,
            env=environment(EEZARR_API_URL=bench.emulator.url, EARTHENGINE_PROJECT="my-project"),
            capture_output=True,
            text=True,
            check=False,
        )

    return run
