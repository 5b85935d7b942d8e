"""Bounded concurrency for many calls, and cooperative scheduling for long loops."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

TURN = 0.005
"""Longest that `cooperate` keeps the event loop, in seconds."""


async def bounded_map(
    function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int
) -> list[R]:
    """Return `await function(item)` of each item in order, `limit` of them at once.

    The first error cancels the other calls and is raised. `asyncio.gather` would start a thousand
    calls for a thousand items, and let 999 run on after an error. An item is taken at its turn.
    """
    numbered = iter(enumerate(items))
    results: dict[int, R] = {}

    async def work() -> None:
        for number, item in numbered:
            results[number] = await function(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(limit):
                tasks.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[number] for number in sorted(results)]


async def cooperate(items: Iterable[T], every: float = TURN) -> AsyncGenerator[T, None]:
    """Yield each item, and let the event loop do something else every few milliseconds.

    For loops that compute for less than 0.1 s in all; a longer one belongs in a thread or a
    process. One item must take less than `every` seconds: nothing interrupts it.
    """
    turn = time.monotonic() + every
    for item in items:
        if time.monotonic() > turn:
            await asyncio.sleep(0)
            turn = time.monotonic() + every
        yield item
