"""Regions as people have them: across 180 degrees, with gaps, with crossing rings; one rule for what they cover."""

import json
import warnings

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from eezarr import EezarrWarning
from eezarr.errors import InvalidInput
from eezarr.geometry.polygons import Notes, Part, covering
from eezarr.geometry.shapes import holds, shape_of
from eezarr.grid import Coverage, PixelGrid, Shape2D, Window, crop_native
from eezarr.grid.region import read_region

fixed = settings(derandomize=True, deadline=None, max_examples=150)

LON_LAT = "EPSG:4326"
GRID = PixelGrid(crs=LON_LAT, transform=Affine(0.25, 0, -1, 0, -0.25, 9), width=40, height=40)
SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
SHORT_WAY = {"type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]}
CUT = {
    "type": "MultiPolygon",
    "coordinates": [
        [[[179, -1], [180, -1], [180, 1], [179, 1], [179, -1]]],
        [[[-180, -1], [-179, -1], [-179, 1], [-180, 1], [-180, -1]]],
    ],
}
APART = [
    {"type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]},
    {"type": "Polygon", "coordinates": [[[-179, -1], [179, -1], [179, 0], [-179, 0], [-179, -1]]]},
]
"""Each in its own turn: from 179 to 181, and from -179 to -181."""


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [list(map(list, ring)) for ring in rings]}


def features(*geometries):
    return [
        {"type": "Feature", "properties": {"name": f"part-{nth}"}, "geometry": geometry}
        for nth, geometry in enumerate(geometries)
    ]


def collection(*geometries, **members):
    return {"type": "FeatureCollection", "features": features(*geometries), **members}


def square(west, south, side=2):
    return [[west + x / 2 * side, south + y / 2 * side] for x, y in SQUARE]


def covered(region, grid=GRID):
    """Which pixels are inside: by the mask, and by the tiles that are asked for."""
    coverage = Coverage.of(region, LON_LAT, grid)
    mask = coverage.inside(Window(row=0, col=0, height=grid.height, width=grid.width))
    for row in range(grid.height):
        assert (coverage.touched(range(row, row + 1), np.arange(grid.width + 1)) >= mask[row]).all()
    return mask


def at(mask, x, y):
    return bool(mask[int((9 - y) / 0.25), int((x + 1) / 0.25)])


def outcome(region, **options):
    """The grid, or what is said against it: a box and a polygon that mean the same get the same."""
    try:
        return PixelGrid.from_region(region, **options)
    except InvalidInput as error:
        return error.message, error.hint


@pytest.mark.parametrize("region", [SHORT_WAY, CUT, collection(*APART), collection(SHORT_WAY, None)])
@pytest.mark.parametrize(
    ("crs", "resolution"), [(LON_LAT, 0.5), ("EPSG:32701", 1000), ("EPSG:3832", 1000), ("EPSG:3857", 1000)]
)
def test_polygons_across_180_degrees_are_the_box_across_it(region, crs, resolution):
    expected = outcome((179, -1, 181, 1), crs=crs, resolution=resolution)
    assert outcome(region, crs=crs, resolution=resolution) == expected
    assert isinstance(expected, PixelGrid) == (crs in {"EPSG:32701", "EPSG:3832"})


def test_the_arctic_ring_is_the_arctic_box_and_drops_no_pixel_of_it():
    ring = polygon([[170, 70], [-170, 70], [-170, 75], [170, 75], [170, 70]])
    grid = PixelGrid.from_region(ring, crs="EPSG:3413", resolution=1000)
    assert grid == PixelGrid.from_region((170, 70, -170, 75), crs="EPSG:3413", resolution=1000)
    coverage = Coverage.of(ring, LON_LAT, grid)
    middle = grid.to_pixels(np.array([[-1457384.0, 1457384.0]]))[0].astype(int)  # 180 E, 72 N, or near
    assert coverage.inside(Window(row=int(middle[1]), col=int(middle[0]), height=1, width=1)).all()


def test_an_edge_of_a_whole_turn_is_the_world_and_one_of_half_a_turn_is_as_given():
    world = polygon([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]])
    assert PixelGrid.from_region(world, crs=LON_LAT, resolution=1).shape == Shape2D(180, 360)
    half = polygon([[-90, -10], [90, -10], [90, 10], [-90, 10], [-90, -10]])
    assert PixelGrid.from_region(half, crs=LON_LAT, resolution=1).shape == Shape2D(20, 180)
    halves = collection(polygon(square(-180, -10, 20)), polygon(square(160, -10, 20)), polygon(square(-10, 0, 20)))
    assert PixelGrid.from_region(halves, crs=LON_LAT, resolution=1).shape == Shape2D(30, 360), "round most of the Earth"


