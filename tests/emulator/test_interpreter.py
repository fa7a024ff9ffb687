"""Expressions: what the official client sends, evaluated, against NumPy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import ee
import numpy as np
import pytest
from ee import apitestcase, deprecation

from eezarr.emulator.raster import EvaluationError, Grid
from eezarr.emulator.world import ImageRaster, SyntheticWorld

CLEAR = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
EARLIER = "COPERNICUS/S2/20170410T190351_20170410T190351_T10SEG"
EDGED = "COPERNICUS/S2/20170407T184921_20170407T190203_T10SEG"
MIXED = "projects/eezarr/assets/mixed"
SR = "COPERNICUS/S2_SR_HARMONIZED"
HERE = Grid(crs="EPSG:32610", transform=(10.0, 0, 560_000.0, 0, -10.0, 4_140_000.0), width=150, height=120)
SMALL = replace(HERE, width=50, height=40)
ON_EDGE = Grid(crs="EPSG:32610", transform=(250.0, 0, 499_000.0, 0, -250.0, 4_180_000.0), width=300, height=200)
EXAMPLES = json.loads((Path(__file__).parent / "data" / "expressions.json").read_text())


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    aliases = {f"{SR}/20200101T000000_X": CLEAR, "A/B": CLEAR, "a/b": "NOAA/NGDC/ETOPO1", "a/c": "NOAA/NGDC/ETOPO1"}
    return SyntheticWorld(aliases=aliases)


@pytest.fixture(scope="module", autouse=True)
def offline_client():
    """The official client's serializer, without a network."""
    with pytest.MonkeyPatch.context() as patch:
        ee.Reset()
        patch.setattr(ee.data, "_install_cloud_api_resource", lambda: None)
        patch.setattr(ee.data, "getAlgorithms", apitestcase.GetAlgorithms)
        patch.setattr(deprecation, "_FetchDataCatalogStac", dict)
        ee.Initialize(None, "", project="p")
        yield
        ee.Reset()


def value(world, expression):
    return world.evaluate(ee.serializer.encode(expression))


def read(world, expression, grid=HERE, *names):
    image = value(world, expression)
    assert isinstance(image, ImageRaster)
    planes = image.read(grid, names or [band.id for band in image.bands])
    return planes[0] if len(planes) == 1 else planes


def stored(world, asset, band, grid=HERE):
    return world.image(asset).read(grid, [band])[0]


def test_the_mixed_image_is_masked_somewhere_here(world):
    for band in world.image(MIXED).bands:
        assert 0.5 < stored(world, MIXED, band.id).valid.mean() < 1


# What the official client sends


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_evaluates(world, name):
    text = json.dumps(EXAMPLES[name]).replace('"QA"', '"QA60"')
    if name == "proj":
        text = text.replace(f"{SR}/20200101T000000_X", "NOAA/NGDC/ETOPO1")
    answer = world.evaluate(json.loads(text))
    if isinstance(answer, ImageRaster):
        names = [band.id for band in answer.bands][:2]
        for plane, band in zip(answer.read(HERE, names), answer.bands, strict=False):
            assert plane.values.shape == plane.valid.shape == (120, 150)
            assert plane.values.dtype == band.dtype
        assert answer.info()["type"] == "Image"
    json.dumps(answer.info() if isinstance(answer, ImageRaster) else answer)


def test_the_examples_answer_what_they_ask(world):
    def at(name):
        return world.evaluate(EXAMPLES[name])

    assert [band.id for band in at("select_rename").bands] == ["r", "g"]
    assert at("bigint") == 2**60
    assert at("size") == len(at("agg")) > 100
    assert [band.dtype for band in at("const").bands] == ["uint8", "float64"]
    assert at("filterDate")["features"][0]["id"].startswith(f"{SR}/202001")
    assert at("filterBounds")["features"] == []
    bands = {band.id: band.dtype for band in at("addmask").bands}
    assert bands == {"B4": "uint16", "B4_mask": "float32"}
    assert {band.dtype for band in at("unmask_sf").bands if band.id == "B4"} == {"int32"}
    assert [band.id for band in at("reduce").bands][:2] == ["B1_p10", "B1_p90"]


# The Quickstart and the computation guide


def test_the_query_of_the_quickstart(world):
    collection = (
        ee.ImageCollection("COPERNICUS/S2")
        .filterDate("2017-04-01", "2017-05-01")
        .filterBounds(ee.Geometry.Point([-122.085, 37.422]))
        .filter(ee.Filter.lt("CLOUDY_PIXEL_PERCENTAGE", 10))
    )
    found = value(world, collection)["features"]
    assert [item["id"] for item in found] == [
        "COPERNICUS/S2/20170420T184921_20170420T190203_T10SEG",
        "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG",
    ]


