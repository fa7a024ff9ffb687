"""Sites from files: what is read, of what type, and what is refused with which line. Oracles: shapely, pyarrow."""

import json
import struct
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely.geometry import mapping

from eezarr import EezarrWarning
from eezarr.errors import InvalidInput
from eezarr.geometry.binary import geojson_of_shapes, points_of_shapes, shapes_of_wkb
from eezarr.samples import Centroid, PolygonTable, RandomPoints, SiteColumns, SiteTable, draw_sites, read_sites

fixed = settings(derandomize=True, deadline=None, max_examples=150)
NAMED = SiteColumns(id="id", label="crop", split="split", date="when")
CSV = """id,lon,lat,crop,split,when,zip,rain,soil
a,-122.5,37.25,3,train,2017-04-01,01234,1.5,clay
b,10,-5.5,4,test,2017-04-01T12:30:00+02:00,94110,,
007,179.5,80,3,,,94111,2,"sandy, wet
loam"
"""


def polygon_file(tmp_path, shapes, **more):
    features = [{"type": "Feature", "properties": {"n": n}, "geometry": mapping(s)} for n, s in enumerate(shapes)]
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}))
    return path


def collection(*features):
    return json.dumps({"type": "FeatureCollection", "features": list(features)}, indent=1)


def feature(geometry, **properties):
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_keeps_every_column_in_the_type_that_loses_nothing(tmp_path):
    table = read_sites(write(tmp_path, "sites.csv", CSV), columns=NAMED)
    assert isinstance(table, SiteTable)
    first, second, third = table
    assert (first.id, first.x, first.y, first.label, first.split) == ("a", -122.5, 37.25, 3, "train")
    assert type(first.label) is int
    assert first.date == datetime(2017, 4, 1, tzinfo=UTC)
    assert second.date == datetime(2017, 4, 1, 10, 30, tzinfo=UTC)
    assert (third.id, third.split, third.date, third.group) == ("007", None, None, "007")
    assert dict(first.properties) == {"zip": "01234", "rain": 1.5, "soil": "clay"}
    assert dict(second.properties) == {"zip": "94110", "rain": None, "soil": None}
    assert third.properties["soil"] == "sandy, wet\nloam"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "", "3"], [1, None, 3]),
        (["1", "2.5", "nan"], [1.0, 2.5, None]),
        (["-1e3", "2", ".5"], [-1000.0, 2.0, 0.5]),
        (["01", "2", "3"], ["01", "2", "3"]),
        (["1_000", "2", "3"], ["1_000", "2", "3"]),
        (["NA", "DE", ""], ["NA", "DE", None]),
        (["inf", "1", "2"], ["inf", "1", "2"]),
        (["9223372036854775808", "1", "2"], [9223372036854775808, 1, 2]),
        (["", "", ""], [None, None, None]),
    ],
)
def test_csv_numbers_are_numbers_only_if_nothing_is_lost(tmp_path, cells, values):
    path = write(tmp_path, "a.csv", "x,y,v\n" + "".join(f"1,2,{cell}\n" for cell in cells))
    read = [site.properties["v"] for site in read_sites(path)]
    assert read == values
    assert list(map(type, read)) == list(map(type, values))


