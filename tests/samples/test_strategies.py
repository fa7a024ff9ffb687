"""Points in polygons: inside by shapely's word, uniform by PROJ's geodesic area, and stable under additions."""

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from eezarr.errors import InvalidInput
from eezarr.geometry.shapes import holds, shape_of
from eezarr.samples import Centroid, GridPoints, RandomPoints, StratifiedPoints, draw_sites
from samples.tables import polygons

pytestmark = pytest.mark.once

fixed = settings(derandomize=True, deadline=None, max_examples=100)
EARTH = Geod(ellps="WGS84")
RING = shapely.Polygon([(0, 0), (8, 0), (8, 8), (0, 8)], [[(1, 1), (7, 1), (7, 7), (1, 7)]])
CRESCENT = shapely.Point(0, 0).buffer(5).difference(shapely.Point(1.5, 0).buffer(5))
APART = shapely.MultiPolygon([shapely.box(10, 10, 11, 11), shapely.box(20, 20, 22, 22)])
SLIVER = shapely.Polygon([(0, 0), (10, 10), (10.001, 10)])
SHAPES = {"ring": RING, "crescent": CRESCENT, "apart": APART, "sliver": SLIVER, "high": shapely.box(30, 60, 31, 83)}
STRATEGIES = [
    RandomPoints(per_polygon=40, seed=5),
    StratifiedPoints(per_class=300, seed=5),
    GridPoints(spacing_m=20_000),
    Centroid(),
]


def drawn(table, strategy):
    by_group = {}
    for site in draw_sites(table, strategy):
        by_group.setdefault(site.group, []).append((site.id, site.x, site.y))
    return by_group


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: type(one).__name__)
def test_all_points_are_inside_and_carry_what_is_known_of_their_polygon(strategy):
    labels = {name: len(name) for name in SHAPES}
    table = draw_sites(polygons(SHAPES, label=labels), strategy)
    assert len({site.id for site in table}) == len(table)
    for site in table:
        assert SHAPES[site.group].covers(shapely.Point(site.x, site.y)), site
        assert site.id.rpartition("/")[0] == site.group
        assert site.label == labels[site.group]
    assert {site.group for site in table} >= set(SHAPES) - {"sliver"}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: type(one).__name__)
def test_other_polygons_change_no_polygons_points(strategy):
    labels = dict.fromkeys(SHAPES, 1) | {"more": 2}
    first = drawn(polygons(SHAPES, label=labels), strategy)
    more = {"more": shapely.box(50, 5, 53, 8), **dict(reversed(SHAPES.items()))}
    second = drawn(polygons(more, label=labels), strategy)
    assert {name: second[name] for name in first} == first
    assert len(second) == len(first) + 1


def test_more_points_begin_with_the_same_ones():
    few = drawn(polygons(SHAPES), RandomPoints(per_polygon=3))
    many = drawn(polygons(SHAPES), RandomPoints(per_polygon=100))
    assert all(many[name][:3] == few[name] for name in SHAPES)
    assert drawn(polygons(SHAPES), RandomPoints(per_polygon=3, seed=1)) != few


BELT = shapely.box(10, 0, 20, 80)


def cells(crs):
    """Twenty cells of a tall box and their share of its ground, by geodesic area of densified outlines."""
    if crs is None:
        boxes = [shapely.box(10 + 5 * n, 8 * m, 15 + 5 * n, 8 * m + 8) for n in range(2) for m in range(10)]
        project = lambda x, y: (x, y)  # noqa: E731
    else:
        boxes = [shapely.box(2e6 * n, 1e6 * m, 2e6 * n + 2e6, 1e6 * m + 1e6) for n in range(2) for m in range(10)]
        project = Transformer.from_crs(crs, 4326, always_xy=True).transform
    areas = []
    for box in boxes:
        outline = np.array(box.segmentize(box.length / 4000).exterior.coords)
        areas.append(abs(EARTH.polygon_area_perimeter(*project(*outline.T))[0]))
    return boxes, np.array(areas) / sum(areas)


