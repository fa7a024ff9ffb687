"""The table of faults, row by row, against whole jobs: what is asked again, what is one tile's, what ends the job."""

import asyncio
import gzip
import subprocess
import sys

import numpy as np
import pytest
import zarr
from aiohttp import web

import eezarr as package
from eezarr.events import ServiceBack, ServiceLost, TileFailed, TileStored
from jobs.front import Front, corner, is_one_pixel, refusal
from known import SCENE, SCENE_NAME, environment

PLACE = {"crs": "EPSG:32610", "transform": (10, 0, 520000, 0, -10, 4180000), "height": 256, "width": 256}
GRID = package.PixelGrid.of("EPSG:32610", PLACE["transform"], (256, 256))
IMAGE = package.Image.asset(SCENE, bands=["B4"])
STORE = package.StoreOptions(chunk=64)
THIRD = (520000 + 2 * 640, 4180000)
"""The corner of the third of 16 tiles."""


@pytest.fixture
async def front(emulator):
    front = Front(emulator.url)
    async with front.serving() as front.url:
        yield front


def client_of(front, observe=lambda _: None, **options):
    async def no_sleep(_):
        await asyncio.sleep(0)

    fetch = package.FetchOptions(api_url=front.url, tile=(64, 64), **options)
    return package.Client(project="p", options=fetch, observe=observe, sleep=no_sleep)


async def fetch(front, output, observe=lambda _: None, **options):
    async with client_of(front, observe, **options) as client:
        return await client.fetch(IMAGE, GRID, str(output), store=STORE)


def require_exact(output, truth):
    stored = zarr.open_group(output, mode="r")["B4"][:]
    np.testing.assert_array_equal(stored, truth(SCENE_NAME, ["B4"], **PLACE)[0])


ONCE = {
    "429": lambda: refusal(429, "Too Many Requests: …", "RESOURCE_EXHAUSTED"),
    "capacity": lambda: refusal(503, "Earth Engine capacity exceeded."),
    "quota": lambda: refusal(400, "Quota exceeded: Too many concurrent aggregations."),
    "500": lambda: refusal(500, "An internal error has occurred (request: 1-2)", "INTERNAL"),
    "502": lambda: web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html"),
    "503": lambda: refusal(503, "The service is currently unavailable.", "UNAVAILABLE"),
    "504": lambda: web.Response(status=504, text="upstream request timeout"),
    "reset": lambda: "reset",
    "408": lambda: web.Response(status=408),
    "409": lambda: refusal(409, "The operation was aborted.", "ABORTED"),
    "425": lambda: web.Response(status=425),
    "499": lambda: refusal(499, "The operation was cancelled.", "CANCELLED", errors=[{"reason": "backendError"}]),
    "backendError": lambda: refusal(400, "Backend Error", errors=[{"reason": "backendError"}]),
    "internalError": lambda: refusal(403, "Internal Error", errors=[{"reason": "internalError"}]),
    "204": lambda: web.Response(status=204),
    "206": lambda: web.Response(status=206, body=bytes(range(256)) * 32),
    "bad gzip": lambda: web.Response(body=b"\x1f\x8b not gzip", headers={"Content-Encoding": "gzip"}),
    "cut gzip": lambda: web.Response(body=gzip.compress(bytes(9000))[:-9], headers={"Content-Encoding": "gzip"}),
    "HTML": lambda: web.Response(text="<html>Sign in</html>", content_type="text/html"),
    "pickle": lambda: web.Response(body=b"\x80\x04\x95pickled" * 100),
    "oversized": lambda: web.Response(body=bytes(1 << 20)),
    "bomb": lambda: web.Response(body=gzip.compress(bytes(1 << 24)), headers={"Content-Encoding": "gzip"}),
    "401": lambda: refusal(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"),
}
"""What costs another request, and nothing else."""


@pytest.mark.parametrize("fault", ONCE)
async def test_what_passes_is_asked_again(front, truth, emulator, tmp_path, fault):
    key = emulator.write_service_account_key(tmp_path / "key.json") if fault == "401" else None
    told = iter([None, ONCE[fault]()])
    front.rule = lambda _: next(told, None)
    options = package.FetchOptions(api_url=front.url, tile=(64, 64), max_concurrency=1, gzip=True)
    async with package.Client(project="p", credentials=key, options=options) as client:
        report = await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert report.is_complete
    assert len(front.tiles) == 16 + 1
    require_exact(tmp_path / "out.zarr", truth)


REFUSED = {
    "400": lambda: refusal(400, "Image.select: Band pattern 'B4' did not match any bands.", "INVALID_ARGUMENT"),
    "403": lambda: refusal(403, "Permission 'earthengine.assets.get' denied on resource 'X'.", "PERMISSION_DENIED"),
    "404": lambda: refusal(404, "Asset 'X' not found.", "NOT_FOUND"),
    "project": lambda: refusal(403, "Caller does not have required permission to use project p.", "PERMISSION_DENIED"),
}


@pytest.mark.parametrize("answer", REFUSED)
async def test_one_tile_that_is_refused_after_others_came_is_that_tiles(front, truth, tmp_path, answer):
    front.rule = lambda document: REFUSED[answer]() if corner(document) == THIRD else None
    with pytest.raises(package.Incomplete, match=r"1 tiles are missing: tile 2 \(rows 0-64, columns 128-192") as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=1)
    assert ended.value.exit_code == 1
    report = ended.value.report
    assert (report.tiles_written, [item.tile for item in report.missing]) == (15, [2])
    front.documents.clear()
    with pytest.raises(package.Incomplete):  # the first tile of this run; an earlier one had others
        await fetch(front, tmp_path / "out.zarr")
    assert len(front.tiles) == 1
    front.rule = lambda _: None
    assert (await fetch(front, tmp_path / "out.zarr")).is_complete
    require_exact(tmp_path / "out.zarr", truth)


