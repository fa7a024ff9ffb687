"""A service for jobs of samples, and the command that asks it."""

import pytest

from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
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
    return bench.eezarr