@pytest.mark.parametrize("crs", [None, "EPSG:3857", "EPSG:3413"])
def test_random_points_are_uniform_over_the_ground(crs):
    boxes, shares = cells(crs)
    whole = shapely.union_all(boxes)
    count = 40_000
    table = draw_sites(polygons({"whole": whole}, crs=crs), RandomPoints(per_polygon=count, seed=2))
    points = shapely.points(table.x, table.y)
    found = np.array([shapely.contains(box, points).sum() for box in boxes])
    assert found.sum() == count
    # Five standard deviations, and the 1 % that the areal scale's maximum is known to.
    bound = 5 * np.sqrt(count * shares) + 0.01 * count * shares
    assert (np.abs(found - count * shares) < bound).all()
    if crs != "EPSG:3413":
        flat = count / 20
        assert np.abs(found - flat).max() > 5 * math.sqrt(flat), "the plane itself must not be what was drawn in"


def test_strata_get_as_many_points_each_by_area():
    shapes = {f"{kind}{n}": shapely.box(20 * n, 0, 20 * n + n + 1, 1) for n in range(4) for kind in "ab"}
    shapes["c"] = shapely.box(100, 0, 100.01, 0.01)
    labels = {name: {"a": 1, "b": "one", "c": None}[name[0]] for name in shapes} | {"c": 7}
    found = drawn(polygons(shapes, label=labels), StratifiedPoints(per_class=101))
    for kind in "ab":
        # Areas 1 to 4 of 10: 10.1, 20.2, 30.3 and 40.4; the last point goes to the largest remainder.
        assert [len(found[f"{kind}{n}"]) for n in range(4)] == [10, 20, 30, 41]
    assert len(found["c"]) == 101
    labels["c"] = None
    with pytest.raises(InvalidInput, match="polygon 'c' has no class"):
        draw_sites(polygons(shapes, label=labels), StratifiedPoints(per_class=101))
    with pytest.raises(InvalidInput, match="no column 'soil'"):
        draw_sites(polygons(shapes, label=labels), StratifiedPoints(per_class=1, class_column="soil"))


def test_strata_weigh_latitude():
    shapes = {"equator": shapely.box(0, 0, 1, 1), "north": shapely.box(0, 60, 1, 61)}
    found = drawn(polygons(shapes, label=dict.fromkeys(shapes, 1)), StratifiedPoints(per_class=1000))
    areas = {name: EARTH.geometry_area_perimeter(shape.segmentize(0.01))[0] for name, shape in shapes.items()}
    for name in shapes:
        assert abs(len(found[name]) - 1000 * areas[name] / sum(areas.values())) <= 1


def test_a_grid_is_every_lattice_point_inside():
    shape = shapely.Polygon([(11.9, 48), (12.4, 48.1), (12.3, 48.5), (12.0, 48.2)])
    table = draw_sites(polygons({"a": shape}), GridPoints(spacing_m=700))
    there = Transformer.from_crs(4326, 32633, always_xy=True)
    x, y = there.transform(table.x, table.y)
    cols, rows = np.round(np.array(x) / 700), np.round(np.array(y) / 700)
    assert np.abs(np.array(x) - cols * 700).max() < 1e-5
    assert np.abs(np.array(y) - rows * 700).max() < 1e-5
    # The oracle: all lattice points of a far larger box, moved back and asked of shapely.
    grid = np.stack(np.meshgrid(np.arange(300, 500), np.arange(7500, 7750)), axis=-1).reshape(-1, 2)
    lon, lat = there.transform(*(grid * 700).T, direction="INVERSE")
    expected = {tuple(cell) for cell in grid[shapely.contains_xy(shape, lon, lat)].tolist()}
    assert set(zip(cols.astype(int).tolist(), rows.astype(int).tolist(), strict=True)) == expected
    assert (np.diff(table.y) < 0.01).all(), "north to south"


def test_a_grid_in_its_own_zone_is_counted_by_hand():
    shape = shapely.box(500_050, 5_000_050, 500_950, 5_000_750)
    table = draw_sites(polygons({"a": shape}, crs="EPSG:32633"), GridPoints(spacing_m=100))
    rows = [(500_000 + 100 * col, 5_000_000 + 100 * row) for row in range(7, 0, -1) for col in range(1, 10)]
    assert np.column_stack([table.x, table.y]).tolist() == [list(map(float, place)) for place in rows]


