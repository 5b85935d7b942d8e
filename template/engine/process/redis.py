"""A client of Redis with time-outs. Redis holds only data that may be lost: wake-ups, counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from engine.errors import OpenError
from engine.settings import Settings


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Yield a client with time-outs. It connects at its first call: Redis may come later.

    redis-py has no time-outs by itself: against a frozen server a call would hang for ever, and
    with it the request that made it.
    """
    try:
        pool = ConnectionPool.from_url(
            settings.broker_url,
            socket_timeout=5,
            socket_connect_timeout=1,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=2),
            retry_on_error=[RedisConnectionError],
        )
        pool.connection_class(**pool.connection_kwargs)  # unconnected, it checks the parameters
    except (TypeError, ValueError, RedisError) as error:
        raise OpenError(f"REDIS_URL has a parameter that is not known here: {error}") from error
    redis = Redis(connection_pool=pool)
    try:
        yield redis
    finally:
        await redis.aclose()  # within CLOSE_TIMEOUT
        await pool.disconnect()


AWAY: Final = (RedisError, OSError, TimeoutError)
"""Errors of a call while Redis is away."""
