"""Collections whose images state different ranges, or no times: no image is refused for a narrower range."""

import asyncio
import dataclasses

import numpy as np
import pytest

import eezarr as package
from eezarr.emulator import catalogue
from eezarr.emulator.images import PixelType
from eezarr.errors import InvalidInput
from eezarr.events import JobStarted
from jobs.series import REDUCERS, alter, grid_toml, layers, names_of, newest, of, run, stored, write
from known import SCENE

SPRING = {"start": "2017-04-05", "end": "2017-04-25"}
FIRST, SECOND, THIRD, FOURTH = (name[-25:] for name in names_of(**SPRING))
MODES = {
    "none": "",
    "fill": '[mask]\nmode = "fill"\nfill = 7\n',
    "band": '[mask]\nmode = "band"\nper_band = true\n',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Within:
    """Another's pixels, brought into a range."""

    pixels: object
    low: int
    high: int

    def read(self, grid, run):
        plane = run.plane(self.pixels, grid)
        return dataclasses.replace(plane, values=plane.values.astype(np.int64) % (self.high - self.low + 1) + self.low)


def ranged(band, dtype, low, high):
    """An image one of whose bands states a range, and is served in a type that need not be ours."""

    def change(image):
        kind = PixelType(dtype=dtype, minimum=low, maximum=high)
        kinds = [
            each.computed(kind, Within(each.pixels, low, high)) if each.id == band else each for each in image.bands
        ]
        return dataclasses.replace(image, bands=tuple(kinds))

    return change


def narrow(monkeypatch, *kinds):
    names = (FIRST, SECOND, THIRD, FOURTH)
    alter(monkeypatch, {name: ranged("B8", *kind) for name, kind in zip(names, kinds, strict=True)})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [
        ((("uint8", 0, 8), ("uint8", 0, 255), ("uint8", 0, 8), ("uint8", 0, 100)), np.uint8),
        ((("int8", 0, 8), ("uint8", 0, 255), ("int8", 0, 8), ("int8", 0, 8)), np.uint8),
        ((("uint8", 0, 8), ("uint8", 0, 200), ("uint16", 0, 65535), ("uint8", 0, 8)), np.uint16),
        ((("int8", -1, 8), ("uint8", 0, 100), ("int8", -1, 8), ("uint8", 0, 100)), np.int16),
    ],
)
def test_images_of_different_ranges_have_one_type(emulator, world, tmp_path, monkeypatch, kinds, dtype, mode):
    narrow(monkeypatch, *kinds)
    path = write(tmp_path, of(**SPRING), rest=MODES[mode])
    assert run(path, emulator).is_complete
    assert stored(tmp_path)["B8"].dtype == dtype
    expected = layers(world, names_of(**SPRING), "B8", dtype=dtype)
    found = stored(tmp_path)["B8"][:]
    if mode == "none":
        np.testing.assert_array_equal(found[~np.ma.getmaskarray(expected)], expected.compressed())
    else:
        np.testing.assert_array_equal(found, expected.filled(7 if mode == "fill" else 0))
    asked = emulator.stats().pixel_requests
    assert run(path, emulator).tiles_written == 0
    assert emulator.stats().pixel_requests == asked


@pytest.mark.parametrize("reduction", ["mosaic", "max"])
def test_a_group_of_images_of_different_ranges_is_reduced_in_one_type(
    emulator, world, tmp_path, monkeypatch, reduction
):
    narrow(monkeypatch, ("int8", 0, 8), ("uint8", 0, 255), ("int8", 0, 8), ("uint8", 0, 100))
    more = f'group = "all"\nreduce = "{reduction}"'
    assert run(write(tmp_path, of(**SPRING, more=more), rest=MODES["fill"]), emulator).is_complete
    expected = REDUCERS[reduction](layers(world, names_of(**SPRING), "B8", dtype=np.uint8))
    assert stored(tmp_path)["B8"].dtype == np.uint8
    np.testing.assert_array_equal(stored(tmp_path)["B8"][:], expected.filled(7))


def test_a_narrow_range_that_all_images_state_is_as_the_service_answers_it(emulator, tmp_path, monkeypatch):
    narrow(monkeypatch, *[("int8", 0, 100)] * 4)
    assert run(write(tmp_path, of(**SPRING)), emulator).is_complete
    assert stored(tmp_path)["B8"].dtype == np.int8


# Images without times


def timeless(image):
    properties = {name: value for name, value in image.properties.items() if not name.startswith("system:time")}
    return dataclasses.replace(image, properties=properties)


@pytest.fixture
def few(monkeypatch):
    """A collection of the four images, which have no times."""
    known = dict(catalogue.sentinel2_images("COPERNICUS/S2"))
    images = {name: timeless(known[name]) for name in sorted(known) if name.endswith((FIRST, SECOND, THIRD, FOURTH))}
    monkeypatch.setattr(catalogue, "sentinel2_images", lambda _: images)
    return [f"{catalogue.PUBLIC}COPERNICUS/S2/{name}" for name in images]


