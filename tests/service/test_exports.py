"""Exports: what goes out, one start per intent whatever is lost on the way, and operations to their end."""

import asyncio
import contextlib
import json

import numpy as np
import pytest
import rasterio
from aiohttp import web

import eezarr
from eezarr import (
    AssetExport,
    CloudStorage,
    Drive,
    ExportRequest,
    FileExport,
    GeoTiffOptions,
    InvalidInput,
    Shape2D,
    TfRecordOptions,
)
from eezarr.api.connection import Link
from eezarr.earthengine.operations import parse_operation
from eezarr.engine import Asker
from eezarr.engine.gate import Gate
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.retry import RetryPolicy
from known import SCENE
from virtual_time import run_virtually

IMAGE = eezarr.Image.asset(SCENE, bands=["B4", "B8"])
GRID = eezarr.PixelGrid.of("EPSG:32610", (10, 0, 510_000, 0, -10, 4_190_000), (70, 90))
CLOUD = FileExport(destination=CloudStorage(bucket="my-bucket", prefix="a/scene"))
NAME = "projects/my-project/operations/ABC"
TAKEN = "A different Operation was already started with the given request_id"


def an_export(**more):
    return ExportRequest(**({"expression": IMAGE.computed, "target": CLOUD, "grid": GRID} | more))


@contextlib.asynccontextmanager
async def a_service(handle, **options):
    """A client of a service that is one function: (method, path, body) -> (status, answer), or None to hang up."""
    calls = []

    async def answer(request):
        body = json.loads(await request.text() or "{}")
        calls.append((request.method, request.path, body))
        found = handle(request.method, request.path, body)
        if found is None:
            request.transport.close()
            return web.Response()
        status, document = found
        return web.json_response(document, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}"
        async with eezarr.Service(project="my-project", credentials="anonymous", api_url=url, **options) as service:
            yield service, calls
    finally:
        await runner.cleanup()


def refusal(status, message):
    return status, {"error": {"code": status, "message": message}}


def listed(description, *, name=NAME, created="2999-01-01T00:00:00Z"):
    metadata = {"description": description, "createTime": created, "type": "EXPORT_IMAGE"}
    return {"name": name, "metadata": metadata}


# What goes out.


def test_all_of_a_file_export():
    options = GeoTiffOptions(
        cloud_optimized=True, tile_size=128, file_shape=Shape2D(256, 512), skip_empty=True, no_data=-1.5
    )
    request = an_export(
        target=FileExport(destination=CloudStorage(bucket="my-bucket", prefix="p"), options=options),
        description="d",
        max_pixels=10_000,
        priority=7,
        workload_tag="tag",
        request_id="my-id",
    )
    assert request.body() == {
        "expression": json.loads(IMAGE.computed),
        "description": "d",
        "maxPixels": "10000",
        "requestId": "my-id",
        "grid": GRID.to_request(),
        "priority": 7,
        "workloadTag": "tag",
        "fileExportOptions": {
            "fileFormat": "GEO_TIFF",
            "cloudStorageDestination": {"bucket": "my-bucket", "filenamePrefix": "p"},
            "geoTiffOptions": {
                "tileSize": 128,
                "cloudOptimized": True,
                "tileDimensions": {"width": 512, "height": 256},
                "skipEmptyFiles": True,
                "noData": {"floatValue": -1.5},
            },
        },
    }


def test_records_and_drive():
    options = TfRecordOptions(
        patch=Shape2D(32, 64),
        margin=Shape2D(2, 4),
        compress=True,
        max_bytes=1000,
        default_value=1,
        tensor_depths={"a": 3},
        max_masked_ratio=0.5,
    )
    assert FileExport(destination=Drive(prefix="p", folder="f"), options=options).to_request() == {
        "fileExportOptions": {
            "fileFormat": "TF_RECORD_IMAGE",
            "driveDestination": {"folder": "f", "filenamePrefix": "p"},
            "tfRecordOptions": {
                "tileDimensions": {"width": 64, "height": 32},
                "marginDimensions": {"width": 4, "height": 2},
                "compress": True,
                "maxSizeBytes": "1000",
                "defaultValue": 1,
                "tensorDepths": {"a": 3},
                "sequenceData": False,
                "collapseBands": False,
                "maxMaskedRatio": 0.5,
            },
        }
    }


