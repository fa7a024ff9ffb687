"""Listings by region: the request line stays short, and what is found is what the true region finds."""

import json
from datetime import date, timedelta
from itertools import pairwise
from urllib.parse import quote

import numpy as np
import pytest
import shapely
from pyproj import Geod

import eezarr
import wire
from eezarr.earthengine.listing import ImageQuery
from eezarr.earthengine.searchregion import SearchRegion

APRIL = {"start": "2017-04-01", "end": "2017-05-01"}
S2 = "projects/earthengine-public/assets/COPERNICUS/S2"
GRIDS = {
    "a scene": ("EPSG:32610", (10, 0, 499_980, 0, -10, 4_200_000), (10_980, 10_980)),
    "three pixels": ("EPSG:32610", (10, 0, 499_980, 0, -10, 4_200_000), (3, 3)),
    "aslant": ("EPSG:32610", (8, 6, 500_000, 6, -8, 4_100_000), (9_000, 12_000)),
    "across 180 degrees": ("EPSG:32660", (10, 0, 699_980, 0, -10, 4_200_000), (10_980, 20_980)),
    "south": ("EPSG:32733", (100, 0, 300_000, 0, -100, 6_300_000), (4_000, 4_000)),
    "a continent": ("EPSG:5070", (1000, 0, -2_500_000, 0, -1000, 3_200_000), (3000, 5000)),
    "Europe": ("EPSG:3035", (1000, 0, 2_500_000, 0, -1000, 5_500_000), (4000, 4000)),
    "round the pole": ("EPSG:3413", (1000, 0, -3_000_000, 0, -1000, 3_000_000), (6000, 6000)),
    "beside the pole": ("EPSG:3413", (1000, 0, 500_000, 0, -1000, -500_000), (2000, 2000)),
    "a belt": ("EPSG:4326", (1, 0, -180, 0, -1, 60), (20, 360)),
    "the world": ("EPSG:3857", (10_000, 0, -20_000_000, 0, -10_000, 20_000_000), (4000, 4000)),
}


@pytest.fixture
def recorder(emulator):
    with wire.recording(emulator.url) as recorder:
        yield recorder


@pytest.fixture
async def watched(recorder):
    async with eezarr.Client(project="my-project", api_url=recorder.url) as opened:
        yield opened


def footprint(name):
    return eezarr.PixelGrid.of(*GRIDS[name]).footprint()


def geodesic(ring):
    """Positions along the great circles between corners, by PROJ; longitudes go on over 180."""
    sphere, line = Geod(a=1, b=1), [ring[0]]
    for start, end in pairwise(ring):
        if abs(start[1]) < 90 or abs(end[1]) < 90:
            line += [(lon, lat) for lon, lat in sphere.npts(*start, *end, 40) if abs(lat) < 90]
        line.append(tuple(end))
    line = np.array(line)
    return np.column_stack([np.unwrap(line[:, 0], period=360), line[:, 1]])


@pytest.mark.parametrize("name", GRIDS)
def test_an_outline_is_short_and_contains_its_region_with_edges_of_either_kind(name):
    region = footprint(name)
    assert len(quote(json.dumps(region))) > 7000
    outline = SearchRegion(region).outline()
    assert len(quote(json.dumps(outline))) <= 900
    [ring] = outline["coordinates"]
    assert shapely.Polygon(ring).exterior.is_ccw
    polygons = [region["coordinates"]] if region["type"] == "Polygon" else region["coordinates"]
    points = np.array([point for polygon in polygons for point in polygon[0]])
    # A seam at 180 degrees is on the outline's edge.
    for edges in (np.array(ring), geodesic(ring)):
        shape = shapely.Polygon(edges).buffer(1e-6)
        turned = [shapely.contains_xy(shape, points[:, 0] + turn, points[:, 1]) for turn in (-360, 0, 360)]
        assert np.any(turned, axis=0).all()


def test_an_outline_is_not_much_larger_than_its_region():
    for name, most in (("a scene", 1.02), ("aslant", 1.2), ("a continent", 1.2), ("a belt", 1.12)):
        region = SearchRegion(footprint(name))
        areas = [shapely.Polygon(each["coordinates"][0]).area for each in (region.outline(), footprint(name))]
        assert areas[0] / areas[1] < most, name


def test_outlines_of_many_shapes_contain_them():
    rng = np.random.default_rng(7)
    for _ in range(40):
        corners = rng.uniform((-1, -1), (1, 1), (60, 2)) * rng.uniform(0.01, 20, 2)
        corners += (rng.uniform(-180, 180), rng.uniform(-60, 60))
        shape = shapely.MultiPoint(corners).convex_hull.union(shapely.Point(corners[0]).buffer(0.01, 64))
        outline = SearchRegion(shapely.geometry.mapping(shape)).outline()
        assert shapely.Polygon(outline["coordinates"][0]).covers(shape)
        assert shapely.Polygon(geodesic(outline["coordinates"][0])).covers(shape)


