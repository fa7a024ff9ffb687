"""Patches' grids, against exact fractions, EPSG's areas of use, and the grids that regions get."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, Shape2D
from eezarr.samples import patch_grid, patch_grids

fixed = settings(derandomize=True, deadline=None, max_examples=200)
sizes = st.integers(1, 300)
resolutions = st.sampled_from([10, 30, 0.6, 20.0, 463.3127165279165, 1 / 3])
lons, lats = st.floats(-180, 179.999), st.floats(-79.9, 83.9)


@fixed
@given(st.floats(1.7e5, 8.3e5), st.floats(0, 9.3e6), resolutions, sizes, sizes)
def test_the_site_is_in_the_middle_and_edges_are_on_the_lattice(x, y, resolution, height, width):
    grid = patch_grid(
        x, y, sites_crs="EPSG:32610", crs="EPSG:32610", resolution=resolution, size=Shape2D(height, width)
    )
    assert (grid.crs, grid.height, grid.width) == ("EPSG:32610", height, width)
    left, top, step = Fraction(grid.transform.c), Fraction(grid.transform.f), Fraction(resolution)
    for edge in (left, top):
        nearest = round(edge / step)
        assert float(edge) == float(nearest * step)
    for offset, size in ((Fraction(x) - left, width), (top - Fraction(y), height)):
        position, middle = offset / step, Fraction(size, 2)
        # Half a pixel at most, but for what counts as on a line.
        assert -Fraction(1, 2) - Fraction(2, 10**6) <= position - middle <= Fraction(1, 2) + Fraction(2, 10**6)
        if size % 2 and abs(position - round(position)) > 2e-6:
            assert math.floor(position) == size // 2


def test_ties_and_sites_on_lines_go_east_and_south():
    def at(x, y, size):
        grid = patch_grid(x, y, sites_crs="EPSG:32610", crs="EPSG:32610", resolution=10, size=Shape2D(size, size))
        return grid.transform.c, grid.transform.f

    for hair in (0, 1e-9, -1e-9):
        assert at(500_000 + hair, 4_000_000 + hair, 3) == (499_990, 4_000_010)
        assert at(500_000 + hair, 4_000_000 + hair, 4) == (499_980, 4_000_020)
        assert at(500_005 + hair, 4_000_005 + hair, 4) == (499_990, 4_000_020)
    assert at(500_004, 4_000_006, 3) == (499_990, 4_000_020)
    assert at(500_004, 4_000_006, 4) == (499_980, 4_000_030)
    assert at(500_006, 4_000_004, 4) == (499_990, 4_000_020)


@fixed
@given(lons, lats, st.floats(-300, 300), st.floats(-300, 300), st.sampled_from([31, 64]), st.sampled_from([10, 0.7]))
def test_patches_of_one_zone_share_pixels_with_each_other_and_with_regions(lon, lat, east, north, side, resolution):
    first = patch_grid(lon, lat, crs="utm", resolution=resolution, size=Shape2D(side, side))
    x, y = first.transform.c, first.transform.f
    second = patch_grid(
        x + east, y + north, sites_crs=first.crs, crs=first.crs, resolution=resolution, size=Shape2D(5, 5)
    )
    region = PixelGrid.from_region(
        (x + 3 * resolution, y - 9 * resolution, x + 7 * resolution, y - 4 * resolution),
        crs=first.crs,
        resolution=resolution,
        region_crs=first.crs,
    )
    for other in (second, region):
        for a, b in ((first.transform.c, other.transform.c), (first.transform.f, other.transform.f)):
            apart = (b - a) / resolution
            assert abs(apart - round(apart)) < 1e-6
            assert round(a / resolution) * resolution == a
            assert round(b / resolution) * resolution == b


@cache
def areas():
    codes = [*range(32601, 32661), *range(32701, 32761)]
    return [(code, CRS.from_epsg(code).area_of_use) for code in codes]


@fixed
@given(lons, lats)
def test_zones_are_those_of_epsgs_areas_of_use(lon, lat):
    assume(1e-6 < lon % 6 < 6 - 1e-6 and abs(lat) > 1e-6)
    found = [f"EPSG:{code}" for code, area in areas() if area.west < lon < area.east and area.south < lat < area.north]
    assert [patch_grid(lon, lat, crs="utm", resolution=10, size=Shape2D(3, 3)).crs] == found


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [
        (-180, 1, 32601),
        (180, 1, 32601),
        (181, 1, 32601),
        (359, 1, 32630),
        (-174, 1, 32602),
        (179.9999, -1, 32760),
        (0, 0, 32631),
        (5, 60.5, 32631),
        (10, 78, 32632),
        (-122.5, -1e-9, 32710),
    ],
)
def test_zones_at_their_edges_and_without_norways_exceptions(lon, lat, code):
    assert patch_grid(lon, lat, crs="utm", resolution=10, size=Shape2D(3, 3)).crs == f"EPSG:{code}"


@pytest.mark.parametrize("lat", [84.01, -80.01, 90, -90])
def test_there_is_no_utm_at_the_poles(lat):
    with pytest.raises(InvalidInput, match=r"site 1 at \(7, .*beyond UTM.*1 such"):
        patch_grids(np.array([(5.0, 5.0), (7.0, lat)]), crs="utm", resolution=10, size=Shape2D(3, 3))
    crs = "EPSG:3413" if lat > 0 else "EPSG:3031"
    grid = patch_grid(7, lat, crs=crs, resolution=10, size=Shape2D(3, 3))
    x, y = Transformer.from_crs(4326, CRS(crs), always_xy=True).transform(7, lat)
    assert math.floor(x / 10) * 10 in range(int(grid.transform.c), int(grid.transform.c) + 20, 10)
    assert grid.transform.f - 30 <= y <= grid.transform.f


def test_columns_say_what_each_site_alone_would_get():
    draw = np.random.default_rng(7)
    places = np.column_stack([draw.uniform(-180, 180, 300), draw.uniform(-79, 83, 300)])
    grids = patch_grids(places, crs="utm", resolution=(10, 20), size=Shape2D(8, 5))
    assert len(grids) == 300
    alone = [patch_grid(x, y, crs="utm", resolution=(10, 20), size=Shape2D(8, 5)) for x, y in places]
    assert list(grids) == alone
    assert grids.left.tolist() == [grid.transform.c for grid in alone]
    assert grids.top.tolist() == [grid.transform.f for grid in alone]
    assert {grid.transform.e for grid in alone} == {-20.0}


def test_no_zero_is_negative():
    grids = patch_grids(np.array([(0.5, -0.5)]), crs="EPSG:4326", resolution=1.0, size=Shape2D(1, 1))
    assert math.copysign(1, grids.top[0]) == math.copysign(1, grids.grid(0).transform.f) == 1


def test_patches_in_degrees_stay_on_the_map():
    size = Shape2D(10, 10)
    assert patch_grid(179.95, 0, crs="EPSG:4326", resolution=0.01, size=size).bounds.max_x <= 180
    assert patch_grid(359.5, 0, crs="EPSG:4326", resolution=0.01, size=size).bounds.max_x < 0
    for lon, lat in ((179.96, 0), (-179.96, 0), (180, 0), (0, 89.96), (0, -89.96)):
        with pytest.raises(InvalidInput, match="beyond the map"):
            patch_grid(lon, lat, crs="EPSG:4326", resolution=0.01, size=size)


def test_impossible_patches_are_refused():
    for resolution, size, told in [
        (0, Shape2D(1, 1), "not positive"),
        (math.nan, Shape2D(1, 1), "not positive"),
        ((10, -10), Shape2D(1, 1), "not positive"),
        (10, Shape2D(0, 1), "empty"),
        (1e-12, Shape2D(1, 1), "too small"),
    ]:
        with pytest.raises(InvalidInput, match=told):
            patch_grid(5, 5, crs="utm", resolution=resolution, size=size)
    with pytest.raises(InvalidInput, match=r"site 1 at \(30, 5\) is far from .*1 such"):
        patch_grids(np.array([(-123, 5), (30, 5.0)]), crs="EPSG:32610", resolution=10, size=Shape2D(3, 3))
