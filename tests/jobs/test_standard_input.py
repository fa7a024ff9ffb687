"""`-` reads a job from standard input: bounded, its paths relative to the current directory."""

import json
import re
import subprocess
import sys

import pytest

from jobs.test_command_line import CROP
from known import SCENE, environment

JOB = f"""\
project = "my-project"
output = "out.zarr"
[image]
asset = "{SCENE}"
bands = ["B2"]
"""
GRID = f"[grid]\n{CROP}\n"


@pytest.fixture
def piped(tmp_path, emulator):
    """Runs the real command in the test's folder, with a text in its standard input."""

    def run(text, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "eezarr", *arguments, "--api-url", emulator.url],
            input=text if isinstance(text, bytes) else text.encode(),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
        )

    return run


def test_a_job_is_planned_and_fetched_from_a_pipe(piped, tmp_path):
    region = {"type": "Polygon", "coordinates": [[[-122.2, 37.4], [-122.19, 37.4], [-122.19, 37.41], [-122.2, 37.4]]]}
    (tmp_path / "aoi.geojson").write_text(json.dumps(region), encoding="utf-8")
    job = JOB + '[grid]\nregion = "aoi.geojson"\ncrs = "EPSG:32610"\nresolution = 60\n'
    planned = piped("\ufeff" + job, "plan", "-", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["output"] == "out.zarr"
    fetched = piped(job, "fetch", "-", "--json")
    assert fetched.returncode == 0, fetched.stderr
    assert json.loads(fetched.stdout)["complete"] is True
    assert (tmp_path / "out.zarr" / "zarr.json").exists()


def test_samples_come_from_a_pipe_and_their_sites_from_the_current_directory(piped, tmp_path):
    (tmp_path / "sites.csv").write_text("lon,lat\n-122.2,37.4\n", encoding="utf-8")
    done = piped(JOB + '[samples]\nsites = "sites.csv"\nsize = 4\nresolution = 10\n', "samples", "-", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tiles"]["written"] == 1


def test_an_export_comes_from_a_pipe(piped):
    export = '[export]\ndestination = "drive"\nprefix = "crop"\n'
    done = piped(JOB + GRID + export, "export", "-", "--no-wait", "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("output = [", "Standard input is not TOML"),
        (JOB + GRID + "[fech]\n", "Standard input: .*'fetch'"),
        (b"output = '\xff'", "not UTF-8"),
        ("#" * (1 << 20) + "\n", "larger than 1024 KiB"),
    ],
)
def test_what_is_no_job_is_told(piped, text, says):
    ended = piped(text, "plan", "-")
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
    assert re.search(says, " ".join(ended.stderr.decode().split()))
