"""Graceful shutdown of an API process: first not ready, then closed, then empty.

uvicorn alone closes its sockets while load balancers still send requests, tells streams nothing,
and lets the lifespan close resources that cancelled handlers still need for their clean-up.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType

from engine.errors import ShuttingDown
from engine.process.tasks import end_tasks

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """The shutdown of this process, and the requests that it has to wait for."""

    def __init__(self, readiness_grace: float, shutdown_grace: float) -> None:
        self.begun = asyncio.Event()
        """Set when the shutdown begins: answers that can be requested again elsewhere end now."""
        self._readiness_grace = readiness_grace
        self._shutdown_grace = shutdown_grace
        self._hurry = asyncio.Event()
        self._cut_off_at: float | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Call `begin` before the server's own handlers of SIGTERM and SIGINT.

        The same signal again cuts everything off, and once more kills. Another signal does not:
        Ctrl-C sends SIGINT to uvicorn's workers and to their parent, which then sends SIGTERM.
        """
        loop = asyncio.get_running_loop()
        handlers = {int(n): then for n in SIGNALS if callable(then := signal.getsignal(n))}
        seen: set[int] = set()

        def handle(number: int, _frame: FrameType | None) -> None:
            if number in seen:
                signal.signal(number, signal.SIG_DFL)
                loop.call_soon_threadsafe(self.cut_off)
            elif not seen:
                loop.call_soon_threadsafe(self.begin, partial(handlers[number], number, None))
            seen.add(number)

        _install(dict.fromkeys(handlers, handle))
        try:
            yield
        finally:
            _install(handlers)

    def begin(self, close: Callable[[], object]) -> None:
        """Begin the shutdown; `close` makes the server close its sockets."""
        if not self.begun.is_set():
            self.begun.set()
            self._ending = asyncio.create_task(self._end(close))

    def cut_off(self) -> None:
        """Wait for nothing any more."""
        self._hurry.set()

    @asynccontextmanager
    async def in_flight(self) -> AsyncIterator[None]:
        """Count this task, a request's own, as in flight.

        The block is cancelled when the grace is over, and `ShuttingDown` raised.
        """
        task = asyncio.current_task()
        assert task  # noqa: S101 -- this is a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        limit = asyncio.timeout_at(self._cut_off_at)
        try:
            async with limit:
                self._limits.add(limit)
                yield
        except TimeoutError as error:
            if limit.expired():
                raise ShuttingDown("This server is stopping. Send the request again.") from error
            raise
        finally:
            self._limits.discard(limit)

    async def finish(self) -> None:
        """Return when every request has ended, also after the server has cancelled it."""
        if self._ending:
            await end_tasks(self._ending)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _end(self, close: Callable[[], object]) -> None:
        log.info("stopping: closed to requests in %g s", self._readiness_grace)
        await self._pause(self._readiness_grace)
        close()
        log.info("closed: %d requests in flight", len(self._limits))
        await self._pause(self._shutdown_grace)
        self._cut_off_at = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(self._cut_off_at)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()


def _install(handlers: Mapping[int, Callable[[int, FrameType | None], object]]) -> None:
    with suppress(ValueError):  # in a thread, which gets no signals: Starlette's test client
        for number, handler in handlers.items():
            signal.signal(number, handler)


@asynccontextmanager
async def open_drain(readiness_grace: float, shutdown_grace: float) -> AsyncIterator[Drain]:
    """Yield the drain; at the end wait until the last request has cleaned up after itself."""
    drain = Drain(readiness_grace, shutdown_grace)
    yield drain
    await drain.finish()
