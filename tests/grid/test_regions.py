"""From a region to a grid: lattice, cover, poles, the antimeridian, and every refusal."""

import itertools
import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds

from eezarr.errors import InvalidInput
from eezarr.grid import PixelGrid, crs_wkt, parse_crs

fixed = settings(derandomize=True, deadline=None, max_examples=60)
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m"
CASES = [
    ("EPSG:32610", (-128, 0.5, -118, 80)),
    ("EPSG:3857", (-180, -80, 180, 80)),
    ("EPSG:5070", (-120, 25, -70, 48)),
    ("EPSG:3413", (-180, 60, 180, 90)),
    ("EPSG:3031", (-180, -90, 180, -60)),
    ("EPSG:6933", (-180, -80, 180, 80)),
]


@st.composite
def boxes(draw):
    crs, (west, south, east, north) = draw(st.sampled_from(CASES))
    width = draw(st.floats(0.01, min(20, east - west)))
    height = draw(st.floats(0.01, min(10, north - south)))
    left, bottom = draw(st.floats(west, east - width)), draw(st.floats(south, north - height))
    return crs, (left, bottom, min(left + width, east), min(bottom + height, north))


def spread(box, crs, per_side=60):
    """Points all over a box, projected by pyproj itself."""
    lon, lat = np.meshgrid(np.linspace(box[0], box[2], per_side), np.linspace(box[1], box[3], per_side))
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon.ravel(), lat.ravel())


@fixed
@given(boxes(), st.sampled_from([10.0, 30.0, 463.3127165279165, 1000.0]), st.sampled_from(["lattice", "region"]))
def test_the_grid_covers_the_region_and_no_row_or_column_is_superfluous(case, resolution, align):
    crs, box = case
    grid = PixelGrid.from_region(box, crs=crs, resolution=resolution, align=align)
    x, y = spread(box, crs)
    slack = 2e-6 * resolution
    min_x, min_y, max_x, max_y = grid.bounds
    assert min_x - slack <= min(x)
    assert max(x) <= max_x + slack
    assert min_y - slack <= min(y)
    assert max(y) <= max_y + slack
    # The tight box, from rasterio's densified edges: it may fall short by the bend between its points, no more.
    west, south, east, north = transform_bounds("EPSG:4326", crs, *box, densify_pts=2001)
    short = 1e-4 * max(east - west, north - south) / 100 + slack
    assert min_x + resolution >= west - short
    assert max_x - resolution <= east + short
    assert min_y + resolution >= south - short
    assert max_y - resolution <= north + short


@fixed
@given(boxes(), st.floats(0.5, 5000))
def test_lattice_edges_are_whole_multiples_and_overlapping_regions_share_them(case, resolution):
    crs, box = case
    grid = PixelGrid.from_region(box, crs=crs, scale=resolution)  # in metres, all of them; may be larger than the box
    a, _, c, _, e, f = tuple(grid.transform)[:6]
    assert (a, e) == (resolution, -resolution)
    assert c == round(c / resolution) * resolution
    assert f == round(f / resolution) * resolution


@fixed
@given(st.integers(-10_000, 10_000), st.integers(-5000, 5000), st.integers(1, 3000), st.integers(1, 3000))
def test_edges_on_pixel_lines_add_no_pixel(col, row, width, height):
    for scale in (10, 30, 1000):
        size = math.degrees(scale / 6378137)
        box = (col * size, row * size, (col + width) * size, (row + height) * size)
        assume(box[0] >= -180 and box[2] <= 180 and abs(box[1]) <= 90 and abs(box[3]) <= 90)
        grid = PixelGrid.from_region(box, crs="EPSG:4326", scale=scale)
        assert (grid.width, grid.height) == (width, height)
        assert (grid.transform.c, grid.transform.f) == (box[0], box[3])


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # in the oracle
def test_odc_geo_makes_the_same_grid():
    box = (-122.6, 37.2, -122.0, 37.8)
    inside = transform_bounds("EPSG:4326", "EPSG:32610", *box, densify_pts=1000)
    other = GeoBox.from_bbox(inside, "EPSG:32610", resolution=10, anchor="edge")
    grid = PixelGrid.from_region(box, crs="EPSG:32610", resolution=10)
    assert (grid.transform, grid.height, grid.width) == (Affine(*tuple(other.affine)[:6]), *other.shape)


def test_earth_engines_ten_metres_in_degrees():
    grid = PixelGrid.from_region((-122.6, 37.2, -122.0, 37.8), crs="EPSG:4326", scale=10)
    assert grid.transform.a == 8.983152841195215e-05
    assert PixelGrid.from_region((0, 0, 1, 1), crs="EPSG:4326", scale=30).transform.a == 0.00026949458523585647
    assert (grid.transform.c, grid.width) == (-1364777 * 8.983152841195215e-05, 6680)


