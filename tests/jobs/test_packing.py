"""Many dates in few requests: how few, and what happens where they are too heavy."""

import asyncio

import numpy as np
import pytest

import eezarr as package
from eezarr.emulator.raster import Grid
from eezarr.emulator.thread import EmulatorThread
from jobs.series import COARSE, HeavyWorld, grid_toml, layers, names_of, of, run, stored, write

DATES = {"start": "2017-01-01", "end": "2017-05-01"}
"""24 overpasses of a tile."""
SPRING = {"start": "2017-04-05", "end": "2017-05-05"}
BANDS = ("B2", "B3", "B4", "B8")
SITES = [(560_000 + 2560 * (n % 10), 4_180_000 - 2560 * (n // 10)) for n in range(50)]


def site(place):
    return Grid(crs="EPSG:32610", transform=(10.0, 0.0, place[0], 0.0, -10.0, place[1]), width=256, height=256)


@pytest.mark.parametrize(
    ("rest", "sites"),
    [("", SITES), ('[mask]\nmode = "band"\n[store]\nlayout = "stacked"', SITES[:5])],
    ids=["none", "band"],
)
def test_a_site_of_twenty_four_dates_takes_one_request(emulator, tmp_path, rest, sites):
    """256 x 256 pixels of 4 bands of 2 bytes at 24 dates count 18.9 MB: fifty sites, fifty requests, by their plans."""

    async def planned(path):
        job = package.Job.load(path).replaced(api_url=emulator.url)
        return (await package.resolve_job(job)).plan

    requests = 0
    for number, place in enumerate(sites):
        path = write(
            tmp_path, of(**DATES, bands=BANDS), grid=grid_toml(site(place)), rest=rest, output=f"{number}.zarr"
        )
        plan = asyncio.run(planned(path))
        assert plan.step_count == 24
        assert plan.pixel_bytes == 256 * 256 * 4 * 24 * 2
        requests += plan.wanted_count
    assert requests <= len(sites)
    assert emulator.stats().pixel_requests == 0


def test_three_of_the_sites_take_three_requests(emulator, world, tmp_path):
    for number, place in enumerate(SITES[:3]):
        grid = site(place)
        path = write(tmp_path, of(**DATES, bands=BANDS), grid=grid_toml(grid), output=f"{number}.zarr")
        report = run(path, emulator)
        assert (report.is_complete, report.requests_sent) == (True, 1)
        assert emulator.stats().count("computePixels") == 2 * (number + 1)  # one pixel tells types
        for band in ("B2", "B8"):
            planes = [world.image(name).read(grid, [band])[0].values for name in names_of(**DATES)]
            np.testing.assert_array_equal(stored(tmp_path, f"{number}.zarr")[band][:], planes)


# Too heavy

MIXED = of(
    start="2020-03-01", end="2020-04-10", collection="COPERNICUS/S2_SR_HARMONIZED", bands=("SCL", "B4", "QA20", "B8"),
    more='cast = { B8 = "float32" }',
)  # fmt: skip
TYPES = {"SCL": "uint8", "B4": "uint16", "QA20": "uint32", "B8": "float32"}
MODES = {
    "none": "",
    "fill": '[mask]\nmode = "fill"\nfill = { SCL = 0, B4 = 9, QA20 = 77777 }',  # and NaN for B8
    "shared": '[mask]\nmode = "band"\nfill = 1',
    "each": '[mask]\nmode = "band"\nper_band = true',
}
FILLS = {"fill": {"SCL": 0, "B4": 9, "QA20": 77777, "B8": np.nan}, "shared": dict.fromkeys(TYPES, 1)}


def require_exact(folder, world, mode):
    """Every band in its own type, at every date, with its masks."""
    names = names_of("2020-03-01", "2020-04-10", collection="COPERNICUS/S2_SR_HARMONIZED")
    assert len(names) == 8
    group, every = stored(folder), True
    for position, (band, dtype) in enumerate(TYPES.items()):
        assert group[band].dtype == dtype
        expected = layers(world, names, band)
        fill = FILLS.get(mode, dict.fromkeys(TYPES, 0))[band]
        np.testing.assert_array_equal(group[band][:], expected.astype(dtype).filled(fill))
        every = every & ~np.ma.getmaskarray(expected)
        if mode == "each":
            np.testing.assert_array_equal(group["mask"][:, position], ~np.ma.getmaskarray(expected))
    if mode == "shared":
        np.testing.assert_array_equal(group["mask"][:], every)


@pytest.mark.parametrize("most", [COARSE.width * COARSE.height * 9, 10_000])
@pytest.mark.parametrize("mode", MODES)
def test_packed_requests_that_are_too_heavy_are_unpacked(tmp_path, mode, most):
    """More pixels times bands than a service has memory for: fewer dates first, then (10 000) parts of the window."""
    world = HeavyWorld(most, under_mask="zero")
    with EmulatorThread(world=world) as emulator:
        report = run(
            write(tmp_path, MIXED, rest=f"{MODES[mode]}\n[store]\nchunk = 32\n[fetch]\ntile = [64, 64]"), emulator
        )
        recent = emulator.stats().recent
    assert report.is_complete
    assert report.tiles_total == 1
    assert report.requests_split == len(world.refused) >= 1
    widths = [request.width for request in recent if request.width > 1]  # but for the pixel that tells types
    assert (min(widths) < COARSE.width) == (most == 10_000)
    if mode == "none" and most > 10_000:
        # Eight dates, four, two: what the first four showed to be too heavy, the other four are not asked for.
        assert [bands for _, bands in world.refused] == [32, 16]
    require_exact(tmp_path, world, mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_smaller_limit_that_the_service_states_is_obeyed(emulator, world, tmp_path, mode):
    most = 150_000
    emulator.configure({"limits": {"compute_pixels": {"max_bytes": most, "max_side": 32768, "max_bands": 1024}}})
    report = run(write(tmp_path, MIXED, rest=f"{MODES[mode]}\n[store]\nchunk = 32\n[fetch]\ntile = [64, 64]"), emulator)
    assert report.is_complete
    assert emulator.stats().count("computePixels", 400) == 1
    assert 1 < emulator.stats().pixel_requests <= 6
    assert max(request.accounted_bytes for request in emulator.stats().recent) <= most
    require_exact(tmp_path, world, mode)


async def test_a_heavy_cube_in_memory_is_exact_too(tmp_path):
    world = HeavyWorld(COARSE.width * COARSE.height * 5)
    series = package.Image.collection("COPERNICUS/S2", **SPRING, filter='MGRS_TILE = "10SEG"', bands=["B4", "B8"])
    grid = package.PixelGrid.of("EPSG:32610", COARSE.transform, (COARSE.height, COARSE.width))
    mask = package.MaskOptions(mode="band", per_band=True)
    with EmulatorThread(world=world) as emulator:
        async with package.Client(project="p", api_url=emulator.url) as client:
            pixels = await client.pixels(series, grid, mask=mask)
    assert len(world.refused) >= 1
    assert pixels.shape == (6, 2, 45, 60)
    for position, band in enumerate(("B4", "B8")):
        expected = layers(world, names_of(**SPRING), band)
        np.testing.assert_array_equal(np.ma.getmaskarray(pixels[:, position]), np.ma.getmaskarray(expected))
        np.testing.assert_array_equal(pixels[:, position].filled(0), expected.filled(0))
