"""Real jobs, every pixel compared."""

import asyncio

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives xarray its `rio`
import xarray
import zarr

import eezarr as package
from known import CONFIGS, SCENE, SCENE_NAME

READS_RIO = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rioxarray
QUICKSTART = {"crs": "EPSG:32610", "transform": (10, 0, 499980, 0, -10, 4200000), "height": 256, "width": 256}
BANDS = ["B2", "B3", "B4", "B8"]


@pytest.mark.parametrize("method", ["getPixels", "computePixels"])
def test_the_quickstart_from_a_job_file(eezarr, emulator, truth, tmp_path, job, method):
    text = (CONFIGS / "quickstart.toml").read_text(encoding="utf-8")
    path = tmp_path / "quickstart.toml"
    path.write_text(text.replace("bands = [", f'method = "{method}"\nbands = ['), encoding="utf-8")
    ended = eezarr("fetch", path, "--api-url", emulator.url, "--json")
    assert (ended.code, ended.summary["complete"]) == (0, True), ended.err
    expected = truth(SCENE_NAME, BANDS, **QUICKSTART)
    stored = zarr.open_group(tmp_path / "quickstart.zarr", mode="r")
    for position, band in enumerate(BANDS):
        np.testing.assert_array_equal(stored[band][:], expected[position])
        assert stored[band].dtype == np.uint16
    methods = {request.method for request in emulator.stats().recent}
    assert methods == {method}


@pytest.mark.parametrize("method", ["getPixels", "computePixels"])
async def test_the_quickstart_from_python(emulator, truth, method):
    grid = package.PixelGrid.of("EPSG:32610", QUICKSTART["transform"], (256, 256))
    image = package.Image.asset(SCENE, bands=BANDS, method=method)
    async with package.Client(project="my-project", api_url=emulator.url) as client:
        pixels = await client.pixels(image, grid)
    np.testing.assert_array_equal(pixels, truth(SCENE_NAME, BANDS, **QUICKSTART))


SCENE_JOB = """
output = "scene.zarr"
project = "my-project"
[image]
asset = "COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"
bands = ["B2", "B3", "B4", "B8"]
[grid]
native = "B2"
"""


def require_the_whole_scene(store, truth):
    """Every pixel of every band, a strip of rows at a time."""
    group = zarr.open_group(store, mode="r")
    for top in range(0, 10980, 1830):
        strip = truth(
            SCENE_NAME, BANDS, crs="EPSG:32610", transform=(10, 0, 499980, 0, -10, 4200000 - 10 * top), height=1830,
            width=10980,
        )  # fmt: skip
        for position, band in enumerate(BANDS):
            np.testing.assert_array_equal(group[band][top : top + 1830], strip[position])


def test_a_whole_scene_is_exact_and_a_second_run_asks_for_nothing(eezarr, emulator, truth, tmp_path):
    (tmp_path / "scene.toml").write_text(SCENE_JOB, encoding="utf-8")
    first = eezarr("fetch", "scene.toml", "--api-url", emulator.url, "--json")
    assert first.code == 0, first.err
    assert first.summary["complete"] is True
    assert first.summary["tiles"]["written"] == first.summary["tiles"]["total"] >= 80
    assert first.summary["bytes"]["pixels"] == 10980 * 10980 * 4 * 2
    asked = emulator.stats().pixel_requests
    second = eezarr("fetch", "scene.toml", "--api-url", emulator.url, "--json")
    assert second.code == 0, second.err
    assert second.summary["tiles"]["resumed"] == first.summary["tiles"]["total"]
    assert second.summary["requests"]["sent"] == 0
    assert emulator.stats().pixel_requests == asked
    require_the_whole_scene(tmp_path / "scene.zarr", truth)


def test_the_same_scene_through_faults_and_a_quarter_of_the_quota(eezarr, emulator, truth, tmp_path):
    emulator.configure(
        {
            "quota": {"max_concurrency": 10},
            "latency": {"base_s": 0.05},
            "faults": {"seed": 3, "rates": {"unavailable": 0.05, "reset": 0.01, "reset_midway": 0.01}},
        }
    )
    (tmp_path / "scene.toml").write_text(SCENE_JOB, encoding="utf-8")
    ended = eezarr("fetch", "scene.toml", "--api-url", emulator.url, "--json")
    assert ended.code == 0, ended.err
    assert ended.summary["complete"] is True
    assert ended.summary["requests"]["throttled"] > 0
    assert ended.summary["requests"]["retried"] > ended.summary["requests"]["throttled"]
    require_the_whole_scene(tmp_path / "scene.zarr", truth)


async def test_pixels_of_many_tiles_equal_one_request(emulator, truth):
    place = {"crs": "EPSG:32610", "transform": (10, 0, 520000, 0, -10, 4180000), "height": 700, "width": 900}
    grid = package.PixelGrid.of("EPSG:32610", place["transform"], (700, 900))
    image = package.Image.asset(SCENE, bands=["B8", "QA20"])
    options = package.FetchOptions(api_url=emulator.url, limits={"bytes": 600_000})
    async with package.Client(project="my-project", options=options) as client:
        pixels = await client.pixels(image, grid)
    assert emulator.stats().pixel_requests > 4
    assert pixels.dtype == np.uint32
    np.testing.assert_array_equal(pixels[0], truth(SCENE_NAME, ["B8"], **place)[0])
    np.testing.assert_array_equal(pixels[1], truth(SCENE_NAME, ["QA20"], **place)[0])


