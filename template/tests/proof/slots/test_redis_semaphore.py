"""The slots that batches get beside online calls, report by report."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from engine.process.redis import open_redis
from engine.slots.redis_semaphore import Priority, RedisSemaphore, Report

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

SLOTS, RESERVE = 40, 2


class Processes(NamedTuple):
    """One that has online calls, and one that has batches."""

    online: RedisSemaphore
    batch: RedisSemaphore
    redis: Redis

    async def serve(self, online: int, answers: int = 0) -> None:
        """Let so many online calls be under way."""
        await self.online.report(Report(held=online, answers=answers), SLOTS, RESERVE)

    async def left(self) -> int:
        """Return what a batch gets that wants all."""
        return (await self.batch.report(Report(waiting=SLOTS), SLOTS, RESERVE)).slots


@pytest.fixture
async def processes(redis_url: str, tmp_path: Path) -> AsyncIterator[Processes]:
    async with open_redis(Settings(_env_file=None, redis_url=redis_url)) as redis:
        key = tmp_path.name
        online, batch = (RedisSemaphore(redis, key, each, 60) for each in Priority)
        yield Processes(online, batch, redis)


async def test_batches_get_what_online_calls_leave_but_for_the_reserve(
    processes: Processes,
) -> None:
    await processes.serve(10)
    assert await processes.left() == SLOTS - RESERVE - 10


async def test_a_process_is_known_until_redis_is_wiped(processes: Processes) -> None:
    async def known() -> bool:
        return (await processes.online.report(Report(held=1), SLOTS, RESERVE)).known

    assert [await known(), await known()] == [False, True]
    await processes.redis.flushall()
    assert not await known()


async def test_for_a_while_they_leave_free_what_online_calls_had(processes: Processes) -> None:
    await processes.serve(30)
    await processes.serve(10)
    assert await processes.left() == SLOTS - RESERVE - 10 - 2 * RESERVE


async def test_answers_end_that_while(processes: Processes) -> None:
    await processes.serve(30)
    await processes.serve(10, answers=200)
    assert await processes.left() == SLOTS - RESERVE - 10


async def test_without_answers_it_ends_by_itself(processes: Processes) -> None:
    await processes.serve(30)
    await processes.serve(10)
    async with asyncio.timeout(30):
        while await processes.left() < SLOTS - RESERVE - 10:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