def test_ids_are_positions_by_default_and_places_may_repeat(tmp_path):
    table = read_sites(write(tmp_path, "a.csv", "x,y\n1,2\n\n1,2\n"))
    assert [site.id for site in table] == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("x,y\n1,2\n\n3\n", SiteColumns(), "Line 4 has 1 fields"),
        ('x,y,t\n1,2,"a\nb"\n3,oops,c\n', SiteColumns(), r"'y' in line 4 is 'oops'"),
        ('x,y,t\n1,oops,"a\nb"\n', SiteColumns(), r"'y' in line 2 is 'oops'"),
        ("x,y\n1,2\n,2\n", SiteColumns(), r"'x' in line 3 is missing"),
        ("x,y\n1,nan\n", SiteColumns(), r"line 2 are missing or not finite"),
        ("x,y\n1,2\n2,inf\n3,inf\n", SiteColumns(), r"line 3 are missing or not finite \(and 1 more\)"),
        ("lat,lon\n10,20\n100,20\n", SiteColumns(), r"\(20, 100\) in line 3 are no longitude and latitude"),
        ("x,y\n361,2\n", SiteColumns(), "line 2"),
        ("name,x,y\na,1,2\nb,1,2\na,1,2\n", SiteColumns(id="name"), r"'a' in line 4 is that of line 2"),
        ("name,x,y\n,1,2\n", SiteColumns(id="name"), "line 2 is missing"),
        ("crop,x,y\n1,1,2\n", SiteColumns(label="crops"), "Did you mean 'crop'"),
        ("easting,northing\n1,2\n", SiteColumns(), "no columns of coordinates"),
        ("east,north\n1,2\n", SiteColumns(x="east", y="nord"), "Did you mean 'north'"),
        ("x,y,x\n1,2,3\n", SiteColumns(), "'x' twice"),
        ("", SiteColumns(), "no header"),
        ("x,y\n", SiteColumns(), "no sites"),
        ("x,y,d\n1,2,yesterday\n", SiteColumns(date="d"), r"'d' in line 2 is 'yesterday'"),
        ("x,y,d\n1,2,2017\n", SiteColumns(date="d"), r"'d' in line 2 is 2017"),
        ('x,y\n1,"2\n', SiteColumns(), "is no CSV"),
        (b"x,y\n1,2\xff\n", SiteColumns(), "no UTF-8"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_line(tmp_path, text, columns, told):
    with pytest.raises(InvalidInput, match=told) as caught:
        read_sites(write(tmp_path, "bad.csv", text), columns=columns)
    assert caught.value.message.startswith("bad.csv")


def test_a_missing_file_and_an_unknown_suffix_are_told(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_sites(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match=r"\.shp"):
        read_sites(tmp_path / "sites.shp")
    with pytest.raises(InvalidInput, match="Only one column"):
        SiteColumns(x="easting")


def test_projected_sites_are_checked_on_their_map(tmp_path):
    path = write(tmp_path, "a.csv", "x,y\n500000,4100000\n")
    table = read_sites(path, sites_crs="EPSG:32610")
    assert np.allclose(table.lon_lat(), [Transformer.from_crs(32610, 4326, always_xy=True).transform(5e5, 4.1e6)])
    path = write(tmp_path, "b.csv", "x,y\n500000,4100000\n3e8,4100000\n")
    with pytest.raises(InvalidInput, match="line 3 are outside the map of EPSG:32610"):
        read_sites(path, sites_crs="EPSG:32610")
    # Beyond the map's edge, where the inverse projection answers a longitude all the same.
    path = write(tmp_path, "c.csv", "x,y\n1.7e7,0\n1.8e7,0\n")
    with pytest.raises(InvalidInput, match="line 3 are outside the map of EPSG:6933"):
        read_sites(path, sites_crs="EPSG:6933")


def test_geojson_features_may_come_in_a_collection_or_one_after_another(tmp_path):
    features = [feature(point(n, -n), id=f"s{n}", crop="rye" if n % 2 else None, tags=[n]) for n in range(5)]
    features[3]["properties"].pop("tags")
    texts = {
        "a.geojson": collection(*features),
        "b.ndjson": "\n".join(map(json.dumps, features)),
        "c.geojsonl": "".join(f"\x1e{json.dumps(one)}\n" for one in features),
        "d.json": '{"features": ' + json.dumps(features) + ', "type": "FeatureCollection", "bbox": [0, 0, 1, 1]}',
    }
    tables = [read_sites(write(tmp_path, *one), columns=SiteColumns(id="id", label="crop")) for one in texts.items()]
    assert len({table.digest() for table in tables}) == 1
    for table in tables:
        assert [site.id for site in table] == ["s0", "s1", "s2", "s3", "s4"]
        assert [site.label for site in table] == [None, "rye", None, "rye", None]
        assert [site.properties["tags"] for site in table] == [[0], [1], [2], None, [4]]
        assert [(site.x, site.y) for site in table] == [(n, -n) for n in range(5)]


def test_a_features_own_id_counts_where_no_property_is_called_so(tmp_path):
    features = [{**feature(point(1, 2)), "id": 17}, {**feature(point(1, 2), id="p"), "id": 18}]
    table = read_sites(write(tmp_path, "a.geojson", collection(*features)), columns=SiteColumns(id="id"))
    assert [site.id for site in table] == ["17", "p"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (collection(feature(None), feature(None)), r"no geometry in feature 0 \(line 4\)"),
        (collection(feature(point(1, None))), r"\[1, None\] in feature 0"),
        (collection(feature(point(1, "2"))), "feature 0"),
        (collection(feature(point(1, True))), "feature 0"),
        (collection(feature(point(1, float("nan")))), "feature 0"),
        (collection(feature(point(1, 91))), r"\(1, 91\) in feature 0"),
        (collection(feature({"type": "LineString", "coordinates": [[1, 2], [2, 3]]})), "'LineString' in feature 0"),
        (collection(feature(point(1, 2)), feature(mapping(shapely.box(0, 0, 1, 1)))), "polygon in feature 1"),
        (collection(feature(mapping(shapely.box(0, 0, 1, 1))), feature(point(1, 2))), "point in feature 1"),
        (collection(feature({"type": "Polygon", "coordinates": []})), "empty"),
        (collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]})), "without area"),
        (collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1], [0, 0]]]})), "no numbers"),
        (collection(feature({"type": "Polygon", "coordinates": [[["0", "0"], ["1", "1"], ["0", "1"]]]})), "no numbers"),
        (
            collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [0, 99], [1, 1]]]})),
            r"\(0, 99\) in feature 0",
        ),
        (collection(), "no features"),
        (collection({"type": "Point"}), "no Feature"),
        ('{"type": "Point", "coordinates": [1, 2]}', "'Point'"),
        ('{"type": "FeatureCollection", "features": [\n{"type": "Feature", ', "Line 2 is no GeoJSON, where the file"),
        ('{"type": "FeatureCollection",\n "features": [1 2]}', "no Feature"),
        ('{"type": "FeatureCollection" "features": []}', "is no GeoJSON, near"),
        ("[" * 100_000, "is no GeoJSON"),
        ('{"type": "FeatureCollection", "features": ' + "[" * 100_000, "is no GeoJSON"),
        ("", "no features"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_geojson_is_told_with_its_feature(tmp_path, text, told):
    with pytest.raises(InvalidInput, match=told):
        read_sites(write(tmp_path, "bad.geojson", text))


def test_an_old_crs_member_is_believed_unless_the_job_says_otherwise(tmp_path):
    def named(crs):
        return {"crs": {"type": "name", "properties": {"name": crs}}}

    shape = [shapely.box(500_000, 4_100_000, 500_100, 4_100_100)]
    path = polygon_file(tmp_path, shape, **named("urn:ogc:def:crs:EPSG::32610"))
    assert read_sites(path).crs == "EPSG:32610"
    with pytest.raises(InvalidInput, match="sites_crs says EPSG:4326"):
        read_sites(path, sites_crs="EPSG:4326")
    path = polygon_file(tmp_path, [shapely.box(0, 0, 1, 1)], **named("urn:ogc:def:crs:OGC:1.3:CRS84"))
    assert read_sites(path).crs == "EPSG:4326"


def test_polygons_keep_their_rings_turned_one_way(tmp_path):
    holed = shapely.Polygon([(0, 0), (0, 4), (4, 4), (4, 0)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    several = shapely.MultiPolygon([shapely.box(10, 0, 11, 1), shapely.box(12, 0, 14, 1)])
    table = read_sites(polygon_file(tmp_path, [holed, several]))
    assert isinstance(table, PolygonTable)
    assert [len(table.rings(nth)) for nth in range(len(table))] == [2, 2]
    for nth, shape in enumerate((holed, several)):
        rings = [shapely.LinearRing(ring) for ring in table.rings(nth)]
        assert [ring.is_ccw for ring in rings] == [True, nth == 1]
        assert sum(shapely.Polygon(ring).area * (1 if ring.is_ccw else -1) for ring in rings) == shape.area


def parquet(tmp_path, geometries, *, geo=True, crs=None, **columns):
    table = pa.table({"geometry": pa.array(geometries, pa.binary()), **columns})
    entry = {"encoding": "WKB", "geometry_types": []} | ({} if crs is None else {"crs": crs["crs"]})
    meta = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": entry}}
    path = tmp_path / "sites.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(meta)} if geo else {}), path, row_group_size=2)
    return path


def test_geoparquet_points_with_every_kind_of_column(tmp_path):
    places = shapely.points([[1, 2], [3, 4], [5, 6]])
    path = parquet(
        tmp_path,
        shapely.to_wkb(places).tolist(),
        name=["a", "b", "c"],
        crop=pa.array(["rye", None, "oat"]).dictionary_encode(),
        when=pa.array([0, None, 86_400_000], pa.timestamp("ms", "Europe/Berlin")),
        seen=pa.array([0, 1, None], pa.date32()),
        n=pa.array([1, None, 3], pa.int16()),
        big=pa.array([2**60 + 1, 2, 3], pa.int64()),
        ratio=pa.array([0.5, None, float("nan")], pa.float32()),
        tags=[["x"], [], None],
    )
    table = read_sites(path, columns=SiteColumns(id="name", label="crop", date="when"))
    assert [(site.id, site.x, site.y, site.label) for site in table] == [
        ("a", 1, 2, "rye"),
        ("b", 3, 4, None),
        ("c", 5, 6, "oat"),
    ]
    assert [site.date for site in table] == [datetime(1970, 1, 1, tzinfo=UTC), None, datetime(1970, 1, 2, tzinfo=UTC)]
    assert [dict(site.properties) for site in table] == [
        {"seen": "1970-01-01T00:00:00.000000Z", "n": 1, "big": 2**60 + 1, "ratio": 0.5, "tags": ["x"]},
        {"seen": "1970-01-02T00:00:00.000000Z", "n": None, "big": 2, "ratio": None, "tags": []},
        {"seen": None, "n": 3, "big": 3, "ratio": None, "tags": None},
    ]
    json.dumps([dict(site.properties) for site in table], allow_nan=False)


@pytest.mark.parametrize(
    ("crs", "code"),
    [
        (None, "EPSG:4326"),
        ({"crs": None}, "EPSG:4326"),
        ({"crs": CRS.from_user_input("OGC:CRS84").to_json_dict()}, "EPSG:4326"),
        ({"crs": CRS.from_epsg(4326).to_json_dict()}, "EPSG:4326"),
        ({"crs": CRS.from_epsg(32610).to_json_dict()}, "EPSG:32610"),
    ],
    ids=["default", "null", "CRS84", "4326", "32610"],
)
def test_geoparquets_own_crs_is_read(tmp_path, crs, code):
    path = parquet(tmp_path, [shapely.box(50, 50, 80, 60).wkb], crs=crs)
    table = read_sites(path)
    assert table.crs == code
    assert np.array_equal(table.corners, shapely.box(50, 50, 80, 60).normalize().reverse().exterior.coords) or (
        shapely.Polygon(table.rings(0)[0]).equals(shapely.box(50, 50, 80, 60))
    )
    if crs is not None and crs["crs"] is not None:
        with pytest.raises(InvalidInput, match="sites_crs says"):
            read_sites(path, sites_crs="EPSG:3857")


def test_a_geoparquet_without_crs_is_lon_lat_and_one_with_null_is_what_the_job_says(tmp_path):
    with pytest.raises(InvalidInput, match="sites_crs says EPSG:3857"):
        read_sites(parquet(tmp_path, [shapely.Point(1, 2).wkb]), sites_crs="EPSG:3857")
    path = parquet(tmp_path, [shapely.Point(1, 2).wkb], crs={"crs": None})
    assert read_sites(path, sites_crs="EPSG:3857").crs == "EPSG:3857"


def test_parquet_without_geometries_has_columns_of_coordinates(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"lon": [1.5, 2.5], "lat": [3, 4], "v": ["a", "b"]}), path)
    assert [(site.x, site.y, dict(site.properties)) for site in read_sites(path)] == [
        (1.5, 3.0, {"v": "a"}),
        (2.5, 4.0, {"v": "b"}),
    ]


def test_what_is_wrong_in_a_parquet_is_told_with_its_row(tmp_path):
    good = shapely.Point(1, 2).wkb
    for bodies, told in [
        ([None, None], "no geometry in row 0"),
        ([good, b"\x01\x01"], "row 1 is no point or polygon, or is damaged"),
        ([shapely.LineString([(0, 0), (1, 1)]).wkb] * 2, "'LineString' in row 0"),
        ([good, shapely.Point().wkb], "row 1 are missing"),
        ([good, shapely.Point(1, 91).wkb], "row 1 are no longitude"),
    ]:
        with pytest.raises(InvalidInput, match=told):
            read_sites(parquet(tmp_path, bodies))
    with pytest.raises(InvalidInput, match="type binary"):
        read_sites(parquet(tmp_path, [good], raw=[b"\x00"]))
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        read_sites(write(tmp_path, "a.parquet", b"PAR1 no"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_sites(tmp_path / "none.parquet")


SQUARE = shapely.box(0, 0, 1, 1)


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_sites_without_geometry_are_left_out_and_keep_the_others_positions(tmp_path, kind):
    one, two = (point(1, 2), point(3, 4)) if kind == "points" else (mapping(SQUARE), mapping(shapely.box(5, 5, 6, 6)))
    rows = [feature(None, v="a"), feature(one, v="b"), feature(None, v="c"), feature(two, v="d")]
    wkb = [None if row["geometry"] is None else shapely.geometry.shape(row["geometry"]).wkb for row in rows]
    texts = ["" if row["geometry"] is None else json.dumps(row["geometry"]).replace('"', '""') for row in rows]
    table = "v,.geo\n" + "".join(f'{row["properties"]["v"]},"{text}"\n' for row, text in zip(rows, texts, strict=True))
    for path in (
        write(tmp_path, "a.geojson", collection(*rows)),
        write(tmp_path, "list.json", json.dumps(rows)),
        parquet(tmp_path, wkb, v=["a", "b", "c", "d"]),
        write(tmp_path, "a.csv", table),
    ):
        found = read_sites(path).attributes
        assert found.ids.tolist() == ["1", "3"]
        assert found.properties["v"].tolist() == ["b", "d"]


@pytest.mark.parametrize(
    ("stray", "told"),
    [
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "type 'LineString' in feature 1"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "without area in feature 1"),
        ({"type": "Polygon", "coordinates": []}, "feature 1 .* is empty"),
    ],
)
def test_sites_without_area_among_polygons_are_left_out_with_a_warning(tmp_path, stray, told):
    rows = [feature(mapping(SQUARE), v=0), feature(stray, v=1), feature(mapping(SQUARE), v=2)]
    with pytest.warns(EezarrWarning, match=told):
        table = read_sites(write(tmp_path, "a.geojson", collection(*rows)))
    assert table.attributes.ids.tolist() == ["0", "2"]
    assert [len(table.rings(nth)) for nth in range(len(table))] == [1, 1]


def test_a_site_covers_what_any_of_its_parts_does(tmp_path):
    both = {
        "type": "MultiPolygon",
        "coordinates": [mapping(shapely.box(w, 0, w + 2, 2))["coordinates"] for w in (0, 1)],
    }
    table = read_sites(write(tmp_path, "a.geojson", collection(feature(both))))
    assert table.shape(0).equals(shapely.box(0, 0, 3, 2))
    sites = draw_sites(table, RandomPoints(per_polygon=400))
    assert 90 < ((sites.x > 1) & (sites.x < 2)).sum() < 180, "a third of them where the parts overlap"


def test_rings_that_cross_are_sites_of_what_they_go_round_with_a_warning(tmp_path):
    tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    with pytest.warns(EezarrWarning, match=r"invalid ring in feature 0 .*self-intersection at \(1, 1\)"):
        table = read_sites(write(tmp_path, "a.geojson", collection(feature(tie))))
    assert table.shape(0).area == 2


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]},
        {
            "type": "MultiPolygon",
            "coordinates": [mapping(shapely.box(w, -1, w + 1, 1))["coordinates"] for w in (179, -180)],
        },
    ],
)
def test_a_site_across_180_degrees_lies_there(tmp_path, shape):
    table = read_sites(write(tmp_path, "a.geojson", collection(feature(shape))))
    (site,) = draw_sites(table, Centroid())
    assert (abs(site.x), abs(site.y)) == (180, 0)
    drawn = draw_sites(table, RandomPoints(per_polygon=50))
    assert (np.abs((drawn.x - 180 + 180) % 360 - 180) <= 1).all()


