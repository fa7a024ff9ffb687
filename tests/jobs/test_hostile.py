"""Input that no one should write, through the real command: one line, the exit code, and no request for pixels."""

import json

import pytest

from jobs.test_command_line import CROP, DEGREES, one_line
from known import CONFIGS, SCENE

BOM = "\ufeff"
SQUARE = [[-122.2, 37.4], [-122.15, 37.4], [-122.15, 37.45], [-122.2, 37.45], [-122.2, 37.4]]
POLYGON = json.dumps({"type": "Polygon", "coordinates": [SQUARE]})


def test_files_that_begin_with_a_byte_order_mark_are_read(eezarr, emulator, job, tmp_path):
    text = (CONFIGS / "ndvi.json").read_text(encoding="utf-8")
    (tmp_path / "ndvi.json").write_text(BOM + text, encoding="utf-8")
    (tmp_path / "aoi.geojson").write_text(BOM + POLYGON, encoding="utf-8")
    path = job(image='expression = "ndvi.json"', grid='crs = "EPSG:4326"\nscale = 1000\nregion = "aoi.geojson"')
    path.write_text(BOM + path.read_text(encoding="utf-8"), encoding="utf-8")
    at = ["--api-url", emulator.url]
    assert eezarr("plan", "job.toml", *at).code == 0
    ended = eezarr("images", "COPERNICUS/S2", "--region", "aoi.geojson", "--limit", "1", "--project", "p", *at)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    "region",
    [
        '{"type": "GeometryCollection", "geometries": [' * 1_000 + POLYGON + "]}" * 1_000,
        POLYGON.replace("37.4", "1" * 400),
        POLYGON.replace("37.4", "1e400"),
        POLYGON.replace("37.4", "NaN"),
        "[" * 200_000,
        '"' + "x" * 100_000 + '"',
    ],
)
def test_a_region_that_no_reader_survives_is_refused_in_a_line(eezarr, emulator, job, tmp_path, region):
    (tmp_path / "aoi.geojson").write_text(region, encoding="utf-8")
    job(grid='native = "B2"\nregion = "aoi.geojson"')
    ended = eezarr("plan", "job.toml", "--api-url", emulator.url)
    assert ended.code == 2, ended.err[-500:]
    assert len(one_line(ended)) < 1_000


@pytest.mark.parametrize("text", ["tile = " + "[" * 100_000, ".".join(["a"] * 20_000) + " = 1"])
def test_a_job_that_no_parser_survives_is_refused_in_a_line(eezarr, job, text):
    path = job(grid=CROP)
    path.write_text(path.read_text(encoding="utf-8") + f"[fetch]\n{text}\n", encoding="utf-8")
    ended = eezarr("plan", "job.toml")
    assert ended.code == 2
    assert len(one_line(ended)) < 500


def test_an_endless_job_file_is_refused(eezarr):
    ended = eezarr("plan", "/dev/zero")
    assert ended.code == 2
    assert "larger than 1024 KiB" in one_line(ended)


@pytest.mark.parametrize("body", ["[" * 200_000, '{"version": ' + "1" * 400 + "}", "{}", "[]", ""])
def test_a_damaged_record_is_refused_in_a_line(eezarr, emulator, job, tmp_path, body):
    job(grid=CROP)
    (tmp_path / "out.zarr" / ".eezarr").mkdir(parents=True)
    (tmp_path / "out.zarr" / ".eezarr" / "job.json").write_text(body, encoding="utf-8")
    for command in (["status", "out.zarr"], ["fetch", "job.toml", "--api-url", emulator.url]):
        ended = eezarr(*command)
        assert ended.code == 5, ended.err[-500:]
        assert len(one_line(ended)) < 500
    assert emulator.stats().pixel_requests == 0


def test_names_that_would_write_backwards_are_printed_by_their_escapes(eezarr, emulator, job):
    job(image=f'asset = "{SCENE}\u202egnp"', grid=CROP)
    for command in (
        ["fetch", "job.toml", "--api-url", emulator.url, "--quiet"],
        ["info", f"{SCENE}\u202egnp", "--project", "p", "--api-url", emulator.url],
        ["plan", "missing\u202e.toml"],
    ):
        ended = eezarr(*command)
        assert "\u202e" not in ended.err + ended.out
        assert "\\u202e" in one_line(ended)


def test_an_expression_that_no_parser_survives_is_refused_in_a_line(eezarr, emulator, job, tmp_path):
    (tmp_path / "deep.json").write_text('{"values": ' + "[" * 100_000, encoding="utf-8")
    job(image='expression = "deep.json"', grid=DEGREES)
    ended = eezarr("plan", "job.toml", "--api-url", emulator.url)
    assert ended.code == 2
    assert len(one_line(ended)) < 500


def test_a_band_that_would_write_backwards_is_printed_by_its_escapes(eezarr, emulator, job, tmp_path):
    text = (CONFIGS / "ndvi.json").read_text(encoding="utf-8").replace('"ndvi"', '"ndvi\\u202egnp"')
    (tmp_path / "ndvi.json").write_text(text, encoding="utf-8")
    job(image='expression = "ndvi.json"', grid=DEGREES, rest='[store]\nlayout = "stacked"')
    ended = eezarr("plan", "job.toml", "--api-url", emulator.url)
    assert "\u202e" not in ended.err + ended.out
    assert r"ndvi\u202egnp" in ended.err + ended.out