def test_polygons_of_one_shape_get_points_of_their_own():
    found = drawn(polygons({"a": BELT, "b": BELT}), RandomPoints(per_polygon=5))
    assert {place[1:] for place in found["a"]}.isdisjoint(place[1:] for place in found["b"])


def test_a_grid_across_the_antimeridian_has_no_hole():
    table = draw_sites(polygons({"a": shapely.box(179.9, -17, 180.1, -16.8)}), GridPoints(spacing_m=1000))
    assert ((table.x > 179.8) & (table.x < 180.2)).all()
    assert abs((table.x > 180).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (RandomPoints(per_polygon=0), "per_polygon is 0"),
        (StratifiedPoints(per_class=-1), "per_class is -1"),
        (GridPoints(spacing_m=math.nan), "spacing_m is nan"),
        (GridPoints(spacing_m=1), "more than 16,777,216"),
        (GridPoints(spacing_m=1e7), "No polygon holds a point"),
    ],
)
def test_impossible_strategies_are_refused(strategy, told):
    with pytest.raises(InvalidInput, match=told):
        draw_sites(polygons({"a": shapely.box(1, 1, 2, 2)}, label={"a": 1}), strategy)
    with pytest.raises(InvalidInput, match="beyond UTM"):
        draw_sites(polygons({"a": shapely.box(1, 84.5, 2, 85)}), GridPoints(spacing_m=500))


coordinates = st.floats(-50, 50).map(lambda value: round(value, 3))


@st.composite
def areas(draw):
    outer = shapely.Polygon(draw(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8)))
    return shapely.MultiPoint(outer.exterior.coords).convex_hull.symmetric_difference(outer.buffer(0))


@fixed
@given(areas())
def test_a_middle_is_inside_any_shape(shape):
    parts = [part for part in getattr(shape, "geoms", [shape]) if part.area > 1e-3]
    if not parts:
        return
    whole = shapely.MultiPolygon(parts)
    table = draw_sites(polygons({"a": whole}), Centroid())
    assert len(table) == 1
    assert whole.buffer(1e-9).contains(shapely.Point(table.x[0], table.y[0]))
    if whole.contains(whole.centroid) and whole.boundary.distance(whole.centroid) > 1e-6:
        assert np.allclose([table.x[0], table.y[0]], whole.centroid.coords[0], atol=1e-9)


def even_odd(points, rings):
    """The rule restated: edges to the right are counted, and hold what is on them as their left and lower side."""
    ends = [(a, b) for ring in rings for a, b in itertools.pairwise(ring.tolist())]
    found = []
    for x, y in points.tolist():
        crossings = 0
        for a, b in ends:
            low, high = sorted((a, b), key=lambda place: place[1])
            if low[1] <= y < high[1]:
                crossings += x < low[0] + (y - low[1]) / (high[1] - low[1]) * (high[0] - low[0])
        found.append(crossings % 2 == 1)
    return np.array(found)


@fixed
@given(areas(), st.integers(0, 2**32))
def test_inside_is_the_rule_of_before_and_shared_edges_belong_to_one(shape, seed):
    parts = [part for part in getattr(shape, "geoms", [shape]) if part.area > 0]
    polygons = [[np.array(ring.coords) for ring in (part.exterior, *part.interiors)] for part in parts]
    if not polygons:
        return
    points = np.round(np.random.default_rng(seed).uniform(-51, 51, (60, 2)))
    whole = shape_of(polygons)
    clear = shapely.distance(whole.boundary, shapely.points(points)) > 1e-9
    rings = [ring for polygon in polygons for ring in polygon]
    assert np.array_equal(holds(whole, points)[clear], even_odd(points, rings)[clear])
    cut = [shapely.box(-60, -60, 0, 60), shapely.box(0, -60, 60, 60)]
    claims = sum(holds(half, points).astype(int) for half in cut)
    assert (claims == 1).all()
