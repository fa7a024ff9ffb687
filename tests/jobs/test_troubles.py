"""Jobs in trouble that is not their own: tokens, restrictions, odd transports."""

import asyncio
import json
import threading

import numpy as np
import pytest
import zarr

import eezarr as package
from eezarr.earthengine import bodies, inflaters
from eezarr.engine.buffers import LEAST_AT_ONCE, BufferPool
from eezarr.events import Restricted, TileStored
from known import SCENE, SCENE_NAME

PLACE = {"crs": "EPSG:32610", "transform": (10, 0, 520000, 0, -10, 4180000), "height": 1200, "width": 1200}
GRID = package.PixelGrid.of("EPSG:32610", PLACE["transform"], (1200, 1200))
STORE = package.StoreOptions(chunk=128)
IMAGE = package.Image.asset(SCENE, bands=["B4"])


def options(emulator, **more):
    return package.FetchOptions(api_url=emulator.url, tile=(128, 128), **more)


def require_exact(output, truth):
    stored = zarr.open_group(output, mode="r")["B4"][:]
    np.testing.assert_array_equal(stored, truth(SCENE_NAME, ["B4"], **PLACE)[0])


async def test_a_token_that_expires_in_the_middle_costs_one_refresh(emulator, truth, tmp_path, caplog):
    key = emulator.write_service_account_key(tmp_path / "key.json")
    stored = []

    def observe(event):
        if isinstance(event, TileStored):
            stored.append(event)
            if len(stored) == 30:
                emulator.expire_tokens()

    client = package.Client(project="p", credentials=key, options=options(emulator), observe=observe)
    async with client:
        report = await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert report.is_complete
    assert emulator.stats().tokens_issued == 2
    require_exact(tmp_path / "out.zarr", truth)
    secrets = json.loads(key.read_text(encoding="utf-8"))["private_key"].splitlines()[1]
    assert secrets not in caplog.text
    assert "ya29" not in caplog.text


async def test_credentials_that_are_revoked_in_the_middle_end_the_job_with_what_to_do(emulator, tmp_path):
    key = emulator.write_service_account_key(tmp_path / "key.json")
    stored = []

    def observe(event):
        if isinstance(event, TileStored):
            stored.append(event)
            if len(stored) == 10:
                emulator.configure({"auth": {"denied_projects": ["p"]}})

    async with package.Client(project="p", credentials=key, options=options(emulator), observe=observe) as client:
        with pytest.raises(package.AccessDenied, match="serviceusage") as caught:
            await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert caught.value.exit_code == 3
    emulator.configure({"auth": {"denied_projects": []}})
    async with package.Client(project="p", credentials=key, options=options(emulator)) as client:
        report = await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert report.is_complete
    assert report.tiles_resumed >= 10


async def test_restricted_parallelism_is_told_once(emulator, tmp_path):
    emulator.configure({"quota": {"is_parallelism_restricted": True}})
    events = []
    async with package.Client(project="p", options=options(emulator), observe=events.append) as client:
        await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert sum(isinstance(event, Restricted) for event in events) == 1


@pytest.mark.parametrize("gzip", [True, "auto"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_compressed_and_chunked_bodies_are_the_same_pixels(emulator, truth, tmp_path, gzip, is_chunked):
    emulator.configure({"transfer": {"gzip": True, "chunked": is_chunked}})
    async with package.Client(project="p", options=options(emulator, gzip=gzip)) as client:
        report = await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    if gzip is True:
        assert report.bytes_received < report.bytes_pixels
    require_exact(tmp_path / "out.zarr", truth)


async def test_no_more_is_received_at_once_while_all_threads_inflate(emulator, truth, tmp_path, monkeypatch):
    """Two bodies are in hand and one thread is held: to take more of them would only need more memory."""
    emulator.configure({"transfer": {"gzip": True}})
    may_go, at_once = threading.Event(), []
    receive_into, on_tick = bodies.receive_into, BufferPool._on_tick

    async def held(response, view, **options):
        await options["inflaters"].run(lambda: may_go.wait(30))
        return await receive_into(response, view, **options)

    def noting(self, due_s):
        on_tick(self, due_s)
        at_once.append(self._at_once)
        if len(at_once) == 10:
            may_go.set()

    monkeypatch.setattr(inflaters, "usable_cores", lambda: 1)
    monkeypatch.setattr(bodies, "receive_into", held)
    monkeypatch.setattr(BufferPool, "_on_tick", noting)
    async with package.Client(project="p", options=options(emulator, gzip=True)) as client:
        await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert at_once[:10] == [LEAST_AT_ONCE] * 10
    require_exact(tmp_path / "out.zarr", truth)


async def test_hedged_or_not_the_pixels_are_the_same(emulator, truth, tmp_path):
    emulator.configure({"latency": {"base_s": 0.01, "straggler_fraction": 0.05, "straggler_factor": 30}})
    async with package.Client(project="p", options=options(emulator, hedge=True)) as client:
        assert (await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)).is_complete
    require_exact(tmp_path / "out.zarr", truth)


async def test_wrong_bodies_are_asked_for_again(emulator, truth, tmp_path):
    names = ["npy_magic", "npy_shape", "npy_dtype", "npy_order", "npy_trailing", "npy_short", "npy_pickle", "html_page"]
    emulator.script(["none", *names])  # the first pixel that is asked for tells types
    async with package.Client(project="p", options=options(emulator)) as client:
        report = await client.fetch(IMAGE, GRID, str(tmp_path / "out.zarr"), store=STORE)
    assert report.requests_retried == len(names)
    require_exact(tmp_path / "out.zarr", truth)


async def test_two_clients_of_one_project_share_one_gate(emulator, tmp_path):
    emulator.configure({"latency": {"base_s": 0.02}})

    async def one(name):
        async with package.Client(project="p", options=options(emulator, max_concurrency=6)) as client:
            await client.fetch(IMAGE, GRID, str(tmp_path / name), store=STORE)

    async with asyncio.TaskGroup() as group:
        for name in ("one.zarr", "two.zarr"):
            group.create_task(one(name))
    assert emulator.stats().peak_in_flight <= 6
