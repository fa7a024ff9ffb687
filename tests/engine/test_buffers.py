"""Lent memory, in virtual time: how many receive at once, and that nothing is ever lost or lent twice."""

import asyncio
import random

import pytest

from eezarr.engine.buffers import (
    ENOUGH_FULL,
    HARDLY_ANY_FULL,
    LEAST_AT_ONCE,
    PATIENCE_S,
    TICK_S,
    BufferPool,
    OwnMemory,
)
from virtual_time import run_virtually


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def taken_of(tasks):
    return sum(task.done() for task in tasks)


async def takers(pool, stack, count):
    """So many that take memory, and keep it."""
    loans = [stack.enter_context(pool.loan()) for _ in range(count)]
    tasks = [asyncio.ensure_future(loan.take()) for loan in loans]
    await settle()
    return loans, tasks


async def full(pool, stack, count):
    """So many bodies that have come whole, one after another, and wait for the store."""
    loans, tasks = await takers(pool, stack, count)
    for loan, task in zip(loans, tasks, strict=True):
        await task
        loan.on_filled()
    return loans


@pytest.fixture
def scene():
    """Run a coroutine function of a pool and a stack of loans."""
    from contextlib import ExitStack

    def run(work, **options):
        async def whole():
            with ExitStack() as stack:
                return await work(BufferPool(64, **options), stack)

        return run_virtually(whole())

    return run


def test_a_buffer_is_lent_again_warm(scene):
    async def work(pool, stack):
        with pool.loan() as first:
            buffer = await first.take()
            assert await first.take() is buffer
        with pool.loan() as second:
            assert await second.take() is buffer
        assert buffer.size == 64

    scene(work)


def test_a_few_receive_at_first_and_all_of_them_where_nothing_else_is_to_do(scene):
    async def work(pool, stack):
        _, tasks = await takers(pool, stack, 40)
        assert taken_of(tasks) == LEAST_AT_ONCE
        start_s = asyncio.get_running_loop().time()
        buffers = await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() - start_s == pytest.approx((40 - LEAST_AT_ONCE) * TICK_S)
        assert len({id(buffer) for buffer in buffers}) == 40

    scene(work)


def test_a_busy_loop_receives_no_more_at_once(scene):
    async def work(pool, stack):
        loop = asyncio.get_running_loop()

        async def be_busy():
            while True:
                await asyncio.sleep(TICK_S * 0.9)
                loop._jumping.now_s += 3 * TICK_S  # something holds the loop

        busy = asyncio.ensure_future(be_busy())
        loans, tasks = await takers(pool, stack, 20)
        await asyncio.sleep(1)
        assert taken_of(tasks) == LEAST_AT_ONCE
        loans[0].drop()
        await settle()
        assert taken_of(tasks) == LEAST_AT_ONCE + 1
        busy.cancel()
        await asyncio.gather(*tasks)

    scene(work)


def test_no_more_are_received_at_once_while_what_has_come_waits_to_be_inflated(scene):
    is_busy = True

    async def work(pool, stack):
        nonlocal is_busy
        _, tasks = await takers(pool, stack, 20)
        await asyncio.sleep(1)
        assert taken_of(tasks) == LEAST_AT_ONCE
        is_busy = False
        await asyncio.sleep(1)
        assert taken_of(tasks) == 20

    scene(work, is_busy=lambda: is_busy)


@pytest.mark.parametrize(("left", "more"), [(HARDLY_ANY_FULL, True), (HARDLY_ANY_FULL + 1, False)])
def test_no_more_are_received_at_once_where_the_store_has_enough(scene, left, more):
    async def work(pool, stack):
        await full(pool, stack, left)
        _, waiting = await takers(pool, stack, 20)
        await asyncio.sleep(1)
        assert taken_of(waiting) == (20 if more else LEAST_AT_ONCE)

    scene(work)


