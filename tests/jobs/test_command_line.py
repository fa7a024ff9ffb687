"""The command line as a user meets it: what it prints, where, and how it ends."""

import json
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import zarr
from PIL import Image

from eezarr.config import Job
from known import CONFIGS, REPOSITORY, SCENE, SCENE_NAME, environment

CROP = 'native = "B2"\nregion = [-122.2, 37.4, -122.15, 37.45]'
DEGREES = 'crs = "EPSG:4326"\nscale = 10\nregion = [-122.2, 37.4, -122.15, 37.45]'


def one_line(ended):
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("image", "grid", "code", "says"),
    [
        (f'asset = "{SCENE}"\nbands = ["B22"]', CROP, 4, ["no band 'B22'", "'B2'", "B8A"]),
        (f'asset = "{SCENE}"\nband = ["B2"]', CROP, 2, ["'image.band'", "did you mean 'bands'"]),
        (f'asset = "{SCENE}"', CROP.replace("-122.15", "-122.2"), 2, ["empty"]),
        (f'asset = "{SCENE}"', 'native = "B2"\nregion = [10, 50, 11, 51]', 2, ["outside the asset"]),
        (f'asset = "{SCENE}"', 'crs = "EPSG:4326"\nscale = 10\nregion = [10, 50, 11, 51]', 2, ["lies outside"]),
        (f'asset = "{SCENE}"', 'crs = "EPSG:999999"\nscale = 10\nregion = [10, 50, 11, 51]', 2, ["EPSG:999999"]),
        ('asset = "COPERNICUS/S2/NOTHING"', CROP, 4, ["COPERNICUS/S2/NOTHING", "not found"]),
        ('asset = "COPERNICUS/S2"', CROP, 2, ["IMAGE_COLLECTION"]),
        ('expression = "missing.json"', 'crs = "EPSG:4326"\nscale = 10\nregion = [0, 0, 1, 1]', 2, ["missing.json"]),
        (f'asset = "{SCENE}"\nexpression = "x.json"', CROP, 2, ["exactly one of asset, expression, python"]),
    ],
)
def test_bad_input_gets_one_clear_line_and_not_one_pixel_request(eezarr, emulator, job, image, grid, code, says):
    job(image=image, grid=grid)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--quiet")
    assert ended.code == code, ended.err
    line = one_line(ended)
    for part in says:
        assert part in line
    assert ended.out == ""
    assert emulator.stats().pixel_requests == 0


def test_an_unknown_band_of_an_expression_costs_no_pixel(eezarr, emulator, job, tmp_path):
    (tmp_path / "ndvi.json").write_text((CONFIGS / "ndvi.json").read_text(encoding="utf-8"), encoding="utf-8")
    job(image='expression = "ndvi.json"\nbands = ["nvdi"]', grid=DEGREES)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url)
    assert ended.code == 4
    assert "Did you mean 'ndvi'?" in one_line(ended)
    assert emulator.stats().pixel_requests == 0


def test_a_bad_expression_is_refused_by_name(eezarr, emulator, job, tmp_path):
    text = (CONFIGS / "ndvi.json").read_text(encoding="utf-8").replace("Image.rename", "Image.remane")
    (tmp_path / "ndvi.json").write_text(text, encoding="utf-8")
    job(image='expression = "ndvi.json"', grid=DEGREES)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url)
    assert ended.code == 4
    assert "Image.remane" in one_line(ended)
    assert emulator.stats().pixel_requests == 0


def test_missing_credentials(eezarr, job):
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml")
    assert ended.code == 3
    assert "gcloud auth application-default login" in one_line(ended)


def test_a_service_that_wants_a_token_gets_none(eezarr, emulator, job):
    emulator.configure({"auth": {"mode": "always"}})
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url)
    assert ended.code == 3
    assert "GOOGLE_APPLICATION_CREDENTIALS" in one_line(ended)
    assert emulator.stats().pixel_requests == 0


def test_an_unreachable_host(eezarr, job):
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--api-url", "http://127.0.0.1:9")
    assert ended.code == 6
    assert "127.0.0.1 refused the connection" in one_line(ended)


def test_another_plans_store_is_refused_unless_told_otherwise(eezarr, emulator, job, tmp_path):
    job(grid=CROP)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    before = zarr.open_group(tmp_path / "out.zarr", mode="r")["B2"][:]
    job(grid=CROP.replace("37.45", "37.46"))
    asked = emulator.stats().pixel_requests
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url)
    assert ended.code == 5
    assert "--overwrite" in one_line(ended)
    assert emulator.stats().pixel_requests == asked
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "out.zarr", mode="r")["B2"][:], before)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--overwrite").code == 0
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["B2"].shape[0] > before.shape[0]


