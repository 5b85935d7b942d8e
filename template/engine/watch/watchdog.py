"""Event loop watchdog: names the line that blocks the loop, also while it still blocks.

A thread sleeps until a beat of the loop is late. Then it samples the frames of the loop's own
thread until the loop goes on; the innermost frame of this app that it sees most often is the
offender. It works on asyncio and uvloop, with blocking calls, locks and loops that compute. Code
that holds the GIL without a break, as some C extensions do, is seen when it ends. The beats are the
heartbeat of the loop: the lag of each is the first sign of a blocked loop.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
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


CODE = tuple(Path(__file__).parents[2] / name for name in ("app", "engine"))

HOST = "host"
"""Offender where no line of the app was at work: the machine had no time for this process, or a
library kept the loop. On two busy cores such stalls of 50 to 100 ms are common."""

SAMPLE = 0.01
"""Seconds between two samples of a loop that is late."""

LONGEST_PAUSE = 1.0
"""The same for one that stays late."""

STILL = 1.0
"""Seconds after which a stall is told of that has not ended: it may never."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The event loop was away, and every request with it."""

    seconds: float
    offender: str
    """As `app/api/chat.py:50 complete`, or `HOST`."""
    stack: str
    """The frames of the loop's thread above the loop, the innermost last."""
    ongoing: bool
    """Whether the loop had not come back when this was told; its end is told of as well."""


class Samples:
    """Stack samples of a late loop."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(f"{folder}/" for folder in folders)
        self._root = f"{folders[0].parent}/"
        self._seen: Counter[str] = Counter()
        self._stacks: dict[str, str] = {}

    def take(self, frame: FrameType, beneath: frozenset[FrameType]) -> None:
        """Note the innermost frame of the app."""
        frames = [each for each in outwards(frame) if each not in beneath]
        own = (each for each in frames if each.f_code.co_filename.startswith(self._folders))
        name = self._name(next(own, None))
        self._seen[name] += 1
        if name not in self._stacks:
            stack = traceback.StackSummary.extract((f, f.f_lineno) for f in reversed(frames[:8]))
            self._stacks[name] = "".join(stack.format())

    def stall(self, seconds: float, *, ongoing: bool) -> Stall:
        """Return the stall that was seen."""
        own = Counter({name: count for name, count in self._seen.items() if name != HOST})
        [(offender, _)] = (own or self._seen).most_common(1)
        return Stall(seconds, offender, self._stacks[offender], ongoing)

    def _name(self, frame: FrameType | None) -> str:
        if frame is None:
            return HOST
        code = frame.f_code
        path = code.co_filename.removeprefix(self._root)
        return f"{path}:{frame.f_lineno} {code.co_qualname}"


class Watchdog:
    """Watches the loop of the thread that makes it, once it is told to start."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        threshold: float,
        tell: Callable[[Stall], None],
        folders: Sequence[Path] = CODE,
    ) -> None:
        self.heartbeat = heartbeat
        self._threshold = threshold
        self._tell = tell
        self._folders = folders
        self._loops_thread = threading.get_ident()
        self._over = threading.Event()

    def start(self) -> None:
        """Watch from now on: the start-up is no stall, since no request waited for it."""
        self.heartbeat.due = time.monotonic() + SECONDS
        if self._threshold:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self._threshold - self._late(self.heartbeat.due)):
            due = self.heartbeat.due
            if self._late(due) >= self._threshold:
                self._follow(due)

    def _follow(self, due: float) -> None:
        """Sample the loop until the beat that was `due` has come, and tell of the stall."""
        samples, pause, told = Samples(self._folders), SAMPLE, False
        while True:
            if frame := sys._current_frames().get(self._loops_thread):  # noqa: SLF001
                samples.take(frame, self.heartbeat.beneath)
            if not told and self._late(due) >= STILL:
                told = True
                self._tell(samples.stall(self._late(due), ongoing=True))
            if self._over.wait(pause):
                return
            if self.heartbeat.due != due:
                break
            pause = min(LONGEST_PAUSE, pause * 1.1)
        self._tell(samples.stall(self._late(due), ongoing=False))

    @staticmethod
    def _late(due: float) -> float:
        return time.monotonic() - due


@asynccontextmanager
async def open_watchdog(
    threshold: float, tell: Callable[[Stall], None], folders: Sequence[Path] = CODE
) -> AsyncIterator[Watchdog]:
    """Yield the loop's watchdog, to be started: `tell` gets stalls longer than `threshold` seconds.

    None is missed that is longer by a beat. `tell` is called in the watchdog's thread, while the
    loop may be standing. Only code in `folders` is named. A threshold of 0 watches nothing.
    """
    async with open_heartbeat() as heartbeat:
        watchdog = Watchdog(heartbeat, threshold, tell, folders)
        try:
            yield watchdog
        finally:
            watchdog.stop()
