"""Waking a worker up: the message in Redis, and no wait for a Redis that is silent."""

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine.process.queue import (
    Kind,
    NoQueue,
    RedisQueue,
    deserialize,
    serialize,
)

pytestmark = pytest.mark.anyio

LONG = 2.0
"""Much more than `WAKE_TIMEOUT`, much less than the five seconds of a socket's own time limit."""


async def queued(redis: Redis, queue: RedisQueue) -> int:
    number: int = await redis.zcard(queue.name)
    return number


async def test_a_wake_up_call_is_queued(redis: Redis, tmp_path: Path) -> None:
    queue = RedisQueue(redis, tmp_path.name)
    await queue.wake(Kind.BATCHES)
    assert await queued(redis, queue) == 1


async def test_a_taken_wake_up_call_is_reported_as_taken(redis: Redis, tmp_path: Path) -> None:
    assert await RedisQueue(redis, tmp_path.name).wake(Kind.BATCHES)


async def test_each_call_wakes_somebody(redis: Redis, tmp_path: Path) -> None:
    queue = RedisQueue(redis, tmp_path.name)
    for _ in range(3):
        await queue.wake(Kind.BATCHES)
    assert await queued(redis, queue) == 3


async def test_services_on_one_redis_have_queues_of_their_own(redis: Redis, tmp_path: Path) -> None:
    mine, other = (
        RedisQueue(redis, f"{tmp_path.name}-mine"),
        RedisQueue(redis, f"{tmp_path.name}-other"),
    )
    await mine.wake(Kind.BATCHES)
    assert await queued(redis, other) == 0


async def test_the_calls_that_wait_are_counted(redis: Redis, tmp_path: Path) -> None:
    queue = RedisQueue(redis, tmp_path.name)
    await queue.wake(Kind.BATCHES)
    assert await queue.calls() == 1


async def test_without_redis_nobody_is_woken_and_nothing_waits() -> None:
    assert not await NoQueue().wake(Kind.BATCHES)
    assert await NoQueue().calls() == 0


async def test_an_operator_hears_that_redis_is_silent(silent_redis: Redis) -> None:
    async with asyncio.timeout(2 * LONG):
        assert await RedisQueue(silent_redis, "test").calls() is None


async def test_a_silent_redis_is_not_waited_for(silent_redis: Redis) -> None:
    async with asyncio.timeout(LONG):
        assert not await RedisQueue(silent_redis, "test").wake(Kind.BATCHES)


async def test_a_lost_wake_up_call_is_one_line_of_the_log(
    silent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await RedisQueue(silent_redis, "test").wake(Kind.BATCHES)
    warned = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "batches" in warned[0]


async def test_a_call_crosses_as_it_is() -> None:
    call = {"t": 0, "f": "wake", "a": ("batches",), "k": {}, "et": 1}
    assert deserialize(serialize(call)) == {**call, "a": ["batches"]}
