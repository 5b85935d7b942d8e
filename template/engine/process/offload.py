"""Offloading from the event loop: blocking calls to threads, heavy computing to processes.

A hop costs about 100 µs to a thread and 120 µs to a process (CPython 3.13, 2 cores), so neither is
worth it for less than a millisecond of work.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, WouldBlock, to_process, to_thread

from engine import deadline
from engine.process.concurrency import bounded_map

P = ParamSpec("P")
T = TypeVar("T")


class Offload:
    """Bounded ways off the event loop. More calls than the limits allow wait for their turn.

    The limits are this app's own: the framework's threads (FRAMEWORK_THREADS) serve every `def`
    handler, upload and file response, and a busy model must not starve them.
    """

    def __init__(self, threads: int, processes: int) -> None:
        self.threads = CapacityLimiter(threads)
        self.processes = CapacityLimiter(processes)

    async def in_thread(
        self,
        function: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return `function(*args)`, run in a thread: for blocking calls.

        A thread cannot be stopped. A cancelled caller leaves, but its thread counts until it ends.
        """
        return await in_thread(self.threads, function, *args, **kwargs)

    async def in_process(
        self,
        function: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return `function(*args)`, run in another process: for computing that holds the GIL.

        Function, arguments and result are pickled. A cancelled caller ends the process, which is
        replaced; a process that dies raises `anyio.BrokenWorkerProcess` in its own call only.
        """
        call = partial(function, *args, **kwargs)
        return await to_process.run_sync(call, cancellable=True, limiter=self.processes)

    async def warm_up(
        self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Start all processes and let each run `function(*args)`, so that no caller waits for it.

        Starting a process takes 0.1 s, and the time in which `function` loads things and keeps
        them by `functools.cache`. It ends when it was idle for 300 s, which AnyIO has fixed.
        """
        every = int(self.processes.total_tokens)
        call = partial(function, *args, **kwargs)
        await bounded_map(self.in_process, [call] * every, limit=every)


async def in_thread(
    limiter: CapacityLimiter, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return `function(*args)`, run in a thread under a limit of the calling resource's own."""
    return await to_its_end(limiter, partial(threaded, partial(function, *args, **kwargs)))


async def threaded(function: Callable[[], T]) -> T:
    """Return `function()`, run in a thread; how many there are is the caller's to limit."""
    # AnyIO would free its limiter when asyncio cancels the caller, with the thread still at work:
    # five calls under a limit of one, each cancelled, were five threads at once.
    return await to_thread.run_sync(function, limiter=CapacityLimiter(1))


async def to_its_end(
    limiter: CapacityLimiter,
    call: Callable[[], Coroutine[Any, Any, T]],
    patience: float | None = None,
) -> T:
    """Return `await call()`, under a limit. Raise `DeadlineExceeded` where no time is left for it.

    Raise `TimeoutError` where its turn does not come within `patience` seconds.
    A cancelled caller leaves; a call that has begun goes on, and counts until it ends.
    """
    deadline.remaining()
    place = object()
    try:
        limiter.acquire_on_behalf_of_nowait(place)
    except WouldBlock:
        async with asyncio.timeout(patience), deadline.limit(deadline.ends_at.get()):
            await limiter.acquire_on_behalf_of(place)
    return await counted(call, partial(limiter.release_on_behalf_of, place))


async def counted(call: Callable[[], Coroutine[Any, Any, T]], give_back: Callable[[], None]) -> T:
    """Return `await call()`, which goes on without its caller; `give_back` its place at its end."""
    running = asyncio.ensure_future(call())
    running.add_done_callback(lambda _: give_back())
    return await asyncio.shield(running)


async def all_ended(*limiters: CapacityLimiter) -> None:
    """Return when nothing is at work under these limits; calls that wait already go first."""
    async with AsyncExitStack() as places:
        for limiter in limiters:
            for _ in range(int(limiter.total_tokens)):
                place = object()
                await limiter.acquire_on_behalf_of(place)
                places.callback(limiter.release_on_behalf_of, place)
