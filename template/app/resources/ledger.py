"""The ledger in Redis of who may hold how many slots of a model provider, over all processes.

A process reports what it holds and how many wait, and is told what it may hold until its next
report. Both are whole numbers of now, never changes of something: so a lost answer, a Redis that
was wiped and a process that was killed leave nothing to be mended. One Lua call on the server's
clock; what a silent process may hold is free again after one lease.
"""

import asyncio
import os
import socket
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from redis.asyncio import Redis

PATIENCE = 0.25
"""Longest that a report may take: a Redis that hangs must not hang the callers."""

SCRIPT = Path(__file__).with_name("slots.lua")


class Priority(StrEnum):
    """Who waits in a process: people, or batches and other jobs."""

    ONLINE = "online"
    BATCH = "batch"


@dataclass(slots=True)
class Report:
    """What a process holds and wants of the slots, and what it has heard from the provider."""

    held: int = 0
    waiting: int = 0
    answers: int = 0
    """Good answers since the last report."""
    cuts: int = 0
    """Answers since then that said "too much"."""
    pause: float = 0.0
    """Seconds for which the provider asked to be left alone."""
    batch_pause: float = 0.0
    """Seconds for which batches are to get no more slots."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process may hold until its next report, and what it should know of the others."""

    slots: int
    wanted: bool
    """Whether others wait: what is not used should be given back at once."""
    cap: int
    """How many slots there are at the moment."""
    processes: int
    pause: float
    """Seconds until the provider may be asked again."""
    used: dict[Priority, int]
    """What all processes may hold."""
    known: bool
    """Whether the ledger had this process's last report: it forgets one that is silent for a lease,
    and all when Redis is wiped."""


class Ledger:
    """One pool of slots in Redis, and one process's entry in it."""

    def __init__(self, redis: Redis, key: str, priority: Priority, lease: float) -> None:
        self._redis = redis
        self.process = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._priority = priority
        self._lease_ms = round(lease * 1000)
        # One hash tag, so that a cluster keeps them together: a script may not cross its nodes.
        self._keys = ["{" + key + "}" + part for part in (":processes", ":slots", ":news")]
        self._script = redis.register_script(SCRIPT.read_text())
        self.channel = self._keys[2]

    async def report(self, report: Report, slots: int, reserve: int) -> Allowance:
        """Return what this process may hold now of `slots`, where batches leave `reserve` free.

        Raise `RedisError`, `OSError` or `TimeoutError` while Redis is away.
        """
        mine, none = [report.held, report.waiting], [0, 0]
        online = self._priority is Priority.ONLINE
        (held, waiting), (held_batch, waiting_batch) = (mine, none) if online else (none, mine)
        counts = [held, held_batch, waiting, waiting_batch, report.answers, report.cuts]
        pauses = [round(1000 * pause) for pause in (report.pause, report.batch_pause)]
        arguments: list[str | int] = [
            self.process,
            self._lease_ms,
            slots,
            reserve,
            *counts,
            *pauses,
        ]
        async with asyncio.timeout(PATIENCE):
            answer = await self._script(keys=self._keys, args=arguments)
        may_online, may_batch, wanted, cap, processes, pause, *used, known = answer
        return Allowance(
            slots=may_online if online else may_batch,
            wanted=bool(wanted),
            cap=cap,
            processes=processes,
            pause=pause / 1000,
            used=dict(zip(Priority, used, strict=True)),
            known=bool(known),
        )

    async def sign_off(self) -> None:
        """Give everything back at once, and tell the others."""
        online, batch, waiting, wanting = (f"{kind}:{self.process}" for kind in "obvw")
        async with asyncio.timeout(PATIENCE), self._redis.pipeline() as pipeline:
            pipeline.zrem(self._keys[0], self.process)
            pipeline.hdel(self._keys[1], online, batch, waiting, wanting)
            pipeline.publish(self.channel, self.process)
            await pipeline.execute()
