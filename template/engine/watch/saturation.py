"""Saturation: starvation of the event loop, exhaustion of threads, pauses of the garbage collector.

Starvation: the event loop stands, and all requests are late at once. Exhaustion: all threads are
taken, and requests that need one wait longer the more of them there are. Each has a log line and a
metric of its own, because the cure of one does nothing for the other. The collector's pauses are
kept short, and measured.
"""

import gc
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from anyio import CapacityLimiter

from engine.watch import metrics
from engine.watch.watchdog import HOST, Stall

log = logging.getLogger(__name__)

OFFENDERS = 20
"""Most values of the label `offender`, since each is kept for ever; the rest are `other`."""

PAUSE = 10.0
"""Seconds between two log lines of one kind in production."""

LASTING = 1.0
"""Seconds for which threads must be exhausted before the log tells of it."""

HINTS = {
    ".acquire(": "For a lock across awaits use asyncio.Lock.",
    "threading.py": "For a lock across awaits use asyncio.Lock.",
    "queue.py": "Use asyncio.Queue.",
    "subprocess.py": "Use asyncio.create_subprocess_exec.",
    "socket.py": "Use `resources.http`, the shared client that awaits.",
    "ssl.py": "Use `resources.http`, the shared client that awaits.",
    "sqlalchemy": "Use `await resources.database.read(fn, …)` or `write(fn, …)`.",
}
HINT = (
    "A call that waits: `await resources.offload.in_thread(fn, …)`. Computing: "
    "`await resources.offload.in_process(fn, …)`, or `async for item in cooperate(items)`."
)


class Stalls:
    """Counts stalls and logs them: each one in development, one in ten seconds in production."""

    def __init__(self, *, every_one: bool) -> None:
        self._throttle = Throttle(0.0 if every_one else PAUSE)
        self._offenders = {HOST}
        self._counting = False

    def tell(self, stall: Stall) -> None:
        """Count and log a stall. Called in the watchdog's thread."""
        if not self._counting:
            metrics.stalls.labels(self._label(stall.offender)).inc()
        self._counting = stall.ongoing
        if stall.offender != HOST and (stall.ongoing or self._throttle.allows()):
            log.warning(
                "starvation: the event loop %s %.0f ms at %s; every request waited\n%s%s",
                "has been standing for" if stall.ongoing else "stood for",
                stall.seconds * 1000,
                stall.offender,
                stall.stack,
                hint(stall.stack),
            )

    def _label(self, offender: str) -> str:
        if len(self._offenders) <= OFFENDERS:
            self._offenders.add(offender)
        return offender if offender in self._offenders else "other"


class Exhaustion:
    """Sees limits of threads that stay full while callers wait. To be asked at each heartbeat."""

    def __init__(self, threads: Mapping[str, CapacityLimiter]) -> None:
        self._threads = threads
        self._since: dict[str, float] = {}
        self._looked = time.monotonic()
        self._throttle = Throttle(PAUSE)

    def look(self, _late: float = 0.0) -> None:
        """Count the time for which each limit was full, and log one that has been so for long."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        for name, limiter in self._threads.items():
            state = limiter.statistics()
            if state.tasks_waiting == 0 or state.borrowed_tokens < state.total_tokens:
                self._since.pop(name, None)
                continue
            metrics.exhausted.labels(name).inc(passed)
            if now - self._since.setdefault(name, now) >= LASTING and self._throttle.allows():
                log.warning(
                    "exhaustion: all %g of %s are taken and %d wait; other requests are served",
                    *(state.total_tokens, name, state.tasks_waiting),
                )


class Throttle:
    """Lets one through, and the next after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def allows(self) -> bool:
        """Return whether it is time again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def hint(stack: str) -> str:
    """Return the advice for the innermost files of a stack."""
    for name, advice in HINTS.items():
        if name in stack:
            return advice
    return HINT


class Garbage:
    """Pauses of the collector that are not in the metric yet."""

    def __init__(self) -> None:
        self._began = 0.0
        self._pauses: deque[float] = deque(maxlen=1000)

    def tell(self, _late: float = 0.0) -> None:
        """Put the pauses into the metric. To be called at each heartbeat."""
        while self._pauses:
            metrics.garbage.observe(self._pauses.popleft())

    def collected(self, phase: str, _info: dict[str, Any]) -> None:
        """Note one collection, as `gc.callbacks` call it.

        Not in the metric at once: its lock may be held by the very code that is interrupted.
        """
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._pauses.append(time.perf_counter() - self._began)


@contextmanager
def measured_garbage() -> Iterator[Garbage]:
    """Yield the pauses of the collector while the block runs."""
    garbage = Garbage()
    gc.callbacks.append(garbage.collected)
    try:
        yield garbage
    finally:
        gc.callbacks.remove(garbage.collected)


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Freeze the heap: while the block runs, the collector skips objects made at start-up.

    With 800,000 objects, each full collection stopped the loop for 34 ms, and for none after this.
    A collection before it would find 569 of the 205,000 objects of a start, in 90 ms.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