def test_a_ring_round_a_pole_holds_it():
    ring = polygon([[-170, 80], [-60, 80], [60, 80], [170, 80], [-170, 80]])
    grid = PixelGrid.from_region(ring, crs="EPSG:3413", resolution=10_000)
    assert grid.bounds.min_x < -1e6 < 1e6 < grid.bounds.max_x
    mask = Coverage.of(ring, LON_LAT, grid).inside(Window(row=0, col=0, height=grid.height, width=grid.width))
    assert mask[grid.height // 2, grid.width // 2]


def test_holes_are_in_the_turn_of_their_ring():
    ring = [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]
    hole = [[-179, -1], [-178, -1], [-178, 1], [-179, 1], [-179, -1]]
    area = read_region(polygon(ring, hole), LON_LAT)
    assert [float(part[:, 0].mean().round()) for part in area.polygons[0]] == [178, 181]


@pytest.mark.parametrize(
    ("stray", "told"),
    [
        ({"type": "Point", "coordinates": [50, 50]}, "Point, which has no area"),
        ({"type": "LineString", "coordinates": [[50, 50], [60, 60]]}, "LineString, which has no area"),
        (polygon([[50, 50], [60, 50], [50, 50]]), "polygon without area"),
        (polygon([[50, 50], [60, 60], [70, 70], [50, 50]]), "polygon without area"),
        (polygon([]), "empty"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], []]}, "empty"),
        (polygon(SQUARE, []), "hole without area"),
        (polygon(SQUARE, [[1, 1], [1.5, 1.5], [1, 1]]), "hole without area"),
    ],
)
def test_what_has_no_area_is_left_out_with_a_warning_that_names_it(stray, told):
    with pytest.warns(EezarrWarning, match="left out") as caught:
        grid = PixelGrid.from_region(collection(polygon(SQUARE), stray), crs=LON_LAT, resolution=0.5)
    assert len(caught) == 1
    assert all(part in str(caught[0].message) for part in (told, "feature 1 of the region ('part-1')"))
    assert grid.shape == Shape2D(4, 4)


def test_features_without_geometry_are_left_out_without_a_word():
    for region in (collection(None, polygon(SQUARE), None), json.dumps(collection(None, polygon(SQUARE)))):
        assert PixelGrid.from_region(region, crs=LON_LAT, resolution=0.5).shape == Shape2D(4, 4)


@pytest.mark.parametrize(
    ("region", "told"),
    [
        (collection(None, None), "no polygon: no GeoJSON feature in it has a geometry"),
        (collection({"type": "Point", "coordinates": [5, 5]}), "Point, which has no area, in feature 0 of the region"),
        (collection(polygon([[0, 0], [1, 1], [2, 2], [0, 0]])), "without area in feature 0"),
    ],
)
def test_where_nothing_is_left_the_first_reason_is_told(region, told):
    with pytest.raises(InvalidInput, match=told):
        PixelGrid.from_region(region, crs=LON_LAT, resolution=0.5)


