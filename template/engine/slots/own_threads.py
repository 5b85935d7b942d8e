"""A bulkhead: the threads of one `def` handler or dependency, apart from the framework's.

Without it, a library that turns slow takes all of FRAMEWORK_THREADS, which every other `def`
handler, `def` dependency and large upload needs.
"""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, ParamSpec, TypeVar

from engine import deadline
from engine.errors import Overloaded
from engine.process.offload import counted, threaded
from engine.slots.admission_queue import AdmissionQueue, CoDel
from engine.watch import metrics

P = ParamSpec("P")
T = TypeVar("T")

TARGET, INTERVAL = 0.1, 2.0
"""Seconds that a call may wait for a thread, as QUEUE_TARGET and QUEUE_INTERVAL are by default."""

WAITING = 10
"""Calls in line for each thread: calls of 0.2 s are all served within the interval."""

NOT_PLAIN = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)

limits: dict[str, AdmissionQueue] = {}
"""The admission queue before each function's threads, by the function's name."""


def own_threads(
    limit: int,
) -> Callable[[Callable[P, T]], Callable[P, Coroutine[Any, Any, T]]]:
    """Decorate a `def` handler or dependency: it runs in at most `limit` threads of its own.

    A thread counts until it ends: a cancelled caller leaves at once and frees nothing. A call for
    which no thread is free in time raises `Overloaded`, and a call after its deadline
    `DeadlineExceeded`. Raise `TypeError` for a function with `async` or `yield`.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
        name = f"{function.__module__}.{function.__qualname__}"
        if any(kind(function) for kind in NOT_PLAIN):
            problem = f"{name} has `async` or `yield`. `own_threads` takes a plain `def`"
            raise TypeError(f"{problem}: put the blocking call into one.")
        queue = limits[name] = AdmissionQueue(limit, WAITING * limit, CoDel(TARGET, INTERVAL))

        @wraps(function)
        async def in_own_thread(*args: P.args, **kwargs: P.kwargs) -> T:
            deadline.remaining()
            try:
                await queue.enter()
            except Overloaded:
                metrics.refused.labels("own_threads").inc()
                raise
            return await counted(partial(threaded, partial(function, *args, **kwargs)), queue.leave)

        vars(in_own_thread)["own_threads"] = limit  # `doctor` reads it
        return in_own_thread

    return decorate
