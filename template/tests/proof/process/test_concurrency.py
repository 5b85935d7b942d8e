"""Many calls, some at once; long loops that let requests go on."""

import asyncio

import pytest

from engine.process.concurrency import bounded_map, cooperate

pytestmark = pytest.mark.anyio


async def test_results_are_in_the_order_of_the_items() -> None:
    async def late(number: int) -> int:
        await asyncio.sleep((5 - number) / 1000)
        return number * 10

    assert await bounded_map(late, range(5), limit=3) == [0, 10, 20, 30, 40]


async def test_no_items_give_no_results() -> None:
    assert await bounded_map(asyncio.sleep, [], limit=3) == []


async def test_the_first_error_is_raised_as_it_is() -> None:
    async def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="7"):
        await bounded_map(fail, [7], limit=1)


async def test_a_cancelled_caller_cancels_the_calls() -> None:
    cancelled = []

    async def wait(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(number)

    mapping = asyncio.create_task(bounded_map(wait, range(9), limit=2))
    await asyncio.sleep(0.01)
    mapping.cancel()
    await asyncio.wait({mapping})
    assert mapping.cancelled()
    assert sorted(cancelled) == [0, 1]


async def test_a_loop_that_cooperates_lets_others_go_on() -> None:
    turns = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    items = [item async for item in cooperate(range(100), every=0.0)]
    beside.cancel()
    assert items == list(range(100))
    assert len(turns) > 10