def test_an_asset_with_pyramids():
    target = AssetExport(
        name="projects/p/assets/a", overwrite=True, pyramiding="SAMPLE", pyramiding_overrides={"QA": "MODE"}
    )
    assert target.to_request() == {
        "assetExportOptions": {
            "earthEngineDestination": {"name": "projects/p/assets/a", "overwrite": True},
            "pyramidingPolicy": "SAMPLE",
            "pyramidingPolicyOverrides": {"QA": "MODE"},
        }
    }


def test_an_id_for_each_intent():
    first, second = an_export(), an_export()
    assert first.request_id != second.request_id
    assert first.request_id in first.description
    assert first.body() == first.body()
    assert hash(first) != hash(second)


@pytest.mark.parametrize(
    "make",
    [
        lambda: an_export(max_pixels=GRID.shape.size - 1),
        lambda: an_export(request_id="spaces in it"),
        lambda: an_export(request_id="x" * 61),
        lambda: an_export(priority=10_000),
        lambda: an_export(description="x" * 101),
        lambda: CloudStorage(bucket="gs://my-bucket", prefix=""),
        lambda: AssetExport(name="COPERNICUS/S2"),
        lambda: GeoTiffOptions(file_shape=Shape2D(300, 256)),
        lambda: TfRecordOptions(patch=Shape2D(0, 1)),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_sent(make):
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.hint


# Once.


async def test_a_start_whose_answer_is_lost_starts_once(naps):
    request = an_export()

    def handle(method, path, body):
        if path.endswith(":export"):
            first = sum(call[1].endswith(":export") for call in calls) == 1
            return None if first else refusal(409, TAKEN)
        looks = sum(call[1].endswith("/operations") for call in calls)
        old = listed(request.description, name="projects/my-project/operations/OLD", created="2001-01-01T00:00:00Z")
        other = listed("somebody else's", name="projects/my-project/operations/OTHER")
        return 200, {"operations": [other, old, *([listed(request.description)] if looks > 1 else [])]}

    async with a_service(handle, sleep=naps) as (service, calls):
        started = await service.export_image(request)
    assert started.name == NAME
    sent = [call[2]["requestId"] for call in calls if call[1].endswith(":export")]
    assert sent == [request.request_id] * 2


async def test_a_start_that_was_throttled_first_is_no_lost_answer(naps):
    answers = iter([refusal(429, "Too many"), refusal(409, TAKEN)])
    async with a_service(lambda *_: next(answers), sleep=naps) as (service, calls):
        with pytest.raises(eezarr.ServiceRefusal, match="already started") as caught:
            await service.export_image(an_export())
    assert "eezarr operations" in caught.value.hint
    assert len(calls) == 2


async def test_two_that_could_be_it_are_both_named(naps):
    request = an_export(description="twice")
    answers = iter([None, refusal(400, TAKEN)])

    def handle(method, path, body):
        twins = [listed("twice"), listed("twice", name="projects/my-project/operations/DEF")]
        return next(answers) if path.endswith(":export") else (200, {"operations": twins})

    async with a_service(handle, sleep=naps) as (service, _):
        with pytest.raises(eezarr.Unreachable, match=r"ABC.*DEF") as caught:
            await service.export_image(request)
    assert "do not start it again" in caught.value.hint


async def test_one_that_is_never_listed_is_not_started_again(naps):
    answers = iter([None, refusal(400, TAKEN)])

    def handle(method, path, body):
        return next(answers) if path.endswith(":export") else (200, {})

    async with a_service(handle, sleep=naps) as (service, calls):
        with pytest.raises(eezarr.Unreachable, match="not listed yet"):
            await service.export_image(an_export())
    assert sum(call[1].endswith(":export") for call in calls) == 2


async def test_a_full_queue_is_told_not_tried_again(naps):
    full = refusal(429, "Too many tasks already in the queue (3000). Please wait for some of them to complete.")
    async with a_service(lambda *_: full, sleep=naps) as (service, calls):
        with pytest.raises(eezarr.ServiceRefusal, match=r"POST /v1/projects/my-project/image:export"):
            await service.export_image(an_export())
    assert len(calls) == 1


async def test_a_deletion_whose_answer_is_lost_is_one(naps):
    answers = iter([None, refusal(404, "gone")])
    async with a_service(lambda *_: next(answers), sleep=naps) as (service, calls):
        await service.delete_operation("ABC")
    assert [call[0] for call in calls] == ["DELETE", "DELETE"]


# Operations.


@pytest.mark.parametrize(
    ("document", "state"),
    [
        ({"metadata": {"description": "fresh"}}, "PENDING"),
        ({}, "PENDING"),
        ({"metadata": {"state": "READY", "startTime": "1970-01-01T00:00:00Z"}}, "PENDING"),
        ({"metadata": {"state": "RUNNING", "stages": [{"totalWorkUnits": "5"}]}}, "RUNNING"),
        ({"metadata": {"state": "CANCEL_REQUESTED"}}, "CANCELLING"),
        ({"metadata": {"state": "COMPLETED"}, "done": True, "response": {}}, "SUCCEEDED"),
        ({"metadata": {"state": "RUNNING"}, "done": True, "response": {}}, "SUCCEEDED"),
        ({"metadata": {"state": "RUNNING"}, "done": True, "error": {"code": 3, "message": "bad"}}, "FAILED"),
        ({"done": True, "error": {"code": 1}}, "CANCELLED"),
    ],
)
def test_operations_as_they_come(document, state):
    assert parse_operation({"name": NAME} | document).state == state


@pytest.mark.parametrize(
    ("code", "message", "kind", "hint"),
    [
        (3, "Export too large: specified 5 pixels (max: 4). Specify higher maxPixels", eezarr.ServiceRefusal, "max_pi"),
        (3, "Exported bands must have compatible data types; found", eezarr.ServiceRefusal, "toFloat"),
        (8, "Execution failed; out of memory.", eezarr.ServiceRefusal, "parts"),
        (3, "Unable to export unbounded image.", eezarr.ServiceRefusal, "grid"),
        (13, "Internal error.", eezarr.Unreachable, "status.earthengine.app"),
        (7, "denied", eezarr.AccessDenied, "account"),
        (1, "Cancelled.", eezarr.ServiceRefusal, "again"),
        (9, "Never seen before", eezarr.ServiceRefusal, "Change"),
    ],
)
def test_failures_say_what_to_do(code, message, kind, hint):
    failed = parse_operation({"name": NAME, "done": True, "error": {"code": code, "message": message}})
    with pytest.raises(kind, match=NAME) as caught:
        failed.require_success()
    assert type(caught.value) is kind
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "unhelpful",
    [
        refusal(404, "Not Found"),
        refusal(405, "Method Not Allowed"),
        refusal(501, "Not implemented"),
        refusal(403, "Denied"),
        refusal(503, "cut by a proxy"),
        None,
        (200, {"name": NAME, "metadata": {"state": "RUNNING"}}),
    ],
    ids=["404", "405", "501", "403", "503", "hangs up", "at once"],
)
async def test_waits_grow_and_end_where_the_service_keeps_no_answer_back(naps, unhelpful):
    looks = 0

    def handle(method, path, body):
        nonlocal looks
        if path.endswith(":wait"):
            return unhelpful
        looks += 1
        return 200, {"name": NAME, "metadata": {"state": "RUNNING"}} | ({"done": True} if looks == 12 else {})

    seen = []
    async with a_service(handle, sleep=naps) as (service, calls):
        ended = await service.wait_operation("ABC", on_look=seen.append)
    assert ended.state == "SUCCEEDED"
    assert len(seen) == 12
    assert naps.taken == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    # What a kept connection's end leaves unanswered is sent once more, as it may have crossed the request.
    waits = [body for _, path, body in calls if path.endswith(":wait")]
    assert waits == [{"timeout": "0.500s"}] * (2 if unhelpful is None else 1)


async def test_waiting_for_what_is_not_there_says_so(naps):
    async with a_service(lambda *_: refusal(404, "no such operation"), sleep=naps) as (service, calls):
        with pytest.raises(eezarr.ServiceRefusal, match="no such operation"):
            await service.wait_operation("ABC")
    assert len(calls) == 1


class Patient:
    """Stands for a service and its transport: one operation, for so many seconds of the loop's time."""

    parent = "projects/my-project"

    def __init__(self, lasts_s):
        self.ends_s, self.asked = asyncio.get_running_loop().time() + lasts_s, []

    @property
    def transport(self):
        return self

    async def call_json(self, method, path, *, body=None):
        now_s = asyncio.get_running_loop().time()
        kept_s = float(json.loads(b"".join(body.parts))["timeout"][:-1]) if path.endswith(":wait") else 0.0
        self.asked.append((method, kept_s))
        await asyncio.sleep(max(0.0, min(kept_s, self.ends_s - now_s)))
        is_done = asyncio.get_running_loop().time() >= self.ends_s
        return {"name": NAME, "metadata": {"state": "RUNNING"}, "done": is_done}


def watching(lasts_s, *, max_concurrency=40):
    """A service object that watches it, and the gate that both pass."""
    gate = Gate(limit=ConcurrencyLimit(ceiling=max_concurrency), rate=RateLimit(100))
    patient, service = Patient(lasts_s), eezarr.Service(project="my-project")
    asker = Asker(gate=gate, policy=RetryPolicy(), observe=lambda _: None)
    service._link = Link(service=patient, asker=asker)
    return service, patient, gate


def test_the_service_tells_of_the_end_itself():
    async def watch():
        service, patient, _ = watching(3600.25)
        seen = []
        ended = await service.wait_operation("ABC", on_look=seen.append)
        assert ended.state == "SUCCEEDED"
        assert asyncio.get_running_loop().time() == pytest.approx(patient.ends_s, abs=0.001)
        assert [kept_s for _, kept_s in patient.asked[:8]] == [0, 0.5, 1, 2, 4, 8, 10, 10]
        assert len(seen) == len(patient.asked) < 370

    run_virtually(watch())


def test_while_others_ask_no_answer_is_kept_back():
    async def watch():
        service, patient, gate = watching(600)

        async def others():
            async with gate.slot():
                await asyncio.sleep(300)

        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        start_s = asyncio.get_running_loop().time()
        await service.wait_operation("ABC", on_look=lambda _: times.append(asyncio.get_running_loop().time() - start_s))
        assert [kept_s for _, kept_s in patient.asked if times.pop(0) < 300] == [0] * 15
        assert patient.asked[-1] == ("POST", 10)
        await task

    times = []
    run_virtually(watch())


@pytest.mark.parametrize(("max_concurrency", "most_s"), [(2, 0.1), (1, 10.1)])
def test_a_fetch_that_begins_meanwhile_starves_for_no_more_than_one_look(max_concurrency, most_s):
    async def watch():
        service, _, gate = watching(100_000, max_concurrency=max_concurrency)
        now_s = asyncio.get_running_loop().time
        waiting = asyncio.create_task(service.wait_operation("ABC"))
        await asyncio.sleep(101)
        for _ in range(200):
            start_s = now_s()
            async with gate.slot():
                waited.append(now_s() - start_s)
                await asyncio.sleep(1)
        waiting.cancel()

    waited = []
    run_virtually(watch())
    assert max(waited) <= most_s
    assert sum(wait_s > 0.1 for wait_s in waited) <= 1


@pytest.mark.parametrize("bad", ["a/b", "projects/p/operations/", "", "x?y"])
async def test_names_of_operations(client, bad):
    with pytest.raises(InvalidInput, match="no operation"):
        await client.get_operation(bad)


# Against the emulator.


async def test_a_file_lands_in_the_bucket(client, tmp_path):
    started = await client.export_image(an_export())
    ended = await client.wait_operation(started.name)
    ended.require_success()
    assert ended.type == "EXPORT_IMAGE"
    [path] = (tmp_path / "buckets").rglob("*.tif")
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), await client.pixels(IMAGE, GRID))
        assert tuple(file.transform)[:6] == (10, 0, 510_000, 0, -10, 4_190_000)


