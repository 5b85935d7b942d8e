"""The door to zone 3: wakes a worker up for work that SQL already records.

A wake-up may be lost at any time: the sweep in `worker.py` finds what nobody was told of.
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

log = logging.getLogger(__name__)


class JobName(StrEnum):
    """Names of jobs, as they cross from one process to another."""

    RUN_BATCH = "run_batch"


def serialize(job: dict[str, Any]) -> bytes:
    """Return a job as MessagePack. Not pickle: whoever writes to Redis could run code here."""
    return msgspec.msgpack.encode(job, enc_hook=repr)


def deserialize(data: bytes) -> dict[str, Any]:
    """Return a job from MessagePack."""
    job: dict[str, Any] = msgspec.msgpack.decode(data)
    return job


class Queue:
    """Hands over ids, never data."""

    def __init__(self, redis: Redis, service_slug: str) -> None:
        self.name = f"{service_slug}:queue"
        self.arq = ArqRedis(
            redis.connection_pool,
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=self.name,
        )

    async def wake(self, job: JobName, *ids: str | int) -> bool:
        """Tell a worker to run `job` for `ids`; return whether Redis took the message.

        The same job and ids are told once. Failure costs time, not work, so it is only logged.
        """
        job_id = ":".join([self.name, job, *map(str, ids)])
        try:
            async with asyncio.timeout(WAKE_TIMEOUT):
                await self.arq.enqueue_job(job, *ids, _job_id=job_id)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("no worker could be woken for %s: %s", job_id, repr(error))
            return False
        return True
