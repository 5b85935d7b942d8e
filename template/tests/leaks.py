"""Tasks and threads that outlive what started them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

POOLS = ("AnyIO worker thread", "asyncio_", "ThreadPoolExecutor")
"""Names of threads that their pools keep for the next call; these pools are bounded."""

OF_THE_LOOP = ("TestRunner.", "_shutdown_process_pool_on_exit")
"""Names of AnyIO's coroutines that last as long as the loop."""

PATIENCE = 1.0
"""Seconds that what is ending has for its end."""


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Raise `AssertionError` where a task or thread that began in the block outlives it."""
    tasks, threads = set(_tasks()), set(_threads())
    yield
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while set(_tasks()) - tasks or set(_threads()) - threads:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    left = [*(set(_tasks()) - tasks), *(set(_threads()) - threads)]
    assert not left, f"This was left behind: {left}"


def _tasks() -> Iterator[asyncio.Task[object]]:
    for task in asyncio.all_tasks():
        name = getattr(task.get_coro(), "__qualname__", "")
        if not task.done() and not name.startswith(OF_THE_LOOP):
            yield task


def _threads() -> Iterator[threading.Thread]:
    return (each for each in threading.enumerate() if not each.name.startswith(POOLS))