async def test_the_same_request_twice_is_one_operation(client):
    request = an_export()
    assert (await client.export_image(request)).name == (await client.export_image(request)).name
    other = an_export(request_id=request.request_id, description="another")
    with pytest.raises(eezarr.ServiceRefusal, match="already started"):
        await client.export_image(other)


async def test_an_asset_can_be_read_afterwards(client):
    target = AssetExport(name="projects/my-project/assets/exported", pyramiding="SAMPLE")
    started = await client.export_image(an_export(target=target))
    (await client.wait_operation(started.name)).require_success()
    pixels = await client.pixels(eezarr.Image.asset("projects/my-project/assets/exported"), GRID)
    np.testing.assert_array_equal(pixels, await client.pixels(IMAGE, GRID))


async def test_cancelled_and_listed(client, emulator):
    emulator.configure({"exports": {"queued_s": 3600}})
    started = [await client.export_image(an_export()) for _ in range(3)]
    await client.cancel_operation(started[1].id)
    ended = await client.wait_operation(started[1].name)
    assert ended.state == "CANCELLED"
    with pytest.raises(eezarr.ServiceRefusal, match="cancelled"):
        ended.require_success()
    listed = [operation.name async for operation in client.list_operations(page_size=2)]
    assert sorted(listed) == sorted(operation.name for operation in started)
    await client.delete_operation(started[1].name)
    assert len([operation async for operation in client.list_operations()]) == 2


