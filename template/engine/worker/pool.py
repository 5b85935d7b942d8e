"""Pool of slots for one kind of work, which is claimed from SQL piece by piece."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

from engine.process.queue import Kind
from engine.process.tasks import end_tasks

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Function that runs one claimed piece of work."""


class Pool:
    """Up to `slots` pieces at once; `claim` gives the next one, or None where none is due."""

    def __init__(self, kind: Kind, claim: Callable[[], Awaitable[Work | None]], slots: int) -> None:
        self.kind = kind
        self._claim = claim
        self._slots = slots
        self._running: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether it can begin nothing before something ends."""
        return len(self._running) >= self._slots

    def wake(self) -> None:
        """Look for work now."""
        self._look.set()

    async def work(self, stopping: asyncio.Event, seconds: float) -> None:
        """Look for work when woken, when a piece ends, and every `seconds`, until `stopping`.

        Not to be cancelled: a piece that is claimed in that moment would lie idle for a lease.
        """
        while not stopping.is_set():
            self._look.clear()
            try:
                await self._fill(stopping)
            except Exception:
                log.exception("no %s could be claimed; the next try is in %s s", self.kind, seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), seconds)

    async def finish(self, over: asyncio.Event, patience: float) -> None:
        """Wait for running pieces to come to a good place, but end them once the grace is `over`.

        They then have `patience` seconds to give their claims back.
        """
        waiting = asyncio.create_task(over.wait())
        while self._running and not over.is_set():
            await asyncio.wait({waiting, *self._running}, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(waiting, *self._running, patience=patience)

    async def _fill(self, stopping: asyncio.Event) -> None:
        while not (self.full or stopping.is_set()):
            work = await self._claim()
            if work is None:
                return
            task = asyncio.create_task(self._run(work))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._look.set()

    async def _run(self, work: Work) -> None:
        try:
            await work()
        except Exception:
            log.exception("%s failed; the sweep finds its remaining work", self.kind)
