"""The Redis side of the distributed semaphore: how many slots each process may hold.

A process reports its slots in use and its waiters, and gets the number of slots that it may hold
until its next report. Both are whole numbers of now, never changes of something: so a lost answer,
a Redis that was wiped and a process that was killed leave nothing to be mended. A report is one Lua
call on the server's clock. The slots of a silent process are free again after one lease.

With the slots go the pauses: models of a provider that get no calls for a while, and the reason.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from engine.errors import ModelRateLimited

MOST = 100
"""Pauses of a provider that are known at once. Callers may name any model, so there is a bound."""


class Reason(StrEnum):
    """The reason of a pause."""

    ASKED = "pause"
    """Its provider asked for it. All processes obey."""
    CIRCUIT = "circuit"
    """The circuit breaker of a process has opened. That process obeys, the rest only know."""


class Pause(NamedTuple):
    """A model that gets no calls for a while."""

    reason: Reason
    model: str


class Pauses:
    """The pauses of one provider, as far as this process knows them."""

    def __init__(self) -> None:
        self._until: dict[Pause, float] = {}
        self._lifted = asyncio.Event()

    def all(self) -> dict[Pause, float]:
        """Return the seconds that are left of each pause."""
        now = self._now()
        return {pause: until - now for pause, until in self._until.items() if until > now}

    def left(self, model: str) -> float:
        """Return the seconds for which the provider wants no call of this model, 0 for none."""
        until = self._until.get(Pause(Reason.ASKED, model))
        return 0.0 if until is None else max(0.0, until - self._now())

    def begin(self, pause: Pause, seconds: float) -> None:
        """Know of one more. Of more than `MOST`, the one that ends first is forgotten."""
        pauses = self.all()
        pauses[pause] = max(seconds, pauses.get(pause, 0.0))
        if len(pauses) > MOST:
            del pauses[min(pauses, key=pauses.__getitem__)]
        self.follow(pauses)

    def follow(self, pauses: Mapping[Pause, float]) -> None:
        """Replace all pauses by these, given the seconds that are left of each."""
        lifted, now = self._until.keys() - pauses.keys(), self._now()
        self._until = {pause: now + seconds for pause, seconds in pauses.items()}
        if lifted:
            self._lifted.set()
            self._lifted.clear()

    async def outlast(self, model: str, longest: float) -> None:
        """Wait until the model's pause is over or lifted.

        Raise `ModelRateLimited` where more than `longest` seconds of it are left.
        """
        while seconds := self.left(model):
            if seconds > longest:
                message = "The model server asked for a pause of this model."
                raise ModelRateLimited(message, retry_after=seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._lifted.wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


PATIENCE = 0.25
"""Longest that a report may take: a Redis that hangs must not hang the callers."""

SCRIPT = Path(__file__).with_name("slots.lua")


class Priority(StrEnum):
    """The waiters of a process: people, or batches and other jobs."""

    ONLINE = "online"
    BATCH = "batch"


@dataclass(slots=True)
class Report:
    """The slots that a process holds and wants, and its news from the provider."""

    held: int = 0
    waiting: int = 0
    answers: int = 0
    """Good answers since the last report."""
    cuts: int = 0
    """Answers since then that said "too much"."""
    pauses: dict[Pause, float] = field(default_factory=dict)
    """Seconds for which models are to be paused."""
    batch_pause: float = 0.0
    """Seconds for which batches are to get no more slots."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The slots that a process may hold until its next report, and the state of the pool."""

    slots: int
    wanted: bool
    """Whether other processes wait: unused slots should be given back at once."""
    cap: int
    """How many slots there are at the moment."""
    processes: int
    pauses: dict[Pause, float]
    """Seconds that are left of all pauses."""
    used: dict[Priority, int]
    """Slots that all processes together may hold."""
    known: bool
    """Whether Redis had this process's last report. It forgets a process that is silent for a
    lease, and all processes when it is wiped."""


@dataclass(frozen=True, slots=True)
class State:
    """An operator's view of a pool."""

    cap: int | None
    """How many slots there are at the moment, None where no process has one."""
    used: dict[Priority, int]
    pauses: dict[Pause, float]


