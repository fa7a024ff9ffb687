"""Interrupts from Python: the job is cancelled and has ended, the store can be resumed, and nothing runs on unseen."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import eezarr as library
from known import environment

SMALL = "[store]\nchunk = 256\n[fetch]\ntile = [256, 256]\nmax_concurrency = 4"
GRID = 'native = "B2"\nregion = [-122.5, 37.4, -122.32, 37.55]'

FETCH = """
import asyncio, sys, threading
import eezarr

def observe(event):
    if type(event).__name__ == "TileStored":
        print("stored", flush=True)

def fetch():
    try:
        eezarr.fetch("job.toml", observe=observe)
    except KeyboardInterrupt:
        print("interrupted,", sum(thread.name == "eezarr" for thread in threading.enumerate()), "left", flush=True)
        raise

async def cell():
    fetch()
"""

WAYS = {
    "a plain script": "fetch()",
    "a loop": "asyncio.run(cell())",
    "a loop without handlers": "asyncio.new_event_loop().run_until_complete(cell())",
}


@pytest.fixture
def slow(emulator, job):
    """An emulator that takes its time, and a job of many tiles."""
    emulator.configure({"latency": {"base_s": 0.2}})
    job(grid=GRID, rest=SMALL)
    return emulator


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_fetch_has_ended_and_can_be_resumed(slow, eezarr, tmp_path, way):
    command = [sys.executable, "-W", "ignore", "-c", FETCH + WAYS[way]]
    variables = environment(EEZARR_API_URL=slow.url)
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "stored\n"
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode in {-signal.SIGINT, 130, 1}
    assert told[-1] == "interrupted, 0 left"
    assert_resumable(slow, eezarr)


def assert_resumable(slow, eezarr):
    assert slow.stats().in_flight == 0
    status = eezarr("status", "out.zarr", "--json").summary
    assert 0 < status["tiles"]["stored"] < status["tiles"]["total"]
    slow.configure({"latency": {"base_s": 0.0}})
    resumed = eezarr("fetch", "job.toml", "--api-url", slow.url, "--json", "--quiet").summary
    assert resumed["complete"] is True
    assert resumed["tiles"]["resumed"] == status["tiles"]["stored"]


HANGING = """
import asyncio
from eezarr.api.loops import run_to_end

async def work():
    try:
        print("waiting", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)
        await asyncio.Event().wait()

async def cell():
    try:
        run_to_end(work())
    except KeyboardInterrupt:
        print("left", flush=True)

asyncio.run(cell())
print("goes on", flush=True)
"""


def test_a_second_interrupt_does_not_wait_for_a_clean_up(tmp_path):
    command = [sys.executable, "-c", HANGING]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cancelled\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0].splitlines() == ["left", "goes on"]
    assert process.returncode == 0


async def test_an_interrupt_while_the_thread_starts_ends_the_work(monkeypatch):
    import asyncio
    import threading

    from eezarr.api.loops import run_to_end

    begun, ended = threading.Event(), []
    start = threading.Thread.start

    def start_and_be_interrupted(thread):
        start(thread)
        if thread.name == "eezarr":
            assert begun.wait(timeout=60)
            raise KeyboardInterrupt

    async def work():
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.current_task())

    monkeypatch.setattr(threading.Thread, "start", start_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(work())
    assert len(ended) == 1


async def test_where_a_loop_runs_what_work_returns_and_raises_comes_back():
    from eezarr.api.loops import run_to_end

    async def work(error):
        if error:
            raise error
        return 5

    before = signal.getsignal(signal.SIGINT)
    assert run_to_end(work(None)) == 5
    with pytest.raises(library.InvalidInput, match="what happened"):
        run_to_end(work(library.InvalidInput("what happened", hint="what to do")))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_with_a_loop_of_its_own_can_fetch(emulator, job, tmp_path, monkeypatch):
    import asyncio
    import threading

    monkeypatch.setenv("EEZARR_API_URL", emulator.url)
    path = job(grid='native = "B2"\nregion = [-122.4, 37.4, -122.38, 37.42]', output=tmp_path / "out.zarr")
    reports = []

    async def cell():
        reports.append(library.fetch(path))

    thread = threading.Thread(target=lambda: asyncio.run(cell()))
    thread.start()
    thread.join()
    assert reports[0].is_complete


@pytest.fixture
def kernel(tmp_path, slow):
    """A notebook's kernel, working in the test's folder."""
    pytest.importorskip("ipykernel")
    from jupyter_client.manager import start_new_kernel

    variables = environment(
        EEZARR_API_URL=slow.url, HOME=str(tmp_path), IPYTHONDIR=str(tmp_path), JUPYTER_PLATFORM_DIRS="1"
    )
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path), env=variables, startup_timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def until_printed(client, text):
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream" and text in message["content"]["text"]:
            return


@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_notebooks_cell_that_is_interrupted_has_ended(kernel, slow, eezarr, interrupts):
    manager, client = kernel
    client.execute(FETCH)
    # Else the kernel answers what comes within a tenth of a second with "aborted".
    asked = client.execute("fetch()", stop_on_error=False)
    until_printed(client, "stored")
    for _ in range(interrupts):
        manager.interrupt_kernel()
    reply = _reply(client, asked)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    # Whatever is left after a second interrupt is about to end: it has been cancelled.
    ended = client.execute("[thread.join(30) for thread in threading.enumerate() if thread.name == 'eezarr']")
    assert _reply(client, ended)["status"] == "ok"
    seen = slow.stats().pixel_requests
    assert _reply(client, client.execute("import time; time.sleep(0.5)"))["status"] == "ok"
    assert slow.stats().pixel_requests == seen
    assert_resumable(slow, eezarr)


def _reply(client, asked):
    while True:
        reply = client.get_shell_msg(timeout=60)
        if reply["parent_header"]["msg_id"] == asked:
            return reply["content"]


WITHOUT_HANDLERS = """
import asyncio, sys
from asyncio import unix_events

def add_signal_handler(*_):
    raise NotImplementedError  # as on Windows

unix_events._UnixSelectorEventLoop.add_signal_handler = add_signal_handler
unix_events._UnixSelectorEventLoop.remove_signal_handler = add_signal_handler
from eezarr.cli import main
sys.argv = ["eezarr", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the loop to patch is another one there")
def test_a_loop_without_signal_handlers_can_be_interrupted(slow, eezarr, tmp_path):
    arguments = ("fetch", "job.toml", "--api-url", slow.url, "--events", "events.jsonl")
    command = [sys.executable, "-c", WITHOUT_HANDLERS, *arguments]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        events = tmp_path / "events.jsonl"
        while not events.exists() or '"TileStored"' not in events.read_text(encoding="utf-8"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "run the same command again" in err
    assert_resumable(slow, eezarr)


@pytest.mark.skipif(sys.platform == "win32", reason="as above")
def test_a_loop_without_signal_handlers_can_serve(tmp_path):
    command = [sys.executable, "-c", WITHOUT_HANDLERS, "emulator", "--port", "0"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("http://")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
