"""News from other processes by Redis pub/sub. Some get lost, so a process that waits also polls."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from redis.asyncio import Redis

from engine.process.redis import AWAY
from engine.process.tasks import end_tasks

PAUSE = 0.5
"""Seconds before it is asked again."""

TELL = 0.25
"""Longest time that telling takes."""

LISTEN = 5.0
"""Seconds after which a connection without any news is looked at."""


class News:
    """Tells the readers of a subject, in all processes, that it has changed.

    Without Redis nothing is told, and readers poll.
    """

    def __init__(self, redis: Redis | None, channel: str) -> None:
        self.redis = redis
        self._channel = channel
        self._readers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def tell(self, subject: str) -> None:
        """Tell of a change. While Redis is away it costs `TELL` seconds at most."""
        if self.redis is not None:
            with suppress(*AWAY):
                async with asyncio.timeout(TELL):
                    await self.redis.publish(self._channel, subject)

    @contextmanager
    def reading(self, subject: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each change."""
        changed = asyncio.Event()
        self._readers[subject].add(changed)
        try:
            yield changed
        finally:
            self._readers[subject].discard(changed)
            if not self._readers[subject]:
                del self._readers[subject]

    def heard(self, subject: bytes) -> None:
        """Wake the readers of a subject in this process."""
        for changed in self._readers.get(subject.decode(), ()):
            changed.set()


@asynccontextmanager
async def open_news(redis: Redis | None, channel: str, *, listen: bool) -> AsyncIterator[News]:
    """Yield the news of a channel; without `listen` this process only tells."""
    news = News(redis, channel)
    if redis is None or not listen:
        yield news
        return
    listening = asyncio.create_task(listen_for_ever(redis, channel, "", news.heard))
    try:
        yield news
    finally:
        await end_tasks(listening)


async def listen_for_ever(
    redis: Redis, channel: str, me: str, heard: Callable[[bytes], None]
) -> None:
    """Call `heard` with each message on the channel that another process than `me` sent."""
    while True:
        with suppress(*AWAY):
            async with redis.pubsub() as news:
                await news.subscribe(channel)
                while True:
                    said = await news.get_message(ignore_subscribe_messages=True, timeout=LISTEN)
                    if said and said["data"] != me.encode():
                        heard(said["data"])
        await asyncio.sleep(PAUSE)
