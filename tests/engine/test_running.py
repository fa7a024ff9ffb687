"""The engine with scripted sources and keepers: what is kept, what is reported, what is held."""

import asyncio
import os
import sys
import threading

import numpy as np
import pytest
from affine import Affine

from eezarr.engine.asking import Asker
from eezarr.engine.buffers import OwnMemory
from eezarr.engine.gate import Gate
from eezarr.engine.reading import TileReader
from eezarr.engine.running import ThreadedKeeper, run_tiles
from eezarr.errors import AccessDenied, ServiceRefusal, StoreError, TooHeavy, Unreachable
from eezarr.events import TileFailed, TileStored
from eezarr.grid import PixelGrid, Shape2D
from eezarr.limit import ConcurrencyLimit, RateLimit
from eezarr.plan import GET_PIXELS_LIMITS, Band, Budget, LayoutRequest, make_plan, record_dtype
from eezarr.retry import RetryPolicy
from virtual_time import run_virtually

PLAN = make_plan(
    image_key="x",
    grid=PixelGrid(crs="EPSG:32610", transform=Affine(10, 0, 0, 0, -10, 0), width=70, height=50),
    bands=(Band("a", "uint16"), Band("b", "float32")),
    limits=GET_PIXELS_LIMITS,
    layout=LayoutRequest(chunk=16),
    budget=Budget(),
    tile=Shape2D(16, 16),
)


def truth(tile):
    rows, cols = np.mgrid[tile.window.rows, tile.window.cols]
    pixels = np.zeros(rows.shape, record_dtype(tile.bands))
    for name, values in {"a": rows * 100 + cols, "b": cols / 7}.items():
        if name in pixels.dtype.names:
            pixels[name] = values
    return pixels


class ScriptedSource:
    """Answers with the truth after a second, unless told to fail."""

    def __init__(self, failing=None):
        self.failing = failing or {}
        self.asked = []
        self.out = self.most_out = 0

    async def read(self, tile, memory):
        self.asked.append(tile.index)
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await asyncio.sleep(1 + tile.index / 1000)
        finally:
            self.out -= 1
        if tile.index in self.failing:
            raise self.failing[tile.index]
        body = truth(tile).view(np.uint8).ravel()
        buffer = await memory.take()
        buffer[: body.size] = body
        return buffer[: body.size].view(record_dtype(tile.bands)).reshape(tile.window.height, tile.window.width)


class MemoryKeeper:
    def __init__(self, error=None, wait_s=0.0):
        self.kept = {}
        self.error = error
        self.wait_s = wait_s

    async def keep(self, tile, pixels):
        await asyncio.sleep(self.wait_s)
        if self.error:
            raise self.error
        assert tile.index not in self.kept
        self.kept[tile.index] = pixels.copy()


def reader_of(source, *, limit, attempts=3, observe=lambda _: None):
    gate = Gate(limit=ConcurrencyLimit(ceiling=limit, start=limit), rate=RateLimit(10_000))
    asker = Asker(gate=gate, policy=RetryPolicy(attempts=attempts), observe=lambda _: None)
    return TileReader(
        source=source,
        asker=asker,
        unit=PLAN.layout.chunk,
        body_bytes=lambda part: part.window.shape.size * record_dtype(part.bands).itemsize,
        observe=observe,
    )


def run(source, keeper, *, tiles=None, workers=6, limit=4, events=None, successes=0, attempts=3):
    async def scene():
        observe = (lambda _: None) if events is None else events.append
        return await run_tiles(
            PLAN if tiles is None else tiles,
            reader=reader_of(source, limit=limit, attempts=attempts, observe=observe),
            keeper=keeper,
            workers=workers,
            buffer_bytes=PLAN.tile_bytes,
            observe=observe,
            successes=successes,
        )

    return run_virtually(scene())


def test_every_tile_is_asked_once_and_kept_exactly():
    source, keeper = ScriptedSource(), MemoryKeeper()
    assert run(source, keeper) == []
    assert sorted(source.asked) == list(range(PLAN.tile_count))
    for tile in PLAN:
        np.testing.assert_array_equal(keeper.kept[tile.index], truth(tile))