async def test_the_emulator_keeps_the_answer_back_until_the_end(client, emulator):
    emulator.configure({"exports": {"queued_s": 3600}})
    started = await client.export_image(an_export())
    seen, tasks = [], []

    def on_look(operation):
        seen.append(operation.state)
        if not tasks:
            tasks.append(asyncio.create_task(client.cancel_operation(started.name)))

    ended = await client.wait_operation(started.name, on_look=on_look)
    assert (seen[0], ended.state) == ("PENDING", "CANCELLED")
    assert emulator.stats().requests["operations.wait"]["200"] >= 1
    assert emulator.stats().requests["operations.get"] == {"200": 1}
    await tasks[0]


def to_drive(prefix="scene"):
    return an_export(target=FileExport(destination=Drive(prefix=prefix, folder="exports")))


async def test_an_export_to_drive_asks_for_its_scope_and_nothing_else_does(emulator, tmp_path):
    key = emulator.write_service_account_key(tmp_path / "key.json", project="my-project")
    async with eezarr.Client(project="my-project", api_url=emulator.url, credentials=key) as client:
        await client.pixels(IMAGE, GRID)
        await client.export_image(an_export())
        assert emulator.stats().tokens_issued == 1
        started = [await client.export_image(to_drive(prefix)) for prefix in ("a", "b")]
        assert emulator.stats().tokens_issued == 2
        for operation in started:
            (await client.wait_operation(operation.name)).require_success()
        assert emulator.stats().tokens_issued == 2
        emulator.expire_tokens()
        await client.export_image(to_drive("c"))
        assert emulator.stats().tokens_issued == 3
    assert len(list((tmp_path / "buckets" / "Drive" / "exports").glob("[ab]*.tif"))) == 2