def test_scale_is_metres_in_any_unit():
    feet = PixelGrid.from_region((-122.6, 40.2, -122.0, 40.8), crs="EPSG:2225", scale=10)
    assert feet.transform.a == pytest.approx(10 * 3937 / 1200, rel=1e-14)
    metres = PixelGrid.from_region((-122.6, 40.2, -122.0, 40.8), crs="EPSG:32610", scale=10)
    assert metres.transform.a == 10


def test_resolution_may_differ_by_axis():
    grid = PixelGrid.from_region((0.05, 0, 1, 1), crs="EPSG:4326", resolution=(0.1, 0.25))
    assert (grid.transform.a, grid.transform.e, grid.shape.width, grid.shape.height) == (0.1, -0.25, 10, 4)


def test_align_region_starts_at_the_corner():
    grid = PixelGrid.from_region((0.05, 0.02, 1, 1.01), crs="EPSG:4326", resolution=0.1, align="region")
    assert (grid.transform.c, grid.transform.f, grid.width, grid.height) == (0.05, 1.01, 10, 10)


@pytest.mark.parametrize(("crs", "box"), [("EPSG:3413", (-180, 60, 180, 90)), ("EPSG:3031", (-180, -90, 180, -60))])
def test_polar_grids_hold_the_pole_in_their_middle(crs, box):
    grid = PixelGrid.from_region(box, crs=crs, resolution=1000)
    x, _ = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(45, math.copysign(60, box[1] + 1))
    radius = math.hypot(x, _)
    side = math.ceil(radius / 1000) * 1000
    assert tuple(grid.bounds) == (-side, -side, side, side)


def test_a_polar_box_with_the_pole_takes_all_longitudes():
    grid = PixelGrid.from_region(
        (-1e6, -1e6, 1e6, 1e6), crs="EPSG:4326", resolution=0.25, region_crs="EPSG:3413", align="region"
    )
    corner = pyproj.Transformer.from_crs("EPSG:3413", "EPSG:4326", always_xy=True).transform(1e6, 1e6)[1]
    assert grid.bounds[3] == 90
    assert grid.bounds[1] == pytest.approx(corner, abs=0.26)
    assert (grid.bounds[0], grid.width) == (pytest.approx(-180), 1440)


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:32660", "EPSG:3832", "EPSG:3413", "EPSG:3571"])
def test_a_box_across_the_antimeridian_fits_projected_crss(crs):
    grid = PixelGrid.from_region((179, 62, -179, 64), crs=crs, resolution=100)
    x, y = spread((179, 62, 181, 64), crs)
    assert abs(grid.bounds[0] - min(x)) < 101
    assert abs(grid.bounds[2] - max(x)) < 101
    assert abs(grid.bounds[1] - min(y)) < 101
    assert abs(grid.bounds[3] - max(y)) < 101


def test_longitudes_to_360_are_the_same_places():
    east = PixelGrid.from_region((200, 5, 210, 10), crs="EPSG:4326", resolution=0.5)
    assert east == PixelGrid.from_region((-160, 5, -150, 10), crs="EPSG:4326", resolution=0.5)


DIAMOND = {"type": "Polygon", "coordinates": [[[-122, 37], [-121, 38], [-122, 39], [-123, 38]]]}


@pytest.mark.parametrize(
    "shape",
    [
        DIAMOND,
        {"type": "MultiPolygon", "coordinates": [DIAMOND["coordinates"]]},
        {"type": "Feature", "properties": {}, "geometry": DIAMOND},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": DIAMOND}]},
        {"type": "GeometryCollection", "geometries": [DIAMOND]},
        DIAMOND | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
    ],
    ids=lambda shape: shape["type"],
)
def test_a_polygon_gets_its_own_box_and_not_that_of_its_longitudes(shape):
    grid = PixelGrid.from_region(shape, crs="EPSG:32610", resolution=10)
    share = np.linspace(0, 1, 50_001)
    ring = np.array([*DIAMOND["coordinates"][0], DIAMOND["coordinates"][0][0]])
    edges = np.concatenate([a + (b - a) * share[:, None] for a, b in itertools.pairwise(ring)])
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True).transform(edges[:, 0], edges[:, 1])
    snapped = [math.floor(min(x) / 10), math.floor(min(y) / 10), math.ceil(max(x) / 10), math.ceil(max(y) / 10)]
    assert grid.bounds == tuple(10.0 * edge for edge in snapped)
    loose = PixelGrid.from_region((-123, 37, -121, 39), crs="EPSG:32610", resolution=10)
    assert grid.width < loose.width