def test_many_points_in_a_large_polygon_are_asked_once(tmp_path, monkeypatch):
    """The shape is prepared once: its edges are indexed, and no point is compared with all of them."""
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    ring = shapely.Polygon(np.column_stack([np.cos(angles), np.sin(angles)]) * 2)
    table = read_sites(polygon_file(tmp_path, [ring]))
    asked = []
    real = shapely.prepare
    monkeypatch.setattr(shapely, "prepare", lambda shape: (asked.append(shape), real(shape)))
    sites = draw_sites(table, RandomPoints(per_polygon=5_000))
    assert shapely.contains_xy(ring, sites.x, sites.y).all()
    assert 0 < len(asked) < 5
    assert all(shape is asked[0] for shape in asked)


SERVICE = (
    "system:index,class,.geo\n"
    '0_0,3,"{""type"":""Point"",""coordinates"":[-122.5,37.25]}"\n'
    '0_1,4,"{""geodesic"":false,""type"":""Point"",""coordinates"":[10,-5.5]}"\n'
    '0_2,5,"{""type"":""MultiPoint"",""coordinates"":[]}"\n'
)


def test_tables_that_the_service_exports_are_read(tmp_path):
    table = read_sites(write(tmp_path, "a.csv", SERVICE), columns=SiteColumns(id="system:index", label="class"))
    assert [(site.id, site.label, site.x, site.y) for site in table] == [
        ("0_0", 3, -122.5, 37.25),
        ("0_1", 4, 10, -5.5),
    ]
    big = shapely.Point(5, 5).buffer(1, quad_segs=4000)
    rows = [mapping(SQUARE), mapping(big)]
    cells = [json.dumps(row).replace('"', '""') for row in rows]
    assert len(cells[1]) > 2**18, "more than the standard library's limit for a field"
    text = "system:index,class,.geo\n" + "".join(f'{n},{n},"{cell}"\n' for n, cell in enumerate(cells))
    polygons = read_sites(write(tmp_path, "b.csv", text), columns=SiteColumns(label="class"))
    assert isinstance(polygons, PolygonTable)
    assert [polygons.shape(nth).area for nth in range(2)] == [1, pytest.approx(big.area)]
    assert polygons.attributes.labels.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["WKT", "geometry", "the_geom", "wkt_geom"])
