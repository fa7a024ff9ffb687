"""A cube through faults and kills, in each mask mode, and once on S3; `year.py` does it with a whole year."""

import itertools
import logging
import urllib.request

import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from chaos.cubes import MODES, CubeTrial, Truth, s3_environment, storm

SIDE = 80


@pytest.fixture(scope="module")
def truth(service, tmp_path_factory):
    truth = Truth(service.world, tmp_path_factory.mktemp("truth"), side=SIDE, end="2017-02-07", cloudy=101)
    assert 0.02 < 1 - truth.valid.mean() < 0.9, "nothing is masked, or all"
    return truth


@pytest.fixture
def s3(monkeypatch):
    """A real S3 API on loopback with an empty bucket `pixels`, which this process finds, too."""
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in s3_environment(url).items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{url}/pixels", method="PUT")).close()
    yield url
    server.stop()


@pytest.mark.parametrize(("mode", "layout"), list(zip(MODES, itertools.cycle(["bands", "stacked"]), strict=False)))
def test_a_cube_is_exact_after_faults_and_kills(tmp_path, forge, service, truth, mode, layout):
    require_exact(tmp_path, forge, service, truth, mode, layout, output=str(tmp_path / "out.zarr"), environment={})


def test_a_cube_on_s3_is_exact_after_faults_and_kills(tmp_path, forge, service, truth, s3):
    output = "s3://pixels/year.zarr"  # no other test of this process: its S3 server keeps objects
    require_exact(tmp_path, forge, service, truth, "each", "bands", output=output, environment=s3_environment(s3))


def require_exact(folder, forge, service, truth, mode, layout, **place):
    rng = np.random.default_rng([list(MODES).index(mode), layout == "bands"])
    trial = CubeTrial(folder, truth, mode=mode, layout=layout, forge=forge, service=service, kills=3, **place)
    account = trial.run(storm(rng), rng, chunk=40, tile="[40, 80]", steps=2)
    assert account.tiles == 8
    assert account.kills >= 1, "nothing befell it"