def test_no_more_are_out_than_the_gate_admits():
    source = ScriptedSource()
    run(source, MemoryKeeper(), workers=12, limit=4)
    assert source.most_out == 4


def test_an_attempt_that_fails_gives_its_memory_back_before_it_waits():
    class CutOnce(ScriptedSource):
        async def read(self, tile, memory):
            await memory.take()
            if self.asked.count(tile.index) == 0:
                self.asked.append(tile.index)
                raise Unreachable("Cut short.", hint="-")
            return await super().read(tile, memory)

    class Watched(OwnMemory):
        dropped = 0

        def drop(self):
            self.dropped += 1
            super().drop()

    memory, tile = Watched(PLAN.tile_bytes), PLAN.tile(0)
    had = run_virtually(in_scene(lambda: reader_of(CutOnce(), limit=4).read(tile, memory)))
    np.testing.assert_array_equal(had.pixels, truth(tile))
    assert memory.dropped == 1


def test_nothing_is_asked_once_a_failure_has_ended_the_job():
    source = ScriptedSource(failing={0: AccessDenied("No.", hint="-")})
    with pytest.raises(AccessDenied):
        run(source, MemoryKeeper(), workers=12, limit=3)
    assert source.asked == [0, 1, 2]


async def in_scene(work):
    return await work()


def test_a_slow_store_stops_the_asking():
    source, keeper = ScriptedSource(), MemoryKeeper(wait_s=1e6)
    seen = []

    async def scene():
        job = asyncio.create_task(
            run_tiles(
                PLAN,
                reader=reader_of(source, limit=40),
                keeper=keeper,
                workers=5,
                buffer_bytes=PLAN.tile_bytes,
                observe=lambda _: None,
            )
        )
        await asyncio.sleep(1000)
        seen.append(len(source.asked))
        job.cancel()
        await asyncio.wait([job])

    run_virtually(scene())
    assert seen == [5]


def test_one_poison_tile_is_reported_and_the_others_go_on():
    events = []
    source = ScriptedSource({7: ServiceRefusal("Bad place.", hint="-"), 9: Unreachable("Reset.", hint="-")})
    keeper = MemoryKeeper()
    failures = run(source, keeper, events=events)
    assert [(failure.tile.index, failure.error.message) for failure in failures] == [(7, "Bad place."), (9, "Reset.")]
    assert source.asked.count(7) == 1
    assert source.asked.count(9) == 3
    assert sorted(keeper.kept) == [index for index in range(PLAN.tile_count) if index not in (7, 9)]
    told = {event.tile: event for event in events if isinstance(event, TileFailed)}
    assert told[9].attempts == 3
    assert "rows 16-32, columns 32-48" in told[7].where


def test_a_refusal_before_any_success_is_every_tiles_and_stops_the_job():
    source = ScriptedSource({tile.index: ServiceRefusal("No such band.", hint="-") for tile in PLAN})
    with pytest.raises(ServiceRefusal, match="No such band"):
        run(source, MemoryKeeper(), limit=4)
    assert len(source.asked) <= 5


def test_a_refusal_of_the_only_tile_left_is_that_tiles():
    source = ScriptedSource({3: ServiceRefusal("Bad place.", hint="-")})
    failures = run(source, MemoryKeeper(), tiles=[PLAN.tile(3)], successes=19)
    assert [failure.tile.index for failure in failures] == [3]


def test_refused_credentials_stop_the_job_at_once():
    source = ScriptedSource({12: AccessDenied("Revoked.", hint="-")})
    with pytest.raises(AccessDenied):
        run(source, MemoryKeeper())
    assert len(source.asked) < PLAN.tile_count


def denied(scope):
    return AccessDenied("No access.", hint="-", scope=scope)


@pytest.mark.parametrize("scope", ["request", "project"])
def test_one_tile_that_is_denied_after_others_came_is_that_tiles(scope):
    keeper = MemoryKeeper()
    failures = run(ScriptedSource({12: denied(scope)}), keeper)
    assert [failure.tile.index for failure in failures] == [12]
    assert len(keeper.kept) == PLAN.tile_count - 1