def test_the_median_of_the_computation_guide(world):
    point = ee.Geometry.Point([-122.3, 37.4])
    collection = ee.ImageCollection("COPERNICUS/S2").filterBounds(point).filterDate("2020-04-01", "2020-04-21")
    plane = read(world, collection.select("B4").median())
    ids = [item["id"] for item in value(world, collection)["features"]]
    assert len(ids) > 2
    planes = [stored(world, name, "B4") for name in ids]
    stack = np.stack([np.where(plane.valid, plane.values.astype(float), np.nan) for plane in planes])
    some = np.isfinite(stack).any(axis=0)
    assert plane.values.dtype == np.float64
    np.testing.assert_array_equal(plane.valid, some)
    np.testing.assert_array_equal(plane.values[some], np.nanmedian(stack[:, some], axis=0))


# Types


@pytest.mark.parametrize(
    ("make", "dtype", "low", "high"),
    [
        (lambda a, b: a.add(b), "uint32", 0, 131_070),
        (lambda a, b: a.subtract(b), "int32", -65_535, 65_535),
        (lambda a, b: a.multiply(b), "uint32", 0, 65_535**2),
        (lambda a, b: a.divide(b), "float32", None, None),
        (lambda a, _b: a.divide(10_000), "float32", None, None),
        (lambda a, _b: a.multiply(0.0001), "float64", 0, 6.5535),
        (lambda a, b: a.gt(b), "uint8", 0, 1),
        (lambda a, b: a.And(b), "uint8", 0, 1),
        (lambda a, _b: a.Not(), "uint8", 0, 1),
        (lambda a, _b: a.bitwiseAnd(1024), "uint16", 0, 65_535),
        (lambda a, b: a.max(b), "uint16", 0, 65_535),
        (lambda a, _b: a.sqrt(), "float64", None, None),
        (lambda a, _b: a.toFloat().sqrt(), "float32", None, None),
        (lambda a, _b: a.toByte(), "uint8", 0, 255),
        (lambda a, _b: a.toInt64(), "float64", None, None),
        (lambda a, _b: a.mask(), "float32", 0, 1),
        (lambda a, _b: a.unmask(-9999), "int32", -9999, 65_535),
        (lambda a, _b: a.unmask(0), "uint16", 0, 65_535),
        (lambda a, _b: a.unmask(0.5), "float64", 0, 65_535),
        (lambda a, b: a.addBands(b).normalizedDifference(), "float32", -1, 1),
        (lambda a, _b: ee.ImageCollection([a, a.toFloat()]).mosaic(), "float32", None, None),
        (lambda a, _b: ee.ImageCollection([a]).mean(), "float64", 0, 65_535),
        (lambda a, _b: ee.ImageCollection([a]).max(), "uint16", 0, 65_535),
        (lambda a, _b: ee.ImageCollection([a]).count(), "uint32", 0, 2**32 - 1),
        (lambda _a, _b: ee.Image(-3), "int8", -3, -3),
        (lambda _a, _b: ee.Image(70_000), "uint32", 70_000, 70_000),
    ],
)
def test_types_of_results(world, make, dtype, low, high):
    image = value(world, make(ee.Image(CLEAR).select("B4"), ee.Image(CLEAR).select("B8")))
    band = image.bands[0]
    assert (band.dtype, band.minimum) == (dtype, low)
    assert band.maximum == pytest.approx(high)
    assert image.read(HERE, [band.id])[0].values.dtype == dtype


@pytest.mark.parametrize("band", ["u8", "i8", "i16", "u16", "i32", "u32", "f32", "f64", "i64"])
@pytest.mark.parametrize("to", ["Uint8", "Int8", "Int16", "Uint16", "Int32", "Uint32", "Float", "Double"])
def test_casts_clamp_to_the_range(world, band, to):
    source = stored(world, MIXED, band)
    plane = read(world, getattr(ee.Image(MIXED).select(band), f"to{to}")())
    np.testing.assert_array_equal(plane.valid, source.valid)
    numbers = source.values[source.valid].astype(np.float64)
    if plane.values.dtype.kind in "iu":
        limits = np.iinfo(plane.values.dtype)
        numbers = np.trunc(np.clip(numbers, limits.min, limits.max))
    np.testing.assert_array_equal(plane.values[plane.valid], numbers.astype(plane.values.dtype))


