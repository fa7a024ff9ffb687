"""Polygons: which tiles are asked for, which pixels are kept, and what is there where nothing was asked for."""

import json

import numpy as np
import pytest
import shapely
import xarray
from pyproj import Transformer

from eezarr.emulator.raster import Grid
from eezarr.errors import ForeignStore
from jobs.series import layers, names_of, of, run, stored, write
from known import SCENE, SCENE_NAME

SPRING = {"start": "2017-04-05", "end": "2017-04-15"}
TRIANGLE = [[556_013.0, 4_186_011.0], [558_571.0, 4_183_333.0], [556_717.0, 4_182_901.0], [556_013.0, 4_186_011.0]]
HOLE = [[556_503.1, 4_185_001.0], [556_702.0, 4_184_103.3], [556_898.7, 4_184_701.9], [556_503.1, 4_185_001.0]]
ISLAND = [[555_811.0, 4_183_313.0], [556_017.0, 4_183_313.0], [556_017.0, 4_183_107.0], [555_811.0, 4_183_107.0],
          [555_811.0, 4_183_313.0]]  # fmt: skip
AREA = {"type": "MultiPolygon", "coordinates": [[TRIANGLE, HOLE], [ISLAND]]}
TILES = "[store]\nchunk = 32\n[fetch]\ntile = [32, 32]\n"
PLACE = 'region = "area.geojson"\nregion_crs = "EPSG:32610"\ncrs = "EPSG:32610"\nresolution = 10'


@pytest.fixture
def area(tmp_path):
    (tmp_path / "area.geojson").write_text(json.dumps(AREA), encoding="utf-8")
    return shapely.geometry.shape(AREA)


def grid_of(path):
    """The stored grid, as a reader of the coordinates has it."""
    with xarray.open_zarr(path, decode_coords="all") as dataset:
        left, top = float(dataset.x[0]) - 5, float(dataset.y[0]) + 5
        size = dict(dataset.sizes)
    return Grid(crs="EPSG:32610", transform=(10.0, 0.0, left, 0.0, -10.0, top), width=size["x"], height=size["y"])


def touched_tiles(area, grid, side):
    """Upper left corners of the tiles that have more than their edge in common with the area."""
    left, top = grid.transform[2], grid.transform[5]
    found = set()
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            right, bottom = left + 10 * min(col + side, grid.width), top - 10 * min(row + side, grid.height)
            if area.intersection(shapely.box(left + 10 * col, bottom, right, top - 10 * row)).area > 0:
                found.add((left + 10.0 * col, top - 10.0 * row))
    return found


def corners(emulator):
    """Upper left corners of what was asked for; one pixel, which tells types, is no tile."""
    return [(item.transform[2], item.transform[5]) for item in emulator.stats().recent if item.width > 1]


def inside(area, grid):
    x = grid.transform[2] + 10 * (np.arange(grid.width) + 0.5)
    y = grid.transform[5] - 10 * (np.arange(grid.height) + 0.5)
    return shapely.contains_xy(area, *np.meshgrid(x, y))


def asked_for(grid, touched, side):
    """The pixels of the tiles that were asked for."""
    pixels = np.zeros((grid.height, grid.width), bool)
    for x, y in touched:
        row, col = round((grid.transform[5] - y) / 10), round((x - grid.transform[2]) / 10)
        pixels[row : row + side, col : col + side] = True
    return pixels