def test_a_column_of_geometries_is_recognised(tmp_path, name):
    for texts in (
        ["POINT (1 2)", "SRID=4326;POINT Z (3 4 5)"],
        [shapely.Point(1, 2).wkb_hex, shapely.Point(3, 4).wkb_hex],
    ):
        path = write(tmp_path, "a.csv", f"n,{name}\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts)))
        assert [(site.x, site.y, dict(site.properties)) for site in read_sites(path)] == [
            (1, 2, {"n": 0}),
            (3, 4, {"n": 1}),
        ]
    path = write(tmp_path, "b.csv", f'n,{name}\n7,"{SQUARE.wkt}"\n8,"MULTIPOLYGON (((5 5, 6 5, 6 6, 5 5)))"\n')
    assert [read_sites(path).shape(nth).area for nth in range(2)] == [1, 0.5]
    for bad in ("here", "POINT (1 2", "POINT (one two)", "[1, 2]", "0101"):
        path = write(tmp_path, "c.csv", f'{name},n\nPOINT (1 2),0\n"{bad}",1\n')
        with pytest.raises(InvalidInput, match=r"in line 3, which is no geometry"):
            read_sites(path)


TABLE = [("a", -122.5, 37.25, 3, 1.5), ("b", 10.0, -5.5, 4, None)]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("id;lon;lat;n;v\na;-122,5;37,25;3;1,5\nb;10;-5,5;4;\n", "csv"),
        ("id\tlon\tlat\tn\tv\na\t-122.5\t37.25\t3\t1.5\nb\t10\t-5.5\t4\t\n", "csv"),
        ("id\tlon\tlat\tn\tv\r\na\t-122.5\t37.25\t3\t1.5\r\nb\t10\t-5.5\t4\t\r\n", "tsv"),
        ("id|lon|lat|n|v\na|-122.5|37.25|3|1.5\nb|10|-5.5|4|\n", "txt"),
        ("# made by hand\n#\n\nid,lon,lat,n,v\na,-122.5,37.25,3,1.5\nb,10,-5.5,4,\n", "csv"),
        ("\ufeffid,lon,lat,n,v\r\na,-122.5,37.25,3,1.5\r\nb,10,-5.5,4,\r\n", "csv"),
        ('id,lon,lat,n,v\n"a","-122.5","37.25","3","1.5"\nb," 10 ",-5.5,4,\n', "csv"),
        ("id,lon,lat,n,v,,\na,-122.5,37.25,3,1.5,,\nb,10,-5.5,4,,,\n", "csv"),
    ],
    ids=["semicolons", "tabs", "tsv", "bars", "comment", "byte-order mark", "quoted", "unnamed columns"],
)
def test_tables_are_read_however_their_fields_are_separated(tmp_path, text, suffix):
    table = read_sites(write(tmp_path, f"a.{suffix}", text), columns=SiteColumns(id="id"))
    read = [(site.id, site.x, site.y, site.properties["n"], site.properties["v"]) for site in table]
    assert read == TABLE
    assert set(table.attributes.properties) == {"n", "v"}