# Arithmetic against NumPy


@pytest.mark.parametrize(
    ("make", "oracle"),
    [
        (lambda a, b: a.add(b), lambda a, b: a + b),
        (lambda a, b: a.subtract(b), lambda a, b: a - b),
        (lambda a, b: a.multiply(b), lambda a, b: a * b),
        (lambda a, b: a.divide(b), lambda a, b: (a / b).astype(np.float32)),
        (lambda a, _b: a.mod(1000), lambda a, _b: a % 1000),
        (lambda a, _b: a.pow(2), lambda a, _b: a**2.0),
        (lambda a, b: a.min(b), np.minimum),
        (lambda a, b: a.gt(b), lambda a, b: a > b),
        (lambda a, _b: a.eq(a), lambda a, _b: a == a),  # noqa: PLR0124
        (lambda a, b: a.bitwiseAnd(b), lambda a, b: a.astype(int) & b.astype(int)),
        (lambda a, b: a.bitwiseXor(b), lambda a, b: a.astype(int) ^ b.astype(int)),
        (lambda a, _b: a.leftShift(3), lambda a, _b: a * 8),
        (lambda a, _b: a.rightShift(3), lambda a, _b: a // 8),
        (lambda a, b: a.subtract(b).abs(), lambda a, b: abs(a - b)),
        (lambda a, _b: a.toDouble().exp().log(), lambda a, _b: np.log(np.exp(a))),
        (lambda a, _b: a.divide(7).floor(), lambda a, _b: np.floor((a / 7).astype(np.float32))),
        (lambda a, b: a.where(a.gt(b), 5), lambda a, b: np.where(a > b, 5, a)),
    ],
)
def test_arithmetic(world, make, oracle):
    a, b = (stored(world, CLEAR, name).values.astype(np.float64) // 20 for name in ("B4", "B8"))
    image = ee.Image(CLEAR)
    first, second = (image.select(name).divide(20).floor().toUint16() for name in ("B4", "B8"))
    plane = read(world, make(first, second))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(plane.values.astype(float), oracle(a, b).astype(float), rtol=2e-7)


def test_division_by_zero_is_zero_and_no_number_is_masked(world):
    image = ee.Image(CLEAR).select("B4")
    assert not read(world, image.divide(0)).values.any()
    assert not read(world, image.multiply(-1).sqrt()).valid.any()


def test_normalized_difference_masks_negative_inputs(world):
    pair = ee.Image(CLEAR).select("B8").addBands(ee.Image(CLEAR).select("B4").subtract(500))
    plane = read(world, pair.normalizedDifference())
    near, red = (stored(world, CLEAR, name).values.astype(np.float32) for name in ("B8", "B4"))
    red -= 500
    np.testing.assert_array_equal(plane.valid, red >= 0)
    assert not plane.valid.all()
    np.testing.assert_allclose(plane.values[plane.valid], ((near - red) / (near + red))[plane.valid], rtol=1e-6)


def test_bands_meet_by_count_and_are_named_for_the_longer_image(world):
    image = ee.Image(CLEAR).select(["B2", "B3", "B4"])
    assert [band.id for band in value(world, ee.Image(10).add(image)).bands] == ["B2", "B3", "B4"]
    assert [band.id for band in value(world, image.add(ee.Image([1, 2, 3]))).bands] == ["B2", "B3", "B4"]
    swapped = read(world, image.select(["B2", "B3"]).subtract(image.select(["B3", "B2"])))
    assert not any(plane.values.any() for plane in swapped)
    with pytest.raises(EvaluationError, match=r"^Image\.add: "):
        value(world, image.add(ee.Image([1, 2])))


# Masks and footprints


def test_unmask_fills_the_footprint_or_everything(world):
    for same in (True, False):
        plane = read(world, ee.Image(MIXED).select("i16").unmask(-1, same), ON_EDGE)
        source = stored(world, MIXED, "i16", ON_EDGE)
        x = 499_000 + 250 * (np.arange(300) + 0.5)
        y = 4_180_000 - 250 * (np.arange(200) + 0.5)
        inside = ((y <= 4_150_000) & (y > 4_130_000))[:, None] & ((x >= 550_000) & (x < 580_000))[None, :]
        np.testing.assert_array_equal(plane.valid, inside if same else np.ones_like(inside))
        filled = plane.valid & ~source.valid
        assert filled.sum() > 100
        assert (plane.values[filled] == -1).all()


def test_the_swath_edge_is_outside_the_footprint(world):
    source = stored(world, EDGED, "B4", ON_EDGE)
    assert 0.2 < source.valid.mean() < 0.8
    same = read(world, ee.Image(EDGED).select("B4").unmask(7), ON_EDGE)
    np.testing.assert_array_equal(same.valid, source.valid)
    whole = read(world, ee.Image(EDGED).select("B4").unmask(7, False), ON_EDGE)
    assert whole.valid.all()
    assert (whole.values[~source.valid] == 7).all()
    np.testing.assert_array_equal(whole.values[source.valid], source.values[source.valid])


def test_masks(world):
    image = ee.Image(MIXED).select("u8")
    source, small = stored(world, MIXED, "u8"), stored(world, MIXED, "u16")
    half = image.gt(127)
    expected = source.valid & (source.values > 127)
    np.testing.assert_array_equal(read(world, image.updateMask(half)).valid, expected)
    np.testing.assert_array_equal(read(world, half.selfMask()).valid, expected)
    np.testing.assert_array_equal(read(world, image.mask()).values, source.valid.astype(np.float32))
    other = read(world, image.updateMask(ee.Image(MIXED).select("u16").mask()))
    np.testing.assert_array_equal(other.valid, source.valid & small.valid)
    np.testing.assert_array_equal(read(world, image.updateMask(1)).valid, source.valid)
    assert read(world, image.mask(ee.Image(1))).valid.all()
    assert not read(world, ee.Image()).valid.any()


def test_a_mask_is_masked_itself_outside_the_footprint(world):
    image = ee.Image(MIXED).select("u8")
    source, plane = stored(world, MIXED, "u8", ON_EDGE), read(world, image.mask(), ON_EDGE)
    footprint = read(world, image.unmask(0), ON_EDGE).valid
    assert 0.05 < footprint.mean() < 0.5
    np.testing.assert_array_equal(plane.valid, footprint)
    np.testing.assert_array_equal(plane.values[footprint], source.valid[footprint].astype(np.float32))
    everywhere = read(world, image.mask().unmask(0, False), ON_EDGE)
    assert everywhere.valid.all()
    np.testing.assert_array_equal(everywhere.values, source.valid.astype(np.float32))


def test_a_coarse_pixel_that_is_valid_in_part_has_a_mask(world):
    coarse = replace(ON_EDGE, transform=(1000.0, 0, 490_000.0, 0, -1000.0, 4_205_000.0), width=120, height=90)
    source, plane = stored(world, EDGED, "B4", coarse), read(world, ee.Image(EDGED).select("B4").mask(), coarse)
    assert plane.valid[source.valid].all()
    assert (plane.values[source.valid] == 1).all()


def test_a_cast_adds_the_bands_that_are_not_there_masked(world):
    types = {"u8": "int16", "zz": "float", "aa": "uint32"}
    image = value(world, ee.Image(MIXED).select(["u16", "u8"]).cast(types))
    assert [(band.id, band.dtype) for band in image.bands] == [
        ("u16", "uint16"), ("u8", "int16"), ("aa", "uint32"), ("zz", "float32")
    ]  # fmt: skip
    planes = image.read(HERE, ["aa", "zz", "u8"])
    assert not planes[0].valid.any()
    assert not planes[1].valid.any()
    np.testing.assert_array_equal(planes[2].valid, stored(world, MIXED, "u8").valid)
    order = ["zz", "u8", "aa", "u16"]
    assert [band.id for band in value(world, ee.Image(MIXED).select(["u16", "u8"]).cast(types, order)).bands] == order
    for wrong in (order[:3], [*order, "u8"], ["zz", "u8", "aa", "i8"]):
        with pytest.raises(EvaluationError, match="must match the bands"):
            value(world, ee.Image(MIXED).select(["u16", "u8"]).cast(types, wrong))
    with pytest.raises(EvaluationError, match="Unknown pixel type 'int128'"):
        value(world, ee.Image(MIXED).select("u8").cast({"u8": "int128"}))


def test_a_cloud_mask(world):
    image = ee.Image(EDGED)
    plane = read(world, image.select("B4").updateMask(image.select("QA60").bitwiseAnd(1024).eq(0)), ON_EDGE)
    clouds, red = stored(world, EDGED, "QA60", ON_EDGE), stored(world, EDGED, "B4", ON_EDGE)
    np.testing.assert_array_equal(plane.valid, red.valid & clouds.valid & ((clouds.values & 1024) == 0))
    assert 0 < plane.valid.sum() < red.valid.sum()


def test_clip_keeps_the_pixels_whose_centre_is_inside(world):
    box = ee.Geometry.Rectangle([560_101, 4_139_802, 560_203, 4_139_901], "EPSG:32610", False)
    plane = read(world, ee.Image(CLEAR).select("B4").clip(box), SMALL)
    wanted = np.zeros((40, 50), bool)
    wanted[10:20, 10:20] = True  # centres at x 560 105 to 560 195, y 4 139 895 to 4 139 805
    np.testing.assert_array_equal(plane.valid, wanted)


def test_clip_to_a_polygon_with_a_hole(world):
    outer = [[560_000, 4_140_000], [560_400, 4_140_000], [560_000, 4_139_600]]
    inner = [[560_050, 4_139_950], [560_100, 4_139_950], [560_100, 4_139_900], [560_050, 4_139_900]]
    shape = ee.Geometry.Polygon([outer, inner], "EPSG:32610", False)
    plane = read(world, ee.Image(1).clip(shape), SMALL)
    row, col = np.mgrid[:40, :50] + 0.5
    hole = (row > 5) & (row < 10) & (col > 5) & (col < 10)
    inside = (row + col < 40) & ~hole
    on_line = row + col == 40
    np.testing.assert_array_equal(plane.valid[~on_line], inside[~on_line])


# Collections


def test_mosaic_puts_the_last_image_on_top(world):
    first, second = (
        ee.Image(1).updateMask(ee.Image(MIXED).select("u8").mask()),
        ee.Image(MIXED).select(["u8"], ["constant"]),
    )
    last_on_top = read(world, ee.ImageCollection([ee.Image(7), second]).mosaic())
    source = stored(world, MIXED, "u8")
    np.testing.assert_array_equal(last_on_top.values, np.where(source.valid, source.values, 7))
    other = read(world, ee.ImageCollection([ee.Image(7), first]).mosaic())
    np.testing.assert_array_equal(other.values, np.where(source.valid, 1, 7))


@pytest.mark.parametrize("name", ["mean", "min", "max", "sum", "median", "count"])
def test_reductions(world, name):
    bands = ["u8", "i8", "i16", "u16"]
    planes = [stored(world, MIXED, band) for band in bands]
    stack = np.stack([np.where(plane.valid, plane.values.astype(float), np.nan) for plane in planes])
    images = [ee.Image(MIXED).select([band], ["x"]) for band in bands]
    plane = read(world, getattr(ee.ImageCollection(images), name)())
    some = np.isfinite(stack).any(axis=0)
    if name == "count":
        np.testing.assert_array_equal(plane.values, np.isfinite(stack).sum(axis=0))
        return
    np.testing.assert_array_equal(plane.valid, some)
    np.testing.assert_allclose(plane.values[some], getattr(np, f"nan{name}")(stack[:, some], axis=0))


def test_percentiles_and_names(world):
    images = [ee.Image(k).rename("x") for k in (1, 2, 3, 10)]
    image = value(world, ee.ImageCollection(images).reduce(ee.Reducer.percentile([0, 50, 100])))
    assert [band.id for band in image.bands] == ["x_p0", "x_p50", "x_p100"]
    assert [plane.values[0, 0] for plane in image.read(HERE, ["x_p0", "x_p50", "x_p100"])] == [1, 2.5, 10]


def test_filters_and_aggregates(world):
    collection = ee.ImageCollection(SR)
    assert (
        value(world, collection.filter(ee.Filter.eq("MGRS_TILE", "10SEG")).size())
        == value(world, collection.size()) / 4
    )
    june = collection.filterDate("2020-06-01", "2020-07-01")
    index = value(world, june.aggregate_array("system:index"))
    assert index
    assert all(name.startswith("202006") for name in index)
    assert value(world, collection.filter(ee.Filter.calendarRange(6, 6, "month")).size()) == len(index)
    two = index[:2]
    assert value(world, collection.filter(ee.Filter.inList("system:index", two)).size()) == 2
    both = ee.Filter.And(ee.Filter.eq("MGRS_TILE", "10SEG"), ee.Filter.gte("CLOUDY_PIXEL_PERCENTAGE", 50))
    either = ee.Filter.Or(both, both.Not())
    assert value(world, june.filter(either).size()) == len(index)
    clouds = value(world, june.sort("CLOUDY_PIXEL_PERCENTAGE", False).aggregate_array("CLOUDY_PIXEL_PERCENTAGE"))
    assert clouds == sorted(clouds, reverse=True)
    assert value(world, june.aggregate_max("CLOUDY_PIXEL_PERCENTAGE")) == clouds[0]
    assert value(world, june.limit(3).size()) == 3
    start = value(world, june.aggregate_min("system:time_start"))
    assert value(world, collection.filterDate(start, start + 1).size()) == 4
    assert value(world, collection.filterDate(start - 1, start).size()) == 0
    assert value(world, ee.ImageCollection(june.toList(2, 1)).aggregate_array("system:index")) == index[1:3]


def test_bounds_choose_tiles(world):
    day = ee.ImageCollection("COPERNICUS/S2").filterDate("2017-04-30", "2017-05-01")
    for corner, tiles in [((-122.9, 37.2), {"10SEG"}), ((-121.5, 37.2), {"10SFG"}), ((-122.5, 38.5), {"10SEH"})]:
        box = ee.Geometry.Rectangle([corner[0], corner[1], corner[0] + 0.05, corner[1] + 0.05])
        assert set(value(world, day.filterBounds(box).aggregate_array("MGRS_TILE"))) == tiles
    both = ee.Geometry.Rectangle([-122.5, 37.2, -121.5, 37.3])
    assert set(value(world, day.filterBounds(both).aggregate_array("MGRS_TILE"))) == {"10SEG", "10SFG"}


def test_map_and_iterate(world):
    day = ee.ImageCollection("COPERNICUS/S2").filterDate("2017-04-30", "2017-05-01")
    mapped = day.map(lambda image: image.select("B4").add(1).set("n", image.get("MGRS_TILE")))
    assert value(world, mapped.aggregate_array("n")) == value(world, day.aggregate_array("MGRS_TILE"))
    assert value(world, mapped.aggregate_array("system:index")) == value(world, day.aggregate_array("system:index"))
    plane = read(world, mapped.mosaic())
    np.testing.assert_array_equal(plane.values, stored(world, CLEAR, "B4").values.astype(int) + 1)
    total = day.iterate(lambda _, sum_: ee.Number(sum_).add(1), 0)
    assert value(world, total) == 4
    with pytest.raises(
        EvaluationError, match=r"Error in map\(ID=20170430T190351.*\):\nImage.select: Band pattern 'B99'"
    ):
        value(world, day.map(lambda image: image.select("B99")).size())


# What other clients send


def test_xee_opens_and_reads(world):
    collection = (
        ee.ImageCollection("COPERNICUS/S2")
        .filterDate("2017-04-01", "2017-05-01")
        .filter(ee.Filter.eq("MGRS_TILE", "10SEG"))
    )
    columns = ["system:id", "system:time_start"]
    listed = collection.reduceColumns(ee.Reducer.toList().repeat(2), columns).get("list")
    size, properties, first, (ids, times) = value(
        world, ee.List([collection.size(), collection.toDictionary(), collection.first(), listed])
    )
    assert size == len(ids) == len(times) == 6
    assert isinstance(properties, dict)
    assert first["id"] == ids[0]
    assert times == sorted(times)

    images = ee.ImageCollection([ee.Image(name) for name in ids])
    stacked = ee.Image(images.iterate(lambda image, all_: ee.Image(all_).addBands(image, ["B4"]), ee.Image()))
    stacked = stacked.select(stacked.bandNames().slice(1)).unmask(2_147_483_647, False)
    image = value(world, stacked)
    assert len(image.bands) == 6
    assert {band.dtype for band in image.bands} == {"uint32"}
    for plane, name in zip(image.read(ON_EDGE, [band.id for band in image.bands]), ids, strict=True):
        source = stored(world, name, "B4", ON_EDGE)
        np.testing.assert_array_equal(
            plane.values, np.where(source.valid, source.values.astype(np.int64), 2_147_483_647)
        )


def test_bounds_and_scale_cut_a_box_and_nothing_else(world):
    corners = [[560_100, 4_139_900], [560_300, 4_139_900], [560_300, 4_139_700], [560_100, 4_139_900]]
    shape = ee.Geometry.Polygon([corners], "EPSG:32610", False)
    image = ee.Image(ee.ApiFunction.call_("Image.clipToBoundsAndScale", ee.Image(CLEAR).select("B4"), shape, scale=20))
    [band] = value(world, image).bands
    assert (band.grid.width, band.grid.height) == (10, 10)
    assert band.grid.transform == (20, 0, 560_100, 0, -20, 4_139_900)
    plane = read(world, image, SMALL)
    box = np.zeros((40, 50), bool)
    box[10:30, 10:30] = True
    # The bounding box, not the triangle.
    np.testing.assert_array_equal(plane.valid, box)


def test_a_clipped_image_is_delivered_where_its_shape_is(world):
    shape = ee.Geometry.Rectangle([560_101, 4_139_801, 560_299, 4_139_899], "EPSG:32610", False)
    image = ee.Image(CLEAR).select("B4").clip(shape)
    [band] = value(world, image).bands
    assert band.grid.transform == (10, 0, 560_100, 0, -10, 4_139_900)
    assert (band.grid.width, band.grid.height) == (20, 10)
    info = value(world, image).info()["bands"][0]
    assert (info["dimensions"], info["origin"]) == ([20, 10], [6012, 6010])
    assert info["crs_transform"] == [10, 0, 499_980, 0, -10, 4_200_000]
    assert not value(world, ee.Image(1)).is_bounded
    assert value(world, ee.Image(1).clip(shape)).is_bounded


def test_geedim_cuts_a_tile_of_a_reprojected_image(world):
    image = ee.Image(CLEAR).select(["B4", "B8"]).reproject("EPSG:32610", [10, 0, 560_000, 0, -10, 4_140_000])
    box = ee.Geometry.Rectangle([0, 0, 30, 20], image.projection(), False)
    tile = ee.Image(ee.ApiFunction.call_("Image.clipToBoundsAndScale", input=image.slice(0, 1), geometry=box))
    answer = value(world, tile)
    assert [band.id for band in answer.bands] == ["B4"]
    grid = answer.bands[0].grid
    assert answer.is_bounded
    assert (grid.crs, grid.transform, grid.width, grid.height) == (
        "EPSG:32610",
        (10, 0, 560_000, 0, -10, 4_140_000),
        30,
        20,
    )
    plane = answer.read(grid, ["B4"])[0]
    assert plane.valid.all()
    np.testing.assert_array_equal(plane.values, stored(world, CLEAR, "B4").values[:20, :30])


# Places and metadata


def test_reproject_decides_the_pixels(world):
    image = ee.Image.pixelLonLat().select("longitude").reproject("EPSG:4326", [0.001, 0, -123, 0, -0.001, 38])
    plane = read(world, image)
    steps = (plane.values + 123) / 0.001 - 0.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    assert len(np.unique(np.round(steps))) < 25


def test_bilinear_resampling_of_a_plane_is_the_plane(world):
    lon = ee.Image.pixelLonLat().select("longitude").reproject("EPSG:4326", [0.01, 0, -123, 0, -0.01, 38])
    degrees = read(world, ee.Image.pixelLonLat().select("longitude"))
    coarse = read(world, lon)
    assert np.abs(coarse.values - degrees.values).max() > 0.001
    image = value(world, ee.Image(CLEAR).select("B4").resample("bilinear"))
    np.testing.assert_array_equal(image.read(HERE, ["B4"])[0].values, stored(world, CLEAR, "B4").values)


def test_info_is_what_get_info_prints(world):
    info = value(world, ee.Image(CLEAR)).info()
    assert (info["type"], info["id"]) == ("Image", CLEAR)
    assert isinstance(info["version"], int)
    assert info["bands"][1] == {
        "id": "B2",
        "data_type": {"type": "PixelType", "precision": "int", "min": 0, "max": 65535},
        "dimensions": [10980, 10980],
        "crs": "EPSG:32610",
        "crs_transform": [10.0, 0.0, 499980.0, 0.0, -10.0, 4200000.0],
    }
    assert info["properties"]["system:time_start"] == 1_493_579_031_000
    assert info["properties"]["system:index"] == CLEAR.rsplit("/", 1)[1]
    constant = value(world, ee.Image(3)).info()
    assert constant["bands"] == [
        {
            "id": "constant",
            "data_type": {"type": "PixelType", "precision": "int", "min": 3, "max": 3},
            "crs": "EPSG:4326",
            "crs_transform": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        }
    ]
    assert not value(world, ee.Image(3)).is_bounded


def test_plain_values(world):
    assert value(world, ee.Number(3).add(4)) == 7
    assert value(world, ee.Date("2020-02-28").advance(1, "day").format("YYYY-MM-dd")) == "2020-02-29"
    assert value(world, ee.Date("2020-01-31").advance(1, "month").format()) == "2020-02-29T00:00:00"
    assert value(world, ee.List.sequence(1, 4).map(lambda k: ee.Number(k).multiply(2))) == [2, 4, 6, 8]
    assert value(world, ee.Dictionary({"a": 1}).get("a")) == 1
    assert value(world, ee.Image(CLEAR).select("B4").projection().nominalScale()) == 10
    assert value(world, ee.Projection("EPSG:4326").nominalScale()) == pytest.approx(111319.49079327358)
    assert value(world, ee.Image(CLEAR).bandNames())[:2] == ["B1", "B2"]
    assert value(world, ee.Image(CLEAR).date())["value"] == 1_493_579_031_000
    assert value(world, ee.Geometry.Point([1, 2])) == {"type": "Point", "coordinates": [1.0, 2.0]}


def test_patterns_and_indices_choose_bands(world):
    def names(*selectors):
        return [band.id for band in value(world, ee.Image(CLEAR).select(*selectors)).bands]

    assert names("QA.*") == ["QA10", "QA20", "QA60"]
    assert names([0, -1]) == ["B1", "QA60"]
    assert names(["B4", "B4"]) == ["B4", "B4_1"]


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ee.Image("A/NOPE"),
            "Image.load: Image asset 'A/NOPE' not found (does not exist or caller does not have access).",
        ),
        (
            lambda: ee.ImageCollection("A/NOPE"),
            (
                "ImageCollection.load: ImageCollection asset 'A/NOPE' not found"
                " (does not exist or caller does not have access)."
            ),
        ),
        (
            lambda: ee.Image(3).select("B99"),
            "Image.select: Band pattern 'B99' did not match any bands. Available bands: [constant]",
        ),
        (
            lambda: ee.Image(3).resample("nearest"),
            "Image.resample: Invalid interpolation mode: nearest",
        ),
        (lambda: ee.Date("2019-02-29"), "Date: Bad date/time '2019-02-29'."),
    ],
)
def test_errors_in_the_services_words(world, make, message):
    with pytest.raises(EvaluationError) as failure:
        value(world, make())
    assert str(failure.value) == message