def test_nothing_is_received_while_enough_wait_for_the_store(scene):
    async def work(pool, stack):
        first, *_ = await full(pool, stack, ENOUGH_FULL)
        _, waiting = await takers(pool, stack, 10)
        await asyncio.sleep(PATIENCE_S - 0.1)
        assert taken_of(waiting) == 0
        first.drop()
        await settle()
        assert 1 <= taken_of(waiting) <= LEAST_AT_ONCE

    scene(work)


def test_no_more_wait_for_the_store_than_are_enough_and_those_under_way(scene):
    async def work(pool, stack):
        first, *left = await full(pool, stack, ENOUGH_FULL - 1)
        first.drop()
        loans, tasks = await takers(pool, stack, 40)
        for _ in range(40):
            for loan, task in zip(loans, tasks, strict=True):
                if task.done():
                    loan.on_filled()
            await settle()
        assert len(left) + taken_of(tasks) <= ENOUGH_FULL + LEAST_AT_ONCE

    scene(work)


def test_no_answer_waits_for_ever(scene):
    async def work(pool, stack):
        kept = await full(pool, stack, ENOUGH_FULL)
        loans, waiting = await takers(pool, stack, 10)
        await asyncio.sleep(PATIENCE_S + 0.1)
        assert taken_of(waiting) == 10
        for loan in (*kept, *loans):
            loan.drop()
        assert (pool._receiving, pool._full, sum(not turn.done() for turn in pool._waiting)) == (0, 0, 0)

    scene(work)


def test_a_slow_store_takes_the_number_back(scene):
    async def work(pool, stack):
        loans, tasks = await takers(pool, stack, 40)
        await asyncio.gather(*tasks)
        for loan in loans:
            loan.on_filled()
        _, waiting = await takers(pool, stack, 1)
        assert taken_of(waiting) == 0
        waiting[0].cancel()
        for loan in loans:
            loan.drop()
        _, after = await takers(pool, stack, 40)
        assert taken_of(after) == LEAST_AT_ONCE

    scene(work)


def test_memory_dropped_after_a_failure_is_taken_anew(scene):
    async def work(pool, stack):
        with pool.loan() as loan:
            for _ in range(3 * LEAST_AT_ONCE):
                await loan.take()
                loan.drop()
            loan.on_filled()
        _, tasks = await takers(pool, stack, LEAST_AT_ONCE)
        assert taken_of(tasks) == LEAST_AT_ONCE

    scene(work)


@pytest.mark.parametrize("seed", range(20))
def test_whoever_is_cancelled_takes_no_turn_with_him(scene, seed):
    draw = random.Random(seed)  # noqa: S311 (a schedule)

    async def work(pool, stack):
        async def one():
            with pool.loan() as loan:
                await loan.take()
                await asyncio.sleep(draw.random() / 50)
                loan.on_filled()
                await asyncio.sleep(draw.random() / 50)

        tasks = [asyncio.ensure_future(one()) for _ in range(60)]
        for task in draw.sample(tasks, 40):
            await asyncio.sleep(draw.choice([0, 0, 0.001, 0.01]))
            task.cancel()
        await asyncio.wait(tasks)
        assert (pool._receiving, pool._full, len(pool._waiting)) == (0, 0, 0)
        assert len({id(buffer) for buffer in pool._idle}) == len(pool._idle)

    scene(work)


def test_whoever_is_cancelled_in_the_moment_of_his_turn_passes_it_on(scene):
    async def work(pool, stack):
        loans, tasks = await takers(pool, stack, LEAST_AT_ONCE + 1)
        loans[0].drop()  # admits the last, who has not run since
        tasks[-1].cancel()
        await settle()
        assert tasks[-1].cancelled()
        _, after = await takers(pool, stack, 1)
        assert taken_of(after) == 1

    scene(work)


def test_own_memory_is_the_same_until_it_is_dropped():
    async def work():
        memory = OwnMemory(7)
        first = await memory.take()
        assert first.size == 7
        assert await memory.take() is first
        memory.drop()
        assert await memory.take() is not first

    run_virtually(work())
