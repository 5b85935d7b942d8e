"""Ending tasks for sure."""

import asyncio
from typing import Any


async def end_tasks(*tasks: asyncio.Task[Any], patience: float = 1.0) -> None:
    """Cancel tasks and return when all have ended, however they did.

    A task that does not end within `patience` seconds is cancelled again, because a cancellation
    may get lost: `asyncio.wait_for` of Python 3.11 hides it when what it waits for is done in the
    same moment (python/cpython#86296), and redis-py calls it for each command. A worker that was
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
