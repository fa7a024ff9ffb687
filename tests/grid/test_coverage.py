"""Polygons on grids: inside and touched, against shapely, exact fractions, and pyproj point by point."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from eezarr.errors import InvalidInput
from eezarr.grid import Coverage, PixelGrid, Window, parse_crs
from eezarr.grid.outline import pixel_edges, ring_edges

fixed = settings(derandomize=True, deadline=None, max_examples=150)
few = settings(derandomize=True, deadline=None, max_examples=25)

UTM = "EPSG:32610"
LON_LAT = "EPSG:4326"
SIDES = (37, 53)
GRID = PixelGrid(crs=UTM, transform=Affine(16, 0, 499968, 0, -16, 4_200_000), width=SIDES[1], height=SIDES[0])
"""Sixteen metres a pixel from whole metres: quarters of pixels are exact in its CRS."""

GRID_BELOW = PixelGrid(crs=UTM, transform=Affine(500, 0, 4e5, 0, -500, 4.2e6), width=300, height=300)

TURNED = PixelGrid(crs=UTM, transform=Affine(9, 4, 5e5, 3, -11, 4.2e6), width=SIDES[1], height=SIDES[0])


def moved_by(transform, cols, rows):
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f


def places(ring, grid=GRID):
    """A ring in pixels, in the grid's CRS."""
    return [moved_by(grid.transform, float(col), float(row)) for col, row in ring]


def geojson(polygons):
    return {"type": "MultiPolygon", "coordinates": [[list(map(list, ring)) for ring in rings] for rings in polygons]}


def covered(polygons, grid=GRID):
    """The coverage of polygons given in pixels, or None; what touches no pixel is no example."""
    try:
        return Coverage.of(geojson([[places(ring, grid) for ring in rings] for rings in polygons]), UTM, grid)
    except InvalidInput as error:
        if "touches no pixel" not in error.message:
            raise
        reject()


def whole(grid):
    return Window(row=0, col=0, height=grid.height, width=grid.width)


def centres(grid):
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    return cols, rows


def star(col, row, radii):
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.column_stack([col + radii * np.cos(angles), row + radii * np.sin(angles)])


