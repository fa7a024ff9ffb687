"""Samples of a collection: each site has images of its own, found by place and date."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from pyproj import Transformer

from eezarr.errors import InvalidInput
from sampling import on_mixed

pytestmark = pytest.mark.once

S2 = "projects/earthengine-public/assets/COPERNICUS/S2"
NO_TIME = -(2**63)


def to_utm(row):
    return Transformer.from_crs("EPSG:4326", "EPSG:32610", always_xy=True).transform(row["lon"], row["lat"])


def around_the_bay(count, seed=1):
    """Sites over all four tiles of the emulator, and on where they overlap."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(510_000, 700_000, count), rng.uniform(4_100_000, 4_290_000, count)
    lon, lat = Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True).transform(x, y)
    days = rng.integers(0, 360, count)
    return [
        {
            "name": f"s{n}",
            "lon": lon[n],
            "lat": lat[n],
            "day": (date(2017, 1, 2) + timedelta(days=int(days[n]))).isoformat(),
        }
        for n in range(count)
    ]


def contains(image, row, half_m):
    """Whether an image's footprint holds all corners of a patch, by the winding of its edges: an oracle of its own."""
    x, y = to_utm(row)
    x, y = round(x / 10) * 10, round(y / 10) * 10
    back = Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True)
    (ring,) = image["geometry"]["coordinates"]
    return all(winding(ring, *back.transform(x + dx, y + dy)) for dx in (-half_m, half_m) for dy in (-half_m, half_m))


def winding(ring, x, y):
    angle = 0.0
    for (x0, y0), (x1, y1) in pairwise(ring):
        ax, ay, bx, by = x0 - x, y0 - y, x1 - x, y1 - y
        angle += np.arctan2(ax * by - ay * bx, ax * bx + ay * by)
    return abs(angle) > 3


def start(image):
    return datetime.fromisoformat(image["startTime"])


JOB = """
[collection]
id = "COPERNICUS/S2"
start = "2017-01-01"
end = "2018-01-01"
bands = ["B4", "B8"]
[samples]
sites = "sites.csv"
id = "name"
date = "day"
crs = "EPSG:32610"
size = 16
resolution = 10
"""


def images_of(bench, sample):
    """Resource names by step, those that are there."""
    return [str(text) for text in bench.group["image_ids"][sample] if str(text)]


def require_exact(bench, sample, *, fill=65535):
    """Each step is its image's own pixels; what is behind the last one is fill, or the type's least likely value."""
    group, names = bench.group, images_of(bench, sample)
    for step, name in enumerate(names):
        np.testing.assert_array_equal(group["pixels"][sample, step], bench.truth(name, sample, ["B4", "B8"]))
    assert (group["pixels"][sample, len(names) :] == fill).all()
    times = group["times"][sample]
    assert (times[len(names) :] == NO_TIME).all()
    assert list(times[: len(names)]) == sorted(times[: len(names)])


def test_the_nearest_images_of_each_site(bench, world):
    rows = bench.sites(around_the_bay(12))
    report = bench.run(JOB + "nearest = 2\nwindow_days = 9\n[store]\nshard = 5\n")
    assert (report.is_complete, report.tiles_written, report.requests_sent) == (True, 12, 12)
    children = world.children(S2)
    assert bench.group["pixels"].shape == (12, 2, 2, 16, 16)
    lengths = set()
    for sample, row in enumerate(rows):
        day = datetime.fromisoformat(row["day"]).replace(tzinfo=UTC)
        near = [image for image in children if abs(start(image) - day) <= timedelta(days=9)]
        held = [image for image in near if contains(image, row, 80)]
        ranked = sorted(held, key=lambda image: (abs(start(image) - day), start(image), image["name"]))[:2]
        wanted = [image["name"] for image in sorted(ranked, key=lambda image: (start(image), image["name"]))]
        assert images_of(bench, sample) == wanted, row
        starts = [start(image).timestamp() * 1000 for image in sorted(ranked, key=start)]
        assert list(bench.group["times"][sample][: len(wanted)]) == starts
        assert bench.group["date"][sample] == day.timestamp() * 1000
        require_exact(bench, sample)
        lengths.add(len(wanted))
    listed = bench.emulator.stats().requests["listAssets"]["200"]
    assert listed == 1, "one page of some hundred images, once for all sites"
    assert 2 in lengths


