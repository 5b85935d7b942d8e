"""The door to zone 3: wakes a worker up for work that SQL already records.

A wake-up may be lost at any time: each worker also looks by itself, every `sweep_seconds`.
"""

import asyncio
import logging
from enum import StrEnum
from typing import Any

import msgspec
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

WAKE_TIMEOUT = 0.25
"""Longest that a caller waits for the hand-over of work that is already safe."""

WAKE = "wake"
"""Name of arq's one function here."""

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """Kinds of work, as they cross from one process to another."""

    BATCHES = "batches"
    JOBS = "jobs"
    WEBHOOKS = "webhooks"


def serialize(job: dict[str, Any]) -> bytes:
    """Return a job as MessagePack. Not pickle: whoever writes to Redis could run code here."""
    return msgspec.msgpack.encode(job, enc_hook=repr)


def deserialize(data: bytes) -> dict[str, Any]:
    """Return a job from MessagePack."""
    job: dict[str, Any] = msgspec.msgpack.decode(data)
    return job


class Queue:
    """Hands over a call, never work: which piece is next, each worker asks SQL."""

    def __init__(self, redis: Redis, service_slug: str) -> None:
        self.name = f"{service_slug}:queue"
        self.arq = ArqRedis(
            redis.connection_pool,
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=self.name,
        )

    async def wake(self, kind: Kind) -> bool:
        """Tell a worker that there is work of this kind; return whether Redis took the message.

        Failure costs time, not work, so it is only logged.
        """
        try:
            async with asyncio.timeout(WAKE_TIMEOUT):
                await self.arq.enqueue_job(WAKE, kind)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no worker could be woken for %s: %r", kind, error)
            return False
        return True