async def test_a_stream_yields_every_tile_once(emulator, truth):
    place = {"crs": "EPSG:32610", "transform": (10, 0, 520000, 0, -10, 4180000), "height": 300, "width": 500}
    grid = package.PixelGrid.of("EPSG:32610", place["transform"], (300, 500))
    image = package.Image.asset(SCENE, bands=["B4", "B8"])
    seen = np.zeros((2, 300, 500), np.uint16)
    count = np.zeros((300, 500), int)
    async with package.Client(project="my-project", api_url=emulator.url) as client:
        async for fetched in client.stream(image, grid, tile=(128, 100)):
            seen[:, fetched.tile.window.rows, fetched.tile.window.cols] = fetched.pixels
            count[fetched.tile.window.rows, fetched.tile.window.cols] += 1
    assert (count == 1).all()
    np.testing.assert_array_equal(seen, truth(SCENE_NAME, ["B4", "B8"], **place))


async def test_a_stream_that_is_left_early_leaves_nothing_behind(emulator):
    grid = package.PixelGrid.of("EPSG:32610", (10, 0, 520000, 0, -10, 4180000), (1000, 1000))
    image = package.Image.asset(SCENE, bands=["B4"])
    async with package.Client(project="my-project", api_url=emulator.url) as client:
        stream = client.stream(image, grid, tile=(100, 100))
        async for _ in stream:
            break
        await stream.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task for task in others if "run_tiles" in repr(task)] == []
    assert emulator.stats().pixel_requests < 100


async def test_a_consumer_that_stops_stops_the_asking(emulator):
    grid = package.PixelGrid.of("EPSG:32610", (10, 0, 520000, 0, -10, 4180000), (2000, 2000))
    options = package.FetchOptions(api_url=emulator.url, max_concurrency=4)
    async with package.Client(project="my-project", options=options) as client:
        stream = client.stream(package.Image.asset(SCENE, bands=["B4"]), grid, tile=(100, 100))
        await anext(stream)
        before = -1
        while (asked := emulator.stats().pixel_requests) != before:  # until it no longer grows
            before = asked
            for _ in range(200):
                await asyncio.to_thread(emulator.stats)
        await stream.aclose()
    assert asked <= 20


def test_the_synchronous_verb_works_where_a_loop_runs(emulator, tmp_path):
    path = tmp_path / "job.toml"
    path.write_text((CONFIGS / "quickstart.toml").read_text(encoding="utf-8"), encoding="utf-8")
    job = package.Job.load(path).replaced(output=str(tmp_path / "out.zarr"), api_url=emulator.url)

    async def in_a_notebook():
        return package.fetch(job)

    assert asyncio.run(in_a_notebook()).is_complete
    assert package.fetch(job).tiles_resumed == 1


@READS_RIO
def test_a_computed_image_in_longitude_and_latitude(eezarr, emulator, world, tmp_path):
    ended = eezarr("fetch", CONFIGS / "ndvi.toml", "--api-url", emulator.url, "--json")
    assert ended.code == 0, ended.err
    opened = xarray.open_zarr(tmp_path / "ndvi.zarr", decode_coords="all")
    red, near = (
        world_pixels(world, band, opened.ndvi.rio.transform(), opened.ndvi.shape).astype(float) for band in ("B4", "B8")
    )
    assert opened.ndvi.dtype == np.float32
    assert opened.ndvi.rio.crs.to_epsg() == 4326
    assert opened.ndvi.rio.transform().a == pytest.approx(8.983152841195215e-05, rel=1e-12)
    np.testing.assert_array_equal(opened.ndvi.to_numpy(), ((near - red) / (near + red)).astype(np.float32))


def world_pixels(world, band, transform, shape):
    from eezarr.emulator.raster import Grid

    grid = Grid(crs="EPSG:4326", transform=tuple(transform)[:6], width=shape[1], height=shape[0])
    return world.image(SCENE_NAME).read(grid, [band])[0].values


def test_the_world_at_low_resolution(eezarr, emulator, truth, tmp_path):
    ended = eezarr("fetch", CONFIGS / "elevation.toml", "--api-url", emulator.url, "--json")
    assert ended.code == 0, ended.err
    opened = xarray.open_zarr(tmp_path / "elevation.zarr", decode_coords="all")
    assert opened.bedrock.shape == (1800, 3600)
    assert float(opened.x[0]) == pytest.approx(-179.95)
    assert float(opened.y[0]) == pytest.approx(89.95)
    place = {"crs": "EPSG:4326", "transform": (0.1, 0, -180, 0, -0.1, 90), "height": 1800, "width": 3600}
    expected = truth("projects/earthengine-public/assets/NOAA/NGDC/ETOPO1", ["bedrock"], **place)[0]
    np.testing.assert_array_equal(opened.bedrock.to_numpy(), expected)


@READS_RIO
def test_a_crop_lies_where_xarray_says(eezarr, emulator, truth, tmp_path, job):
    job(grid='native = "B2"\nregion = [-122.2, 37.4, -122.15, 37.45]')
    assert eezarr("fetch", "job.toml", "--api-url", emulator.url).code == 0
    opened = xarray.open_zarr(tmp_path / "out.zarr", decode_coords="all")
    transform = tuple(opened.rio.transform())[:6]
    assert (transform[2] - 499980) % 10 == 0
    assert (4200000 - transform[5]) % 10 == 0
    height, width = opened.B2.shape
    expected = truth(SCENE_NAME, ["B2"], crs="EPSG:32610", transform=transform, height=height, width=width)[0]
    np.testing.assert_array_equal(opened.B2.to_numpy(), expected)
    centre = opened.B2.sel(x=transform[2] + 105, y=transform[5] - 205, method="nearest", tolerance=1e-6)
    assert int(centre) == expected[20, 10]
