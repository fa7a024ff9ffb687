"""Listings: what is asked, page after page, and that both methods find what an exhaustive look finds."""

import json
from datetime import UTC, date, datetime

import pytest

import eezarr
from eezarr.earthengine.listing import ImageQuery
from eezarr.earthengine.places import place_geojson, read_place

POINT = (-122.085, 37.422)
APRIL = {"start": "2017-04-01", "end": "2017-05-01"}


def test_the_filter_is_the_official_clients():
    # What ee 1.7.50 sends: reference/earth-engine-api.md, 1.2.
    query = ImageQuery(
        start=datetime(2020, 1, 1),  # noqa: DTZ001 - without a zone it is UTC
        end=date(2020, 2, 1),
        region={"type": "Point", "coordinates": [1, 2]},
        filter="properties.CLOUDY_PIXEL_PERCENTAGE<10",
    )
    assert query.parameters("listAssets") == {
        "filter": 'properties.CLOUDY_PIXEL_PERCENTAGE<10 AND startTime >= "2020-01-01T00:00:00.000Z" AND '
        'endTime < "2020-02-01T00:00:00.000Z" AND '
        "intersects(\"{'type': 'Point', 'coordinates': [1, 2]}\")"
    }


def test_list_images_has_parameters_of_its_own():
    query = ImageQuery(**APRIL, region=POINT, filter="CLOUDY_PIXEL_PERCENTAGE < 10")
    found = query.parameters("listImages")
    assert found.pop("region") == json.dumps({"type": "Point", "coordinates": [-122.085, 37.422]})
    assert found == {
        "startTime": "2017-04-01T00:00:00.000Z",
        "endTime": "2017-05-01T00:00:00.000Z",
        "filter": "CLOUDY_PIXEL_PERCENTAGE < 10",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CLOUD < 10", "properties.CLOUD < 10"),
        ("properties.CLOUD < 10", "properties.CLOUD < 10"),
        ('TILE = "A < B" AND NOT CLOUD>=3', 'properties.TILE = "A < B" AND NOT properties.CLOUD>=3'),
        ('startTime > "2017-01-01"', 'startTime > "2017-01-01"'),
        ("(A = 1 OR B = 2)", "((properties.A = 1 OR properties.B = 2))"),
        ('id = "X"', 'id = "X"'),
    ],
)
def test_properties_get_their_prefix(text, expected):
    assert ImageQuery(filter=text).parameters("listAssets") == {"filter": expected}


def test_times_have_zones():
    query = ImageQuery(start="2017-04-01T02:00:00+02:00", end=datetime(2017, 4, 2, 12, tzinfo=UTC))
    assert query.parameters("listImages") == {
        "startTime": "2017-04-01T00:00:00.000Z",
        "endTime": "2017-04-02T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    "bad",
    [{"start": "April"}, {"start": "2017-05-01", "end": "2017-05-01"}, {"region": (1, 2, 3)}, {"region": (0, 91)}],
)
def test_what_cannot_be_is_refused_before_it_is_asked(bad):
    with pytest.raises(eezarr.InvalidInput) as caught:
        ImageQuery(**bad)
    assert caught.value.hint


def test_places(tmp_path):
    box = {"type": "Polygon", "coordinates": [[[170, -1], [190, -1], [190, 1], [170, 1], [170, -1]]]}
    assert place_geojson((170, -1, -170, 1)) == box
    path = tmp_path / "region.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": box}]}))
    assert read_place(str(path)) == read_place(json.dumps(box)) == read_place("170,-1,-170,1") == box
    for text in ("no/such/file", "[1, 2]", '{"type": "Circle"}', "1,2,3"):
        with pytest.raises(eezarr.InvalidInput):
            read_place(text)


@pytest.mark.parametrize("method", ["listAssets", "listImages"])
async def test_pages_without_end(client, world, method):
    got = [image async for image in client.list_images("COPERNICUS/S2", **APRIL, page_size=3, method=method)]
    # The oracle reads every image of the world.
    names = [
        child["name"]
        for child in world.children("projects/earthengine-public/assets/COPERNICUS/S2")
        if "2017-04-01" <= child["startTime"] < "2017-05-01"
    ]
    assert [image.name for image in got] == names
    assert len(names) > 6


@pytest.mark.parametrize("method", ["listAssets", "listImages"])
async def test_the_quickstarts_answer(client, method):
    found = client.list_images(
        "COPERNICUS/S2", **APRIL, region=POINT, filter="CLOUDY_PIXEL_PERCENTAGE < 10", method=method
    )
    assert {image.id.rpartition("/")[2]: image.properties["CLOUDY_PIXEL_PERCENTAGE"] async for image in found} == {
        "20170420T184921_20170420T190203_T10SEG": 4.3166,
        "20170430T190351_20170430T190351_T10SEG": 0,
    }


async def test_folders_and_basic_views(client):
    roots = [asset.id async for asset in client.list_assets("projects/earthengine-public")]
    assert "COPERNICUS" in roots
    basics = [asset async for asset in client.list_assets("COPERNICUS/S2", view="BASIC", page_size=200)]
    assert len(basics) > 200
    assert not any(asset.bands or asset.properties for asset in basics)


async def test_what_is_not_there_is_named(client):
    with pytest.raises(eezarr.ServiceRefusal, match="NOTHING") as caught:
        [image async for image in client.list_images("COPERNICUS/NOTHING")]
    assert "eezarr info" in caught.value.hint


async def test_values_are_computed(client):
    seven = {"functionName": "Number.add", "arguments": {"left": {"constantValue": 3}, "right": {"constantValue": 4}}}
    expression = {"result": "0", "values": {"0": {"functionInvocationValue": seven}}}
    assert await client.compute_value(expression) == 7