def test_crs_names():
    box = (10, 50, 11, 51)
    modis = PixelGrid.from_region(box, crs="sr-org:6974", resolution=463.3127165279165)
    assert modis.crs == "SR-ORG:6974"
    assert parse_crs("SR-ORG:6974") == pyproj.CRS(SINUSOIDAL)
    by_wkt = PixelGrid.from_region(box, crs=pyproj.CRS(SINUSOIDAL).to_wkt(), resolution=463.3127165279165)
    assert by_wkt.crs.startswith("PROJCRS[")
    assert "crsWkt" in by_wkt.to_request()
    assert by_wkt.transform == modis.transform
    by_proj = PixelGrid.from_region(box, crs=SINUSOIDAL, resolution=463.3127165279165)
    assert by_proj.crs.startswith("PROJCS[")
    assert parse_crs(by_proj.crs) == parse_crs("SR-ORG:6974")
    assert PixelGrid.from_region(box, crs="urn:ogc:def:crs:EPSG::32632", resolution=10).crs == "EPSG:32632"
    assert pyproj.CRS(crs_wkt("epsg:32632")).to_epsg() == 32632


UTM = {"crs": "EPSG:32610", "resolution": 10}
LONLAT = {"crs": "EPSG:4326", "resolution": 0.1}
HERE = (-122.6, 37.2, -122.0, 37.8)


@pytest.mark.parametrize(
    ("region", "options", "says", "advises"),
    [
        ((1, 0, 1, 1), LONLAT, "empty", "west, south"),
        ((0, 1, 1, 1), LONLAT, "empty", "south < north"),
        ((0, 2, 1, 1), LONLAT, "empty", "south < north"),
        ((0, float("nan"), 1, 1), LONLAT, "nan", "finite"),
        ((0, 0, 1), LONLAT, "no box", "west, south"),
        ("0,0,1,1", LONLAT, "no box", "west, south"),
        ((0, True, 1, 2), LONLAT, "True", "finite"),
        ((37.2, -122.6, 37.8, -122.0), LONLAT, "no longitudes", "Longitude comes first"),
        ((5e5, 4e6, 6e5, 4.1e6), UTM, "no longitudes", "region_crs"),
        ((6e5, 4e6, 5e5, 4.1e6), UTM | {"region_crs": "EPSG:32610"}, "west > east", "geographic"),
        ((-180, 0, 181, 1), LONLAT, "full turn", "-180 to 180"),
        ((170, 0, -170, 1), LONLAT, "antimeridian", "Split"),
        ((170, 0, -170, 1), {"crs": "EPSG:3857", "resolution": 10}, "cut open", "Split"),
        ((2e5, 5.5e6, 3.6e5, 5.7e6), LONLAT | {"region_crs": "EPSG:32601"}, "cut open", "Split"),
        ((-180, -90, 180, 90), {"crs": "EPSG:3857", "resolution": 10}, "cannot show", "-85.06"),
        ((-180, -80, 180, 80), UTM, "cannot show", "CRS made for"),
        ((0, 0, 10, 10), UTM, "made for", "longitude, latitude"),
        ((0, -80, 10, -70), {"crs": "EPSG:3413", "resolution": 10}, "made for", "longitude, latitude"),
        (HERE, {"crs": "EPSG:999999", "resolution": 1}, "unknown", "EPSG:32610"),
        (HERE, {"crs": "nonsense", "resolution": 1}, "unknown", "WKT"),
        (HERE, UTM | {"region_crs": "nonsense"}, "unknown", "WKT"),
        (HERE, {"crs": "EPSG:4978", "resolution": 1}, "no map coordinates", "projected"),
        (HERE, {"crs": "EPSG:32610"}, "exactly one", "scale in metres"),
        (HERE, UTM | {"scale": 10}, "exactly one", "scale in metres"),
        (HERE, {"crs": "EPSG:32610", "resolution": 0}, "not positive", "above zero"),
        (HERE, {"crs": "EPSG:32610", "resolution": (1, -1)}, "not positive", "above zero"),
        (HERE, {"crs": "EPSG:32610", "resolution": (1, 1, 1)}, "not positive", "above zero"),
        (HERE, {"crs": "EPSG:32610", "scale": float("inf")}, "not positive", "above zero"),
        (HERE, {"crs": "EPSG:32610", "resolution": 1e-200}, "too fine", "larger"),
        (HERE, UTM | {"align": "centre"}, "align", "lattice"),
        ({"type": "Point", "coordinates": [0, 0]}, LONLAT, "Point, which has no area", "Buffer"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, LONLAT, "no area", "Buffer"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, LONLAT, "without area", "three"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2]]]}, LONLAT, "position", "[x, y]"),
        ({"type": "Polygon", "coordinates": 5}, LONLAT, "list is due", "GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, LONLAT, "no polygon", "GeoJSON"),
        ({"type": "Feature", "geometry": None}, LONLAT, "no GeoJSON", "GeoJSON"),
        ({"type": "Circle"}, LONLAT, "Circle", "GeoJSON"),
        (
            DIAMOND | {"crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}},
            UTM,
            "says that its CRS",
            "region_crs",
        ),
    ],
)
def test_every_refusal_says_what_and_what_to_do(region, options, says, advises):
    with pytest.raises(InvalidInput) as caught:
        PixelGrid.from_region(region, **options)
    assert says in caught.value.message
    assert advises in caught.value.hint
