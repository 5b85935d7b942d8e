"""Wake-up calls for workers, zone 3: the work itself is already recorded in SQL.

A wake-up may be lost at any time: each worker also polls, every `sweep_seconds`. So a service can
do without Redis: then no worker is woken, and workers poll more often.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from engine.process.redis import open_redis
from engine.settings import NO_REDIS, Settings

WAKE_TIMEOUT = 0.25
"""Longest that a caller waits for the hand-over of work that is already safe."""

LOOK_TIMEOUT = 2.0
"""Longest that an operator waits to hear that Redis is away."""

WAKE = "wake"
"""Name of arq's one function here."""

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """Kinds of work, as they cross from one process to another."""

    BATCHES = "batches"
    JOBS = "jobs"
    AGENTS = "agents"
    BACKGROUND_AGENTS = "background_agents"
    DOCUMENTS = "documents"
    WEBHOOKS = "webhooks"


def serialize(job: dict[str, Any]) -> bytes:
    """Return a job as MessagePack. Not pickle: a writer to Redis could run code here."""
    return msgspec.msgpack.encode(job, enc_hook=repr)


def deserialize(data: bytes) -> dict[str, Any]:
    """Return a job from MessagePack."""
    job: dict[str, Any] = msgspec.msgpack.decode(data)
    return job


class Queue(Protocol):
    """Hands over a call, never work: which piece is next, each worker asks SQL."""

    async def wake(self, kind: Kind) -> bool:
        """Tell a worker that there is work of this kind; return whether the call is on its way.

        Failure costs time, not work.
        """
        ...

    async def calls(self) -> int | None:
        """Return how many calls no worker has heard yet, None where that cannot be known."""
        ...


class NoQueue:
    """Wakes no worker: the queue of a service without Redis."""

    async def wake(self, _kind: Kind) -> bool:
        """Do nothing; return False."""
        return False

    async def calls(self) -> int | None:
        """Return 0."""
        return 0


class ReturningPipeline(Pipeline):
    """redis-py's pipeline, but one that always gives its connection back.

    redis-py keeps it where the UNWATCH after a transaction that is given up gets no answer: the
    server is frozen, or the task is cancelled. Such an UNWATCH has closed the connection.
    """

    async def reset(self) -> None:
        """Forget all commands and give the connection back."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        finally:
            self.watching = False
            await super().reset()  # type: ignore[no-untyped-call]


class WakeUps(ArqRedis):
    """arq's client, which watches keys in each transaction."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002 -- redis-py's
        """Return a pipeline that gives its connection back."""
        return ReturningPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )


class RedisQueue:
    """Wakes a worker through Redis."""

    def __init__(self, redis: Redis, service_slug: str) -> None:
        self.name = f"{service_slug}:queue"
        self.arq = WakeUps(
            redis.connection_pool,
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=self.name,
        )

    async def wake(self, kind: Kind, passed_on: int = 0) -> bool:
        """Return whether Redis took the call. A failure is only logged.

        Full workers have passed the call on so many times.
        """
        try:
            async with asyncio.timeout(WAKE_TIMEOUT):
                await self.arq.enqueue_job(WAKE, kind, *([passed_on] if passed_on else []))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no worker could be woken for %s: %r", kind, error)
            return False
        return True

    async def calls(self) -> int | None:
        """Return how many calls wait in Redis, None while it is away."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                waiting: int = await self.arq.zcard(self.name)
        except (RedisError, OSError, TimeoutError):
            return None
        return waiting


def queue_of(redis: Redis | None, service_slug: str) -> Queue:
    """Return the queue of a service with this Redis, or with none."""
    return NoQueue() if redis is None else RedisQueue(redis, service_slug)


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[Queue]:
    """Yield the queue alone, for a command that needs nothing else of Redis."""
    if settings.redis_url == NO_REDIS:
        yield NoQueue()
    else:
        async with open_redis(settings) as redis:
            yield RedisQueue(redis, settings.service_slug)
