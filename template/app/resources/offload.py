"""The only door out of the event loop: blocking calls to threads, heavy computing to processes.

A hop costs about 100 µs to a thread and 120 µs to a process (CPython 3.13, 2 cores), so neither is
worth it for less than a millisecond of work.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_process, to_thread

P = ParamSpec("P")
T = TypeVar("T")


class Offload:
    """Bounded ways off the event loop. More calls than the limits allow wait for their turn.

    The limits are this app's own: AnyIO's default of 40 threads also serves every `def` handler,
    upload and file response of the framework, and a busy model must not starve those.
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


async def in_thread(
    limiter: CapacityLimiter, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return `function(*args)`, run in a thread under a limit of the calling resource's own."""
    thread = object()
    await limiter.acquire_on_behalf_of(thread)
    call = asyncio.ensure_future(
        to_thread.run_sync(partial(function, *args, **kwargs), limiter=CapacityLimiter(1))
    )
    # AnyIO would free its limiter when asyncio cancels the caller, with the thread still at work:
    # five calls under a limit of one, each cancelled, were five threads at once.
    call.add_done_callback(lambda _: limiter.release_on_behalf_of(thread))
    return await asyncio.shield(call)