def test_decimal_commas_are_no_separators_of_thousands(tmp_path):
    table = read_sites(write(tmp_path, "a.csv", "lon;lat;code;v\n1,5;2,5;1,2,3;0,5\n3;4;x,y;1\n"))
    assert [dict(site.properties) for site in table] == [{"code": "1,2,3", "v": 0.5}, {"code": "x,y", "v": 1.0}]
    with pytest.raises(InvalidInput, match=r"'lon' in line 2 is '1.234,5'"):
        read_sites(write(tmp_path, "a.csv", "lon;lat\n1.234,5;2\n"))
    with pytest.raises(InvalidInput, match=r"Line 5 has 2 fields, the header has 3, separated by semicolons"):
        read_sites(write(tmp_path, "a.csv", "# one\n\nlon;lat;n\n1;2;3\n1;2\n"))


@pytest.mark.parametrize(
    "names",
    [
        "decimalLongitude,decimalLatitude",
        "long,lat",
        "Lng,Lat",
        "POINT_X,POINT_Y",
        "X,Y",
        "Decimal Longitude,Decimal Latitude",
        "LONGITUDE,LATITUDE",
        "x_coord,y_coord",
    ],
)
def test_columns_of_coordinates_are_recognised(tmp_path, names):
    (site,) = read_sites(write(tmp_path, "a.csv", f"n,{names}\n7,1,2\n"))
    assert (site.x, site.y, dict(site.properties)) == (1, 2, {"n": 7})