def call(name, **arguments):
    return {"functionInvocationValue": {"functionName": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"0": call("Image.nope")}, "Unknown function 'Image.nope'"),
        ({"0": {"valueReference": "9"}}, "no value with key '9'"),
        ({"0": {"argumentReference": "x"}}, "no argument named 'x'"),
        ({"0": {"constantValue": 1, "integerValue": "2"}}, "one kind"),
        ({"0": {"somethingElse": {}}}, "unknown kind"),
        ({"0": {"integerValue": "x"}}, "bad integerValue"),
        ({"0": {"valueReference": "1"}, "1": {"valueReference": "0"}}, "depends on itself"),
        ({"0": call("Image.select", input=3)}, "must be an object"),
        ({"0": call("Image.toFloat")}, "Parameter 'value' is required"),
    ],
)
def test_malformed_graphs(world, values, message):
    with pytest.raises(EvaluationError, match=message):
        world.evaluate({"values": values, "result": "0"})


def test_nodes_nest_at_most_a_hundred_deep(world):
    node = {"constantValue": 1}
    for _ in range(150):
        node = call("Number.abs", input=node)
    with pytest.raises(EvaluationError, match="100 deep"):
        world.evaluate({"values": {"0": node}, "result": "0"})


def test_integers_bytes_functions_and_dictionaries(world):
    values = {
        "0": {"dictionaryValue": {"values": {"a": {"integerValue": str(2**62 + 1)}, "b": {"valueReference": "1"}}}},
        "1": {"functionInvocationValue": {"functionReference": "2", "arguments": {"x": {"constantValue": 5}}}},
        "2": {"functionDefinitionValue": {"argumentNames": ["x"], "body": "3"}},
        "3": call("Number.add", left={"argumentReference": "x"}, right={"constantValue": 1}),
    }
    assert world.evaluate({"values": values, "result": "0"}) == {"a": 2**62 + 1, "b": 6}


def test_a_shared_node_is_read_once_a_block_and_so_is_the_ground_of_a_tile(world, monkeypatch):
    from eezarr.emulator.scenes import Scene

    made = []
    for name in ("view", "ground"):
        make = getattr(Scene, name)
        monkeypatch.setattr(Scene, name, lambda *given, make=make, name=name: made.append(name) or make(*given))
    image = ee.Image(CLEAR).select("B4")
    both = image.add(image.multiply(2)).addBands(ee.Image(CLEAR).select("B8"))
    read(world, both)
    assert sorted(made) == ["ground", "view"]
    read(world, both.addBands(ee.Image(EARLIER).select("B4")))
    assert sorted(made) == ["ground", "ground", "view", "view", "view"]
