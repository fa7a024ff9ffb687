"""Which stored pixel answers a requested one, against the rule restated pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr.emulator.globes import stored_band
from eezarr.emulator.images import Image
from eezarr.emulator.pyramid import level_for
from eezarr.emulator.raster import Grid, Plane
from eezarr.emulator.sampling import centres
from eezarr.emulator.world import ImageRaster, SyntheticWorld, noise

NATIVE = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 560_000.0, 0.0, -10.0, 4_150_000.0), width=300, height=200)


def number(row: int, col: int) -> int:
    return (row * 300 + col) % 65_521


def make(rows, cols):
    values = ((rows[:, None] * 300 + cols[None, :]) % 65_521).astype(np.uint16)
    return values, values % 11 != 0


def raster(policy: str = "SAMPLE", under_mask="zero", sentinel: float = 7) -> ImageRaster:
    band = stored_band("b", "uint16", NATIVE, make, policy=policy, sentinel=sentinel)
    return ImageRaster(image=Image(bands=(band,)), under_mask=under_mask)


def restated(x: float, y: float) -> int | None:
    """The stored value at a point of the native CRS, None where there is none."""
    col, row = math.floor((x - 560_000) / 10), math.floor((4_150_000 - y) / 10)
    if not (0 <= col < 300 and 0 <= row < 200):
        return None
    value = number(row, col)
    return value if value % 11 else None


def check(plane: Plane, grid: Grid, count: int = 60) -> None:
    transformer = pyproj.Transformer.from_crs(grid.crs, "EPSG:32610", always_xy=True)
    a, b, c, d, e, f = grid.transform
    random = np.random.default_rng(1)
    for _ in range(count):
        row, col = int(random.integers(grid.height)), int(random.integers(grid.width))
        u, v = col + 0.5, row + 0.5
        x, y = transformer.transform(a * u + b * v + c, d * u + e * v + f)
        value = restated(x, y)
        assert bool(plane.valid[row, col]) == (value is not None), (row, col)
        if value is not None:
            assert plane.values[row, col] == value


SIX = st.tuples(st.integers(-400, 400), st.integers(-300, 300), st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=40, deadline=None)
@given(SIX, st.sampled_from([(10.0, -10.0), (10.0, 10.0), (-10.0, -10.0), (3.0, -7.0), (19.0, -19.0)]))
def test_aligned_requests(place, steps):
    col, row, width, height = place
    corner = (steps[0], 0.0, 560_000.0 + 10 * col + 0.25, 0.0, steps[1], 4_150_000.0 - 10 * row + 0.25)
    grid = Grid(crs="EPSG:32610", transform=corner, width=width, height=height)
    check(raster().read(grid, ["b"])[0], grid, 30)


@pytest.mark.parametrize(
    "grid",
    [
        Grid(crs="EPSG:4326", transform=(1e-4, 0, -122.331, 0, -1e-4, 37.502), width=700, height=300),
        Grid(crs="EPSG:32610", transform=(7.0, 7.0, 559_000.0, 7.0, -7.0, 4_149_000.0), width=200, height=180),
        Grid(crs="EPSG:32610", transform=(10.0, 3.0, 560_100.0, 0.0, -10.0, 4_149_900.0), width=90, height=70),
        Grid(crs="EPSG:3857", transform=(12.6, 0, -13617500.0, 0, -12.6, 4508500.0), width=300, height=300),
        Grid(crs="EPSG:32611", transform=(10.0, 0, 29_500.0, 0, -10.0, 4_164_000.0), width=400, height=400),
    ],
)
def test_other_projections_and_rotations(grid):
    plane = raster().read(grid, ["b"])[0]
    assert 0 < plane.valid.mean() < 1
    check(plane, grid, 400)


def test_tiles_of_a_grid_agree_with_the_whole():
    whole = Grid(crs="EPSG:4326", transform=(9e-5, 0, -122.33, 0, -9e-5, 37.5), width=400, height=310)
    values = raster().read(whole, ["b"])[0]
    for top, left, height, width in [(0, 0, 310, 400), (3, 17, 60, 301), (250, 390, 60, 10)]:
        corner = (9e-5, 0, -122.33 + left * 9e-5, 0, -9e-5, 37.5 - top * 9e-5)
        part = raster().read(Grid(crs="EPSG:4326", transform=corner, width=width, height=height), ["b"])[0]
        np.testing.assert_array_equal(part.values, values.values[top : top + height, left : left + width])


@pytest.mark.parametrize(("metres", "level"), [(10, 0), (19.9, 0), (20, 1), (39, 1), (40, 2), (1e5, 2)])
def test_a_request_reads_the_coarsest_level_that_is_not_coarser_than_itself(metres, level):
    class Stored:
        grid = Grid(crs="EPSG:32610", transform=(10.0, 0, 0.0, 0, -10.0, 0.0), width=1000, height=400)
        is_bounded = True

        def block(self, rows, cols):
            raise AssertionError

    request = Grid(crs="EPSG:32610", transform=(metres, 0, 0.0, 0, -metres, 0.0), width=1, height=1)
    assert level_for(Stored(), request) == level


@pytest.mark.parametrize(("policy", "pick"), [("MEAN", np.mean), ("MIN", np.min), ("MAX", np.max), ("SAMPLE", None)])
def test_pyramid_pixels(policy, pick):
    big = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 560_000.0, 0.0, -10.0, 4_150_000.0), width=1200, height=1100)
    band = stored_band("b", "uint16", big, make, policy=policy)
    image = ImageRaster(image=Image(bands=(band,)), under_mask="zero")
    grid = Grid(crs="EPSG:32610", transform=(40.0, 0.0, 560_400.0, 0.0, -40.0, 4_149_600.0), width=9, height=8)
    plane = image.read(grid, ["b"])[0]
    for row, col in np.ndindex(8, 9):
        cell_rows, cell_cols = np.arange(40 + 4 * row, 44 + 4 * row), np.arange(40 + 4 * col, 44 + 4 * col)
        values, valid = make(cell_rows, cell_cols)
        if pick is None:
            assert bool(plane.valid[row, col]) == bool(valid[0, 0])
            wanted = values[0, 0] if valid[0, 0] else 0
        else:
            wanted = math.floor(pick(values[valid].astype(float)) + 0.5)
        assert plane.values[row, col] == wanted


@pytest.mark.parametrize(("under_mask", "wanted"), [("zero", 0), ("sentinel", 7)])
def test_what_lies_under_the_mask(under_mask, wanted):
    grid = Grid(crs="EPSG:32610", transform=(10.0, 0.0, 559_800.0, 0.0, -10.0, 4_150_000.0), width=300, height=50)
    plane = raster(under_mask=under_mask).read(grid, ["b"])[0]
    assert not plane.valid.all()
    assert set(plane.values[~plane.valid].tolist()) == {wanted}


def test_noise_under_the_mask_is_the_same_in_every_tiling():
    whole = Grid(crs="EPSG:4326", transform=(1e-4, 0, -122.4, 0, -1e-4, 37.6), width=600, height=400)
    part = Grid(crs="EPSG:4326", transform=(1e-4, 0, -122.4 + 37e-4, 0, -1e-4, 37.6 - 11e-4), width=80, height=70)
    for dtype in ("uint8", "int16", "float32"):
        all_of, some = noise(whole, np.dtype(dtype)), noise(part, np.dtype(dtype))
        np.testing.assert_array_equal(some, all_of[11:81, 37:117])
        assert len(np.unique(some)) > 50
    plane = raster(under_mask="noise").read(whole, ["b"])[0]
    assert len(np.unique(plane.values[~plane.valid])) > 1000


def test_images_and_bands_on_grids_of_their_own_are_each_found_in_another_crs():
    """On one requested grid, one after the other: 10 m and 20 m bands, and the same bands of another tile."""
    grid = Grid(crs="EPSG:4326", transform=(1e-4, 0, -121.86, 0, -1e-4, 37.5), width=60, height=40)
    x, y = centres(grid)
    east, north = pyproj.Transformer.from_crs(grid.crs, "EPSG:32610", always_xy=True).transform(x, y)
    world, date = SyntheticWorld(), "20170430T190351_20170430T190351"
    for tile, (left, top) in (("T10SEG", (499_980, 4_200_000)), ("T10SFG", (600_000, 4_200_000))):
        image = world.image(f"projects/earthengine-public/assets/COPERNICUS/S2/{date}_{tile}")
        for band, metres in (("B4", 10), ("B11", 20)):
            (plane,) = image.read(grid, [band])
            rows, cols = ((top - north) // metres).astype(int), ((east - left) // metres).astype(int)
            first, lowest = int(cols.min()), int(rows.min())
            place = (metres, 0, left + first * metres, 0, -metres, top - lowest * metres)
            window = Grid(crs="EPSG:32610", transform=place, width=int(np.ptp(cols)) + 1, height=int(np.ptp(rows)) + 1)
            (native,) = image.read(window, [band])
            assert plane.valid.any()
            np.testing.assert_array_equal(plane.valid, native.valid[rows - lowest, cols - first])
            np.testing.assert_array_equal(
                plane.values[plane.valid], native.values[rows - lowest, cols - first][plane.valid]
            )
