"""Pixels of the synthetic scenes: functions of place, plausible, and the same through every window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eezarr.emulator import spectra, terrain, texture
from eezarr.emulator.raster import Grid
from eezarr.emulator.scenes import SIDE_PX, Scene, Swath
from eezarr.emulator.world import SyntheticWorld

CLEAR = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
CLOUDY = "COPERNICUS/S2/20170407T184921_20170407T190203_T10SEG"
WEST, NORTH = 499_980, 4_200_000
SCENE = Scene(
    first_row=-NORTH // 10, first_col=WEST // 10, overpass=17, day_of_year=120, cloudy_percent=0.0, swath=None
)


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    return SyntheticWorld()


def window(col: int, row: int, width: int, height: int, metres: int = 10) -> Grid:
    corner = (float(metres), 0.0, float(WEST + metres * col), 0.0, -float(metres), float(NORTH - metres * row))
    return Grid(crs="EPSG:32610", transform=corner, width=width, height=height)


@pytest.mark.parametrize("asset", [CLEAR, CLOUDY])
@pytest.mark.parametrize(
    ("metres", "bands"), [(10, ["B2", "B8", "QA10"]), (20, ["B5", "B4"]), (60, ["QA60", "B1", "B8"])]
)
def test_a_window_holds_the_same_pixels_as_the_whole(world, asset, metres, bands):
    image = world.image(asset)
    whole = image.read(window(880, 640, 700, 560, metres), bands)
    for col, row, width, height in [(0, 0, 1, 1), (13, 257, 513, 130), (699, 559, 1, 1), (255, 255, 258, 2)]:
        part = image.read(window(880 + col, 640 + row, width, height, metres), bands)
        for one, all_of in zip(part, whole, strict=True):
            place = (slice(row, row + height), slice(col, col + width))
            np.testing.assert_array_equal(one.values, all_of.values[place])
            np.testing.assert_array_equal(one.valid, all_of.valid[place])


def bilinear(lattice: terrain.Lattice, field: int, row: int, col: int) -> float:
    """The lattice's law, restated for one pixel."""
    i, j = row // 16 - lattice.first_row, col // 16 - lattice.first_col
    down, across = (row % 16 + 0.5) / 16, (col % 16 + 0.5) / 16
    nodes = lattice.fields[field].astype(float)
    upper = nodes[i, j] * (1 - across) + nodes[i, j + 1] * across
    lower = nodes[i + 1, j] * (1 - across) + nodes[i + 1, j + 1] * across
    return upper * (1 - down) + lower * down


def test_a_sea_pixel_is_what_its_law_says(world):
    row, col = 37, 4100
    land = terrain.ground(SCENE.first_row, SCENE.first_col, SIDE_PX, SIDE_PX)
    wanted = []
    for row, col in [(37, 41), (2000, 3), (801, 900)]:
        y, x = SCENE.first_row + row, SCENE.first_col + col
        height = bilinear(land, terrain.ELEVATION, y, x) + 0.0075 * texture.fractal()[y % 2048, x % 2048]
        assert height < -0.02, "choose a place in the sea"
        depth = int(np.clip(height * 60 + 15.5, 0, 15))
        shift = 131 * 3 + 17 * (736449 % 4096)
        light = 1 + 0.045 * texture.speckle()[(y + 7 * (736449 % 4096)) % 1024, x % 1024]
        grain = 13 * texture.grain()[(y + shift) % 1024, (x + 3 * shift) % 1024]
        wanted.append(int(max(1.0, spectra.colours(120)[3, depth] * light + grain)))
        plane = world.image(CLEAR).read(window(col, row, 1, 1), ["B4"])[0]
        assert abs(int(plane.values[0, 0]) - wanted[-1]) <= 1  # float32 against float64
    assert len(set(wanted)) > 1


def test_the_lattice_of_one_tile_continues_in_the_next():
    east = terrain.ground(-420000, 60000, 512, 512)
    west = terrain.ground(-420000, 59000, 512, 2048)
    rows, cols = np.arange(-420000, -419900), np.arange(60010, 60200)
    for field in range(7):
        np.testing.assert_allclose(east.at(field, rows, cols), west.at(field, rows, cols), atol=1e-4)


def test_neighbouring_scenes_show_the_same_ground(world):
    there = world.image("COPERNICUS/S2/20170430T190351_20170430T190351_T10SFG")
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 602000.0, 0.0, -10.0, 4150000.0), width=64, height=64)
    one, other = world.image(CLEAR).read(grid, ["B8"])[0], there.read(grid, ["B8"])[0]
    assert one.valid.all()
    assert other.valid.all()
    assert np.mean(np.abs(one.values.astype(int) - other.values)) < 2


def test_plants_are_brighter_in_the_near_infrared_and_water_is_not(world):
    red, near = world.image(CLEAR).read(window(6500, 4000, 512, 512), ["B4", "B8"])
    assert np.mean(near.values > 2 * red.values.astype(int)) > 0.3
    red, near = world.image(CLEAR).read(window(0, 0, 256, 256), ["B4", "B8"])
    assert np.mean(near.values < red.values) > 0.95


def test_reflectance_is_as_hard_to_compress_as_real_reflectance(world):
    for plane in world.image(CLEAR).read(window(3000, 7000, 1024, 1024), ["B2", "B3", "B4"]):
        steps = np.diff(plane.values.astype(int), axis=1).ravel()
        share = np.unique(steps, return_counts=True)[1] / steps.size
        assert 7.0 < -(share * np.log2(share)).sum() < 9.5


