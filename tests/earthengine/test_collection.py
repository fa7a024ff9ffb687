"""Listings into time steps and common bands: what is grouped with what, and what is said where images differ."""

from __future__ import annotations

import calendar
import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eezarr.earthengine.catalogue import parse_asset
from eezarr.earthengine.collection import Cube, common_bands, group_images
from eezarr.earthengine.solarday import middle_longitude
from eezarr.errors import InvalidInput
from eezarr.plan import COMPUTE_PIXELS_LIMITS
from eezarr.plan.bands import Band
from eezarr.plan.steps import Step

PREFIX = "projects/earthengine-public/assets/C/"
TYPES = {
    "uint8": {"precision": "INT", "range": {"max": 255}},
    "uint16": {"precision": "INT", "range": {"max": 65535}},
    "int16": {"precision": "INT", "range": {"min": -32768, "max": 32767}},
    "uint32": {"precision": "INT", "range": {"max": 4294967295}},
    "float32": {"precision": "FLOAT"},
    None: {"precision": "INT"},
}


def image(name, start="2020-01-01T10:00:00Z", lon=0.0, bands=None, geometry=...):
    if geometry is ...:
        geometry = {"type": "Point", "coordinates": [lon, 50.0]}
    named = [{"id": band, "dataType": TYPES[dtype]} for band, dtype in (bands or {"B4": "uint16"}).items()]
    document = {"type": "IMAGE", "name": PREFIX + name, "startTime": start, "geometry": geometry, "bands": named}
    return parse_asset({key: value for key, value in document.items() if value is not None})


def times(steps):
    return [step.time.isoformat().replace("+00:00", "Z") for step in steps]


def names(steps):
    return [[name.removeprefix(PREFIX) for name in step.images] for step in steps]


# Steps


def test_each_image_is_a_step_of_its_own():
    steps = group_images([image("b"), image("c", "2019-06-01T00:00:00.1239Z"), image("a")], "none")
    assert names(steps) == [["c"], ["a"], ["b"]]
    assert times(steps) == ["2019-06-01T00:00:00.123000Z", "2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z"]
    assert all(step.time.tzinfo is UTC for step in steps)


LISTED = [
    image("late", "2020-02-29T23:59:59.999Z"),
    image("noon", "2020-02-29T12:00:00Z"),
    image("noon2", "2020-02-29T12:00:00Z"),
    image("next", "2020-03-01T00:00:00Z"),
    image("zoned", "2020-02-29T20:00:00-05:00"),
    image("year", "2021-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (
            "day",
            {
                "2020-02-29T00:00:00Z": ["noon", "noon2", "late"],
                "2020-03-01T00:00:00Z": ["next", "zoned"],
                "2021-01-01T00:00:00Z": ["year"],
            },
        ),
        (
            "month",
            {
                "2020-02-01T00:00:00Z": ["noon", "noon2", "late"],
                "2020-03-01T00:00:00Z": ["next", "zoned"],
                "2021-01-01T00:00:00Z": ["year"],
            },
        ),
        (
            "year",
            {"2020-01-01T00:00:00Z": ["noon", "noon2", "late", "next", "zoned"], "2021-01-01T00:00:00Z": ["year"]},
        ),
    ],
)
def test_periods_are_utc_and_images_lie_oldest_first(grouping, expected):
    for listed in itertools.permutations(LISTED, len(LISTED)):
        steps = group_images(listed, grouping)
        assert dict(zip(times(steps), names(steps), strict=True)) == expected
        assert times(steps) == sorted(times(steps))


def test_a_solar_day_is_one_overpass():
    """In California a UTC day ends at four in the afternoon; the sun's day does not."""
    evening = image("evening", "2020-01-01T23:50:00Z", -120.0)
    later = image("later", "2020-01-02T00:10:00Z", -120.0)
    morning = image("morning", "2020-01-02T16:00:00Z", -120.0)
    steps = group_images([morning, later, evening], "solar_day")
    assert names(steps) == [["evening", "later"], ["morning"]]
    assert times(steps) == ["2020-01-01T23:50:00Z", "2020-01-02T16:00:00Z"]
    assert names(group_images([morning, later, evening], "day")) == [["evening"], ["later", "morning"]]


