"""Two processes on one store, in short: `rivals.py` runs as many trials as it is told."""

import pytest

from chaos.processes import Forge
from chaos.rivals import RivalTrial


@pytest.fixture(scope="module")
def forges():
    forges = [Forge(), Forge()]
    yield forges
    for forge in forges:
        forge.close()


@pytest.mark.parametrize("seed", range(4))
def test_two_rivals_leave_one_whole_job(seed, tmp_path, forges, service):
    RivalTrial(seed, tmp_path, forges, service).run()


def test_two_rivals_on_s3_leave_one_whole_job(tmp_path, forges, service, bucket, s3):
    variables = {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
    }
    RivalTrial(1000, tmp_path, forges, service, output=f"{bucket}/out.zarr", variables=variables).run()
