"""Measures how late the event loop is: the first sign that something blocks it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import metrics

SECONDS = 0.1
"""Between two beats, each of which costs 10 µs."""


class Heartbeat:
    """Asks the loop to come back after a while, and sees when it does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wait()

    def stop(self) -> None:
        """Beat no more."""
        self._next.cancel()

    def _wait(self) -> None:
        self._next = self._loop.call_later(SECONDS, self._beat)

    def _beat(self) -> None:
        metrics.lag.observe(max(0.0, self._loop.time() - self._next.when()))
        self._wait()


@asynccontextmanager
async def open_heartbeat() -> AsyncIterator[Heartbeat]:
    """Yield the running heartbeat."""
    heartbeat = Heartbeat()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