def test_one_tile_that_is_denied_before_any_came_is_every_tiles():
    with pytest.raises(AccessDenied):
        run(ScriptedSource({0: denied("request")}), MemoryKeeper())


def test_the_first_tile_of_a_run_that_is_denied_is_that_tiles_where_an_earlier_run_had_others():
    keeper = MemoryKeeper()
    failures = run(ScriptedSource({0: denied("request")}), keeper, successes=3)
    assert [failure.tile.index for failure in failures] == [0]
    assert len(keeper.kept) == PLAN.tile_count - 1


def test_a_denied_account_is_every_tiles_whatever_came_before():
    with pytest.raises(AccessDenied):
        run(ScriptedSource({12: denied("account")}), MemoryKeeper(), successes=3)


class Forgetful(ScriptedSource):
    """From one tile on everything is refused, what came before, too."""

    def __init__(self, error, *, after):
        super().__init__()
        self.error, self.after = error, after

    async def read(self, tile, memory):
        if self.after in self.asked:
            self.asked.append(tile.index)
            raise self.error
        return await super().read(tile, memory)


@pytest.mark.parametrize("error", [denied("project"), denied("request"), ServiceRefusal("It is gone.", hint="-")])
def test_what_is_refused_for_a_tile_that_came_before_is_every_tiles(error):
    source = Forgetful(error, after=8)
    with pytest.raises(type(error)):
        run(source, MemoryKeeper(), workers=1, limit=1)
    assert source.asked[-4:] == [9, 10, 11, 0] or source.asked[-4:] == [9, 10, 11, 8]


@pytest.mark.parametrize("error", [denied("request"), ServiceRefusal("No such image.", hint="-")])
def test_many_tiles_in_a_row_that_are_refused_are_those_tiles_where_others_still_come(error):
    keeper = MemoryKeeper()
    failures = run(ScriptedSource(dict.fromkeys(range(5, 17), error)), keeper, workers=1, limit=1)
    assert [failure.tile.index for failure in failures] == list(range(5, 17))
    assert len(keeper.kept) == PLAN.tile_count - 12


def test_where_only_refused_tiles_are_left_to_resume_each_is_named():
    tiles = [PLAN.tile(index) for index in range(5, 17)]
    failing = {tile.index: denied("request") for tile in tiles}
    failures = run(ScriptedSource(failing), MemoryKeeper(), tiles=tiles, successes=8)
    assert len(failures) == 12


def test_an_expression_that_is_too_costly_for_any_tile_ends_the_job_after_a_few():
    source = ScriptedSource({tile.index: TooHeavy("User memory limit exceeded.", hint="-") for tile in PLAN})
    with pytest.raises(TooHeavy, match=r"Even 16 x \d+ pixels of 1 band are too much .*User memory limit") as caught:
        run(source, MemoryKeeper())
    assert "Simplify the expression" in caught.value.hint
    assert len(set(source.asked)) <= 5 + 4


def test_a_tile_that_is_too_costly_is_that_tiles_where_others_come():
    keeper = MemoryKeeper()
    source = ScriptedSource({3: TooHeavy("User memory limit exceeded.", hint="-")})
    failures = run(source, keeper)
    assert [failure.tile.index for failure in failures] == [3]
    assert len(keeper.kept) == PLAN.tile_count - 1
    assert source.asked.count(3) == 2  # with both bands, and with one of them
    assert len(source.asked) <= PLAN.tile_count + 5  # all others as before, but those that were asked for meanwhile


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread"), OSError(12, "No memory")])
def test_a_machine_without_memory_or_threads_ends_the_job_in_one_line(error):
    with pytest.raises(StoreError, match=r"no (memory|threads) left") as caught:
        run(ScriptedSource({4: error}), MemoryKeeper())
    assert "max_concurrency" in caught.value.hint
    assert caught.value.exit_code == 5


def test_a_full_disk_stops_the_job_at_once():
    source = ScriptedSource()
    with pytest.raises(StoreError, match="full"):
        run(source, MemoryKeeper(StoreError("The disk is full.", hint="-")))
    assert len(source.asked) <= 10