@pytest.mark.parametrize("text", ["1_0", "\u0661\u0660", "\uff11\uff10", "\u00a010", "0x10", "1e", "--1", "1 0"])
def test_coordinates_are_written_in_plain_digits(tmp_path, text):
    with pytest.raises(InvalidInput, match=r"'x' in line 3 is .*, no number"):
        read_sites(write(tmp_path, "a.csv", f"x,y\n1,2\n{text},2\n"))


def test_other_columns_are_numbers_in_plain_digits_only(tmp_path):
    table = read_sites(write(tmp_path, "a.csv", "x,y,v\n1,2,\u0661\u0660\n"))
    assert table.attributes.properties["v"].tolist() == ["\u0661\u0660"]


def test_days_may_be_written_without_dashes_and_months_are_their_first_day(tmp_path):
    texts = ["20170401", "2017-04", "2017-04-01", " 2017-04-01T00:00:00Z ", ""]
    path = write(tmp_path, "a.csv", "x,y,d\n" + "".join(f"1,2,{text}\n" for text in texts))
    day = datetime(2017, 4, 1, tzinfo=UTC)
    assert [site.date for site in read_sites(path, columns=SiteColumns(date="d"))] == [day] * 4 + [None]
    for numbers in (["20170401", ""], ["20170401", "20170401"], ["20170401.0", ""]):
        path = write(tmp_path, "b.csv", "x,y,d\n" + "".join(f"1,2,{text}\n" for text in numbers))
        assert next(iter(read_sites(path, columns=SiteColumns(date="d")))).date == day
    for bad in ("201704", "20171301", "2017-13", "1491004800", "170401", "2017-4", "\u0662017-04"):
        path = write(tmp_path, "c.csv", f"x,y,d\n1,2,{bad}\n")
        with pytest.raises(InvalidInput, match="'d' in line 2 is"):
            read_sites(path, columns=SiteColumns(date="d"))