async def test_a_persons_credentials_without_the_scope_say_how_to_sign_in(emulator, tmp_path):
    file = emulator.write_user_credentials(tmp_path / "user.json", quota_project="my-project")
    async with eezarr.Client(project="my-project", api_url=emulator.url, credentials=file) as client:
        with pytest.raises(eezarr.AccessDenied, match="insufficient authentication scopes") as caught:
            await client.export_image(to_drive())
        assert (await client.export_image(an_export())).name
    assert "gcloud auth application-default login --scopes=" in caught.value.hint
    assert "https://www.googleapis.com/auth/drive" in caught.value.hint


DRIVE_JOB = f"""
project = "my-project"
[image]
asset = "{SCENE}"
bands = ["B4"]
[grid]
native = "B4"
region = [-122.2, 37.4, -122.19, 37.41]
[export]
destination = "drive"
folder = "exports"
prefix = "scene"
"""


def test_the_command_exports_to_drive_with_a_service_accounts_key(eezarr_at, emulator, tmp_path):
    key = emulator.write_service_account_key(tmp_path / "key.json", project="my-project")
    (tmp_path / "job.toml").write_text(DRIVE_JOB)
    ended = eezarr_at(emulator, "export", "job.toml", "--json", GOOGLE_APPLICATION_CREDENTIALS=key)
    assert ended.code == 0, ended.err
    assert ended.json["state"] == "SUCCEEDED"
    assert len(list((tmp_path / "buckets" / "Drive" / "exports").glob("scene*.tif"))) == 1
    told = eezarr_at(emulator, "doctor", GOOGLE_APPLICATION_CREDENTIALS=key)
    assert "scopes: cloud-platform, earthengine; drive is asked for when an export to Drive is started" in told.out


