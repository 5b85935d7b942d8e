"""Tasks: background tasks of zone 2, tasks that end for sure, work that a cancellation lets end.

Background tasks are small work in this process, after the answer has left. Unlike FastAPI's
`BackgroundTasks` they do not keep the request, its dependencies and its connection waiting, are
bounded, and one task's failure does not stop the next.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from engine import deadline
from engine.errors import Overloaded

T = TypeVar("T")


async def end_tasks(*tasks: asyncio.Task[Any], patience: float = 1.0) -> None:
    """Cancel tasks and return when all have ended, however they did.

    A task that does not end within `patience` seconds is cancelled again, because a cancellation
    may get lost: `asyncio.wait_for` of Python 3.11 hides it when its awaitable is done in the same
    moment (python/cpython#86296), and redis-py calls it for each command. A worker that was
    told to stop hung for ever. Give more patience to tasks that clean up after themselves.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=patience)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain of it


async def run_uncut(work: Coroutine[Any, Any, T]) -> T:
    """Return `await work`. A cancellation takes effect after it, a second one cuts it off.

    For work that gives something back: its caller may be cancelled while it already ends by itself.
    """
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({working})
        finally:
            await end_tasks(working)
        raise


P = ParamSpec("P")
log = logging.getLogger(__name__)


class Background:
    """At most `limit` tasks; more are refused, a failing one is logged."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(
        self,
        function: Callable[P, Coroutine[Any, Any, Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Start `function(*args)`. Raise `Overloaded` when full or when the process is stopping."""
        if self._closed or len(self._tasks) >= self.limit:
            raise Overloaded("Too many background tasks are at work. Try again in a moment.")
        task = asyncio.create_task(
            function(*args, **kwargs), name=function.__qualname__, context=deadline.set_aside()
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self, grace: float) -> None:
        """Refuse new tasks, wait `grace` seconds for the running, then cancel and await these."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await end_tasks(*self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background task %s failed", task.get_name(), exc_info=error)


@asynccontextmanager
async def open_background(limit: int, grace: float) -> AsyncIterator[Background]:
    """Yield the background tasks and drain them at the end."""
    background = Background(limit)
    try:
        yield background
    finally:
        await background.close(grace)
