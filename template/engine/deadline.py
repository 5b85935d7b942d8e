"""The deadline of the request, job or item at work: one moment on the loop's clock.

It is set where the work begins, so that no part of the work waits longer than the whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context

from engine.errors import DeadlineExceeded

ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)
"""The deadline on the loop's clock; None without one."""


def remaining() -> float | None:
    """Return the seconds left, or None without a deadline. Raise `DeadlineExceeded` at its end."""
    at = ends_at.get()
    if at is None:
        return None
    left = at - asyncio.get_running_loop().time()
    if left <= 0:
        raise out_of_time()
    return left


def passed() -> bool:
    """Return whether no time is left."""
    at = ends_at.get()
    return at is not None and at <= asyncio.get_running_loop().time()


def shorten(seconds: float) -> float:
    """Give this task `seconds` at most, or less where its deadline comes first; return the moment.

    The deadline holds for this task and for the tasks that it starts from now on.
    """
    at = asyncio.get_running_loop().time() + seconds
    earlier = ends_at.get()
    if earlier is not None:
        at = min(at, earlier)
    ends_at.set(at)
    return at


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Give the block `seconds` at most; raise `TimeoutError` when they are over."""
    earlier = ends_at.get()
    try:
        async with asyncio.timeout_at(shorten(seconds)):
            yield
    finally:
        ends_at.set(earlier)


@asynccontextmanager
async def limit(at: float | None) -> AsyncIterator[None]:
    """Cancel the block at this moment, and raise `DeadlineExceeded`."""
    timeout = asyncio.timeout_at(at)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise out_of_time() from error
        raise


def out_of_time() -> DeadlineExceeded:
    """Return the error of a request without time left."""
    return DeadlineExceeded("The request took longer than its time limit.")


def set_aside() -> Context:
    """Return this context without its deadline, for work that outlives it or that calls share."""
    context = copy_context()
    context.run(ends_at.set, None)
    return context