def test_the_command_says_which_sign_in_adds_drive(eezarr_at, emulator, tmp_path):
    file = emulator.write_user_credentials(tmp_path / "user.json", quota_project="my-project")
    (tmp_path / "job.toml").write_text(DRIVE_JOB)
    login = "https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/drive`"
    ended = eezarr_at(emulator, "export", "job.toml", GOOGLE_APPLICATION_CREDENTIALS=file)
    assert ended.code == 3
    assert login in "".join(ended.err.split("\n"))
    assert login in eezarr_at(emulator, "doctor", GOOGLE_APPLICATION_CREDENTIALS=file).out


async def test_a_failure_is_told(client):
    image = eezarr.Image.expression(
        {
            "result": "0",
            "values": {
                "0": {
                    "functionInvocationValue": {
                        "functionName": "Image.constant",
                        "arguments": {"value": {"constantValue": 1}},
                    }
                }
            },
        }
    )
    started = await client.export_image(an_export(expression=image.computed, grid=None))
    ended = await client.wait_operation(started.name)
    with pytest.raises(eezarr.ServiceRefusal) as caught:
        ended.require_success()
    assert "unbounded" in caught.value.message


async def test_an_error_of_the_network_says_which_call(naps):
    async with a_service(lambda *_: None, sleep=naps) as (service, _):
        for call, name in (
            (service.get_asset("A"), "assets.get A"),
            (service.compute_value({"result": "0", "values": {"0": {"constantValue": 1}}}), "value:compute"),
            (service.export_image(an_export()), "image:export"),
            (service.cancel_operation("ABC"), "operations.cancel ABC"),
        ):
            with pytest.raises(eezarr.Unreachable, match=f"^{name}: ") as caught:
                await call
            assert caught.value.hint
