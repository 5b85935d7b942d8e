"""The deadline of a call: the time that is left, and the work that is not bound by it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine import deadline
from engine.errors import DeadlineExceeded
from engine.process.cache import Cache
from engine.process.tasks import open_background

pytestmark = pytest.mark.anyio


@pytest.fixture
async def out_of_time() -> AsyncIterator[None]:
    """A request whose time is out."""
    deadline.ends_at.set(asyncio.get_running_loop().time() - 1)
    yield
    deadline.ends_at.set(None)


async def what_is_left() -> float | None:
    return deadline.remaining()


async def test_without_a_deadline_nothing_is_said_of_what_is_left() -> None:
    assert deadline.remaining() is None
    assert not deadline.passed()


async def test_of_two_deadlines_the_earlier_counts() -> None:
    async def shortened() -> list[float]:
        return [deadline.shorten(1000), deadline.shorten(10), deadline.shorten(1000)]

    first, second, third = await asyncio.create_task(shortened())
    assert third == second < first


async def test_a_tasks_deadline_is_not_that_of_who_started_it() -> None:
    async def shortened() -> None:
        deadline.shorten(1)

    await asyncio.create_task(shortened())
    assert deadline.remaining() is None


@pytest.mark.usefixtures("out_of_time")
async def test_where_nothing_is_left_that_is_an_error() -> None:
    with pytest.raises(DeadlineExceeded):
        deadline.remaining()
    assert deadline.passed()


async def test_a_call_beyond_the_deadline_is_cancelled() -> None:
    with pytest.raises(DeadlineExceeded):
        async with deadline.limit(asyncio.get_running_loop().time() + 0.01):
            await asyncio.Event().wait()


async def test_anothers_timeout_is_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with deadline.limit(None), asyncio.timeout(0.01):
            await asyncio.Event().wait()


@pytest.mark.usefixtures("out_of_time")
async def test_background_work_is_not_bound_by_the_requests_deadline() -> None:
    left: list[float | None] = []

    async def work() -> None:
        left.append(deadline.remaining())

    async with open_background(limit=1, grace=10) as background:
        background.spawn(work)
    assert left == [None]


@pytest.mark.usefixtures("out_of_time")
async def test_a_shared_load_is_not_bound_by_the_deadline_of_the_first_waiter() -> None:
    cache: Cache[str, float | None] = Cache(1, 60)
    assert await cache.get("key", what_is_left) is None
