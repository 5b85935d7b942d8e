"""Heartbeat of the event loop: the lag of each beat is the first sign of a blocked loop."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import FrameType

from engine.watch import metrics

SECONDS = 0.1
"""Seconds between two beats. A beat costs 15 µs."""


class Heartbeat:
    """Asks the loop to come back after a while, and tells each listener how late it did."""

    def __init__(self) -> None:
        self.due = time.monotonic()
        """When the next beat should come. Other threads may read it."""
        self.beneath: frozenset[FrameType] = frozenset()
        """The frames that lie beneath the loop, so the frames of the code that runs it."""
        self.listeners: list[Callable[[float], None]] = [metrics.lag.observe]
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle = self._loop.call_soon(self._beat)

    def stop(self) -> None:
        """Beat no more."""
        self._next.cancel()
        self.beneath = frozenset()

    def _beat(self) -> None:
        late = max(0.0, time.monotonic() - self.due)
        self.beneath = frozenset(outwards(sys._getframe(1)))  # noqa: SLF001
        self.due = time.monotonic() + SECONDS
        self._next = self._loop.call_later(SECONDS, self._beat)
        for listener in self.listeners:
            listener(late)


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame, its caller, that one's caller, …."""
    while frame is not None:
        yield frame
        frame = frame.f_back


@asynccontextmanager
async def open_heartbeat() -> AsyncIterator[Heartbeat]:
    """Yield the running heartbeat."""
    heartbeat = Heartbeat()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
