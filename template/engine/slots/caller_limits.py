"""Limits of one caller: its rate of calls and tokens, and its calls in flight.

Rates are token buckets, kept in Redis for all processes together. A bucket fills all the time. A
caller that has used it up waits for a call's share of a minute, not for the minute's end. Without
Redis each process counts for itself, which is right where there is only one.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cachetools import TTLCache
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.25
"""Longest that a request waits for its count: a Redis that hangs must not hang the service."""

MINUTE = 60.0
MOST_BUCKETS = 100_000
SCRIPT = Path(__file__).with_name("rates.lua").read_text()


@dataclass(frozen=True, slots=True)
class Cost:
    """The amount that one call takes of a caller's allowance, which is `limit` a minute."""

    kind: str
    limit: int
    taken: int = 1

    @property
    def charged(self) -> int:
        """The amount that is taken: all of the allowance at most."""
        return min(self.taken, self.limit)


@dataclass(frozen=True, slots=True)
class Rate:
    """The remainder of an allowance, which is whole again in `reset` seconds.

    A call that is refused may come in `wait` seconds; else that is 0.
    """

    kind: str
    limit: int
    reset: float
    wait: float

    @property
    def remaining(self) -> int:
        """The remainder, rounded down."""
        return math.floor((MINUTE - self.reset) * self.limit / MINUTE + 1e-3)


class Rates:
    """Takes the costs of calls from their callers' buckets."""

    def __init__(self, redis: Redis | None, service_slug: str) -> None:
        self._take = redis.register_script(SCRIPT) if redis else None
        self._slug = service_slug
        self._full: TTLCache[str, float] = TTLCache(MOST_BUCKETS, MINUTE)

    async def hit(self, caller_id: str, costs: Sequence[Cost]) -> list[Rate] | None:
        """Take all costs or, where one is too much, none; return the remainder of each allowance.

        Return None while Redis is away. Then every call is let through: a wiped counter must not
        stop the service.
        """
        tag = "{" + f"{self._slug}:rate:{caller_id}" + "}"  # a cluster's hash tag
        keys = [f"{tag}:{cost.kind}" for cost in costs]
        if self._take is None:
            return self._take_here(keys, costs)
        arguments = [number for cost in costs for number in (cost.limit, cost.charged)]
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                found = await self._take(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("calls are not counted: %r", error)
            return None
        times = zip(costs, found[::2], found[1::2], strict=True)
        return [Rate(c.kind, c.limit, reset / 1e6, wait / 1e6) for c, reset, wait in times]

    def _take_here(self, keys: Sequence[str], costs: Sequence[Cost]) -> list[Rate]:
        now = time.monotonic()
        full = [max(0.0, self._full.get(key, now) - now) for key in keys]
        flowing = [cost.charged * MINUTE / cost.limit for cost in costs]
        taken = [before + more for before, more in zip(full, flowing, strict=True)]
        waits = [max(0.0, after - MINUTE) for after in taken]
        if max(waits) < 1e-6:
            full, waits = taken, [0.0] * len(costs)
            self._full.update((key, now + after) for key, after in zip(keys, taken, strict=True))
        times = zip(costs, full, waits, strict=True)
        return [Rate(cost.kind, cost.limit, reset, wait) for cost, reset, wait in times]


class Calls:
    """Counts them. Callers without any cost nothing."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()

    def begin(self, caller_id: str, limit: int) -> bool:
        """Count one more and return True, or return False where there are `limit` already."""
        if self._in_flight[caller_id] >= limit:
            return False
        self._in_flight[caller_id] += 1
        return True

    def end(self, caller_id: str) -> None:
        """Count one less."""
        self._in_flight[caller_id] -= 1
        if not self._in_flight[caller_id]:
            del self._in_flight[caller_id]

    def __len__(self) -> int:
        return self._in_flight.total()
