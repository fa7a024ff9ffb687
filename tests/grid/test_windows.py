"""Windows, corners, coordinates and bounds: each against exact fractions or rasterio."""

from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import array_bounds
from rasterio.windows import Window as RasterioWindow
from rasterio.windows import transform as window_transform

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Window

fixed = settings(derandomize=True, deadline=None, max_examples=200)
steps = st.floats(1e-9, 1e6).flatmap(lambda size: st.sampled_from([size, -size]))
origins = st.floats(-1e8, 1e8)
shears = st.one_of(st.just(0.0), st.floats(-10, 10))
SIDE = 200_000_000


def place(transform, col, row):
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * col + b * row + c, d * col + e * row + f


@st.composite
def windowed(draw):
    transform = Affine(draw(steps), draw(shears), draw(origins), draw(shears), draw(steps), draw(origins))
    if abs(transform.determinant) < 1e-30:
        transform = Affine(transform.a, 0.0, transform.c, 0.0, transform.e, transform.f)
    grid = PixelGrid(crs="EPSG:32610", transform=transform, width=SIDE, height=SIDE)
    row, col = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
    height, width = draw(st.integers(1, SIDE - row)), draw(st.integers(1, SIDE - col))
    return grid, Window(row=row, col=col, height=height, width=width)


@fixed
@given(windowed())
def test_a_windows_corner_is_the_nearest_double_to_the_exact_place(case):
    grid, window = case
    a, b, c, d, e, f = (Fraction(value) for value in tuple(grid.transform)[:6])
    part = grid.window(window)
    assert part.transform.c == float(c + a * window.col + b * window.row)
    assert part.transform.f == float(f + d * window.col + e * window.row)
    assert tuple(part.transform)[:2] == tuple(grid.transform)[:2]
    assert tuple(part.transform)[3:5] == tuple(grid.transform)[3:5]
    assert (part.crs, part.height, part.width) == (grid.crs, window.height, window.width)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # in the oracle
@fixed
@given(windowed())
def test_windows_agree_with_rasterio(case):
    grid, window = case
    other = window_transform(RasterioWindow(window.col, window.row, window.width, window.height), grid.transform)
    ours = grid.window(window).transform
    assert np.allclose(tuple(ours)[:6], tuple(other)[:6], rtol=1e-12, atol=1e-3 * 1e-6)


@fixed
@given(steps, origins, st.integers(1, 3000))
def test_centres_are_the_nearest_doubles(step, origin, count):
    grid = PixelGrid(crs="EPSG:32610", transform=Affine(step, 0, origin, 0, -step, origin), width=count, height=count)
    for values, sign in ((grid.x_centres(), 1), (grid.y_centres(), -1)):
        assert values.dtype == np.float64
        assert values.shape == (count,)
        for index in {0, count // 3, count // 2, count - 1}:
            exact = Fraction(origin) + sign * Fraction(step) * (2 * index + 1) / 2
            assert values[index] == float(exact)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 499980, 0, -10, 4200000),
        Affine(10, 0, 499980, 0, 10, 4200000),
        Affine(-10, 0, 499980, 0, 10, 4200000),
        Affine(2.6, 1.0, 5, 1.5, -1.7, 7),
        Affine(3, 0.73, 5, 0.53, 2, 7),
        Affine(0, 10, 0, 10, 0, 0),
    ],
    ids=["north-up", "south-up", "mirrored", "rotated", "sheared", "transposed"],
)
def test_bounds_and_pixels_survive_any_orientation(transform):
    grid = PixelGrid(crs="EPSG:32610", transform=transform, width=300, height=200)
    corners = [place(transform, *corner) for corner in ((0, 0), (300, 0), (300, 200), (0, 200))]
    xs, ys = zip(*corners, strict=True)
    assert np.allclose(grid.bounds, (min(xs), min(ys), max(xs), max(ys)), rtol=1e-14)
    if grid.is_axis_aligned and transform.a > 0 and transform.e < 0:
        assert np.allclose(grid.bounds, array_bounds(200, 300, transform))
    pixels = np.array([(0, 0), (12.5, 7.25), (300, 200)])
    places = grid.to_crs(pixels)
    assert np.allclose(places, [place(transform, *pixel) for pixel in pixels])
    assert np.allclose(grid.to_pixels(places), pixels)
    part = grid.window(Window(row=50, col=60, height=100, width=200))
    assert np.allclose(part.to_crs(pixels), grid.to_crs(pixels + np.array([60, 50])))


def test_south_up_rows_run_north():
    grid = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 100, 0, 10, 500), width=2, height=3)
    assert grid.y_centres().tolist() == [505, 515, 525]
    assert grid.x_centres().tolist() == [105, 115]


def test_a_rotated_grid_has_no_coordinates_per_axis():
    grid = PixelGrid(crs="EPSG:32610", transform=Affine.rotation(30), width=2, height=3)
    for coordinates in (grid.x_centres, grid.y_centres):
        with pytest.raises(InvalidInput, match="rotated"):
            coordinates()


@pytest.mark.parametrize(
    "bad",
    [
        Window(row=-1, col=0, height=1, width=1),
        Window(row=0, col=-1, height=1, width=1),
        Window(row=0, col=0, height=0, width=1),
        Window(row=0, col=0, height=1, width=0),
        Window(row=2, col=0, height=2, width=1),
        Window(row=0, col=3, height=1, width=2),
    ],
)
def test_windows_beyond_the_grid_are_refused(bad):
    grid = PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=4, height=3)
    with pytest.raises(InvalidInput):
        grid.window(bad)


@pytest.mark.parametrize(
    "numbers",
    [(0, 0, 0, 0, -1, 0), (1, 1, 0, 1, 1, 0), (float("nan"), 0, 0, 0, 1, 0), (1, 0, float("inf"), 0, 1, 0)],
)
def test_transforms_that_map_nothing_are_refused(numbers):
    with pytest.raises(InvalidInput, match="does not map pixels"):
        PixelGrid(crs="EPSG:32610", transform=Affine(*numbers), width=4, height=3)


def test_codes_come_in_capitals_and_wkt_as_it_is():
    assert PixelGrid(crs="epsg:4326", transform=Affine.identity(), width=1, height=1).crs == "EPSG:4326"
    assert PixelGrid(crs='PROJCS["a:b"]', transform=Affine.identity(), width=1, height=1).crs == 'PROJCS["a:b"]'


def test_quickstarts_grid_makes_the_round_trip():
    """The 10 m grid of the REST Quickstart's Sentinel-2 asset, zeros omitted as the service does."""
    stated = {
        "crsCode": "EPSG:32610",
        "affineTransform": {"scaleX": 10, "translateX": 499980, "scaleY": -10, "translateY": 4200000},
        "dimensions": {"width": 10980, "height": 10980},
    }
    grid = PixelGrid.from_response(stated)
    assert grid == PixelGrid.of("epsg:32610", [10, 0, 499980, 0, -10, 4200000], (10980, 10980))
    assert PixelGrid.from_response(grid.to_request()) == grid
    assert grid.to_request()["affineTransform"] == {"shearX": 0.0, "shearY": 0.0, **stated["affineTransform"]}


def test_of_counts_its_numbers():
    with pytest.raises(InvalidInput, match="transform = "):
        PixelGrid.of("EPSG:4326", [1, 0, 0, 0, 1], (1, 1))
