"""The commands over the service, as a user meets them."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from PIL import Image as Picture

from eezarr.api.advising import export_advice
from known import SCENE, SCENE_NAME, environment

EXPORT = f"""
project = "my-project"
[image]
asset = "{SCENE}"
bands = ["B4"]
[grid]
native = "B4"
region = [-122.2, 37.4, -122.19, 37.41]
[export]
destination = "cloud-storage"
bucket = "my-bucket"
prefix = "scene"
"""
SEARCH = ("images", "COPERNICUS/S2", "--start", "2017-04-01", "--end", "2017-05-01", "--region", "-122.085,37.422")


def test_images_prints_what_the_quickstart_prints(eezarr_at, emulator):
    ended = eezarr_at(emulator, *SEARCH, "--filter", "CLOUDY_PIXEL_PERCENTAGE < 10")
    assert ended.code == 0, ended.err
    assert ended.out == (
        "COPERNICUS/S2/20170420T184921_20170420T190203_T10SEG : 4.3166\n"
        "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG : 0\n"
    )
    other = eezarr_at(emulator, *SEARCH, "--property", "MGRS_TILE", "--property", "NONE", "--limit", "1")
    assert other.out.rstrip().endswith(" : 10SEG : -")


def test_info_as_json_holds_the_services_own_document(eezarr_at, emulator):
    with urllib.request.urlopen(f"{emulator.url}/v1/{SCENE_NAME}") as response:
        document = json.load(response)
    assert document["bands"][0]["grid"]
    told = eezarr_at(emulator, "info", SCENE, "--json").json
    assert told["raw"] == document
    assert told["name"] == document["name"]


def test_images_as_json(eezarr_at, emulator):
    found = eezarr_at(emulator, *SEARCH, "--json", "--limit", "2", "--method", "listImages").json
    assert len(found) == 2
    assert found[0]["bands"][1]["grid"]["dimensions"] == {"width": 10980, "height": 10980}
    assert eezarr_at(emulator, *SEARCH, "--json", "--filter", "CLOUDY_PIXEL_PERCENTAGE > 1000").json == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("images", "COPERNICUS/NOTHING"), 4, "NOTHING"),
        (("images", "COPERNICUS/S2", "--region", "nowhere"), 2, "lon,lat"),
        (("info", "COPERNICUS/NOTHING"), 4, "not found"),
        (("thumbnail", "a.png"), 2, "--expression FILE"),
        (("thumbnail", SCENE, "a.png"), 2, "one band or three"),
        (("operations", "get"), 2, "needs an operation"),
        (("operations", "get", "NONE"), 4, "operations/NONE"),
        (("export", "missing.toml"), 2, "missing.toml"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(eezarr_at, emulator, arguments, code, says):
    ended = eezarr_at(emulator, *arguments)
    assert ended.code == code, ended.err
    assert ended.out == ""
    [line] = ended.err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_thumbnail(eezarr_at, emulator, tmp_path):
    options = ("--bands", "B4,B3,B2", "--min", "0", "--max", "3000", "--size", "64")
    ended = eezarr_at(emulator, "thumbnail", SCENE, *options, "out.png")
    assert ended.code == 0, ended.err
    with Picture.open(tmp_path / "out.png") as picture:
        assert picture.size == (64, 64)


def test_export_from_start_to_result(eezarr_at, emulator, tmp_path):
    (tmp_path / "job.toml").write_text(EXPORT)
    ended = eezarr_at(emulator, "export", "job.toml", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["state"] == "SUCCEEDED"
    assert ended.json["name"] in ended.err
    assert len(list((tmp_path / "buckets" / "my-bucket").glob("scene*.tif"))) == 1
    [listed] = eezarr_at(emulator, "operations", "--json").json
    assert listed["name"] == ended.json["name"]
    shown = eezarr_at(emulator, "operations", "get", listed["name"].rpartition("/")[2])
    assert "SUCCEEDED" in shown.out


def test_export_without_waiting_once_for_an_id(eezarr_at, emulator, tmp_path):
    emulator.configure({"exports": {"queued_s": 3600}})
    (tmp_path / "job.toml").write_text(EXPORT)
    command = ("export", "job.toml", "--no-wait", "--json", "--request-id", "nightly-7")
    first, second = eezarr_at(emulator, *command), eezarr_at(emulator, *command)
    assert first.json["state"] == "PENDING"
    assert first.json["name"] == second.json["name"]
    ended = eezarr_at(emulator, "operations", "cancel", first.json["name"])
    assert "CANCEL" in ended.out


def test_a_failed_export_has_its_exit_code(eezarr_at, emulator, tmp_path):
    (tmp_path / "job.toml").write_text(EXPORT + "max_pixels = 3\n")
    ended = eezarr_at(emulator, "export", "job.toml")
    assert ended.code == 2
    assert "max_pixels" in ended.err
    assert emulator.stats().count("export", 200) == 0


def test_interrupted_it_leaves_the_operation_running(emulator, tmp_path):
    emulator.configure({"exports": {"queued_s": 3600}})
    (tmp_path / "job.toml").write_text(EXPORT)
    with subprocess.Popen(
        [sys.executable, "-m", "eezarr", "export", "job.toml", "--api-url", emulator.url],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        name = process.stderr.readline().partition(":")[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted: {name} runs on" in err
    assert f"eezarr operations cancel {name}" in err


def test_doctor_finds_all_in_order(eezarr_at, emulator, tmp_path):
    key = emulator.write_service_account_key(tmp_path / "key.json", project="my-project")
    ended = eezarr_at(emulator, "doctor", "--json", GOOGLE_APPLICATION_CREDENTIALS=key)
    assert ended.code == 0, ended.out
    subjects = [finding["subject"] for finding in ended.json["findings"]]
    assert subjects == [
        "reach 127.0.0.1",
        "clock",
        "credentials",
        "scopes",
        "project",
        "quota project",
        "Earth Engine API",
    ]
    secret = json.loads(key.read_text())["private_key"]
    assert secret[40:80] not in ended.out + ended.err
    assert "ya29" not in ended.out


@pytest.mark.parametrize(
    ("settings", "code", "mend"),
    [
        ({"disabled_projects": ["my-project"]}, 3, "console.cloud.google.com/apis/library"),
        ({"denied_projects": ["my-project"]}, 3, "serviceusage.serviceUsageConsumer"),
    ],
)
def test_doctor_says_what_mends(eezarr_at, emulator, tmp_path, settings, code, mend):
    key = emulator.write_service_account_key(tmp_path / "key.json", project="my-project")
    emulator.configure({"auth": settings})
    ended = eezarr_at(emulator, "doctor", GOOGLE_APPLICATION_CREDENTIALS=key)
    assert ended.code == code, ended.out
    assert "BAD  Earth Engine API" in ended.out
    assert mend in ended.out


def test_doctor_without_anything(eezarr_at):
    ended = eezarr_at(None, "doctor", "--api-url", "http://127.0.0.1:9")
    assert ended.code == 6
    assert "BAD  reach 127.0.0.1" in ended.out
    assert "mend: `curl -v http://127.0.0.1:9`" in ended.out
    assert "EARTHENGINE_PROJECT" in ended.out


def test_advice_for_the_very_large_only():
    assert export_advice(pixels=10**9, seconds=600, is_computed=True) is None
    assert export_advice(pixels=10**11, seconds=600, is_computed=False) is None
    assert "five minutes" in export_advice(pixels=10**11, seconds=600, is_computed=True)
    assert "20 hours" in export_advice(pixels=10**9, seconds=72_000, is_computed=False)
