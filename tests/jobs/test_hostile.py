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


@pytest.mark.parametrize("names", [["ndvi", "NDVI"], ["ndvi", "aux"], ["ndvi", "a:b"], ["ndvi", "B1."]])
@pytest.mark.parametrize("command", ["plan", "fetch"])
def test_band_names_that_some_file_system_would_lose_are_refused_before_a_pixel(
    eezarr, emulator, job, tmp_path, names, command
):
    ndvi = json.loads((CONFIGS / "ndvi.json").read_text(encoding="utf-8"))
    renamed = ndvi["values"]["0"]["functionInvocationValue"]["arguments"]
    arguments = {"input": {"functionInvocationValue": {"functionName": "Image.addBands", "arguments": {}}}}
    both = arguments["input"]["functionInvocationValue"]["arguments"]
    both["dstImg"] = both["srcImg"] = renamed["input"]
    ndvi["values"]["0"]["functionInvocationValue"]["arguments"] = arguments | {"names": {"constantValue": names}}
    (tmp_path / "both.json").write_text(json.dumps(ndvi), encoding="utf-8")
    job(image='expression = "both.json"', grid=DEGREES)
    ended = eezarr(command, "job.toml", "--api-url", emulator.url)
    assert ended.code == 2, ended.err
    assert names[1] in one_line(ended)
    assert "Rename the band" in one_line(ended)
    assert emulator.stats().pixel_requests <= 1  # one pixel tells the types
    assert not (tmp_path / "out.zarr").exists()


def test_a_job_of_more_pixels_than_anyone_means_is_refused_with_its_numbers(eezarr, emulator, job):
    grid = 'crs = "EPSG:32610"\nresolution = 0.0001\nregion = [-122.2, 37.4, -122.1, 37.5]'
    job(grid=grid)
    for command in ("plan", "fetch"):
        ended = eezarr(command, "job.toml", "--api-url", emulator.url)
        assert ended.code == 2
        line = one_line(ended)
        for part in ("tiles", "TB", "pixels", "max_pixels"):
            assert part in line
    job(grid=grid.replace("0.0001", "1"), rest="[fetch]\nmax_pixels = 1000000")
    assert "max_pixels is 1e+06" in one_line(eezarr("plan", "job.toml", "--api-url", emulator.url))
    job(grid=grid.replace("0.0001", "1"))
    assert eezarr("plan", "job.toml", "--api-url", emulator.url).code == 0
    assert emulator.stats().pixel_requests <= 1  # one pixel tells the types


def test_samples_of_more_pixels_than_anyone_means_are_refused_with_their_numbers(eezarr, emulator, tmp_path):
    text = """output = "s.zarr"
project = "my-project"
[image]
asset = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
bands = ["B2"]
[samples]
sites = "sites.csv"
size = {size}
resolution = 10
[fetch]
max_pixels = 1000
"""
    (tmp_path / "sites.csv").write_text("lon,lat\n-122.2,37.4\n-122.1,37.5\n", encoding="utf-8")
    (tmp_path / "job.toml").write_text(text.format(size=23), encoding="utf-8")
    for command in ("plan", "samples"):
        ended = eezarr(command, "job.toml", "--api-url", emulator.url)
        assert ended.code == 2
        assert "2 samples of 23 x 23 pixels, 1.06e+03 pixels a band, and max_pixels is 1e+03" in one_line(ended)
    assert not emulator.stats().requests
    (tmp_path / "job.toml").write_text(text.format(size=22), encoding="utf-8")
    assert eezarr("plan", "job.toml", "--api-url", emulator.url).code == 0


@pytest.mark.parametrize("name", ["m.tif", "m.TIFF", "a/m.nc", "m.zip", "m.jp2", "m.png", "s3://bucket/m.tif", "m.nc/"])
def test_an_output_that_is_named_as_a_file_is_refused(eezarr, job, tmp_path, name):
    job(grid=CROP, output=name)
    assert "eezarr convert" in one_line(eezarr("fetch", "job.toml"))
    job(grid=CROP)
    ended = eezarr("fetch", "job.toml", "--output", name)
    assert ended.code == 2
    assert "eezarr convert" in one_line(ended)
    assert {path.name for path in tmp_path.iterdir()} == {"job.toml"}


def test_a_planet_that_is_not_the_earth_is_refused_in_a_line(eezarr, emulator, job):
    job(grid='crs = "IAU:49900"\nscale = 10\nregion = [0, 0, 1, 1]')
    ended = eezarr("plan", "job.toml", "--api-url", emulator.url)
    assert ended.code == 2
    assert "IAU:49900" in one_line(ended)


def test_a_crs_is_a_number_or_the_regions_zone(eezarr, emulator, job):
    for crs in ("32610", '"32610"', '"utm"'):
        job(grid=f"crs = {crs}\nscale = 10\nregion = [-122.2, 37.4, -122.15, 37.45]")
        ended = eezarr("plan", "job.toml", "--api-url", emulator.url, "--json")
        assert ended.code == 0, ended.err
        assert ended.summary["grid"]["crsCode"] == "EPSG:32610"