def test_a_folder_that_is_no_store_is_never_deleted(eezarr, emulator, job, tmp_path):
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "thesis.txt").write_text("years", encoding="utf-8")
    job(grid=CROP)
    for flags in ([], ["--overwrite"]):
        ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, *flags)
        assert ended.code == 5
        one_line(ended)
    assert (tmp_path / "out.zarr" / "thesis.txt").read_text(encoding="utf-8") == "years"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_service_account_from_its_key_file(eezarr, emulator, job, tmp_path, mark):
    key = emulator.write_service_account_key(tmp_path / "key.json")
    key.write_bytes(mark + key.read_bytes())  # as editors on Windows save it
    job(grid=CROP)
    arguments = ("fetch", "job.toml", "--api-url", emulator.url, "--events", "events.jsonl")
    ended = eezarr(*arguments, GOOGLE_APPLICATION_CREDENTIALS=str(key))
    assert ended.code == 0, ended.err
    assert emulator.stats().tokens_issued == 1
    secret = json.loads(key.read_text(encoding="utf-8-sig"))["private_key"].splitlines()[1]
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != key:
            assert secret.encode() not in path.read_bytes()
            assert b"Bearer" not in path.read_bytes()


def test_the_summary_holds_what_is_promised(eezarr, emulator, job):
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert ended.err == ""
    summary = ended.summary
    assert summary["complete"] is True
    assert summary["tiles"] == {"total": 1, "written": 1, "resumed": 0, "failed": 0}
    assert summary["requests"] == {"sent": 1, "retried": 0, "throttled": 0, "split": 0}
    assert summary["bytes"]["pixels"] == 560 * 449 * 2 * 2
    assert summary["bytes"]["received"] > summary["bytes"]["pixels"]
    assert summary["output"] == "out.zarr"
    assert summary["failures"] == []


def test_events_are_json_lines(eezarr, emulator, job, tmp_path):
    emulator.script(["none", "unavailable"])
    job(grid=CROP)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--events", "events.jsonl").code == 0
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = [event["event"] for event in events]
    # The asset, and one pixel that tells its types; then the tile.
    assert kinds == ["Answered", "Answered", "JobStarted", "Answered", "Waiting", "Answered", "TileStored", "JobEnded"]
    assert all("time" in event for event in events)
    assert "503" in events[4]["reason"]


def memory_limit(pixels):
    return {"faults": {"rules": [{"pattern": "*", "max_pixels": pixels, "answer": "memory"}]}}


def square(side):
    return f'crs = "EPSG:32610"\ntransform = [10, 0, 520000, 0, -10, 4180000]\nshape = [{side}, {side}]'


SMALL_TILES = "[store]\nchunk = 512\n[fetch]\ntile = [512, 512]"


def test_tiles_that_are_too_heavy_are_had_in_parts(eezarr, emulator, job, tmp_path, truth):
    job(grid=square(1150), rest=SMALL_TILES)
    emulator.configure(memory_limit(50_000))
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert ended.code == 0, ended.err
    assert ended.summary["tiles"]["written"] == 9
    assert 1 <= ended.summary["requests"]["split"] < 20
    place = {"crs": "EPSG:32610", "transform": (10, 0, 520000, 0, -10, 4180000), "height": 1150, "width": 1150}
    stored = zarr.open_group(tmp_path / "out.zarr", mode="r")
    for band, expected in zip(["B2", "B4"], truth(SCENE_NAME, ["B2", "B4"], **place), strict=True):
        np.testing.assert_array_equal(stored[band][:], expected)


def test_a_limit_that_the_service_states_is_obeyed(eezarr, emulator, job):
    # 1000 x 1000 pixels of two uint16 bands count 6 000 000 bytes; the job believes in the documented 32 MiB.
    emulator.configure({"limits": {"get_pixels": {"max_bytes": 1_000_000, "max_side": 10_000, "max_bands": 1024}}})
    job(grid=square(2000), rest="[fetch]\ntile = [1024, 1024]")
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert ended.code == 0, ended.err
    assert 1 <= emulator.stats().requests["getPixels"]["400"] <= 4