@pytest.mark.parametrize("mode", ["none", "band"])
def test_all_images_in_the_window_padded_to_the_most(bench, mode):
    rows = bench.sites(around_the_bay(8, seed=4))
    assert bench.run(JOB + "window_days = 8\nshuffle = true\n" + f'[mask]\nmode = "{mode}"\n').is_complete
    group = bench.group
    counts = [len(images_of(bench, sample)) for sample in range(8)]
    assert len(set(counts)) > 1
    assert max(counts) == group["pixels"].shape[1]
    for sample in range(8):
        assert str(group["id"][sample]) == rows[int(group["site"][sample])]["name"]
        require_exact(bench, sample, fill=65535 if mode == "none" else 0)
    counted = json.loads(dict(group.attrs)["statistics"])["bands"]["B4"]["count"]
    if mode == "none":
        assert counted == sum(counts) * 16 * 16
        return
    assert counted == int(group["mask"][:].sum())
    for sample in range(8):
        assert (group["mask"][sample, counts[sample] :] == 0).all()
        for step, name in enumerate(images_of(bench, sample)):
            planes = bench.planes(name, sample, ["B4", "B8"])
            np.testing.assert_array_equal(group["mask"][sample, step], planes[0].valid & planes[1].valid)


def test_a_group_is_one_step_and_all_is_none(bench):
    bench.sites(on_mixed(4, day=["2017-04-20", "2017-04-18", "2017-05-01", "2017-04-30"]))
    grouped = JOB.replace("[samples]", 'group = "month"\nreduce = "max"\n[samples]').replace(
        '"2018-01-01"', '"2017-06-01"'
    )
    assert bench.run(grouped + "nearest = 1\n").is_complete
    group = bench.group
    assert group["pixels"].shape == (4, 1, 2, 16, 16)
    for sample, month in enumerate((4, 4, 4, 4)):
        names = images_of(bench, sample)[0].splitlines()
        assert len(names) > 2
        assert {datetime.fromtimestamp(group["times"][sample, 0] / 1000, UTC).month} == {month}
        stack = np.stack([bench.truth(name, sample, ["B4", "B8"]) for name in names])
        valid = np.stack([np.stack([p.valid for p in bench.planes(name, sample, ["B4", "B8"])]) for name in names])
        greatest = np.where(valid, stack, 0).max(axis=0)
        np.testing.assert_array_equal(np.where(valid.any(axis=0), group["pixels"][sample, 0], 0), greatest)
    whole = JOB.replace("[samples]", 'group = "all"\nreduce = "max"\n[samples]')
    assert bench.run(whole + "nearest = 3\n", overwrite=True).is_complete
    assert bench.group["pixels"].shape == (4, 2, 16, 16)
    assert "times" not in bench.group


def test_sites_without_an_image_are_unavailable_and_the_job_is_complete(bench):
    rows = on_mixed(5, day=["2017-04-30"] * 5)
    rows[2] |= {"lon": 10.0, "lat": 50.0}
    rows[4]["day"] = "2015-01-01"
    bench.sites(rows)
    job = JOB.replace('start = "2017-01-01"\n', "").replace('crs = "EPSG:32610"', 'crs = "utm"')
    report = bench.run(job + "window_days = 3\n")
    assert (report.is_complete, report.tiles_total) == (True, 3)
    assert list(bench.group["state"][:]) == [1, 1, 2, 1, 2]
    assert json.loads(dict(bench.group.attrs)["eezarr"])["without_images"] == 2
    again = bench.run(job + "window_days = 3\n")
    assert (again.is_complete, again.requests_sent) == (True, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: [row | {"day": "2015-06-01"} for row in rows], "shows any of the 3 sites|No image"),
        (lambda rows: [rows[0], rows[1] | {"day": ""}, rows[2]], "The site 's1' has no date"),
    ],
)
def test_what_cannot_be_is_told_before_a_pixel_is_asked_for(bench, change, says):
    bench.sites(change(on_mixed(3, day=["2017-04-30"] * 3)))
    with pytest.raises(InvalidInput, match=says):
        bench.run(JOB.replace('start = "2017-01-01"\n', "") + "window_days = 3\n")
    assert bench.emulator.stats().pixel_requests == 0


def test_bands_of_several_types_are_cast(bench):
    bench.sites(on_mixed(3, day=["2017-04-30"] * 3))
    job = JOB.replace('["B4", "B8"]', '["B4", "QA20"]')
    with pytest.raises(InvalidInput, match="one type, but the bands have several: B4 uint16, QA20 uint32"):
        bench.run(job + "nearest = 1\n")
    cast = job.replace("[samples]", 'cast = { B4 = "float32", QA20 = "float32" }\n[samples]')
    assert bench.run(cast + "nearest = 1\n").is_complete
    assert bench.group["pixels"].dtype == np.float32
    json.dumps(json.loads(dict(bench.group.attrs)["statistics"]), allow_nan=False)