def shapes():
    places = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(-9, 9))
    rings = st.lists(places, min_size=3, max_size=6)
    polygons = rings.map(shapely.Polygon)
    return st.one_of(
        places.map(shapely.Point), polygons, st.lists(polygons, min_size=1, max_size=3).map(shapely.MultiPolygon)
    )


@fixed
@given(shapes(), st.sampled_from([0, 1]), st.sampled_from(["iso", "extended"]), st.sampled_from([2, 3]))
def test_wkb_reads_as_shapely_writes_it(shape, order, flavor, axes):
    srid = flavor == "extended"
    body = shapely.to_wkb(
        shapely.set_srid(shape, 4326), byte_order=order, flavor=flavor, output_dimension=axes, include_srid=srid
    )
    flat = shapely.from_wkb(shapely.to_wkb(shape, output_dimension=2))
    found, bad = shapes_of_wkb([body, None])
    assert bad is None
    read, none = geojson_of_shapes(found)
    assert none is None

    def listed(value):
        return [listed(item) for item in value] if isinstance(value, list | tuple | np.ndarray) else float(value)

    want = mapping(flat)["coordinates"]
    if flat.geom_type == "Point":
        assert (read["type"], listed(read["coordinates"])[:2]) == ("Point", listed(want))
        assert points_of_shapes(found[:1]).tolist() == [list(flat.coords[0])]
    else:
        assert (read["type"], listed(read["coordinates"])) == (
            "MultiPolygon",
            listed([want] if flat.geom_type == "Polygon" else want),
        )
        assert points_of_shapes(found[:1]) is None


