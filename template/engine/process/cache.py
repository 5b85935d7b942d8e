"""A bounded memory of what is costly to ask again."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

from engine import deadline

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps at most `entries` values for `seconds`; many askers of one value load it once."""

    def __init__(self, entries: int, seconds: float) -> None:
        self._values: TTLCache[K, asyncio.Task[V]] = TTLCache(entries, seconds)

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Return the value of `key`, by `load()` where it is not known.

        A failed load is not remembered. A cancelled asker leaves the load to the others.
        """
        task = self._values.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            # Not by the deadline of the first who asks: the others may have more time.
            task = asyncio.create_task(_await(load), context=deadline.set_aside())
            self._values[key] = task
        return await asyncio.shield(task)

    def forget(self, key: K) -> None:
        """Drop the value of `key`."""
        self._values.pop(key, None)


async def _await(load: Callable[[], Awaitable[V]]) -> V:
    return await load()
