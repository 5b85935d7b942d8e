"""Tasks that end for sure, and work that a cancellation does not cut off."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

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