@pytest.mark.parametrize("what", ["image", "collection"])
def test_tiles_that_a_polygon_does_not_touch_are_never_asked_for(eezarr, emulator, world, area, tmp_path, job, what):
    rest = f'[mask]\nmode = "fill"\nfill = 9\n{TILES}'
    if what == "image":
        job(image=f'asset = "{SCENE}"\nbands = ["B4", "B8"]', grid=PLACE, rest=rest)
    else:
        write(tmp_path, of(**SPRING), grid=PLACE, rest=rest)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert ended.code == 0, ended.err
    grid = grid_of(tmp_path / "out.zarr")
    touched = touched_tiles(area, grid, 32)
    every = -(-grid.height // 32) * -(-grid.width // 32)
    names = [SCENE_NAME] if what == "image" else names_of(**SPRING)
    assert 0.2 < len(touched) / every < 0.6
    assert set(corners(emulator)) == touched
    assert len(corners(emulator)) == len(touched)  # a request has both dates
    wanted = len(touched)
    assert ended.summary["tiles"] == {"total": wanted, "written": wanted, "resumed": 0, "failed": 0}
    status = eezarr("status", "out.zarr", "--json").summary
    assert (status["complete"], status["tiles"]["total"], status["tiles"]["stored"]) == (True, wanted, wanted)
    assert status["tiles"]["first_missing"] == []
    has_asked = asked_for(grid, touched, 32)
    for band in ("B4", "B8"):
        for step, name in enumerate(names):
            expected = layers(world, [name], band, grid)[0].filled(9)
            found = stored(tmp_path)[band][:] if what == "image" else stored(tmp_path)[band][step]
            np.testing.assert_array_equal(found, np.where(has_asked, expected, 9))
    again = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet").summary
    assert (again["complete"], again["requests"]["sent"]) == (True, 0)
    assert eezarr("verify", "out.zarr").code == 0


MODES = {"fill": ('mode = "fill"\nfill = 65535', 65535), "nan": ('mode = "fill"', np.nan),
         "shared": ('mode = "band"', 0), "each": ('mode = "band"\nper_band = true\nfill = 3', 3)}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_clipped_pixels_are_masked(emulator, world, area, tmp_path, mode):
    mask, fill = MODES[mode]
    cast = 'cast = { B4 = "float32", B8 = "float32" }' if mode == "nan" else ""
    path = write(tmp_path, of(**SPRING, more=cast), grid=f"{PLACE}\nclip = true", rest=f"[mask]\n{mask}\n{TILES}")
    assert run(path, emulator).is_complete
    grid = grid_of(tmp_path / "out.zarr")
    is_inside, group = inside(area, grid), stored(tmp_path)
    # In a tile that was never asked for, a mask is 0, and pixels mean nothing.
    has_asked = asked_for(grid, touched_tiles(area, grid, 32), 32)
    assert not (is_inside & ~has_asked).any()
    for position, band in enumerate(("B4", "B8")):
        seen = layers(world, names_of(**SPRING), band, grid)
        expected = np.where(is_inside, seen.astype(group[band].dtype).filled(fill), fill)
        where = np.broadcast_to(has_asked if mode in {"each", "shared"} else True, expected.shape)
        np.testing.assert_array_equal(group[band][:][where], expected[where])
        valid = ~np.ma.getmaskarray(seen) & is_inside
        assert 0.05 < valid.mean() < 0.6
        if mode == "each":
            np.testing.assert_array_equal(group["mask"][:, position], valid)
        if mode == "shared":  # the bands of a scene are masked together
            np.testing.assert_array_equal(group["mask"][:], valid)


def test_a_polygon_in_longitude_and_latitude_clips_as_its_edges_run(emulator, world, tmp_path):
    """Straight in its own CRS: the oracle goes along each edge by small steps."""
    lonlat = shapely.Polygon([(-122.362, 37.816), (-122.331, 37.789), (-122.353, 37.783), (-122.362, 37.816)])
    (tmp_path / "area.geojson").write_text(shapely.to_geojson(lonlat), encoding="utf-8")
    place = 'region = "area.geojson"\ncrs = "EPSG:32610"\nresolution = 10\nclip = true'
    rest = f'[mask]\nmode = "fill"\nfill = 0\n{TILES}'
    assert run(write(tmp_path, of(**SPRING), grid=place, rest=rest), emulator).is_complete
    grid = grid_of(tmp_path / "out.zarr")
    project = Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True).transform
    exact = shapely.transform(shapely.segmentize(lonlat, 1e-4), project, interleaved=False)
    expected = layers(world, names_of(**SPRING), "B4", grid).filled(0) * inside(exact, grid)
    # A centre within a centimetre of an edge is on either side of it.
    x = grid.transform[2] + 10 * (np.arange(grid.width) + 0.5)
    y = grid.transform[5] - 10 * (np.arange(grid.height) + 0.5)
    is_clear = shapely.distance(shapely.points(*np.meshgrid(x, y)), exact.boundary) > 0.01
    assert is_clear.mean() > 0.999
    np.testing.assert_array_equal(stored(tmp_path)["B4"][:][:, is_clear], expected[:, is_clear])


def test_a_resumed_polygon_keeps_its_shape(emulator, area, tmp_path):
    """Another polygon in the same box is another plan."""
    rest = f'[mask]\nmode = "fill"\nfill = 0\n{TILES}'
    path = write(tmp_path, of(**SPRING), grid=PLACE, rest=rest)
    assert run(path, emulator).is_complete
    assert run(path, emulator).tiles_written == 0
    moved = json.loads(json.dumps(AREA))
    moved["coordinates"][0].pop()  # without the hole
    (tmp_path / "area.geojson").write_text(json.dumps(moved), encoding="utf-8")
    with pytest.raises(ForeignStore, match="another plan"):
        run(path, emulator)


def test_what_is_left_out_of_a_region_is_told_on_stderr_once(eezarr, emulator, area, tmp_path, job):
    ring = [[0, 0], [1, 1], [2, 2], [0, 0]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": None},
        {"type": "Feature", "properties": {"name": "flat"}, "geometry": {"type": "Polygon", "coordinates": [ring]}},
        {"type": "Feature", "properties": {}, "geometry": AREA},
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (tmp_path / "area.geojson").write_text(text, encoding="utf-8-sig")
    job(image=f'asset = "{SCENE}"\nbands = ["B4"]', grid=PLACE, rest=TILES)
    ended = eezarr("fetch", "job.toml", "--api-url", emulator.url, "--json", "--quiet")
    assert ended.code == 0, ended.err
    (line,) = ended.err.splitlines()
    assert line.startswith("warning: The region: what has no area is left out.")
    assert "feature 1 (line 1) ('flat')" in line
    assert set(corners(emulator)) == touched_tiles(area, grid_of(tmp_path / "out.zarr"), 32)