PENTAGRAM = [
    [4 + 4 * np.cos(np.pi / 2 + 4 * np.pi * n / 5), 4 + 4 * np.sin(np.pi / 2 + 4 * np.pi * n / 5)] for n in range(5)
]
PENTAGRAM.append(PENTAGRAM[0])
BIG = square(0, 0, 8)


@pytest.mark.parametrize(
    ("region", "inside", "outside", "is_told"),
    [
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [square(1, 0)]]}, [(1.4, 1), (0.4, 1)], [(3.4, 1)], False),
        (collection(polygon(SQUARE), polygon(square(1, 0))), [(1.4, 1)], [(3.4, 1)], False),
        (polygon(SQUARE + SQUARE[1:]), [(1, 1)], [(3, 3)], True),
        (polygon(BIG + BIG[1:], square(3, 3)), [(1, 1)], [(4, 4)], True),
        (polygon(PENTAGRAM), [(4, 4), (4, 7)], [(0.2, 0.2)], True),
        ({"type": "MultiPolygon", "coordinates": [[BIG], [square(3, 3)]]}, [(4, 4), (1, 1)], [(8.5, 8.5)], False),
        (polygon(SQUARE, square(5, 5)), [(1, 1)], [(6, 6)], True),
        (polygon(BIG, square(1, 1), square(2, 2)), [(7, 7)], [(1.6, 1.6), (2.6, 2.6), (3.6, 3.6)], True),
        (polygon([[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]), [(0.3, 1), (1.7, 1)], [(1, 0.3)], True),
        (collection(polygon(BIG, square(3, 3)), polygon(square(3, 3, 1))), [(3.4, 3.4)], [(4.6, 4.6)], False),
        (collection(polygon(BIG, square(3, 3)), polygon(BIG)), [(4, 4)], [(8.5, 8.5)], False),
    ],
    ids=["overlap", "features", "twice", "twice, holed", "pentagram", "nested", "hole outside", "holes overlap",
         "bow tie", "island", "hole filled"],
)  # fmt: skip
def test_a_region_is_the_union_of_what_each_part_covers(region, inside, outside, is_told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = covered(region)
    assert all(at(mask, *place) for place in inside)
    assert not any(at(mask, *place) for place in outside)
    assert [bool(caught), all("invalid ring" in str(item.message) for item in caught)] == [is_told, True]


def test_an_asset_that_is_wholly_in_an_overlap_is_kept_whole():
    """The crop asks whether the asset's corners are inside: where two polygons overlap, they are."""
    both = {"type": "MultiPolygon", "coordinates": [[square(-3, -3, 14)], [square(-4, -4, 16)]]}
    assert crop_native(GRID, both) == GRID


rings = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8)


