"""A signal at the worst moment: the job has just ended, and its last marks are about to be written."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from eezarr.engine import ThreadedKeeper


class SlowSink:
    def __init__(self):
        self.flushes, self.is_free = 0, threading.Event()

    def write(self, tile, pixels):
        raise AssertionError

    def flush(self):
        assert self.is_free.wait(30)
        self.flushes += 1


async def test_the_last_flush_is_made_though_no_thread_had_taken_it_up_when_the_signal_came():
    sink = SlowSink()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as busy:
        loop.set_default_executor(busy)
        blocked = loop.run_in_executor(None, sink.is_free.wait)

        async def job():
            async with ThreadedKeeper.over(sink, threads=1):
                pass

        running = asyncio.create_task(job())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        sink.is_free.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        await blocked
    assert sink.flushes == 1