@pytest.mark.parametrize(("answer", "code"), [("400", 4), ("403", 3), ("404", 4), ("project", 3)])
async def test_a_refusal_before_any_tile_came_ends_the_job(front, tmp_path, answer, code):
    front.rule = lambda _: REFUSED[answer]()
    with pytest.raises(package.EezarrError) as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=1)
    assert ended.value.exit_code == code
    assert len(front.documents) == 1


async def test_a_stream_goes_on_after_a_tile_that_is_refused(front):
    front.rule = lambda document: REFUSED["403"]() if corner(document) == THIRD else None
    tiles = []
    async with client_of(front, max_concurrency=1) as client:
        with pytest.raises(package.Incomplete, match="tile 2"):
            async for fetched in client.stream(IMAGE, GRID, tile=(64, 64)):
                tiles.append(fetched.tile.index)  # noqa: PERF401 - what came before the error counts
    assert sorted(tiles) == [index for index in range(16) if index != 2]


async def test_credentials_that_are_refused_twice_end_the_job_after_others_came(front, emulator, tmp_path):
    key = emulator.write_service_account_key(tmp_path / "key.json")
    front.rule = lambda document: ONCE["401"]() if corner(document) == THIRD else None
    options = package.FetchOptions(api_url=front.url, tile=(64, 64), max_concurrency=1)
    async with package.Client(project="p", credentials=key, options=options) as client:
        with pytest.raises(package.AccessDenied) as ended:
            await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert ended.value.exit_code == 3
    assert sum(corner(document) == THIRD for document in front.documents) == 2


@pytest.mark.parametrize("status", [206, 302])
async def test_pixels_are_not_quoted_in_a_message(front, tmp_path, status):
    pixels = b"\x93NUMPY\x01\x00v\x00{'descr': [('B4', '<u2')], }" + bytes(range(256)) * 30
    headers = {"Location": "https://example.org/"} if status == 302 else {}
    front.rule = lambda document: (
        web.Response(status=status, body=pixels, headers=headers) if corner(document) == THIRD else None
    )
    with pytest.raises(package.Incomplete) as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=1, attempts=2)
    assert f"was answered with {status}: (a binary body)" in ended.value.message
    assert ended.value.message.isprintable()


async def test_missing_tiles_are_grouped_by_what_they_failed_with(front, tmp_path):
    def rule(document):
        if is_one_pixel(document):
            return None
        index = round((corner(document)[0] - 520000) / 640) + 4 * round((4180000 - corner(document)[1]) / 640)
        if index in range(4, 12):
            return refusal(400, f"No pixel at {index} (request: 0a1b2c3d-0000-4000-8000-00000000{index:04})")
        return REFUSED["404"]() if index == 13 else None

    front.rule = rule
    with pytest.raises(package.Incomplete) as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=1)
    message = ended.value.message
    assert message.startswith("9 tiles are missing: tile 4 (")
    assert "and 5 more: " in message
    assert message.count("No pixel at") == 1
    assert "; tile 13 (" in message
    assert len(ended.value.report.missing) == 9


