"""The rest of the service against the emulator, and commands as their users run them."""

import json
import os
from dataclasses import dataclass

import pytest

import eezarr
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from known import environment


@pytest.fixture(scope="session")
def world():
    return SyntheticWorld()


@pytest.fixture
def emulator(world, tmp_path):
    with EmulatorThread(world=world) as running:
        running.configure({"export_folder": str(tmp_path / "buckets")})
        yield running


class Naps:
    """Stands in for sleep: returns at once, and remembers."""

    def __init__(self):
        self.taken = []

    async def __call__(self, seconds):
        self.taken.append(seconds)


@pytest.fixture
def naps():
    return Naps()


@pytest.fixture
async def client(emulator):
    async with eezarr.Client(project="my-project", api_url=emulator.url) as opened:
        yield opened


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def eezarr_at(tmp_path, monkeypatch, capsys):
    """Runs `eezarr` in the test's folder, against a service; in this process, which is quicker."""
    monkeypatch.chdir(tmp_path)

    def run(emulator, *arguments, **variables):
        from eezarr.cli.app import app

        known = {} if emulator is None else {"EEZARR_API_URL": emulator.url, "EARTHENGINE_PROJECT": "my-project"}
        wanted = environment(**known, **{name: str(value) for name, value in variables.items()})
        for name in os.environ.keys() - wanted.keys():
            monkeypatch.delenv(name)
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            app([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(leaving.value.code or 0, out, err)

    return run
