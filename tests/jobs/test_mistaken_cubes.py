"""What can be wrong with a cube is said before any pixel is asked for: by name, with what to do, by its exit code."""

import json

import pytest

from eezarr.errors import EezarrError
from jobs.series import SEG, SEH, alter, grid_toml, of, run, typed, without, write

SPRING = {"start": "2017-04-05", "end": "2017-04-25"}
FILL = '[mask]\nmode = "fill"\nfill = {}\n'
NATIVE = 'native = "B4"\nregion = [-122.4, 37.7, -122.3, 37.8]'
AREA = 'region = "area.geojson"\ncrs = "EPSG:32610"\nresolution = 1000'
FAR = 'crs = "EPSG:32610"\nresolution = 1000\nregion = [-121, 45, -120, 46]'


def refused(path, emulator):
    """The exit code and the text of an error that cost no pixel."""
    with pytest.raises(EezarrError) as caught:
        run(path, emulator)
    assert emulator.stats().pixel_requests == 0
    assert emulator.stats().count("computePixels") == 0
    return caught.value.exit_code, str(caught.value)


def test_the_command_line_says_it_in_one_line(eezarr, emulator, tmp_path):
    write(tmp_path, of(**SPRING), rest=FILL.format(-1))
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--quiet")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("error: The fill -1 is no value of band 'B4' (uint16); int8, int16, int32,")
    assert emulator.stats().pixel_requests == 0


@pytest.mark.parametrize(
    ("collection", "grid", "rest", "code", "says"),
    [
        (of(start="2016-04-05", end="2016-04-25"), None, "", 2, ["No image of", "COPERNICUS/S2", "period"]),
        (of(**SPRING), FAR, "", 2, ["No image of", "region"]),
        (of(**SPRING, bands=("B4", "B44")), None, "", 2, ["None of the 4 images has a band 'B44'", "B8A"]),
        (of(**SPRING), None, FILL.format(-1), 2, ["-1", "'B4' (uint16)", "int8, int16, int32, float32, float64"]),
        (of(**SPRING), None, FILL.format(70000), 2, ["70000", "int32, uint32, float32, float64"]),
        (of(**SPRING), None, FILL.format(0.5), 2, ["0.5", "'B4' (uint16)", "float32, float64"]),
        (of(**SPRING), None, FILL.format("nan"), 2, ["nan", "float32, float64"]),
        (of(**SPRING), None, FILL.format("{ B4 = 0, B5 = 1 }"), 2, ["B5", "does not read"]),
        (of(**SPRING), None, '[mask]\nmode = "fill"\n', 2, ["'B4' (uint16) has no fill", 'mode = "band"']),
        (of(**SPRING, more='cast = { B4 = "int8" }'), None, FILL.format(200), 2, ["'B4' (int8)", "uint8, int16"]),
        (of(**SPRING, tiles=(SEG, SEH)), 'native = "B4"', "", 2, ["lies on another grid", "T10SEH", "MGRS_TILE"]),
        (of(**SPRING), 'native = "B44"', "", 2, ["no band 'B44'"]),
        (of(**SPRING), NATIVE.replace("37.7", "47.7").replace("37.8", "47.8"), "", 2, ["No image of"]),
        (of(**SPRING, collection="COPERNICUS/S3"), None, "", 4, ["COPERNICUS/S3", "not found"]),
        (of(**SPRING, more='group = "all"'), None, FILL.format(-1), 2, ["-1", "'B4' (uint16)", "int16"]),
        (of(**SPRING, more='cast = { B4 = "float32" }'), None, FILL.format("1e300"), 2, ["(float32)", "float64 could"]),
        (of(**SPRING, bands=("B4", "B8")), None, '[mask]\nmode = "band"\nfill = inf', 2, ["inf", "beside a mask"]),
    ],
)  # fmt: skip
def test_mistakes_cost_no_pixel(emulator, tmp_path, collection, grid, rest, code, says):
    found, line = refused(write(tmp_path, collection, grid=grid, rest=rest), emulator)
    assert found == code, line
    for part in says:
        assert part in line, line
    assert not (tmp_path / "out.zarr").exists()


def test_images_that_lack_a_band_are_named(emulator, tmp_path, monkeypatch):
    alter(monkeypatch, {"20170410T190351_T10SEG": without("B8")})
    code, line = refused(write(tmp_path, of(**SPRING)), emulator)
    assert code == 2
    for part in ("1 of 4 images lack B8", "20170410T190351_20170410T190351_T10SEG", '"skip"', '"mask"'):
        assert part in line


def test_types_that_differ_are_named_with_a_cast_that_holds_all(emulator, tmp_path, monkeypatch):
    alter(monkeypatch, {"20170410T190351_T10SEG": typed("B8", "int16")})
    code, line = refused(write(tmp_path, of(**SPRING)), emulator)
    assert code == 2
    for part in ("B8 has not one type", "uint16 in 3", "int16 in 1", "20170410T190351_T10SEG", '{ B8 = "int32" }'):
        assert part in line


def test_a_missing_mask_without_masks_is_no_job(emulator, tmp_path):
    code, line = refused(write(tmp_path, of(**SPRING, more='missing = "mask"')), emulator)
    assert code == 2
    assert "missing" in line
    assert "mask" in line


@pytest.mark.parametrize(
    ("area", "says"),
    [
        ({"type": "Point", "coordinates": [-122.4, 37.7]}, ["Point", "Give a GeoJSON Polygon"]),
        ("no JSON", ["area.geojson", "JSON"]),
        (None, ["area.geojson", "cannot be read"]),
        ({"type": "Polygon", "coordinates": [[[10, 50], [11, 50], [11, 51], [10, 50]]]}, ["far from"]),
        ({"type": "Polygon", "coordinates": [[[-121, 45], [-120, 45], [-120, 46], [-121, 45]]]}, ["No image of"]),
    ],
)
def test_a_region_that_is_none(emulator, tmp_path, area, says):
    if area is not None:
        text = area if isinstance(area, str) else json.dumps(area)
        (tmp_path / "area.geojson").write_text(text, encoding="utf-8")
    code, line = refused(write(tmp_path, of(**SPRING), grid=AREA), emulator)
    assert code == 2, line
    for part in says:
        assert part in line, line


def test_a_clip_without_a_polygon_or_a_mask_is_no_job(emulator, tmp_path):
    assert refused(write(tmp_path, of(**SPRING), grid=f"{grid_toml()}\nclip = true"), emulator)[0] == 2
    (tmp_path / "area.geojson").write_text("{}", encoding="utf-8")
    code, line = refused(
        write(tmp_path, of(**SPRING), grid=f"{AREA}\nclip = true"),
        emulator,
    )
    assert code == 2
    assert "[mask]" in line
