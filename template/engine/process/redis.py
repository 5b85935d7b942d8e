"""The Redis client, and news from other processes by Redis pub/sub.

Redis holds only data that may be lost: wake-up calls, request counts. Some news gets lost, so a
process that waits also polls.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
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

PAUSE = 0.5
"""Seconds before it is asked again."""

LISTEN = 5.0
"""Seconds after which a connection without any news is looked at."""


async def listen_for_ever(redis: Redis, channel: str, me: str, heard: Callable[[], None]) -> None:
    """Call `heard` for each message on the channel that another process than `me` sent."""
    while True:
        with suppress(*AWAY):
            async with redis.pubsub() as news:
                await news.subscribe(channel)
                while True:
                    said = await news.get_message(ignore_subscribe_messages=True, timeout=LISTEN)
                    if said and said["data"] != me.encode():
                        heard()
        await asyncio.sleep(PAUSE)
