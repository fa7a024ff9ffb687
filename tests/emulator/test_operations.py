"""The life of an operation: its states one by one, under a clock and pauses that the test decides."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from eezarr.emulator.errors import ApiError
from eezarr.emulator.exports.office import ExportOffice
from eezarr.emulator.exports.request import export_request
from eezarr.emulator.exports.turns import Turns
from eezarr.emulator.settings import EmulatorSettings, ExportSettings

pytest.importorskip("rasterio")

QUEUED, WORK, CANCELLING = 11.0, 22.0, 33.0


class Time:
    """A clock, and pauses that last until they are ended by their length."""

    def __init__(self) -> None:
        self.now = 1.6e9
        self.pauses: list[tuple[float, asyncio.Future[None]]] = []
        self.changed = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        pause = asyncio.get_running_loop().create_future()
        self.pauses.append((seconds, pause))
        self.changed.set()
        await pause

    async def until(self, *lengths: float) -> None:
        """Wait until just these pauses are going on."""
        async with asyncio.timeout(20):
            while sorted(self.lengths()) != sorted(lengths):
                self.changed.clear()
                await self.changed.wait()

    def lengths(self) -> list[float]:
        return [round(seconds, 6) for seconds, pause in self.pauses if not pause.done()]

    def end(self, length: float) -> None:
        self.now += length
        next(pause for seconds, pause in self.pauses if not pause.done() and round(seconds, 6) == length).set_result(
            None
        )


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def office(world, time):
    office = ExportOffice(world, wall_clock=time.clock, sleep=time.sleep)
    yield office
    await office.close()


def request(name: str = "one", *, request_id: str = "", priority: int = 100, **options):
    arguments = {"bandSelectors": {"constantValue": ["B1"]}}
    call = {"functionInvocationValue": {"functionName": "Image.select", "arguments": arguments}}
    tiff = {"tileSize": 16, "tileDimensions": {"width": 64, "height": 32}, **options}
    target = {"cloudStorageDestination": {"bucket": "bucket", "filenamePrefix": name}, "geoTiffOptions": tiff}
    message = {
        "expression": {"result": "0", "values": {"0": call}},
        "description": name,
        "requestId": request_id,
        "priority": priority,
        "fileExportOptions": target,
    }
    return export_request("projects/p", message)


def settings(folder, **exports) -> EmulatorSettings:
    return EmulatorSettings(export_folder=str(folder), exports=ExportSettings(**exports))


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Two files, of 64 x 32 and 64 x 16 pixels: the pauses after them are two thirds and one third of WORK.
FIRST, SECOND = round(WORK * 2 / 3, 6), round(WORK / 3, 6)
SLOW = {"queued_s": QUEUED, "per_megapixel_s": WORK / 3072 * 1e6, "cancel_s": CANCELLING}


async def test_from_pending_to_succeeded(office, time, tmp_path):
    name = office.start(request(), settings(tmp_path, **SLOW)).name
    await time.until(QUEUED)
    pending = office.get(name).info()
    assert pending["metadata"]["state"] == "PENDING"
    assert pending["metadata"]["startTime"] == "1970-01-01T00:00:00Z"
    assert {"done", "error", "response"}.isdisjoint(pending)
    assert {"progress", "stages", "attempt", "endTime", "destinationUris"}.isdisjoint(pending["metadata"])
    time.end(QUEUED)
    await time.until(FIRST)
    running = office.get(name).info()
    assert (running["metadata"]["state"], running["metadata"]["attempt"]) == ("RUNNING", 1)
    assert running["metadata"]["progress"] == pytest.approx(2 / 3)
    assert running["metadata"]["startTime"] == "2020-09-13T12:26:51Z"
    assert running["metadata"]["stages"][1]["completeWorkUnits"] == 2048
    assert files(tmp_path) == [".one0000000000-0000000000.tif.part"]
    time.end(FIRST)
    await time.until(SECOND)
    time.end(SECOND)
    done = await office.wait(name, 60)
    assert done.state == "SUCCEEDED"
    assert done.info()["metadata"]["endTime"] == "2020-09-13T12:27:13Z"
    assert files(tmp_path) == ["one0000000000-0000000000.tif", "one0000000032-0000000000.tif"]


async def test_waiting_ends_with_the_time_that_is_given(office, time, tmp_path):
    name = office.start(request(), settings(tmp_path, **SLOW)).name
    waiting = asyncio.create_task(office.wait(name, 3.5))
    await time.until(QUEUED, 3.5)
    time.end(3.5)
    assert (await waiting).state == "PENDING"


async def test_cancelled_before_it_runs(office, time, tmp_path):
    name = office.start(request(), settings(tmp_path, **SLOW)).name
    await time.until(QUEUED)
    office.cancel(name)
    assert office.get(name).info()["metadata"]["state"] == "CANCELLING"
    await time.until(CANCELLING)
    time.end(CANCELLING)
    operation = (await office.wait(name, 60)).info()
    assert (operation["metadata"]["state"], operation["done"]) == ("CANCELLED", True)
    assert operation["error"] == {"code": 1, "message": "Cancelled."}
    assert "response" not in operation


async def test_cancelled_midway_leaves_no_file(office, time, tmp_path):
    name = office.start(request(), settings(tmp_path, **(SLOW | {"queued_s": 0.0}))).name
    await time.until(FIRST)
    assert len(files(tmp_path)) == 1
    office.cancel(name)
    office.cancel(name)
    await time.until(CANCELLING)
    assert office.get(name).state == "CANCELLING"
    assert files(tmp_path) == []
    time.end(CANCELLING)
    assert (await office.wait(name, 60)).state == "CANCELLED"
    office.cancel(name)
    assert office.get(name).state == "CANCELLED"


async def test_cancelled_before_its_task_has_begun(office, tmp_path):
    name = office.start(request(), settings(tmp_path)).name
    office.cancel(name)
    assert (await office.wait(name, 60)).state == "CANCELLED"


async def test_a_few_run_and_the_rest_wait_by_priority(office, time, tmp_path):
    limits = settings(tmp_path, max_running=1, per_megapixel_s=SLOW["per_megapixel_s"])
    first = office.start(request("first"), limits).name
    await time.until(FIRST)
    low, high = (office.start(request(str(k), priority=k), limits).name for k in (5, 900))
    await asyncio.sleep(0)
    assert [office.get(name).state for name in (first, low, high)] == ["RUNNING", "PENDING", "PENDING"]
    for running in (first, high, low):
        await time.until(FIRST)
        assert [name for name in (first, low, high) if office.get(name).state == "RUNNING"] == [running]
        time.end(FIRST)
        await time.until(SECOND)
        time.end(SECOND)
        assert (await office.wait(running, 60)).state == "SUCCEEDED"


async def test_a_turn_that_nobody_waits_for_any_more_goes_to_the_next():
    turns, order, inside = Turns(), [], []

    async def work(label: str) -> None:
        async with turns.turn(100, 1):
            order.append(label)
            inside.append(label)
            assert inside == [label]
            for _ in range(3):
                await asyncio.sleep(0)
            inside.remove(label)

    async with asyncio.timeout(10):
        tasks = {label: asyncio.create_task(work(label)) for label in "abcde"}
        await asyncio.sleep(0)
        tasks["b"].cancel()
        # `a` leaves in its fourth step; `c` has the place from then on, and learns it in the next.
        for _ in range(3):
            await asyncio.sleep(0)
        assert inside == []
        tasks["c"].cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert [type(result) for result in results].count(asyncio.CancelledError) == 2
    assert order[0] == "a"
    assert order[-2:] == ["d", "e"]


async def test_the_queue_is_full_at_its_cap(office, time, tmp_path):
    limits = settings(tmp_path, queued_s=QUEUED, max_pending=2)
    names = [office.start(request(), limits).name for _ in range(2)]
    with pytest.raises(ApiError) as refused:
        office.start(request(), limits)
    assert refused.value.code == 429
    text = "Too many tasks already in the queue (2). Please wait for some of them to complete."
    assert refused.value.message == text
    office.start(replace(request(), project="projects/other"), limits)
    await time.until(QUEUED, QUEUED, QUEUED)
    office.cancel(names[0])
    office.start(request(), limits)


async def test_a_request_id_starts_one_operation(office, tmp_path):
    limits = settings(tmp_path)
    first = office.start(request(request_id="a-1"), limits)
    assert office.start(request(request_id="a-1"), limits).name == first.name
    with pytest.raises(ApiError) as refused:
        office.start(request("other", request_id="a-1"), limits)
    assert refused.value.message == "A different Operation was already started with the given request_id"
    assert office.start(request(request_id="a-2"), limits).name != first.name
    assert office.start(request(), limits).name != office.start(request(), limits).name
    assert len(office.all("projects/p")) == 4


async def test_deleted_means_forgotten_not_stopped(office, time, tmp_path):
    name = office.start(request(), settings(tmp_path, queued_s=QUEUED)).name
    waiting = asyncio.create_task(office.wait(name, 60))
    await time.until(QUEUED, 60)
    office.delete(name)
    for ask in (office.get, office.cancel, office.delete):
        with pytest.raises(ApiError) as refused:
            ask(name)
        assert refused.value.code == 404
    time.end(QUEUED)
    await waiting
    assert len(files(tmp_path)) == 2


async def test_a_world_that_breaks_is_an_internal_error(office, world, tmp_path, monkeypatch, caplog):
    def broken(self, expression):
        raise ZeroDivisionError

    monkeypatch.setattr(type(world), "evaluate", broken)
    operation = await office.wait(office.start(request(), settings(tmp_path)).name, 60)
    assert (operation.failure.code, operation.failure.message) == (13, "Internal error.")
    assert "the emulator failed on export" in caplog.text


async def test_over_http(world, time, tmp_path):
    import aiohttp

    from eezarr.emulator.server import Emulator

    start = settings(tmp_path, queued_s=QUEUED)
    async with (
        Emulator(world=world, settings=start, wall_clock=time.clock, sleep=time.sleep) as emulator,
        aiohttp.ClientSession(f"{emulator.url}/v1/") as session,
    ):

        async def ask(verb: str, path: str, body=None, **query) -> tuple[int, dict]:
            async with session.request(verb, path, json=body, params=query) as reply:
                return reply.status, await reply.json()

        bodies = [{**request(name).message} for name in "abc"]
        names = [(await ask("POST", "projects/p/image:export", body))[1]["name"] for body in bodies]
        status, page = await ask("GET", "projects/p/operations", pageSize="2")
        assert (status, [each["name"] for each in page["operations"]]) == (200, [names[2], names[1]])
        _, rest = await ask("GET", "projects/p/operations", pageToken=page["nextPageToken"], pageSize="2")
        assert [each["name"] for each in rest["operations"]] == [names[0]]
        assert "nextPageToken" not in rest
        assert (await ask("POST", f"{names[0]}:cancel", {})) == (200, {})
        _, found = await ask("GET", "projects/p/operations", filter="metadata.state = CANCELLED AND done = true")
        assert [each["name"] for each in found["operations"]] == [names[0]]
        assert (await ask("GET", names[1]))[1]["metadata"]["state"] == "PENDING"
        assert (await ask("DELETE", names[1])) == (200, {})
        status, error = await ask("GET", names[1])
        assert (status, error["error"]["message"]) == (404, f"Operation '{names[1]}' not found.")
        assert (await ask("POST", f"{names[2]}:wait", {"timeout": "soon"}))[0] == 400
        assert (await ask("POST", f"{names[2]}:cancel", {"force": True}))[0] == 400
        assert (await ask("GET", "projects/other/operations")) == (200, {})
