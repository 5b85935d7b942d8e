"""A bounded TTL cache with single flight: concurrent requests for one value load it once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

from engine import deadline

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps at most `entries` values for `seconds`; concurrent `get`s of a key share one load."""

    def __init__(self, entries: int, seconds: float) -> None:
        self._values: TTLCache[K, asyncio.Task[V]] = TTLCache(entries, seconds)

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Return the value of `key`, by `load()` where it is not cached.

        A failed load is not cached. A cancelled caller does not cancel the load.
        """
        task = self._values.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            # Without the deadline of the first caller: the next ones may have more time.
            task = asyncio.create_task(_await(load), context=deadline.set_aside())
            self._values[key] = task
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        """Drop the value of `key`."""
        self._values.pop(key, None)


async def _await(load: Callable[[], Awaitable[V]]) -> V:
    return await load()