@fixed
@given(shapes(), st.data())
def test_damaged_wkb_is_refused_and_never_trusted(shape, data):
    body = bytearray(shape.wkb)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, min(len(body), 20) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for attempt in (bytes(body), bytes(body[:cut])):
        found, bad = shapes_of_wkb([None, attempt])
        assert bad in {None, 1}
        assert (bad == 1) == (found[1] is None)
        list(geojson_of_shapes(found))


def test_wkb_may_have_heights_and_measures():
    for code in (3001, 0xC0000001):
        assert points_of_shapes(shapes_of_wkb([struct.pack("<BI4d", 1, code, 1, 2, 3, 4)])[0]).tolist() == [[1, 2]]
    for code in (2001, 0x40000001):
        assert points_of_shapes(shapes_of_wkb([struct.pack("<BI3d", 1, code, 1, 2, 3)])[0]).tolist() == [[1, 2]]


def test_a_count_of_billions_makes_no_list():
    assert shapes_of_wkb([struct.pack("<BII", 1, 3, 2**32 - 1)])[1] == 0


def test_a_table_is_a_value(tmp_path):
    table = read_sites(write(tmp_path, "sites.csv", CSV), columns=NAMED)
    with pytest.raises(ValueError, match="read-only"):
        table.x[0] = 1
    some = table.take(np.array([2, 0]))
    assert [site.id for site in some] == ["007", "a"]
    assert [dict(site.properties) for site in some] == [dict(table.site(n).properties) for n in (2, 0)]
    assert some.digest() != table.digest()
    assert table.take(np.arange(3)).digest() == table.digest()