def test_images_without_times_become_one_in_the_order_of_the_listing(emulator, world, tmp_path, few):
    text = 'id = "COPERNICUS/S2"\nbands = ["B4"]\n'
    assert run(write(tmp_path, text + 'group = "all"', rest=MODES["fill"]), emulator).is_complete
    assert len(few) == 4
    np.testing.assert_array_equal(stored(tmp_path)["B4"][:], newest(layers(world, few, "B4")).filled(7))


@pytest.mark.parametrize("group", ["none", "day", "month"])
def test_images_without_times_are_no_time_steps(emulator, tmp_path, few, group):
    assert few
    text = f'id = "COPERNICUS/S2"\nbands = ["B4"]\ngroup = "{group}"'
    with pytest.raises(InvalidInput, match="has no start time") as caught:
        run(write(tmp_path, text), emulator)
    assert 'group = "all"' in caught.value.hint
    assert emulator.stats().pixel_requests == 0


# Totals


AREA = 'region = "area.geojson"\nregion_crs = "EPSG:32610"\ncrs = "EPSG:32610"\nresolution = 10'
TRIANGLE = '{"type":"Polygon","coordinates":[[[556000,4186000],[558500,4183000],[556700,4182900],[556000,4186000]]]}'


@pytest.mark.parametrize("grid", [None, AREA])
@pytest.mark.parametrize("mode", [*MODES, "shared"])
async def test_a_plan_and_its_run_say_the_same_totals(emulator, tmp_path, mode, grid):
    (tmp_path / "area.geojson").write_text(TRIANGLE, encoding="utf-8")
    rest = '[mask]\nmode = "band"\n' if mode == "shared" else MODES[mode]
    path = write(
        tmp_path, of(**SPRING), grid=grid or grid_toml(), rest=f"{rest}[store]\nchunk = 32\n[fetch]\ntile = [32, 32]"
    )
    job = package.Job.load(path).replaced(api_url=emulator.url)
    estimate = (await package.resolve_job(job)).estimate
    events = []
    report = await package.run_job(job, observe=events.append)
    (started,) = (event for event in events if isinstance(event, JobStarted))
    assert estimate.pixel_bytes == started.pixel_bytes == report.bytes_pixels == report.to_json()["bytes"]["pixels"]
    assert estimate.body_bytes == started.body_bytes == report.bytes_bodies == report.to_json()["body_bytes"]
    masks = {"none": 0, "fill": 0, "band": 2, "shared": 1}[mode]
    assert report.bytes_bodies == report.bytes_pixels * (4 + masks) // 4
    # What came over the wire are the bodies, and a header each.
    assert 0 < report.bytes_received - report.bytes_bodies <= 4096 * report.requests_sent


SAMPLES = """\
output = "s.zarr"
project = "my-project"
[image]
asset = "{scene}"
bands = ["B2", "B4"]
[samples]
sites = "sites.csv"
size = 8
resolution = 10
{labels}
"""
LABELS = f"""\
[samples.label_image]
asset = "{SCENE}"
band = "B8"
"""


@pytest.mark.parametrize("labels", ["", LABELS])
@pytest.mark.parametrize(("mask", "masks"), [("", 0), ('[mask]\nmode = "band"\n', 1)])
async def test_a_plan_of_samples_and_its_run_say_the_same_totals(emulator, tmp_path, labels, mask, masks):
    (tmp_path / "sites.csv").write_text("lon,lat\n-122.2,37.4\n-122.1,37.45\n-122.0,37.5\n", encoding="utf-8")
    (tmp_path / "job.toml").write_text(SAMPLES.format(scene=SCENE, labels=labels) + mask, encoding="utf-8")
    job = package.SamplesJob.load(tmp_path / "job.toml")
    job = job.replaced(api_url=emulator.url, output=str(tmp_path / "s.zarr"))
    planned = await asyncio.to_thread(package.plan_samples_job, job)
    events = []
    report = await package.run_samples_job(job, observe=events.append)
    (started,) = (event for event in events if isinstance(event, JobStarted))
    estimate = planned.estimate
    assert estimate.pixel_bytes == started.pixel_bytes == report.bytes_pixels == report.to_json()["bytes"]["pixels"]
    assert estimate.body_bytes == started.body_bytes == report.bytes_bodies == report.to_json()["body_bytes"]
    pixels = 3 * 8 * 8
    assert report.bytes_pixels == pixels * 4
    assert report.bytes_bodies == pixels * (4 + masks + (2 if labels else 0))
    assert 0 < report.bytes_received - report.bytes_bodies <= 4096 * report.requests_sent