def test_every_stored_tile_is_told_with_its_size():
    events = []
    run(ScriptedSource(), MemoryKeeper(), events=events)
    stored = [event for event in events if isinstance(event, TileStored)]
    assert sum(event.pixel_bytes for event in stored) == 70 * 50 * 6
    assert all(event.seconds >= 1 for event in stored)


class RecordingSink:
    def __init__(self, error=None):
        self.calls = []
        self.threads = set()
        self.error = error

    def write(self, tile, pixels):
        self.threads.add(threading.get_ident())
        if self.error:
            raise self.error
        self.calls.append(("write", tile.index))

    def flush(self):
        self.calls.append(("flush", None))


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
async def test_writers_stand_back_for_the_loop_and_for_nobody_else():
    priorities = []

    class NotingSink(RecordingSink):
        def write(self, tile, pixels):
            priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    own = os.getpriority(os.PRIO_PROCESS, 0)
    async with ThreadedKeeper.over(NotingSink(), threads=1) as keeper:
        await keeper.keep(PLAN.tile(0), truth(PLAN.tile(0)))
    assert priorities == [min(own + 5, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


async def test_a_sink_is_written_off_the_loop_and_flushed_last():
    sink = RecordingSink()
    async with ThreadedKeeper.over(sink, threads=2) as keeper:
        for tile in PLAN:
            await keeper.keep(tile, truth(tile))
    assert threading.get_ident() not in sink.threads
    assert sink.calls[-1] == ("flush", None)
    assert sum(kind == "write" for kind, _ in sink.calls) == PLAN.tile_count


async def test_a_sink_is_flushed_when_the_job_fails():
    sink = RecordingSink()
    with pytest.raises(ServiceRefusal):
        async with ThreadedKeeper.over(sink, threads=1) as keeper:
            await keeper.keep(PLAN.tile(0), truth(PLAN.tile(0)))
            raise ServiceRefusal("x", hint="y")
    assert sink.calls == [("write", 0), ("flush", None)]


async def test_a_sinks_error_arrives_as_itself():
    with pytest.raises(StoreError, match="full"):
        async with ThreadedKeeper.over(RecordingSink(StoreError("full", hint="-")), threads=1) as keeper:
            await keeper.keep(PLAN.tile(0), truth(PLAN.tile(0)))


async def test_a_store_that_refuses_for_a_moment_is_tried_again():
    class Moody(RecordingSink):
        refusals = 3

        def write(self, tile, pixels):
            if self.refusals:
                self.refusals -= 1
                raise StoreError("Timed out.", hint="-", is_transient=True)
            super().write(tile, pixels)

    sink, waits = Moody(), []
    async with ThreadedKeeper.over(sink, threads=1) as keeper:
        keeper.sleep = waits.append
        await keeper.keep(PLAN.tile(0), truth(PLAN.tile(0)))
    assert len(waits) == 3
    assert sink.calls == [("write", 0), ("flush", None)]


@pytest.mark.parametrize(("is_transient", "waits"), [(True, 4), (False, 0)])
async def test_a_store_that_goes_on_refusing_ends_the_job(is_transient, waits):
    sink, waited = RecordingSink(StoreError("No space left.", hint="-", is_transient=is_transient)), []
    with pytest.raises(StoreError, match="No space"):
        async with ThreadedKeeper.over(sink, threads=1) as keeper:
            keeper.sleep = waited.append
            await keeper.keep(PLAN.tile(0), truth(PLAN.tile(0)))
    assert len(waited) == waits


async def test_a_cancelled_keeper_waits_for_the_write_that_reads_its_buffer():
    entered, leave = threading.Event(), threading.Event()

    class SlowSink(RecordingSink):
        def write(self, tile, pixels):
            entered.set()
            assert leave.wait(30)
            super().write(tile, pixels)

    sink = SlowSink()
    async with ThreadedKeeper.over(sink, threads=1) as keeper:
        keeping = asyncio.create_task(keeper.keep(PLAN.tile(0), truth(PLAN.tile(0))))
        await asyncio.to_thread(entered.wait, 30)
        for _ in range(3):  # impatient
            keeping.cancel()
            await asyncio.wait([keeping], timeout=0)
        assert not keeping.done()
        leave.set()
        await asyncio.wait([keeping])
    assert sink.calls == [("write", 0), ("flush", None)]