def seen(scene, rows, cols):
    return scene.view(scene.ground(rows, cols), rows, cols)


@pytest.mark.parametrize("percent", [4.3166, 38.9, 97.3])
def test_clouds_cover_what_the_property_says(percent):
    scene = Scene(
        first_row=SCENE.first_row,
        first_col=SCENE.first_col,
        overpass=5,
        day_of_year=97,
        cloudy_percent=percent,
        swath=None,
    )
    rows = cols = np.arange(0, SIDE_PX, 24)
    view = seen(scene, rows, cols)
    assert abs(100 * np.mean(view.cloud > 0) - percent) < 4
    assert np.mean(scene.cloud_bits(view) > 0) == np.mean(view.cloud > 0)


def test_clouds_are_white_and_cast_shadows(world):
    bands = ["B2", "B3", "B4", "QA60"]
    blue, _, red, clouds = (plane.values for plane in world.image(CLOUDY).read(window(600, 500, 500, 500, 60), bands))
    opaque = (clouds & 1024) > 0
    assert 0.05 < opaque.mean() < 0.7
    assert blue[opaque].mean() > 3000
    assert red[opaque].mean() > 3000
    clear = world.image(CLEAR).read(window(600, 500, 500, 500, 60), ["B4"])[0].values
    darker = (red.astype(int) < 0.8 * clear) & (clouds == 0)
    assert darker.mean() > 0.01


def test_the_swath_ends_on_a_straight_diagonal():
    swath = Swath(row_px=100, col_px=50, down=0.2, across=0.98)
    seen = swath.sees(np.arange(200), np.arange(100))
    edges = seen.argmax(axis=1)
    for row in (0, 57, 199):
        assert abs(edges[row] - (50 - 0.2 * (row + 0.5 - 100) / 0.98)) <= 1


def test_some_scenes_have_a_masked_edge_and_the_quickstart_scene_has_none(world):
    for asset, share in [(CLEAR, (1.0, 1.0)), (CLOUDY, (0.4, 0.8))]:
        valid = world.image(asset).read(window(0, 0, 183, 183, 600), ["B4"])[0].valid.mean()
        assert share[0] <= valid <= share[1]


def test_a_block_with_a_town_and_one_without_agree_where_they_meet():
    rows = np.arange(1200, 1456)
    whole = SCENE.ground(rows, np.arange(7000, 9048)).surface
    assert ((whole >= spectra.TOWN) & (whole < spectra.RIVER)).any()
    parts = [SCENE.ground(rows, np.arange(col, col + 64)).surface for col in range(7000, 9048, 64)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_every_shortcut_for_an_empty_block_is_exact():
    cloudy = replace(SCENE, overpass=5, cloudy_percent=20.0)
    for top, left in [(6000, 1800), (300, 6300), (200, 3000), (8000, 1000)]:
        rows, cols = np.arange(top, top + 512), np.arange(left, left + 512)
        whole = seen(cloudy, rows, cols)
        for k, j in np.ndindex(8, 8):
            place = (slice(64 * k, 64 * k + 64), slice(64 * j, 64 * j + 64))
            part = seen(cloudy, rows[place[0]], cols[place[1]])
            np.testing.assert_array_equal(part.surface, whole.surface[place])
            np.testing.assert_array_equal(part.light, whole.light[place])
            cloud = np.zeros((64, 64)) if part.cloud is None else part.cloud
            np.testing.assert_array_equal(cloud, 0 if whole.cloud is None else whole.cloud[place])


def test_the_lattice_is_bilinear():
    land = terrain.ground(SCENE.first_row, SCENE.first_col, SIDE_PX, SIDE_PX)
    rows, cols = SCENE.first_row + np.array([5, 16, 47, 4000]), SCENE.first_col + np.array([0, 15, 31, 32, 10_979])
    for field in range(7):
        wanted = [[bilinear(land, field, int(row), int(col)) for col in cols] for row in rows]
        np.testing.assert_allclose(land.at(field, rows, cols), wanted, atol=1e-5)


def test_shadows_lie_north_west_of_their_clouds():
    cloudy = replace(SCENE, overpass=5, cloudy_percent=20.0)
    rows, cols = np.arange(100, 10_000, 7), np.arange(100, 10_000, 7)
    clear = seen(replace(SCENE, overpass=5), rows, cols).light
    shade = 1 - seen(cloudy, rows, cols).light / clear
    y, x = rows + SCENE.first_row + 38, cols + SCENE.first_col + 31
    density = terrain.sky(5, y, x).at(0, y, x)
    threshold = terrain.cloud_threshold(5, SCENE.first_row, SCENE.first_col, SIDE_PX, 20.0)
    opacity = np.clip((density - threshold) * 2.2, 0, 0.97)
    assert 0.1 < (opacity > 0).mean() < 0.3
    np.testing.assert_allclose(shade, 0.55 * opacity, atol=1e-4)


def test_coarse_bands_are_the_ten_metre_ground_nearest_their_centre(world):
    rows, cols = np.arange(400, 430), np.arange(300, 340)
    for metres, band, middle in [(20, "B5", 1), (60, "B9", 3)]:
        size = metres // 10
        own_rows, own_cols = rows * size + middle, cols * size + middle
        scene = world.image(CLEAR).image.band(band).pixels.stored.scene
        wanted = scene.reflectance(seen(scene, own_rows, own_cols), band, own_rows, own_cols)
        plane = world.image(CLEAR).read(window(300, 400, 40, 30, metres), [band])[0]
        np.testing.assert_array_equal(plane.values, wanted)
