"""An asset's own pixels under a region, by brute force; whether grids meet; footprints."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, shape

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, crop_native, footprints_overlap

fixed = settings(derandomize=True, deadline=None, max_examples=80)
SCENE = PixelGrid.of("EPSG:32610", [10, 0, 499980, 0, -10, 4200000], (10980, 10980))
GLOBE = PixelGrid.of("EPSG:4326", [0.25, 0, -180, 0, -0.25, 90], (720, 1440))
MODIS = PixelGrid.of(
    "SR-ORG:6974", [463.3127165279165, 0, -20015109.354, 0, -463.3127165279167, 10007554.677], (43200, 86400)
)
TURNS = {
    "north-up": (1000, 0, 0, -1000),
    "south-up": (1000, 0, 0, 1000),
    "mirrored": (-1000, 0, 0, -1000),
    "rotated": (840, 545, 545, -840),
    "sheared": (1000, -330, 90, -700),
}


def native(turn):
    a, b, d, e = TURNS[turn]
    return PixelGrid(crs="EPSG:32610", transform=Affine(a, b, 550_000, d, e, 4_150_000), width=17, height=13)


def place(grid, col, row):
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    return a * col + b * row + c, d * col + e * row + f


def pixel_outline(grid, row, col):
    return Polygon(place(grid, *c) for c in ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1)))


def touched(grid, outline):
    """Rows and columns of the pixels that share area with an outline in the grid's CRS, one by one."""
    rows, cols = set(), set()
    for row, col in itertools.product(range(grid.height), range(grid.width)):
        pixel = pixel_outline(grid, row, col)
        if pixel.intersection(outline).area > 1e-4 * pixel.area:
            rows.add(row)
            cols.add(col)
    return rows, cols


def clearly_touched(grid, outline):
    """Whether no pixel shares so little that the oracle and rounding could disagree."""
    for row, col in itertools.product(range(grid.height), range(grid.width)):
        pixel = pixel_outline(grid, row, col)
        if 0 < pixel.intersection(outline).area <= 1e-3 * pixel.area:
            return False
    return True


@fixed
@given(
    st.sampled_from(sorted(TURNS)), st.lists(st.tuples(st.floats(-5, 22), st.floats(-5, 18)), min_size=3, max_size=5)
)
def test_the_crop_is_the_smallest_window_that_holds_every_touched_pixel(turn, corners):
    grid = native(turn)
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    ring = [to_lonlat.transform(*place(grid, *corner)) for corner in corners]
    # The oracle's outline: dense straight edges in longitude and latitude, projected point by point.
    share = np.linspace(0, 1, 400)[:-1, None]
    closed = np.array([*ring, ring[0]])
    edges = np.concatenate([a + (b - a) * share for a, b in itertools.pairwise(closed)])
    x, y = to_lonlat.transform(edges[:, 0], edges[:, 1], direction="INVERSE")
    outline = Polygon(np.column_stack([x, y]))
    assume(outline.is_valid and outline.area > 1000 and clearly_touched(grid, outline))
    region = {"type": "Polygon", "coordinates": [[list(corner) for corner in ring]]}
    rows, cols = touched(grid, outline)
    if not rows:
        with pytest.raises(InvalidInput, match="outside the asset"):
            crop_native(grid, region)
        return
    part = crop_native(grid, region)
    col, row = grid.to_pixels(np.array([part.corner(0, 0)]))[0].round(6)
    assert (row, col) == (min(rows), min(cols))
    assert (part.height, part.width) == (max(rows) - row + 1, max(cols) - col + 1)


def test_without_a_region_the_asset_is_whole():
    assert crop_native(SCENE, None) is SCENE


def test_a_region_on_pixel_lines_takes_no_neighbours():
    part = crop_native(SCENE, (500_000, 4_190_000, 501_000, 4_191_000), "EPSG:32610")
    assert tuple(part.bounds) == (500_000, 4_190_000, 501_000, 4_191_000)
    with pytest.raises(InvalidInput, match="outside the asset"):
        crop_native(SCENE, (490_000, 4_190_000, 499_980, 4_191_000), "EPSG:32610")


def test_a_wedge_across_the_edge_is_cut_exactly_there():
    grid = PixelGrid.of("EPSG:32610", [1, 0, 500_000, 0, -1, 4_100_000], (10_000, 10_000))
    corners = [place(grid, *pixel) for pixel in ((2000, -3000), (8000.3, -3000), (5000, 4000))]
    part = crop_native(grid, {"type": "Polygon", "coordinates": [corners]}, "EPSG:32610")
    left, right = 2000 + 3000 * 3 / 7, 8000.3 - 3000.3 * 3 / 7
    assert part.transform.c - 500_000 == math.floor(left)
    assert part.width == math.ceil(right) - math.floor(left)
    assert (part.transform.f, part.height) == (4_100_000, 4000)


@pytest.mark.parametrize("region", [(-180, -90, 180, 90), (-180, -80, 0, 80), (-124, 36, -121, 39)])
def test_a_region_that_holds_the_asset_keeps_it_whole(region):
    assert crop_native(SCENE, region) == SCENE


def test_a_polar_region_crops_a_global_asset_to_all_longitudes():
    part = crop_native(GLOBE, (-1e6, -1e6, 1e6, 1e6), "EPSG:3413")
    assert (part.width, part.bounds.max_y) == (1440, 90)
    corner = pyproj.Transformer.from_crs("EPSG:3413", "EPSG:4326", always_xy=True).transform(1e6, 1e6)[1]
    assert part.bounds.min_y == math.floor(corner * 4) / 4


