"""`--json` prints the whole summary, however the job ends."""

import json
import signal
import subprocess
import sys

import pytest

from jobs.test_command_line import CROP
from known import SCENE, environment

KEYS = {"complete", "tiles", "requests", "bytes", "seconds", "output", "failures"}
SAMPLES = """\
output = "out.zarr"
project = "my-project"
[image]
asset = "{scene}"
[samples]
sites = "sites.csv"
size = 4
resolution = 10
"""


def require_whole(text, *, code):
    summary = json.loads(text)
    assert summary.keys() >= KEYS | {"error"}
    assert summary["tiles"].keys() == {"total", "written", "resumed", "failed"}
    assert summary["requests"].keys() >= {"sent", "retried", "throttled", "split"}
    assert summary["bytes"].keys() == {"received", "pixels"}
    assert summary["complete"] is False
    error = summary["error"]
    assert error.keys() >= {"message", "hint", "exit_code"}
    assert error["exit_code"] == code
    assert error["message"]
    assert error["hint"]
    return summary


@pytest.mark.parametrize("command", ["fetch", "samples"])
@pytest.mark.parametrize("text", ["output = 1", "output = [", "", None])
def test_a_job_that_is_none(eezarr, tmp_path, command, text):
    if text is not None:
        (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    ended = eezarr(command, "job.toml", "--json")
    assert ended.code == 2
    require_whole(ended.out, code=2)


@pytest.mark.parametrize("arguments", [["--json"], ["job.toml", "--json", "--nonsense"], ["a", "b", "--json"]])
@pytest.mark.parametrize("command", ["fetch", "samples"])
def test_a_command_line_that_is_wrong(eezarr, command, arguments):
    ended = eezarr(command, *arguments)
    assert ended.code == 2
    require_whole(ended.out, code=2)


def test_credentials_that_are_missing(eezarr, job):
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--json")
    assert ended.code == 3
    assert require_whole(ended.out, code=3)["output"] == "out.zarr"


def test_an_asset_that_is_not_there(eezarr, emulator, job, tmp_path):
    job(image='asset = "COPERNICUS/S2/NOTHING"', grid=CROP)
    ended = eezarr("fetch", "job.toml", "--json", "--api-url", emulator.url)
    assert ended.code == 4
    require_whole(ended.out, code=4)
    (tmp_path / "samples.toml").write_text(SAMPLES.format(scene="COPERNICUS/S2/NOTHING"), encoding="utf-8")
    (tmp_path / "sites.csv").write_text("lon,lat\n-122.2,37.4\n", encoding="utf-8")
    ended = eezarr("samples", "samples.toml", "--json", "--api-url", emulator.url)
    assert ended.code == 4
    require_whole(ended.out, code=4)


def test_a_place_that_is_taken(eezarr, emulator, job, tmp_path):
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "thesis.txt").write_text("years", encoding="utf-8")
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--json", "--api-url", emulator.url)
    assert ended.code == 5
    require_whole(ended.out, code=5)


def test_a_service_that_is_away(eezarr, job):
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--json", "--api-url", "http://127.0.0.1:9")
    assert ended.code == 6
    require_whole(ended.out, code=6)


def test_tiles_that_are_missing(eezarr, emulator, job):
    emulator.configure({"faults": {"seed": 1, "rates": {"unavailable": 1.0}}})
    job(grid=CROP, rest="[fetch]\nattempts = 1")
    ended = eezarr("fetch", "job.toml", "--json", "--api-url", emulator.url)
    assert ended.code in (1, 6)
    require_whole(ended.out, code=ended.code)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_first_answer(emulator, job, tmp_path, number):
    emulator.configure({"latency": {"base_s": 600}})
    job(image=f'asset = "{SCENE}"', grid=CROP)
    command = [sys.executable, "-m", "eezarr", "fetch", "job.toml", "--json", "--events", "events.jsonl"]
    process = subprocess.Popen(
        [*command, "--api-url", emulator.url],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "events.jsonl").exists() and process.poll() is None:
        pass  # the file is made when the job begins
    process.send_signal(number)
    out, _ = process.communicate()
    if process.returncode > 0:  # negative: the signal came before its handler was there
        assert process.returncode == 128 + number
        summary = require_whole(out, code=128 + number)
        assert summary["output"] == "out.zarr"