@st.composite
def stars(draw):
    """One to four polygons that are valid whatever is drawn, some with a hole; they may overlap and leave the grid."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([0.05, 0.4, 3, 12, 40, 300]))
        col, row = draw(st.floats(-5, SIDES[1] + 5)), draw(st.floats(-5, SIDES[0] + 5))
        radii = size * np.array(draw(st.lists(st.floats(0.3, 1), min_size=3, max_size=40)))
        rings = [star(col, row, radii)]
        if draw(st.booleans()):
            hole = star(col, row, radii * draw(st.floats(0.1, 0.9)))
            rings.append(hole if draw(st.booleans()) else hole[::-1])
        found.append(rings)
    return found


@st.composite
def slivers(draw):
    """A strip that is thinner than a pixel by far."""
    ends = st.tuples(st.floats(-20, SIDES[1] + 20), st.floats(-20, SIDES[0] + 20))
    (x0, y0), (x1, y1) = draw(ends), draw(ends)
    length = math.hypot(x1 - x0, y1 - y0)
    assume(length > 1)
    thin = draw(st.floats(1e-4, 0.6))
    across = np.array([(y0 - y1) / length, (x1 - x0) / length]) * thin
    a, b = np.array([x0, y0]), np.array([x1, y1])
    return [[np.array([a, b, b + across, a + across])]]


shapes = st.one_of(stars(), slivers())
grids = st.sampled_from([GRID, TURNED])


def as_shapely(polygons):
    return shapely.union_all([shapely.Polygon(rings[0], rings[1:]) for rings in polygons])


@fixed
@given(shapes, grids)
def test_inside_is_what_shapely_contains(polygons, grid):
    coverage = covered(polygons, grid)
    cols, rows = centres(grid)
    points, shape = shapely.points(cols, rows), as_shapely(polygons)
    clear = shapely.distance(shapely.boundary(shape), points) > 1e-6
    want = shapely.contains(shape, points)
    got = np.ones(want.shape, np.bool_) if coverage is None else coverage.inside(whole(grid))
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got[clear], want[clear])


@fixed
@given(shapes, grids, st.data())
def test_touched_is_what_shapely_intersects_and_holds_every_inside_centre(polygons, grid, data):
    coverage = covered(polygons, grid)
    assume(coverage is not None)
    cuts = data.draw(st.sets(st.integers(0, grid.width), min_size=2).map(sorted))
    row_cuts = data.draw(st.sets(st.integers(0, grid.height), min_size=2).map(sorted))
    shape, inside = as_shapely(polygons), coverage.inside(whole(grid))
    for top, bottom in itertools.pairwise(row_cuts):
        touched = coverage.touched(range(top, bottom), np.array(cuts))
        assert touched.shape == (len(cuts) - 1,)
        for tile, (left, right) in zip(touched.tolist(), itertools.pairwise(cuts), strict=True):
            assert tile or not inside[top:bottom, left:right].any()
            # A hair's breadth may go either way: edges within a millionth of a pixel of a tile's side are on it.
            if shape.intersects(shapely.box(left + 2e-6, top + 2e-6, right - 2e-6, bottom - 2e-6)):
                assert tile
            elif not shape.intersects(shapely.box(left + 5e-7, top + 5e-7, right - 5e-7, bottom - 5e-7)):
                assert not tile


@fixed
@given(stars(), st.data())
def test_a_windows_mask_is_cut_from_the_wholes(polygons, data):
    coverage = covered(polygons)
    assume(coverage is not None)
    row, col = data.draw(st.integers(0, SIDES[0] - 1)), data.draw(st.integers(0, SIDES[1] - 1))
    height, width = data.draw(st.integers(1, SIDES[0] - row)), data.draw(st.integers(1, SIDES[1] - col))
    window = Window(row=row, col=col, height=height, width=width)
    np.testing.assert_array_equal(coverage.inside(window), coverage.inside(whole(GRID))[window.rows, window.cols])


def test_windows_of_many_blocks_are_put_together(monkeypatch):
    polygons = [[star(20, 18, np.tile([16.0, 3.0], 60)), star(20, 18, np.full(7, 2.5))]]
    at_once = covered(polygons).inside(whole(GRID))
    monkeypatch.setattr("eezarr.grid.scanline._BLOCK", 97)
    np.testing.assert_array_equal(covered(polygons).inside(whole(GRID)), at_once)


quarters = st.integers(-8, 48).map(lambda n: n / 4)


@st.composite
def on_quarters(draw):
    """Simple rings whose corners are on quarters of pixels: many a centre is on a corner or an edge."""
    points = draw(st.lists(st.tuples(quarters, quarters), min_size=3, max_size=9, unique=True))
    middle = np.mean(points, axis=0)
    ring = sorted(points, key=lambda p: math.atan2(p[1] - middle[1], p[0] - middle[0]))
    assume(shapely.Polygon(ring).is_valid)
    return ring[:: draw(st.sampled_from([1, -1]))]


def is_left_or_on(ring, col, row):
    """Even-odd in fractions; on an edge counts as right of it, on a corner by the half-open rule for rows."""
    is_in = False
    for (x0, y0), (x1, y1) in itertools.pairwise([*ring, ring[0]]):
        (xa, ya), (xb, yb) = sorted([(x0, y0), (x1, y1)], key=lambda p: p[1])
        if ya <= row < yb:
            fa, fb = Fraction(xa), Fraction(xb)
            is_in ^= fa + (fb - fa) * (Fraction(row) - Fraction(ya)) / (Fraction(yb) - Fraction(ya)) <= col
    return is_in


@fixed
@given(on_quarters())
def test_centres_on_edges_follow_the_half_open_rule(ring):
    coverage = covered([[ring]])
    assume(coverage is not None)
    got = coverage.inside(Window(row=0, col=0, height=13, width=13))
    want = [[is_left_or_on(ring, col + 0.5, row + 0.5) for col in range(13)] for row in range(13)]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal([coverage.edges.enclosed(row, np.arange(13)) for row in range(13)], want)


@pytest.mark.parametrize("side", [7, 21, 49, 81, 106])
def test_centres_on_a_diagonal_are_not_moved_off_it_by_rounding(side):
    corners = [(0.5 - side, 0.5 - side), (side + 0.5, side + 0.5), (0.5 - side, side + 0.5)]
    mask = covered([[corners]]).inside(whole(GRID))
    rows = min(side, SIDES[0])
    np.testing.assert_array_equal(mask[:rows], np.tri(rows, SIDES[1], -1, dtype=np.bool_))


def test_an_edge_gives_the_same_pieces_whichever_way_it_runs():
    generator, count = np.random.default_rng(7), 0
    for _ in range(40):
        ring = generator.uniform((-128, 34), (-118, 42), (6, 2))
        ring = np.concatenate([ring, ring[:1]])
        there, back = (pixel_edges(ring_edges([[line]]), LON_LAT, GRID_BELOW) for line in (ring, ring[::-1]))
        count += len(there.turn)
        pieces = [
            {frozenset([tuple(a), tuple(b)]) for a, b in zip(edges.start.tolist(), edges.end.tolist(), strict=True)}
            for edges in (there, back)
        ]
        assert pieces[0] == pieces[1]
    assert count > 40 * 6


def test_a_square_on_centres_has_its_left_and_top_ones_only():
    square = [(2.5, 3.5), (6.5, 3.5), (6.5, 8.5), (2.5, 8.5)]
    mask = covered([[square]]).inside(whole(GRID))
    assert mask[3:8, 2:6].all()
    assert mask.sum() == 20


def claims(triangles, region_crs, grid):
    total = np.zeros((grid.height, grid.width), np.int64)
    for corners in triangles:
        try:
            coverage = Coverage.of({"type": "Polygon", "coordinates": [corners]}, region_crs, grid)
        except InvalidInput:
            continue
        total += 1 if coverage is None else coverage.inside(whole(grid))
    return total


@few
@given(st.lists(st.tuples(quarters, quarters), max_size=15, unique=True), st.randoms())
def test_polygons_that_share_edges_share_out_the_pixels(points, random):
    frame = [(-60.0, -70.0), (90.0, -70.0), (90.0, 80.0), (-60.0, 80.0)]
    mesh = shapely.delaunay_triangles(shapely.MultiPoint([*frame, *points]))
    triangles = []
    for triangle in mesh.geoms:
        ring = list(triangle.exterior.coords)
        triangles.append([list(place) for place in places(ring[:: random.choice([1, -1])])])
    np.testing.assert_array_equal(claims(triangles, UTM, GRID), 1)


@few
@given(st.lists(st.tuples(st.floats(-123.2, -122.8), st.floats(37.6, 38.2)), max_size=12, unique=True), st.randoms())
def test_polygons_that_share_edges_do_so_in_another_crs(points, random):
    frame = [(-128.0, 30.0), (-118.0, 31.0), (-119.0, 44.0), (-127.0, 43.0)]
    mesh = shapely.delaunay_triangles(shapely.MultiPoint([*frame, *points]))
    triangles = [[list(p) for p in list(t.exterior.coords)[:: random.choice([1, -1])]] for t in mesh.geoms]
    grid = PixelGrid(crs=UTM, transform=Affine(700, 0, 480000, 0, -900, 4_240_000), width=60, height=60)
    np.testing.assert_array_equal(claims(triangles, "EPSG:4326", grid), 1)


WIDE = [
    # A polygon in lon/lat, and a grid of which its edges are curves by many pixels.
    (PixelGrid(crs=UTM, transform=Affine(9000, 0, 1e5, 0, -9000, 4.9e6), width=90, height=100), (-127, 33, -119, 44)),
    # Through the middle meridian and the equator: curves shaped like an S.
    (PixelGrid(crs=UTM, transform=Affine(5000, 0, 2e5, 0, -5000, 4e5), width=120, height=160), (-126, -4, -120, 4)),
    (PixelGrid(crs="EPSG:3413", transform=Affine(5e4, 0, -4e6, 0, -5e4, 4e6), width=160, height=160), (0, 50, 160, 85)),
    (
        PixelGrid(crs="EPSG:3857", transform=Affine(4e4, 0, -9e6, 0, -4e4, 8e6), width=130, height=200),
        (-70, 5, -40, 55),
    ),
]


@few
@given(st.sampled_from(WIDE), st.lists(st.floats(0.35, 1), min_size=3, max_size=12), st.floats(0, 1))
def test_straight_edges_in_lon_lat_stay_true_on_the_grid(case, radii, phase):
    grid, (west, south, east, north) = case
    angles = 2 * np.pi * (np.arange(len(radii)) + phase) / len(radii)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array(radii)[:, None]
    ring = (ring + 1) / 2 * (east - west, north - south) + (west, south)
    coverage = Coverage.of({"type": "Polygon", "coordinates": [ring.tolist()]}, "EPSG:4326", grid)
    cols, rows = centres(grid)
    x, y = moved_by(grid.transform, cols, rows)
    lon, lat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    want = shapely.contains_xy(shapely.Polygon(ring), lon, lat)
    got = coverage.inside(whole(grid))
    outline = shapely.segmentize(shapely.LinearRing(ring), 0.002)
    spots = pyproj.Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(*outline.xy)
    line = shapely.LineString(np.column_stack(moved_by(~grid.transform, *map(np.array, spots))))
    differs = got != want
    assert (shapely.distance(line, shapely.points(cols[differs], rows[differs])) < 0.02).all()
    assert 0 < want.sum() < want.size


def test_edges_that_curve_like_an_s_are_followed():
    # Its middle is on its chord to the last bit: a test of the middle alone would take it for straight.
    ring = [[-126, -5], [-120, 5], [-120, -5]]
    grid = PixelGrid(crs=UTM, transform=Affine(10, 0, 166_000, 0, -10, 554_000), width=66_800, height=110_800)
    coverage = Coverage.of({"type": "Polygon", "coordinates": [ring]}, "EPSG:4326", grid)
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    for share in (0.1, 0.25, 0.4, 0.6, 0.75, 0.9):
        col, row = moved_by(~grid.transform, *to_utm.transform(-126 + 6 * share, -5 + 10 * share))
        window = Window(row=int(row), col=int(col) - 40, height=1, width=80)
        # Where the true edge crosses the row of centres, from its own slope there.
        ahead = moved_by(~grid.transform, *to_utm.transform(-126 + 6 * (share + 1e-6), -5 + 10 * (share + 1e-6)))
        slope = (ahead[0] - col) / (ahead[1] - row)
        crossing = col + slope * (int(row) + 0.5 - row)
        seen = window.col + int(np.argmax(coverage.inside(window)[0]))
        assert seen - 0.52 <= crossing <= seen + 0.52


def test_features_that_overlap_add_up():
    square = [(5, 5), (20, 5), (20, 20), (5, 20)]
    moved = [(col + 8, row + 4) for col, row in square]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [places(ring)]}}
        for ring in (square, moved, square[::-1])
    ]
    coverage = Coverage.of({"type": "FeatureCollection", "features": features}, UTM, GRID)
    want = np.zeros(SIDES, np.bool_)
    want[5:20, 5:20] = want[9:24, 13:28] = True
    np.testing.assert_array_equal(coverage.inside(whole(GRID)), want)


def test_an_island_in_a_lake_is_land_whichever_way_rings_run():
    rings = [star(25, 18, np.full(9, radius)) for radius in (16, 10, 4)]
    for ways in itertools.product([1, -1], repeat=3):
        shore, lake, island = (ring[::way] for ring, way in zip(rings, ways, strict=True))
        mask = covered([[shore, lake], [island]]).inside(whole(GRID))
        assert mask[18, 25]
        assert not mask[18, 25 + 7]
        assert mask[18, 25 + 12]


def test_contact_along_a_side_is_no_touch_and_a_speck_is_one():
    col_edges = np.array([0, 10, 20, 30])
    block = covered([[[(10, 8), (20, 8), (20, 16), (10, 16)]]])
    rows = [range(8), range(8, 16), range(16, 24)]
    assert [block.touched(row, col_edges).tolist() for row in rows] == [[False] * 3, [False, True, False], [False] * 3]
    speck = covered([[[(12.1, 9.1), (12.2, 9.1), (12.2, 9.2)]]])
    assert [speck.touched(row, col_edges).sum() for row in rows] == [0, 1, 0]
    assert not speck.inside(whole(GRID)).any()


ARCTIC = PixelGrid(crs="EPSG:3413", transform=Affine(5e4, 0, -4e6, 0, -5e4, 4e6), width=160, height=160)


def lon_lat_box(west, south, east, north):
    """A box as a polygon: an edge of more than half a turn would go the other way, so it has a corner in its middle."""
    middle = (west + east) / 2
    ring = [[west, south], [middle, south], [east, south], [east, north], [middle, north], [west, north]]
    return {"type": "Polygon", "coordinates": [ring]}


def oracle(grid, west, south, east, north):
    """Which centres are in a box in longitude and latitude; none that are off the Earth."""
    x, y = moved_by(grid.transform, *centres(grid))
    to_lon_lat = pyproj.Transformer.from_crs(parse_crs(grid.crs), LON_LAT, always_xy=True)
    lon, lat = to_lon_lat.transform(x, y)
    again = to_lon_lat.transform(lon, lat, direction="INVERSE")
    on_earth = parse_crs(grid.crs).is_geographic | (np.hypot(again[0] - x, again[1] - y) < 1)
    return ((lon - west) % 360 < east - west) & (south < lat) & (lat < north) & on_earth


def north_up(crs, size, left, top, width, height):
    return PixelGrid(crs=crs, transform=Affine(size, 0, left, 0, -size, top), width=width, height=height)


@pytest.mark.parametrize(
    ("grid", "box"),
    [
        (ARCTIC, (-180, 60, 180, 90)),
        (ARCTIC, (-180, 60, 180, 80)),
        (ARCTIC, (100, 60, 250, 88)),
        # An edge whose ends are both to the right of the grid, and which goes through it.
        (north_up("EPSG:3413", 1e4, -5e5, 5e5, 100, 100), (50, 85, 400, 89)),
        # A grid whose corners are off the Earth.
        (north_up("SR-ORG:6974", 5e4, -2e7, 1e7, 800, 400), (100.3, 40.2, 170.3, 80.2)),
        (north_up("SR-ORG:6974", 5e4, -2e7, 1e7, 400, 80), (-170.3, 60.2, -30.3, 80.2)),
        # A side of the Earth, of a region that goes round most of it.
        (north_up("EPSG:32637", 5e3, 0, 8e6, 200, 300), (27, 50, 190, 70)),
        (north_up("EPSG:32601", 1e3, 2e5, 7e6, 500, 300), (178, 61, 181, 62)),
        (north_up("EPSG:32660", 1e3, 4e5, 7e6, 600, 300), (-183, 61, -179, 62)),
        (north_up(LON_LAT, 1, -180, 90, 360, 180), (170.2, -10, 190.2, 10)),
        (north_up(LON_LAT, 1, 0, 90, 360, 180), (-20.2, -10, 10.2, 10)),
        (north_up(LON_LAT, 1, 160, 90, 60, 180), (-178.2, -10, -100.2, 10)),
        (north_up("EPSG:3857", 1e5, -2e7, 2e7, 400, 400), (170.2, -10, 190.2, 10)),
    ],
    ids=lambda value: value.crs if isinstance(value, PixelGrid) else None,
)
def test_regions_round_the_earth(grid, box):
    coverage = Coverage.of(lon_lat_box(*box), LON_LAT, grid)
    got, want = coverage.inside(whole(grid)), oracle(grid, *box)
    assert 0 < want.sum() < want.size
    np.testing.assert_array_equal(got, want)
    for row in range(0, grid.height - 9, 10):
        edges = np.arange(0, grid.width + 1, 10)
        tiles = want[row : row + 10, : edges[-1]].reshape(10, -1, 10).any(axis=(0, 2))
        assert (coverage.touched(range(row, row + 10), edges) >= tiles).all()


CAP = {"type": "Polygon", "coordinates": [[[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]]]}
FAR_EAST = north_up("EPSG:3035", 1e5, -1.3e7, 1.5e6, 98, 31)
WORLD = PixelGrid(crs=LON_LAT, transform=Affine(1, 0, -180, 0, -1, 90), width=360, height=180)


@pytest.mark.parametrize(
    ("region", "region_crs", "grid", "says", "advises"),
    [
        (CAP, "EPSG:3413", WORLD, "cut open", "Split"),
        (
            lon_lat_box(170, 0, 190, 1),
            LON_LAT,
            north_up("EPSG:3857", 1e5, -2.1e7, 2e7, 420, 400),
            "cut open",
            "Split",
        ),
        # The antipode of the map's middle, which is all of its rim, is in the region; so is a point where UTM ends.
        (lon_lat_box(60, -68, 246, -44), LON_LAT, FAR_EAST, "in one piece", "CRS made for it"),
        (
            lon_lat_box(52, -9, 204, 12),
            LON_LAT,
            north_up("EPSG:32633", 1e5, 2e6, 6e6, 272, 205),
            "in one piece",
            "smaller",
        ),
        (lon_lat_box(10, 0, 11, 1), LON_LAT, GRID, "touches no pixel", "longitude, latitude"),
        (lon_lat_box(-90, 0, -60, 1), LON_LAT, GRID, "touches no pixel", "longitude, latitude"),
        ({"type": "Point", "coordinates": [0, 0]}, LON_LAT, GRID, "no area", "Buffer"),
        ((0, 0, 0, 1), LON_LAT, GRID, "empty", "west"),
    ],
)
def test_refusals(region, region_crs, grid, says, advises):
    with pytest.raises(InvalidInput) as caught:
        Coverage.of(region, region_crs, grid)
    assert says in caught.value.message
    assert advises in caught.value.hint


def test_pixels_too_small_for_proj_are_refused(monkeypatch):
    monkeypatch.setattr("eezarr.grid.outline._MAX_LIVE", 3)
    with pytest.raises(InvalidInput, match="too small") as caught:
        Coverage.of(
            {"type": "Polygon", "coordinates": [[[-123.9, 37], [-122.6, 37.2], [-123, 37.8]]]}, LON_LAT, GRID_BELOW
        )
    assert "larger" in caught.value.hint


def test_boxes_and_what_holds_the_whole_grid_drop_nothing():
    assert Coverage.of((-123, 37.9, -122.999, 37.91), LON_LAT, GRID) is None
    around = [(-1, -1), (SIDES[1] + 1, -1), (SIDES[1] + 1, SIDES[0] + 1), (-1, SIDES[0] + 1)]
    assert covered([[around]]) is None
    assert covered([[[(0, 0), (SIDES[1], 0), (SIDES[1], SIDES[0]), (0, SIDES[0])]]]) is None
    assert covered([[around, star(20, 20, np.full(5, 0.2))]]) is not None
    # Most of the world: PROJ cannot show its far corners in a UTM zone, and need not.
    assert Coverage.of(lon_lat_box(-180, -80, 170, 80), LON_LAT, GRID) is None
    mercator = PixelGrid(crs="EPSG:3857", transform=Affine(1e5, 0, -2e7, 0, -1e5, 2e7), width=400, height=400)
    assert Coverage.of(lon_lat_box(-180, -90, 180, 90), LON_LAT, mercator) is None


def test_windows_beyond_the_grid_are_refused():
    coverage = covered([[star(20, 20, np.full(5, 5.0))]])
    with pytest.raises(InvalidInput, match="beyond"):
        coverage.inside(Window(row=0, col=0, height=SIDES[0] + 1, width=1))
    with pytest.raises(InvalidInput, match="beyond"):
        coverage.touched(range(5), np.array([0, SIDES[1] + 1]))


LAKE = {
    "type": "Polygon",
    "coordinates": [[[-122.999, 37.946], [-122.995, 37.9461], [-122.996, 37.943], [-122.999, 37.946]]],
}
ISLAND = [[-122.997, 37.945], [-122.996, 37.945], [-122.996, 37.944]]


def test_the_digest_is_of_the_source_and_the_grid():
    coverage = Coverage.of(LAKE, LON_LAT, GRID)
    assert coverage.digest == "c1672eb18067da221e27c0c74fc196e8b7a05d51f0c6e75acf6d17ffd0c46ac9"
    same = Coverage.of({"type": "Feature", "geometry": LAKE}, "epsg:4326", GRID)
    assert same == coverage
    assert hash(same) == hash(coverage)
    moved = PixelGrid(crs=UTM, transform=Affine(16, 0, 499968, 0, -16, 4_200_016), width=SIDES[1], height=SIDES[0])
    nudged = json.loads(json.dumps(LAKE).replace("37.943", str(math.nextafter(37.943, 38))))
    holed = {"type": "Polygon", "coordinates": [*LAKE["coordinates"], ISLAND]}
    apart = {"type": "MultiPolygon", "coordinates": [[ring] for ring in holed["coordinates"]]}
    others = [Coverage.of(LAKE, LON_LAT, moved), Coverage.of(LAKE, "EPSG:4269", GRID)]
    others += [Coverage.of(region, LON_LAT, GRID) for region in (nudged, holed, apart)]
    assert len({coverage, *others}) == 6


def test_the_record_makes_the_coverage_anew():
    region = {"type": "MultiPolygon", "coordinates": [[[[237.001, 37.946], [237.005, 37.9461], [237.004, 37.943]]]]}
    coverage = Coverage.of(region, LON_LAT, GRID)
    again = Coverage.from_json(json.loads(json.dumps(coverage.to_json())), GRID)
    assert again == coverage
    np.testing.assert_array_equal(again.inside(whole(GRID)), coverage.inside(whole(GRID)))
    assert again.to_json() == coverage.to_json()
    with pytest.raises(ValueError, match="read-only"):
        coverage.polygons[0][0][0] = 0


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"region": None}, {"region_crs": 4326}, {"region": [0, 0, 1, 1]}]
)
def test_a_record_that_does_not_fit_is_refused(change):
    record = Coverage.of(LAKE, LON_LAT, GRID).to_json() | change
    with pytest.raises(InvalidInput, match="cannot be read"):
        Coverage.from_json(record, GRID)
