"""How often each caller may ask, counted in Redis for all processes together.

Without Redis each process counts for itself, which is right where there is only one.
"""

import asyncio
import logging
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.25
"""Longest that a request waits for its count: a Redis that hangs must not hang the service."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What is left of a caller's minute, which is whole again at `reset` (since 1970)."""

    allowed: bool
    limit: int
    remaining: int
    reset: float


class Rates:
    """Counts calls in a sliding minute."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def hit(self, caller_id: str, limit: int) -> Rate | None:
        """Count one call and return what is left, or None while Redis is away.

        Then every call is let through: a wiped counter must not stop the service.
        """
        per_minute = RateLimitItemPerMinute(limit)
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                allowed = await self._limiter.hit(per_minute, caller_id)
                window = await self._limiter.get_window_stats(per_minute, caller_id)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("calls are not counted: %r", error)
            return None
        return Rate(allowed, limit, window.remaining, window.reset_time)


def rates_of(redis: Redis | None, service_slug: str) -> Rates:
    """Return the counts of a service with this Redis, or with none."""
    return Rates(limiter_of(redis, f"{service_slug}:rate"))


def limiter_of(redis: Redis | None, prefix: str) -> RateLimiter:
    """Return what counts in a sliding window, with this Redis under keys with `prefix`."""
    if redis is None:
        return SlidingWindowCounterRateLimiter(MemoryStorage())
    storage = RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=prefix,
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # typed for scalars only
    )
    return SlidingWindowCounterRateLimiter(storage)
