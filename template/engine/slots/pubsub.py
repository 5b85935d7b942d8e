"""News from other processes, through Redis. Some get lost: whoever waits for them also looks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

AWAY: Final = (RedisError, OSError, TimeoutError)
"""What a call raises while Redis is away."""

PAUSE = 0.5
"""Seconds before it is asked again."""

LISTEN = 5.0
"""Seconds after which a connection without any news is looked at."""


async def listen_for_ever(redis: Redis, channel: str, me: str, heard: Callable[[], None]) -> None:
    """Call `heard` for everything that others than `me` say on the channel."""
    while True:
        with suppress(*AWAY):
            async with redis.pubsub() as news:
                await news.subscribe(channel)
                while True:
                    said = await news.get_message(ignore_subscribe_messages=True, timeout=LISTEN)
                    if said and said["data"] != me.encode():
                        heard()
        await asyncio.sleep(PAUSE)
