"""The in-memory cache: one load for many askers, never a failed one, never too many values."""

import asyncio
from contextlib import suppress

import pytest

from engine.process.cache import Cache

pytestmark = pytest.mark.anyio


class Source:
    """Counts its loads; each waits for `ready`."""

    def __init__(self) -> None:
        self.loads = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def load(self) -> int:
        self.loads += 1
        await self.ready.wait()
        return self.loads

    async def fail(self) -> int:
        self.loads += 1
        raise ValueError("broken on purpose")


async def test_a_known_value_is_not_loaded_again() -> None:
    cache, source = Cache[str, int](entries=10, seconds=60), Source()
    assert [await cache.get("key", source.load) for _ in range(3)] == [1, 1, 1]


async def test_many_askers_at_once_load_once() -> None:
    cache, source = Cache[str, int](entries=10, seconds=60), Source()
    source.ready.clear()
    asking = asyncio.gather(*(cache.get("key", source.load) for _ in range(10)))
    await asyncio.sleep(0)
    source.ready.set()
    assert await asking == [1] * 10


async def test_a_value_expires() -> None:
    cache, source = Cache[str, int](entries=10, seconds=0.01), Source()
    await cache.get("key", source.load)
    async with asyncio.timeout(10):
        while await cache.get("key", source.load) == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert source.loads == 2


async def test_one_value_too_many_pushes_out_another() -> None:
    cache, source = Cache[int, int](entries=2, seconds=60), Source()
    for key in (1, 2, 3, 1):
        await cache.get(key, source.load)
    assert source.loads == 4


async def test_a_forgotten_value_is_loaded_again() -> None:
    cache, source = Cache[str, int](entries=10, seconds=60), Source()
    await cache.get("key", source.load)
    cache.forget("key")
    assert await cache.get("key", source.load) == 2


async def test_forgetting_what_is_not_known_is_no_error() -> None:
    Cache[str, int](entries=10, seconds=60).forget("key")


async def test_a_failed_load_is_told_to_its_asker() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        await Cache[str, int](entries=10, seconds=60).get("key", Source().fail)


async def test_a_failed_load_is_not_remembered() -> None:
    cache, source = Cache[str, int](entries=10, seconds=60), Source()
    with suppress(ValueError):
        await cache.get("key", source.fail)
    assert await cache.get("key", source.load) == 2


async def test_a_cancelled_asker_leaves_the_load_to_the_others() -> None:
    cache, source = Cache[str, int](entries=10, seconds=60), Source()
    source.ready.clear()
    gone = asyncio.create_task(cache.get("key", source.load))
    staying = asyncio.create_task(cache.get("key", source.load))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    source.ready.set()
    assert await staying == 1
