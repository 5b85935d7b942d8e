"""News from other processes by Redis pub/sub. Some get lost, so a process that waits also polls."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

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