@pytest.mark.parametrize(
    ("region", "image", "meets"),
    [
        ("a scene", [(-123.5, 37.5), (-122.9, 37.5), (-122.9, 37.6), (-123.5, 37.6)], True),
        ("a scene", [(-123.5, 37.5), (-123.1, 37.5), (-123.1, 37.6), (-123.5, 37.6)], False),
        ("a scene", [(236.5, 37.5), (237.1, 37.5), (237.1, 37.6), (236.5, 37.6)], True),
        ("across 180 degrees", [(-179, 37), (-178, 37), (-178, 38), (-179, 38)], True),
        ("across 180 degrees", [(179, 37), (-179, 37), (-179, 38), (179, 38)], True),
        ("across 180 degrees", [(-178.2, 37), (-178, 37), (-178, 38), (-178.2, 38)], False),
        ("round the pole", [(10, 80), (20, 80), (20, 85), (10, 85)], True),
        ("round the pole", [(10, 20), (20, 20), (20, 25), (10, 25)], False),
        # Its southern edge is a great circle, which reaches 52.6 degrees in the middle, or a parallel: either will do.
        ("a belt", [(0, 39), (40, 39), (40, 39.9), (0, 39.9)], True),
    ],
)
def test_an_image_meets_a_region_or_does_not(region, image, meets):
    ring = [*image, image[0]]
    assert SearchRegion(footprint(region)).meets({"type": "Polygon", "coordinates": [ring]}) == meets
    assert SearchRegion(footprint(region)).meets({"type": "LinearRing", "coordinates": ring}) == meets
    if region != "a belt":
        straight = {"type": "Polygon", "coordinates": [ring], "geodesic": False}
        assert SearchRegion(footprint(region)).meets(straight) == meets


def test_an_image_of_unknown_place_may_meet_any_region():
    region = SearchRegion(footprint("a scene"))
    for geometry in (None, {}, {"type": "Point", "coordinates": [0, 0]}, {"type": "Polygon", "coordinates": [["x"]]}):
        assert region.meets(geometry)


@pytest.mark.parametrize("method", ["listAssets", "listImages"])
async def test_a_listing_by_a_projected_grid_finds_what_meets_it(watched, recorder, world, method):
    # Between the emulator's tiles: the outline meets some that the grid does not.
    grid = eezarr.PixelGrid.of("EPSG:32610", (80, 60, 560_000, 60, -80, 4_100_000), (700, 200))
    (ring,) = grid.footprint()["coordinates"]
    true = shapely.Polygon(ring)
    found = watched.list_images("COPERNICUS/S2", **APRIL, region=grid.footprint(), method=method, page_size=2)
    expected = {
        child["name"]
        for child in world.children(S2)
        if child["startTime"] >= "2017-04-01" and child["endTime"] < "2017-05-01"
        if shapely.geometry.shape(child["geometry"]).intersects(true)
    }
    assert {image.name async for image in found} == expected
    assert expected
    asked = recorder.requests
    assert len(asked) > 1
    assert all(request.line.startswith("GET ") and len(request.line) < 2048 for request in asked)
    assert not [problem for request in asked for problem in wire.problems(request)]


def test_a_series_over_a_projected_grid_asks_in_short_lines(recorder, eezarr_at, tmp_path):
    (tmp_path / "job.toml").write_text(
        'output = "out.zarr"\n[collection]\nid = "COPERNICUS/S2"\nstart = "2017-04-01"\nend = "2017-05-01"\n'
        'bands = ["B4"]\ngroup = "day"\n[grid]\ncrs = "EPSG:32610"\ntransform = [2000, 0, 490000, 0, -2000, 4205000]\n'
        "shape = [20, 30]\n"
    )
    ended = eezarr_at(recorder, "fetch", "job.toml", "--json")
    assert ended.code == 0, ended.err
    listings = [request for request in recorder.requests if ":listAssets" in request.line]
    assert listings
    assert all(request.line.startswith("GET ") and len(request.line) < 2048 for request in listings)
    assert all("intersects(\"{'type': 'Polygon'" in request.query["filter"] for request in listings)


def test_a_short_region_is_sent_as_it_is():
    box = (-123.0, 37.0, -122.0, 38.0)
    query = ImageQuery(region=box)
    assert query.chooser() is None
    assert json.loads(query.parameters("listImages")["region"])["coordinates"][0][0] == [-123.0, 37.0]


def test_what_has_no_area_or_is_listed_without_its_place_is_sent_as_it_is():
    line = {"type": "LineString", "coordinates": [[n / 100, n % 7] for n in range(200)]}
    query = ImageQuery(region=line)
    assert query.chooser() is None
    assert json.loads(query.parameters("listImages")["region"]) == line
    query = ImageQuery(region=footprint("a scene"))
    assert query.chooser("BASIC") is None
    assert json.loads(query.parameters("listImages", "BASIC")["region"]) == footprint("a scene")


async def test_what_stays_too_long_goes_as_a_post_that_stands_for_a_get(watched, recorder):
    days = [date(2017, 4, 1) + timedelta(days=n) for n in range(200)]
    tiles = " OR ".join(f'PRODUCT_ID : "{day}"' for day in days)
    assert len(tiles) > 4000
    wanted = {"start": "2017-04-01", "end": "2017-04-20", "page_size": 1}
    short = [image.name async for image in watched.list_images("COPERNICUS/S2", filter="MGRS_TILE = 10SEG", **wanted)]
    long_filter = f"{tiles} OR MGRS_TILE = 10SEG"
    found = [image.name async for image in watched.list_images("COPERNICUS/S2", filter=long_filter, **wanted)]
    assert found == short
    assert found
    posts = [request for request in recorder.requests if request.is_override]
    assert len(posts) > 1
    for request in posts:
        assert request.line == f"POST /v1/{S2}:listAssets HTTP/1.1"
        assert request.headers["x-http-method-override"] == "GET"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.query["pageSize"] == "1"
    assert not [problem for request in recorder.requests for problem in wire.problems(request)]


async def test_both_methods_page_through_an_override(watched, recorder):
    region = footprint("a scene")
    found = watched.list_images("COPERNICUS/S2", **APRIL, region=region, view="BASIC", page_size=5, method="listImages")
    names = [image.name async for image in found]
    assert len(names) > 5
    assert {image_type async for image_type in _types(watched, region)} == {"IMAGE"}
    assert any(request.is_override for request in recorder.requests)


async def _types(client, region):
    async for image in client.list_images("COPERNICUS/S2", **APRIL, region=region, method="listImages"):
        yield image.type
