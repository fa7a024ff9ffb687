"""The chaos suite, in short: `long.py` runs as many jobs as it is told."""

import pytest

from chaos.draws import draw
from chaos.harness import Trial


@pytest.mark.parametrize("seed", range(8))
def test_a_job_through_all_faults_and_kills_is_as_if_it_had_been_calm(seed, tmp_path, forge, service):
    Trial(draw(seed), tmp_path, forge, service).run()