def goes_round(ring, x, y):
    """How often a ring goes round a point, restated: turns of the direction to each corner."""
    around = np.array([*ring, ring[0]], float) - (x, y)
    angles = np.arctan2(around[:, 1], around[:, 0])
    return round(float(((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi).sum()) / (2 * np.pi))


@fixed
@given(st.lists(st.lists(rings, min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_parts_cover_is_what_rings_go_round(polygons):
    """By hand: inside some part's outer ring, and in none of that part's holes."""
    notes = Notes()
    parts = [
        Part(rings=[np.array([*ring, ring[0]], float) for ring in rings], where=f"feature {nth}")
        for nth, rings in enumerate(polygons)
    ]
    found = covering(parts, notes)
    # Off the lattice of corners, so that no point is on an edge.
    spots = np.random.default_rng(len(found)).uniform(0, 12, (60, 2))
    want = [
        any(
            goes_round(outer, x, y) != 0 and all(goes_round(hole, x, y) == 0 for hole in holes)
            for outer, *holes in polygons
        )
        for x, y in spots.tolist()
    ]
    got = holds(shape_of([part.rings for part in found]), spots) if found else np.zeros(len(spots), np.bool_)
    assert got.tolist() == want
    assert all(shapely.Polygon(part.rings[0], part.rings[1:]).is_valid for part in found)


def test_a_valid_polygon_stays_as_it_is_to_the_bit():
    ring = [[0.1, 0.2], [2.3, 0.7], [1.1, 2.9], [0.1, 0.2]]
    assert read_region(polygon(ring), LON_LAT).polygons[0][0].tolist() == ring


@pytest.mark.parametrize(
    "region",
    [
        json.dumps(polygon(SQUARE)),
        "\n".join(map(json.dumps, features(polygon(SQUARE), None))),
        "".join(f"\x1e{json.dumps(feature)}\n" for feature in features(polygon(SQUARE))),
        json.dumps(features(polygon(SQUARE))),
        "\ufeff" + json.dumps(collection(polygon(SQUARE))),
        features(polygon(SQUARE)),
        tuple(features(polygon(SQUARE))),
        {"type": "GeometryCollection", "geometries": [polygon(SQUARE)]},
        collection(polygon(SQUARE), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}),
        json.dumps(collection(polygon(SQUARE), crs={"type": "name", "properties": {"name": "EPSG::4326"}})),
        collection(polygon(SQUARE), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}}),
        collection(polygon(SQUARE), crs={"type": "EPSG", "properties": {"code": 4326}}),
        collection(polygon(SQUARE), crs=None),
        shapely.box(0, 0, 2, 2),
        polygon([[x, y, 17.5] for x, y in SQUARE]),
        polygon(SQUARE[:-1]),
    ],
    ids=range(16),
)  # fmt: skip
def test_regions_are_read_as_people_have_them(region, tmp_path):
    expected = PixelGrid.from_region((0, 0, 2, 2), crs=LON_LAT, resolution=0.5)
    assert PixelGrid.from_region(region, crs=LON_LAT, resolution=0.5) == expected
    text = region if isinstance(region, str) else json.dumps(getattr(region, "__geo_interface__", region))
    path = tmp_path / "area.geojson"
    path.write_text(text, encoding="utf-8-sig")
    for place in (path, str(path)):
        assert PixelGrid.from_region(place, crs=LON_LAT, resolution=0.5) == expected


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ("nowhere.geojson", "cannot be read"),
        ("the bay", "no file that is there"),
        ("{", "no GeoJSON"),
        ("[" * 100_000, "no GeoJSON"),
        ('{"type":"GeometryCollection","geometries":[' * 400 + "]}" * 400, "no GeoJSON"),
        (polygon([[10**400, 0], [1, 1], [1, 2]]), "no numbers"),
        ('{"type":"Polygon","coordinates":[[[1' + "0" * 400 + ",0],[1,1],[1,2]]]}", "no numbers"),
        (polygon([[True, 0], [1, 1], [1, 2]]), "no numbers"),
        (polygon([["0", "0"], ["1", "1"], ["1", "2"]]), "no numbers"),
        (polygon([[0, 0], [1, None], [1, 2]]), "no numbers"),
        (polygon([[0, 0], [1, float("nan")], [1, 2]]), "nan or infinity"),
        (polygon([[0, 0], [1, float("inf")], [1, 2]]), "nan or infinity"),
        ([[0, 0], [1, 1]], "no box"),
        ([], "no box"),
        (None, "where a list is due"),
        (b"{}", "where a list is due"),
    ],
    ids=range(16),
)
def test_what_is_no_region_is_told_as_our_error(region, told):
    with pytest.raises(InvalidInput, match=told):
        PixelGrid.from_region(region, crs=LON_LAT, resolution=0.5)


def test_other_files_are_told_what_to_do(tmp_path):
    path = tmp_path / "area.gpkg"
    path.write_bytes(b"SQLite format 3\x00\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8 text"):
        PixelGrid.from_region(path, crs=LON_LAT, resolution=0.5)
    with pytest.raises(InvalidInput, match=r"cannot be read.*ogr2ogr"):
        PixelGrid.from_region(tmp_path, crs=LON_LAT, resolution=0.5)