def test_modis_is_cropped_on_its_own_lattice():
    part = crop_native(MODIS, (10, 50, 20, 60))
    lon, lat = np.meshgrid(np.linspace(10, 20, 500), np.linspace(50, 60, 500))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", parse := pyproj.CRS(MODIS_PROJ), always_xy=True).transform(lon, lat)
    assert parse.is_projected
    low, high = MODIS.to_pixels(np.array([(x.min(), y.max()), (x.max(), y.min())]))
    col, row = MODIS.to_pixels(np.array([part.corner(0, 0)]))[0].round(6)
    assert (col, row) == (math.floor(low[0]), math.floor(low[1]))
    assert (col + part.width, row + part.height) == (math.ceil(high[0]), math.ceil(high[1]))


MODIS_PROJ = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m"


def test_a_region_outside_names_both_extents():
    with pytest.raises(InvalidInput) as caught:
        crop_native(SCENE, (10, 37.2, 11, 37.3))
    assert "10, 37.2, 11, 37.3 in EPSG:4326" in caught.value.message
    assert "-123.00023" in caught.value.message
    assert "overlaps" in caught.value.hint


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        (SCENE, GLOBE, True),
        (SCENE, MODIS, True),
        (MODIS, GLOBE, True),
        (SCENE, PixelGrid.of("EPSG:4326", [0.01, 0, -122.5, 0, -0.01, 37.5], (10, 10)), True),
        (SCENE, PixelGrid.of("EPSG:4326", [0.01, 0, -121.74, 0, -0.01, 37.5], (10, 10)), False),
        (SCENE, PixelGrid.of("EPSG:32610", [10, 0, 609780, 0, -10, 4200000], (10, 10)), False),
        (SCENE, PixelGrid.of("EPSG:32610", [10, 0, 609770, 0, -10, 4200000], (10, 10)), True),
        (SCENE, PixelGrid.of("EPSG:3031", [1000, 0, -1e6, 0, -1000, 1e6], (2000, 2000)), False),
        (GLOBE, PixelGrid.of("EPSG:3031", [1000, 0, -1e6, 0, -1000, 1e6], (2000, 2000)), True),
    ],
)
def test_footprints_meet_both_ways(first, second, meet):
    assert footprints_overlap(first, second) is meet
    assert footprints_overlap(second, first) is meet


def test_grids_that_do_not_fit_each_others_map_are_not_said_to_be_apart():
    wide = [1e5, 0, -1.9e7, 0, -1e5, 9.5e6]
    first = PixelGrid.of("ESRI:54009", wide, (190, 380))
    second = PixelGrid.of("+proj=moll +lon_0=90 +datum=WGS84", wide, (190, 380))
    assert footprints_overlap(first, second)


def test_a_footprint_is_the_ground_of_the_grid():
    outline = shape(SCENE.footprint())
    assert outline.is_valid
    assert outline.exterior.is_ccw
    lon, lat = pyproj.Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True).transform(554_880, 4_200_000)
    assert abs(outline.bounds[3] - lat) < 1e-2
    assert outline.exterior.distance(shape({"type": "Point", "coordinates": (lon, lat)})) < 1e-7


@pytest.mark.parametrize(
    ("grid", "kind"),
    [
        (PixelGrid.from_region((179, 50, -179, 52), crs="EPSG:32601", resolution=100), "MultiPolygon"),
        (PixelGrid.from_region((-180, 60, 180, 90), crs="EPSG:3413", resolution=10_000), None),
        (PixelGrid.from_region((-180, -90, 180, -60), crs="EPSG:3031", resolution=10_000), None),
        (MODIS, "Polygon"),
        (GLOBE, "Polygon"),
        (native("rotated"), "Polygon"),
    ],
)
def test_footprints_hold_their_pixels_and_stay_on_the_map(grid, kind):
    found = grid.footprint()
    outline = shape(found)
    assert kind is None or found["type"] == kind
    assert outline.is_valid
    west, south, east, north = outline.bounds
    assert west >= -180 - 1e-6
    assert south >= -90 - 1e-6
    assert east <= 180 + 1e-6
    assert north <= 90 + 1e-6
    share = np.linspace(0.02, 0.98, 15)
    pixels = np.array([(grid.width * u, grid.height * v) for u in share for v in share])
    transformer = pyproj.Transformer.from_crs(
        pyproj.CRS(MODIS_PROJ) if grid is MODIS else grid.crs, "EPSG:4326", always_xy=True
    )
    lon, lat = transformer.transform(*grid.to_crs(pixels).T)
    for place in zip(lon, lat, strict=True):
        assert outline.buffer(1e-3).contains(shape({"type": "Point", "coordinates": place}))


@pytest.mark.parametrize("turn", sorted(TURNS))
def test_footprints_run_counter_clockwise(turn):
    assert shape(native(turn).footprint()).exterior.is_ccw


def test_pure_arithmetic_does_not_load_proj():
    code = (
        "import sys; from eezarr.grid import PixelGrid, Window; "
        "g = PixelGrid.from_response({'crsCode': 'EPSG:4326', 'affineTransform': {'scaleX': 1, 'scaleY': -1}, "
        "'dimensions': {'width': 9, 'height': 9}}); "
        "g.window(Window(row=1, col=1, height=2, width=2)).to_request(); g.bounds; "
        "sys.exit(bool({'pyproj', 'odc', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
