import asyncio
from contextlib import suppress

import pytest

from engine.process.tasks import end_tasks, run_uncut

pytestmark = pytest.mark.anyio


async def test_a_task_that_loses_its_first_cancellation_ends_all_the_same() -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end_tasks(task, patience=0.01)
    assert task.cancelled()


async def test_a_task_has_time_to_clean_up() -> None:
    cleaned = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    task = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    await end_tasks(task, patience=10)
    assert cleaned


async def test_tasks_that_ended_before_are_left_as_they_are() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await end_tasks(task)
    assert isinstance(task.exception(), ValueError)


async def test_a_clean_up_is_done_before_its_cancelled_caller_ends() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def give_back() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(run_uncut(give_back()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert done.is_set()


async def test_a_hanging_clean_up_is_cut_off_by_a_second_cancellation() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(run_uncut(hang()))
    await asyncio.sleep(0)
    await end_tasks(task, patience=0.01)
    assert task.cancelled()


async def test_a_failing_clean_up_says_so() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await run_uncut(fail())