def test_tiles_that_cannot_be_had_are_named_and_the_next_run_asks_for_them_only(eezarr, emulator, job):
    # 530 x 530 pixels in tiles of 512: only the 18 x 18 of the corner are few enough, and nothing is cut that small.
    job(grid=square(530), rest=SMALL_TILES)
    emulator.configure(memory_limit(500))
    first = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert first.code == 1, first.err
    assert "3 tiles are missing" in one_line(first)
    assert first.summary["complete"] is False
    assert first.summary["tiles"] == {"total": 4, "written": 1, "resumed": 0, "failed": 3}
    assert sorted(failure["tile"] for failure in first.summary["failures"]) == [0, 1, 2]
    assert all("User memory limit" in failure["error"] for failure in first.summary["failures"])
    emulator.configure({"faults": {"rules": []}})
    asked = emulator.stats().pixel_requests
    second = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert (second.code, second.summary["complete"]) == (0, True)
    assert emulator.stats().pixel_requests == asked + 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_job_goes_on_where_it_was(eezarr, emulator, job, tmp_path, number, code):
    emulator.configure({"latency": {"base_s": 0.2}})
    small_tiles = "[store]\nchunk = 256\n[fetch]\ntile = [256, 256]"
    job(grid='native = "B2"\nregion = [-122.5, 37.4, -122.1, 37.7]', rest=small_tiles)
    arguments = ("fetch", "job.toml", "--api-url", emulator.url, "--events", "events.jsonl")
    command = [sys.executable, "-m", "eezarr", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        events = tmp_path / "events.jsonl"
        while not events.exists() or '"TileStored"' not in events.read_text(encoding="utf-8"):
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "run the same command again" in err
    stored = events.read_text(encoding="utf-8").count('"TileStored"')
    status = eezarr("status", "out.zarr", "--json").summary
    assert status["tiles"]["stored"] >= stored
    assert status["complete"] is False
    emulator.configure({"latency": {"base_s": 0.0}})
    resumed = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--max-concurrency", "3").summary
    assert resumed["complete"] is True
    assert resumed["tiles"]["resumed"] == status["tiles"]["stored"]
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--output", "calm.zarr").code == 0
    for band in ("B2", "B4"):
        np.testing.assert_array_equal(
            zarr.open_group(tmp_path / "out.zarr", mode="r")[band][:],
            zarr.open_group(tmp_path / "calm.zarr", mode="r")[band][:],
        )


HANGING_JOB = """
import asyncio
from eezarr.cli.leaving import run_interruptibly

async def work():
    try:
        print("waiting", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)
        await asyncio.Event().wait()

run_interruptibly(work())
"""


def test_a_second_interrupt_leaves_at_once(tmp_path):
    command = [sys.executable, "-c", HANGING_JOB]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cancelled\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_plan_asks_for_metadata_only(eezarr, emulator, tmp_path):
    text = eezarr("plan", CONFIGS / "scene.toml", "--api-url", emulator.url)
    assert text.code == 0, text.err
    assert "10980 rows x 10980 columns" in text.out
    planned = eezarr("plan", CONFIGS / "scene.toml", "--api-url", emulator.url, "--json", "--geojson", "tiles.json")
    assert planned.summary["tiles"] == planned.summary["requests"] == 121
    assert planned.summary["bytes"]["pixels"] == 10980**2 * 8
    footprints = json.loads((tmp_path / "tiles.json").read_text(encoding="utf-8"))
    assert len(footprints["features"]) == 121
    west, north = footprints["features"][0]["geometry"]["coordinates"][0][0]
    assert (west, north) == pytest.approx((-123, 37.95), abs=0.05)
    computed = eezarr("plan", CONFIGS / "ndvi.toml", "--api-url", emulator.url, "--json").summary
    assert computed["bands"] == [{"name": "ndvi", "dtype": "float32"}]
    assert computed["method"] == "computePixels"
    assert emulator.stats().pixel_requests == 0
    assert not (tmp_path / "scene.zarr").exists()


def test_looking_at_a_store(eezarr, emulator, job, tmp_path):
    job(image=f'asset = "{SCENE}"\nbands = ["B2", "B3", "B4"]', grid=CROP)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    status = eezarr("status", "out.zarr")
    assert "1 of 1 stored, complete" in status.out
    assert eezarr("verify", "out.zarr").out == "1 tiles checked, 0 altered\n"
    assert eezarr("preview", "out.zarr", "colour.png", "--size", "200").out == "colour.png: B4, B3, B2\n"
    with Image.open(tmp_path / "colour.png") as picture:
        assert picture.mode == "RGBA"
        assert max(picture.size) <= 200
        shown = np.asarray(picture)
    assert (shown[..., 3] == 255).all()
    assert shown[..., :3].std() > 10
    assert eezarr("preview", "out.zarr", "grey.png", "--bands", "B3", "--min", "0", "--max", "1").code == 0
    with Image.open(tmp_path / "grey.png") as picture:
        assert (np.asarray(picture)[..., :3] == 255).all()
    bad = eezarr("preview", "out.zarr", "x.png", "--bands", "B99")
    assert bad.code == 2
    assert "B3" in one_line(bad)
    assert eezarr("status", "nothing.zarr").code == 5


def test_verify_finds_what_was_altered(eezarr, emulator, job, tmp_path):
    job(grid=CROP)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    array = zarr.open_group(tmp_path / "out.zarr", mode="r+")["B4"]
    array[5, 7] = array[5, 7] + 1
    ended = eezarr("verify", "out.zarr", "--json")
    assert ended.code == 5
    assert ended.summary == {"checked": 1, "altered": [0]}
    assert "--repair" in one_line(ended)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    assert eezarr("verify", "out.zarr").code == 5
    asked = emulator.stats().pixel_requests
    repaired = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--repair", "--json")
    assert repaired.summary["tiles"] == {"total": 1, "written": 1, "resumed": 0, "failed": 0}
    assert emulator.stats().pixel_requests == asked + 1
    assert eezarr("verify", "out.zarr").code == 0


def test_the_schema_names_every_key_of_the_shipped_jobs(eezarr):
    schema = json.loads(eezarr("schema").out)
    assert schema["title"] == "Job"
    assert "folder" not in schema["properties"]
    for path in sorted(CONFIGS.glob("*.toml")):
        for section in tomllib.loads(path.read_text(encoding="utf-8")):
            assert section in schema["properties"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_job_is_one(path):
    assert Job.load(path).output.endswith(".zarr")


def test_help_names_every_command(eezarr):
    ended = eezarr("--help")
    assert ended.code == 0
    for command in ("demo", "plan", "fetch", "status", "verify", "preview", "emulator", "schema"):
        assert command in ended.out
    for flag in ("--overwrite", "--json", "--events", "--quiet", "--max-concurrency", "--api-url", "--output"):
        assert flag in eezarr("fetch", "--help").out
    assert eezarr("--version").out.startswith("eezarr ")
    assert eezarr("fetch").code == 2


def test_starting_imports_nothing_heavy():
    heavy = "'aiohttp', 'zarr', 'numpy', 'pydantic', 'pyproj'"
    script = f"import sys, eezarr.cli.app; print([name for name in ({heavy}) if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ended.stdout == "[]\n"


def test_the_demo(eezarr, tmp_path):
    ended = eezarr("demo", "shown")
    assert ended.code == 0, ended.err
    assert "nothing is missing" in ended.err
    assert "shown/demo.png" in ended.out
    assert eezarr("status", "shown/demo.zarr", "--json").summary["complete"] is True
    assert sorted(path.name for path in (tmp_path / "shown").iterdir()) == ["demo.png", "demo.toml", "demo.zarr"]
    with Image.open(tmp_path / "shown" / "demo.png") as picture:
        red, green, blue, alpha = np.asarray(picture).astype(float).transpose(2, 0, 1)
    assert (alpha == 255).all()
    assert min(red.std(), green.std(), blue.std()) > 20


@pytest.mark.parametrize(("name", "kind"), [("x.jpg", "JPEG"), ("x.JPEG", "JPEG"), ("x.png", "PNG")])
def test_a_picture_is_what_its_name_says(eezarr, emulator, job, tmp_path, name, kind):
    job(grid=CROP)
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    ended = eezarr("preview", "out.zarr", name, "--bands", "B4")
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
    for arguments, says in (
        (("out.zarr", "x.gif"), "PNG or JPEG"),
        (("out.zarr", "x"), "PNG or JPEG"),
        (("out.zarr", name, "--bands", "B99"), "no band B99; there are B2, B4"),
        (("out.zarr", name, "--bands", "B4,B2,b2"), "no band b2; there are B2, B4"),
    ):
        ended = eezarr("preview", *arguments)
        assert ended.code == 2
        assert says in one_line(ended)


def test_the_readmes_two_requests_are_two(eezarr, emulator, job):
    row = next(
        line for line in (REPOSITORY / "README.md").read_text("utf-8").split("\n") if "requests for 2 bands" in line
    )
    assert '16 at once, or **2** (`method = "computePixels"`, `tile = [4096, 4096]`)' in row
    grid = 'crs = "EPSG:32610"\ntransform = [10, 0, 499980, 0, -10, 4200000]\nshape = [4096, 4096]'
    image = f'asset = "{SCENE}"\nbands = ["B2", "B4"]'
    job(image=image, grid=grid)
    assert eezarr("plan", "job.toml", "--api-url", emulator.url, "--json").summary["requests"] == 16
    job(image=f'{image}\nmethod = "computePixels"', grid=grid, rest="[fetch]\ntile = [4096, 4096]")
    assert eezarr("plan", "job.toml", "--api-url", emulator.url, "--json").summary["requests"] == 2
