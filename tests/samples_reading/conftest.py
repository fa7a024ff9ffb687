"""A service for jobs of samples, whose stores are then read."""

import pytest

from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from sampling import Bench


@pytest.fixture
def bench(tmp_path):
    world = SyntheticWorld(under_mask="noise")
    with EmulatorThread(world=world) as emulator:
        yield Bench(folder=tmp_path, emulator=emulator, world=world)
