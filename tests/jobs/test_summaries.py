"""`--json` prints the whole summary, however the job ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


@pytest.fixture
def silent():
    """A service that responds to nothing: its URL, and an event that is set by the first request."""
    arrived, is_over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            arrived.set()
            is_over.wait()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", arrived
        is_over.set()
        server.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_first_answer(silent, job, tmp_path, number):
    url, arrived = silent
    job(image=f'asset = "{SCENE}"', grid=CROP)
    process = subprocess.Popen(
        [sys.executable, "-m", "eezarr", "fetch", "job.toml", "--json", "--api-url", url],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    arrived.wait()  # a request is sent: the job runs, and its handler of signals is set
    process.send_signal(number)
    out, _ = process.communicate()
    assert process.returncode == 128 + number
    assert require_whole(out, code=128 + number)["output"] == "out.zarr"