def test_solar_days_on_both_sides_of_the_antimeridian_are_ordered_by_time():
    fiji = image("fiji", "2020-01-01T13:00:00Z", 179.0)  # 00:56 on the 2nd
    samoa = image("samoa", "2020-01-01T23:00:00Z", -172.0)  # 11:32 on the 1st
    steps = group_images([samoa, fiji], "solar_day")
    assert names(steps) == [["fiji"], ["samoa"]]


def ring(*lons):
    return [[lon, lat] for lon, lat in zip([*lons, lons[0]], [0, 0, 10, 10, 0], strict=True)]


@pytest.mark.parametrize(
    ("geometry", "middle"),
    [
        ({"type": "Polygon", "coordinates": [ring(10, 20, 20, 10)]}, 15),
        ({"type": "Polygon", "coordinates": [ring(-20, 40, 40, -20), ring(0, 1, 1, 0)]}, 10),
        ({"type": "Polygon", "coordinates": [ring(170, -160, -160, 170)]}, -175),
        ({"type": "Polygon", "coordinates": [ring(170, 200, 200, 170)]}, -175),
        ({"type": "Polygon", "coordinates": [ring(-190, -160, -160, -190)]}, -175),
        ({"type": "MultiPolygon", "coordinates": [[ring(170, 180, 180, 170)], [ring(-180, -160, -160, -180)]]}, -175),
        ({"type": "MultiPolygon", "coordinates": [[ring(-180, -160, -160, -180)], [ring(170, 180, 180, 170)]]}, -175),
        ({"type": "Polygon", "coordinates": [ring(-180, 180, 180, -180)]}, 0),
        ({"type": "Polygon", "coordinates": [[[-180, -9], [0, -9], [180, -9], [180, 9], [-180, 9], [-180, -9]]]}, 0),
        ({"type": "Point", "coordinates": [180, 5]}, -180),
        ({"type": "LineString", "coordinates": [[-10, 5], [30, 6]]}, 10),
        ({"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [k, 5]} for k in (2, 4)]}, 3),
        ({"type": "Polygon", "coordinates": [[["-Infinity", 0], [None, 1], []]]}, None),
        ({"type": "Polygon", "coordinates": []}, None),
        ({"type": "Polygon"}, None),
    ],
)  # fmt: skip
def test_the_middle_of_a_footprint(geometry, middle):
    assert middle_longitude(geometry) == (None if middle is None else pytest.approx(middle))


@given(st.floats(-180, 179.99), st.floats(0.1, 170), st.integers(0, 3), st.booleans())
def test_the_middle_does_not_depend_on_how_a_box_is_written(west, width, turns, is_wrapped):
    lons = [west, west + width, west + width, west]
    if is_wrapped:
        lons = [(lon + 180) % 360 - 180 for lon in lons]
    lons = lons[turns:] + lons[:turns]
    middle = middle_longitude(
        {"type": "Polygon", "coordinates": [[[lon, k] for k, lon in enumerate([*lons, lons[0]])]]}
    )
    assert -180 <= middle < 180
    away = abs(middle - (west + width / 2)) % 360
    assert min(away, 360 - away) == pytest.approx(0, abs=1e-6)


moments = st.datetimes(datetime(1985, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
records = st.lists(
    st.builds(lambda name, start, lon: (name, start, lon), st.integers(0, 40), moments, st.floats(-180, 179)),
    min_size=1,
    max_size=25,
    unique_by=lambda record: record[0],
)


@given(records, st.sampled_from(["none", "solar_day", "day", "month", "year"]), st.randoms(use_true_random=False))
def test_every_image_is_in_one_step_and_steps_are_periods(found, grouping, mixer):
    """The rule anew, over all pairs: two images share a step exactly if their labels are the same."""
    listed = [image(f"{name:03}", start.isoformat(), lon) for name, start, lon in found]
    steps = group_images(listed, grouping)
    mixer.shuffle(listed)
    assert group_images(listed, grouping) == steps

    def label(name, start, lon):
        start = start.replace(microsecond=start.microsecond // 1000 * 1000)
        seconds = calendar.timegm(start.utctimetuple()) + start.microsecond / 1e6
        if grouping == "none":
            return name
        if grouping == "solar_day":
            return int((seconds + lon * 240) // 86400)
        return str(start)[: {"day": 10, "month": 7, "year": 4}[grouping]]

    by_label = {}
    for name, start, lon in found:
        cut = start.replace(microsecond=start.microsecond // 1000 * 1000)
        by_label.setdefault(label(name, start, lon), []).append((cut, f"{PREFIX}{name:03}"))
    expected = sorted([name for _, name in sorted(members)] for members in by_label.values())
    assert sorted(list(step.images) for step in steps) == expected
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    starts = {
        f"{PREFIX}{name:03}": start.replace(microsecond=start.microsecond // 1000 * 1000) for name, start, _ in found
    }
    for step in steps:
        first = starts[step.images[0]]
        if grouping in ("none", "solar_day"):
            assert step.time == first
        else:
            assert step.time <= first
            assert step.time.timetuple()[3:6] == (0, 0, 0)


def test_an_image_that_a_listing_repeats_is_one_image():
    assert names(group_images([image("a"), image("a")], "day")) == [["a"]]


@pytest.mark.parametrize(
    ("images", "grouping", "says", "hint"),
    [
        ([], "none", "No image was found", "period"),
        ([image("a"), image("timeless", None)], "month", "C/timeless has no start time", "filter"),
        ([image("a"), image("nowhere", geometry=None)], "solar_day", "C/nowhere has no footprint", 'group = "day"'),
        ([image("odd", geometry={"type": "Polygon", "coordinates": []})], "solar_day", "C/odd", "UTC"),
    ],
)
def test_what_cannot_be_grouped_is_named(images, grouping, says, hint):
    with pytest.raises(InvalidInput, match=says) as caught:
        group_images(images, grouping)
    assert hint in caught.value.hint


def test_a_footprint_is_needed_for_solar_days_only():
    assert len(group_images([image("nowhere", geometry=None)], "day")) == 1


# Bands


S2 = {"B4": "uint16", "B8": "uint16", "SCL": "uint8"}


def common(images, wanted=None, *, cast=None, missing="error"):
    return common_bands(images, wanted, cast=cast or {}, missing=missing)


def test_bands_that_all_images_have():
    images = [image("a", bands=S2), image("b", bands=dict(reversed(S2.items())) | {"extra": "float32"})]
    found = common(images)
    assert found.bands == (Band("B4", "uint16"), Band("B8", "uint16"), Band("SCL", "uint8"))
    assert (found.images, found.skipped, found.lacks) == (tuple(images), 0, ())
    assert common(images, ["SCL", "B4"]).bands == (Band("SCL", "uint8"), Band("B4", "uint16"))


def test_images_that_lack_bands_are_named_with_what_to_do():
    images = [image("a", bands=S2), *(image(f"short{k}", bands={"B4": "uint16"}) for k in range(5))]
    with pytest.raises(InvalidInput) as caught:
        common(images)
    assert "5 of 6 images lack B8, SCL: C/short0, C/short1, C/short2 and 2 more" in caught.value.message
    assert 'missing = "skip"' in caught.value.hint
    assert 'missing = "mask"' in caught.value.hint
    assert "cast" not in caught.value.hint


def test_images_that_lack_bands_can_be_left_out():
    images = [image("a", bands=S2), image("short", bands={"B4": "float32"}), image("b", bands=S2)]
    found = common(images, missing="skip")
    assert (found.images, found.skipped) == ((images[0], images[2]), 1)
    assert found.lacks == ()
    assert found.bands[0] == Band("B4", "uint16")  # the one left out has no say


def test_images_that_lack_bands_can_have_masked_ones():
    images = [image("z", bands={"B8": "uint16"}), image("b", bands=S2), image("a", bands={"B4": "uint16"})]
    found = common(images, ["B4", "SCL", "B8"], cast={"SCL": "int16"}, missing="mask")
    assert found.images == tuple(images)
    told = [(lack.image.removeprefix(PREFIX), lack.bands) for lack in found.lacks]
    scl, b4, b8 = Band("SCL", "int16"), Band("B4", "uint16"), Band("B8", "uint16")
    assert told == [("a", (scl, b8)), ("z", (b4, scl))]


def test_types_that_differ_are_named_with_what_to_do():
    images = [image("a"), image("b", bands={"B4": "int16"}), image("c")]
    with pytest.raises(InvalidInput) as caught:
        common(images)
    assert "Band B4 has not one type: uint16 in 2 (C/a, C/c); int16 in 1 (C/b)." in caught.value.message
    assert 'cast = { B4 = "int32" }' in caught.value.hint
    assert "missing" not in caught.value.hint
    assert common(images, cast={"B4": "float32"}).bands == (Band("B4", "float32"),)
    with pytest.raises(InvalidInput, match="not one type"):
        common(images, missing="mask")


def test_both_kinds_of_difference_are_told_at_once():
    images = [image("a", bands=S2), image("b", bands=S2 | {"B4": "float32"}), image("c", bands={"B8": "uint16"})]
    with pytest.raises(InvalidInput) as caught:
        common(images)
    assert "1 of 3 images lack B4, SCL: C/c." in caught.value.message
    assert "float32 in 1 (C/b)" in caught.value.message
    assert {"missing", "cast"} <= set(caught.value.hint.replace("=", " ").split())


def test_a_type_that_metadata_does_not_tell_is_to_be_learnt():
    images = [image("a"), image("b", bands={"B4": None})]
    assert common(images).bands is None
    assert common(images).dtypes == (None,)
    assert common(images, cast={"B4": "uint8"}).bands == (Band("B4", "uint8"),)
    with pytest.raises(InvalidInput, match="lack B4, whose type metadata does not tell") as caught:
        common([*images, image("c", bands={"B8": "uint8"})], ["B4"], missing="mask")
    assert "cast" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        ({"images": []}, "No image was found", "Widen"),
        ({"wanted": ["B4", "B44"]}, "None of the 2 images has a band 'B44'", "B4, B8, SCL"),
        ({"wanted": ["B44"], "missing": "mask"}, "None of the 2 images", "B4"),
        ({"wanted": []}, "no bands", "one band"),
        ({"wanted": ["B4", "B4"]}, "named twice", "once"),
        ({"cast": {"QA60": "uint8"}}, "QA60, which the job does not read", "B4"),
        ({"cast": {"B4": "int64"}}, "int64", "uint32"),
        ({"images": [image("a", bands={"B4": "uint8"}), image("b", bands={"B8": "uint8"})], "wanted": ["B4", "B8"],
          "missing": "skip"}, "Each of the 2 images lacks one", "fewer"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(arguments, says, hint):
    given_images = arguments.pop("images", [image("a", bands=S2), image("b", bands=S2)])
    with pytest.raises(InvalidInput, match=says) as caught:
        common(given_images, **arguments)
    assert hint in caught.value.hint


# Cubes


def cube(**changes):
    first = datetime(2000, 1, 1, tzinfo=UTC)
    days = range(36_525)  # of this century
    steps = tuple(Step(time=first + timedelta(days=k), images=(f"{PREFIX}{k}a", f"{PREFIX}{k}b")) for k in days)
    fields = {"collection": PREFIX[:-1], "steps": steps, "bands": ("B4",), "grouping": "day", "reduction": "median"}
    return Cube(**fields | changes)


def test_a_cube_describes_itself_without_listing_its_images():
    assert cube(filter="CLOUDS < 10", casts=(Band("B4", "uint8"),)).describe() == {
        "collection": PREFIX[:-1],
        "method": "computePixels",
        "group": "day",
        "reduce": "median",
        "filter": "CLOUDS < 10",
        "cast": {"B4": "uint8"},
        "steps": 36_525,
        "images": 73_050,
        "first": "2000-01-01T00:00:00+00:00",
        "last": "2099-12-31T00:00:00+00:00",
    }
    assert cube().limits == COMPUTE_PIXELS_LIMITS
    hash(cube())


def test_the_key_says_what_changes_pixels_and_not_the_steps():
    plain = cube()
    assert plain.key == cube(steps=plain.steps[:3], bands=("B8",), filter="x < 1", grouping="month").key
    others = [
        cube(reduction="mean"),
        cube(casts=(Band("B4", "uint8"),)),
        cube(collection=PREFIX + "other"),
        cube(steps=(Step(time=plain.steps[0].time, images=("x",)),), grouping="none"),
    ]
    assert len({plain.key, *(other.key for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"steps": ()}, "no time steps"), ({"bands": ()}, "no bands"), ({"grouping": "none"}, "several images")],
)
def test_cubes_that_cannot_be(changes, says):
    with pytest.raises(InvalidInput, match=says):
        cube(**changes)


def test_times_of_other_zones_are_utc():
    start = datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=5))).isoformat()
    assert times(group_images([image("a", start)], "day")) == ["2019-12-31T00:00:00Z"]


def test_images_without_times_keep_the_order_of_the_listing_where_all_become_one():
    listed = [image("b", None), image("a", "2020-01-01T00:00:00Z"), image("c", None)]
    assert names(group_images(listed, "all")) == [["b", "a", "c"]]
    assert names(group_images([image("b"), image("a")], "all")) == [["a", "b"]]
