"""A cube grows at its end: the same job with a later end asks for new dates only, and touches nothing old."""

import json
import re

import numpy as np
import pytest

from eezarr.errors import ForeignStore
from jobs.series import alter, layers, names_of, of, run, stored, without, write

START, MIDDLE, END = "2017-04-05", "2017-04-15", "2017-05-05"
BANDS = ("B4", "B8")
FILL = '[mask]\nmode = "fill"\nfill = 65535\n'
EACH = '[mask]\nmode = "band"\nper_band = true\n'
TILES = "[store]\nchunk = 16\n{}\n[fetch]\ntile = [32, 32]\n"


def chunks(store):
    """Stored objects of pixels and masks: name, content, and when each was written."""
    files = [
        path for path in store.rglob("*") if path.is_file() and re.search(r"(B4|B8|mask|pixels)/(c/)?\d", str(path))
    ]
    return {str(path.relative_to(store)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def asked_steps(requests):
    return {int(re.match(r"[pm](\d+)", name)[1]) for request in requests for name in request.bands}


@pytest.mark.parametrize(
    ("mask", "zarr_format", "layout"),
    [(FILL, 3, "bands"), (EACH, 3, "stacked"), (EACH, 2, "bands"), (FILL, 2, "stacked")],
)
def test_new_dates_are_added_and_nothing_old_is_touched(emulator, world, tmp_path, mask, zarr_format, layout):
    rest = mask + TILES.format(f'layout = "{layout}"\nformat = {zarr_format}')
    assert run(write(tmp_path, of(start=START, end=MIDDLE, bands=BANDS), rest=rest), emulator).is_complete
    old, seen = chunks(tmp_path / "out.zarr"), len(emulator.stats().recent)
    assert stored(tmp_path)["time"].shape == (2,)
    report = run(write(tmp_path, of(start=START, end=END, bands=BANDS), rest=rest), emulator)
    assert report.is_complete
    assert report.tiles_resumed == report.tiles_written == report.tiles_total // 2 == 4
    now = chunks(tmp_path / "out.zarr")
    assert len(now) == 3 * len(old) == 3 * len(old.keys() & now.keys())
    assert {name: now[name] for name in old} == old
    assert asked_steps(emulator.stats().recent[seen:]) == set(range(2, 6))
    require_exact(tmp_path, world, names_of(START, END), layout)


def require_exact(folder, world, names, layout):
    group = stored(folder)
    assert group["image_ids"][:].tolist() == names
    for position, band in enumerate(BANDS):
        expected = layers(world, names, band)
        found = group["pixels"][:, position] if layout == "stacked" else group[band][:]
        np.testing.assert_array_equal(found, expected.filled(0 if "mask" in group else 65535))
        if "mask" in group:
            np.testing.assert_array_equal(group["mask"][:, position], ~np.ma.getmaskarray(expected))


def test_a_store_grows_more_than_once_and_says_so(eezarr, emulator, world, tmp_path):
    for end in (MIDDLE, "2017-04-25", END):
        write(tmp_path, of(start=START, end=end, bands=BANDS), rest=FILL + TILES.format(""))
        ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
        assert ended.code == 0, ended.err
    require_exact(tmp_path, world, names_of(START, END), "bands")
    status = eezarr("status", "out.zarr", "--json").summary
    assert status["complete"] is True
    assert len(status["times"]) == 6
    # Provenance tells of all that is there now.
    assert (status["image"]["steps"], status["image"]["images"]) == (6, 6)
    assert status["image"]["last"] == status["times"][-1]
    assert json.loads(stored(tmp_path).attrs["eezarr"])["image"] == status["image"]
    assert json.loads(stored(tmp_path).attrs["eezarr"])["plan"]["steps"] == 6
    assert eezarr("verify", "out.zarr").code == 0


def test_a_grown_store_remembers_which_images_lack_bands(eezarr, emulator, tmp_path, monkeypatch):
    """What is compared with the service is read as it was read: a new image's lack has to be known."""
    alter(monkeypatch, {"20170420T190203_T10SEG": without("B8")})
    for end in (MIDDLE, END):
        write(tmp_path, of(start=START, end=end, bands=BANDS, more='missing = "mask"'), rest=EACH + TILES.format(""))
        assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--quiet").code == 0
    ended = eezarr("verify", "out.zarr", "--sample", "100", "--project", "p", "--api-url", emulator.url, "--json")
    assert ended.code == 0, ended.err
    assert (len(ended.summary["compared"]), ended.summary["different"]) == (8, [])


def test_a_group_that_was_not_over_is_refused(eezarr, emulator, tmp_path):
    """A month of which half was there changes: what is stored of it would be wrong."""
    months = 'group = "month"\nreduce = "max"'
    write(tmp_path, of(start="2017-03-01", end="2017-04-15", bands=BANDS, more=months), rest=FILL + TILES.format(""))
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url, "--quiet").code == 0
    old, asked = chunks(tmp_path / "out.zarr"), emulator.stats().pixel_requests
    write(tmp_path, of(start="2017-03-01", end="2017-05-01", bands=BANDS, more=months), rest=FILL + TILES.format(""))
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--quiet")
    assert ended.code == 5
    for part in ("2017-04-01", "(2 images)", "(6 images)", "only grows at the end", "end a job where a group ends"):
        assert part in ended.err
    assert emulator.stats().pixel_requests == asked
    assert chunks(tmp_path / "out.zarr") == old
    assert eezarr("status", "out.zarr", "--json").summary["complete"] is True


def test_months_that_were_over_grow(emulator, world, tmp_path):
    months = 'group = "month"\nreduce = "max"'
    for end in ("2017-04-01", "2017-06-01"):
        path = write(tmp_path, of(start="2017-03-01", end=end, bands=BANDS, more=months), rest=FILL + TILES.format(""))
        assert run(path, emulator).is_complete
    for band in BANDS:
        for step, (first, last) in enumerate((("03", "04"), ("04", "05"), ("05", "06"))):
            expected = layers(world, names_of(f"2017-{first}-01", f"2017-{last}-01"), band).max(axis=0)
            np.testing.assert_array_equal(stored(tmp_path)[band][step], expected.filled(65535))


def test_an_earlier_end_or_an_earlier_start_is_refused(emulator, tmp_path):
    rest = FILL + TILES.format("")
    assert run(write(tmp_path, of(start=START, end=END, bands=BANDS), rest=rest), emulator).is_complete
    asked = emulator.stats().pixel_requests
    for start, end in ((START, MIDDLE), ("2017-03-25", END)):
        with pytest.raises(ForeignStore, match="only grows at the end"):
            run(write(tmp_path, of(start=start, end=end, bands=BANDS), rest=rest), emulator)
    assert emulator.stats().pixel_requests == asked


def test_a_grown_polygon_cube_grows_where_it_is_wanted(emulator, world, tmp_path):
    area = {"type": "Polygon", "coordinates": [[[-122.9, 37.9], [-122.0, 37.9], [-122.9, 37.2], [-122.9, 37.9]]]}
    (tmp_path / "area.geojson").write_text(json.dumps(area), encoding="utf-8")
    place = 'region = "area.geojson"\ncrs = "EPSG:32610"\nresolution = 2000\nclip = true'
    totals = []
    for end in (MIDDLE, END):
        path = write(tmp_path, of(start=START, end=end, bands=BANDS), grid=place, rest=FILL + TILES.format(""))
        report = run(path, emulator)
        assert report.is_complete
        totals.append((report.tiles_total, report.tiles_resumed))
    assert totals[1] == (2 * totals[0][0], totals[0][0])