class RedisSemaphore:
    """One pool of slots in Redis, and one process's entry in it."""

    def __init__(self, redis: Redis, key: str, priority: Priority, lease: float) -> None:
        self._redis = redis
        self.process = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._priority = priority
        self._lease_ms = round(lease * 1000)
        # One hash tag, so that a cluster keeps them together: a script may not cross its nodes.
        parts = ("processes", "slots", "news", "pauses")
        self._keys = ["{" + key + "}:" + part for part in parts]
        self._script = redis.register_script(SCRIPT.read_text())
        self.channel = self._keys[2]

    async def report(self, report: Report, slots: int, reserve: int) -> Allowance:
        """Return this process's allowance out of `slots`, of which batches leave `reserve` free.

        Raise `RedisError`, `OSError` or `TimeoutError` while Redis is away.
        """
        mine, none = [report.held, report.waiting], [0, 0]
        online = self._priority is Priority.ONLINE
        (held, waiting), (held_batch, waiting_batch) = (mine, none) if online else (none, mine)
        counts = [held, held_batch, waiting, waiting_batch, report.answers, report.cuts]
        pauses = [(":".join(pause), _ms(left)) for pause, left in report.pauses.items()]
        arguments: list[str | int] = [
            self.process,
            self._lease_ms,
            slots,
            reserve,
            *counts,
            _ms(report.batch_pause),
            MOST,
            *(word for pause in pauses for word in pause),
        ]
        async with asyncio.timeout(PATIENCE):
            answer = await self._script(keys=self._keys, args=arguments)
        may_online, may_batch, wanted, cap, processes, *used, known, now, ends = answer
        return Allowance(
            slots=may_online if online else may_batch,
            wanted=bool(wanted),
            cap=cap,
            processes=processes,
            pauses=_left(zip(ends[::2], ends[1::2], strict=True), now),
            used=dict(zip(Priority, used, strict=True)),
            known=bool(known),
        )

    async def look(self) -> State:
        """Return the slots of all processes and the pauses of models."""
        seconds, microseconds = await self._redis.time()
        now = 1000 * seconds + microseconds // 1000
        async with self._redis.pipeline() as pipeline:
            pipeline.zrangebyscore(self._keys[0], now, "inf")
            pipeline.hgetall(self._keys[1])
            pipeline.zrangebyscore(self._keys[3], now, "inf", withscores=True)
            processes, fields, ends = await pipeline.execute()
        cap = fields.get(b"cap")
        held = {
            priority: sum(int(fields.get(kind + process, 0)) for process in processes)
            for priority, kind in zip(Priority, (b"o:", b"b:"), strict=True)
        }
        return State(None if cap is None else int(float(cap)), held, _left(ends, now))

    async def resume(self, model: str | None = None) -> list[str]:
        """Lift the pauses of this model, or of all, and return the models."""
        asked = [pause for pause in (await self.look()).pauses if pause.reason is Reason.ASKED]
        lifted = [pause for pause in asked if model in (None, pause.model)]
        if lifted:
            await self._redis.zrem(self._keys[3], *map(":".join, lifted))
            await self._redis.publish(self.channel, "resume")
        return [pause.model for pause in lifted]

    async def sign_off(self) -> None:
        """Give everything back at once, and tell the other processes."""
        online, batch, waiting, wanting = (f"{kind}:{self.process}" for kind in "obvw")
        async with asyncio.timeout(PATIENCE), self._redis.pipeline() as pipeline:
            pipeline.zrem(self._keys[0], self.process)
            pipeline.hdel(self._keys[1], online, batch, waiting, wanting)
            pipeline.publish(self.channel, self.process)
            await pipeline.execute()


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _left(ends: Iterable[tuple[bytes, float | bytes]], now: int) -> dict[Pause, float]:
    """Return the seconds until each of these ends, which are in ms."""
    left = {}
    for name, end in ends:
        reason, _, model = name.decode().partition(":")
        left[Pause(Reason(reason), model)] = (float(end) - now) / 1000
    return left