async def test_a_job_goes_through_an_outage_of_the_network(front, truth, tmp_path):
    events, gone, noticed, away = [], asyncio.Event(), asyncio.Event(), Front(front.target)

    def observe(event):
        events.append(event)
        if sum(isinstance(one, TileStored) for one in events) == 4:
            gone.set()
        if sum(isinstance(one, ServiceLost) for one in events) == 5:
            noticed.set()

    async with away.serving() as away.url:
        job = asyncio.create_task(fetch(away, tmp_path / "out.zarr", observe, max_concurrency=2))
        await gone.wait()
    await noticed.wait()
    assert not job.done()
    async with away.serving(int(away.url.rpartition(":")[2])):
        report = await job
    assert report.is_complete
    assert sum(isinstance(event, ServiceBack) for event in events) == 1
    assert not any(isinstance(event, TileFailed) for event in events)
    require_exact(tmp_path / "out.zarr", truth)


async def test_a_service_that_stays_away_ends_the_job_in_one_line_and_the_next_run_goes_on(front, truth, tmp_path):
    count = iter(range(1000))
    front.rule = lambda _: ONCE["503"]() if next(count) >= 5 else None
    with pytest.raises(package.Outage, match="Nothing of the service could be reached") as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=2, patience_s=0.5)
    assert ended.value.exit_code == 6
    assert len(ended.value.message) < 400
    front.rule = lambda _: None
    report = await fetch(front, tmp_path / "out.zarr")
    assert report.tiles_resumed >= 4
    require_exact(tmp_path / "out.zarr", truth)


async def test_the_size_that_works_is_kept_for_the_next_run(front, truth, tmp_path):
    def too_heavy(document):
        size = document["grid"]["dimensions"]
        return size["width"] * size["height"] > 32 * 64

    class StopError(Exception):
        pass

    def observe(event):
        if isinstance(event, TileStored):
            raise StopError

    front.rule = lambda document: refusal(400, "User memory limit exceeded.") if too_heavy(document) else None
    with pytest.raises(ExceptionGroup):  # as a killed job ends: before it is complete
        await fetch(front, tmp_path / "out.zarr", observe)
    assert any(map(too_heavy, front.documents))
    assert (tmp_path / "out.zarr/.eezarr/working_size.json").exists()
    front.documents.clear()
    report = await fetch(front, tmp_path / "out.zarr")
    assert report.is_complete
    assert not any(map(too_heavy, front.documents))
    require_exact(tmp_path / "out.zarr", truth)


async def test_an_expression_that_is_too_costly_at_any_size_ends_the_job_after_a_few_tiles(front, tmp_path):
    front.rule = lambda document: None if is_one_pixel(document) else refusal(400, "Computation timed out.")
    with pytest.raises(package.TooHeavy, match="Even 32 x 32 pixels of 1 band are too much for one request") as ended:
        await fetch(front, tmp_path / "out.zarr", max_concurrency=4)
    assert ended.value.exit_code == 4
    assert len(front.documents) < 20


async def test_jobs_of_one_client_count_their_own_bytes_and_requests(front, tmp_path):
    async with client_of(front) as client:
        reports = await asyncio.gather(
            *(client.fetch(IMAGE, GRID, str(tmp_path / f"{number}.zarr"), store=STORE) for number in range(3))
        )
        alone = await client.fetch(IMAGE, GRID, str(tmp_path / "alone.zarr"), store=STORE)
    assert [report.bytes_received for report in reports] == [alone.bytes_received] * 3
    assert [report.requests_sent for report in reports] == [16] * 3
    assert alone.bytes_received >= alone.bytes_pixels


LIMITED = """
import resource, sys
import aiohttp, eezarr.api, eezarr.store, numpy, pyproj, zarr  # before memory is short: imports fail in many ways
from eezarr.cli import main
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))
most = used + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.argv = ["eezarr", "fetch", "job.toml", "--quiet"]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is used from /proc")
@pytest.mark.parametrize("room", [60 << 20, 120 << 20])
def test_a_process_without_memory_ends_in_one_line_and_goes_on_later(emulator, eezarr, job, tmp_path, room):
    rest = f'[fetch]\napi_url = "{emulator.url}"\ntile = [2048, 2048]\nmax_concurrency = 12'
    job(grid='native = "B2"\nregion = [-122.6, 37.2, -122.3, 37.5]', rest=rest)
    command = [sys.executable, "-c", LIMITED, str(room)]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 5, ended.stderr
    assert "no memory left" in ended.stderr or "no threads left" in ended.stderr
    assert "max_concurrency" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert eezarr("fetch", "job.toml", "--quiet").code == 0
