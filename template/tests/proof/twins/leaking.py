"""Work that outlives its function, and work that does not."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from engine.process.concurrency import bounded_map
from engine.process.tasks import Background

Call = Callable[[int], Awaitable[int]]


async def broken_task() -> None:
    asyncio.create_task(asyncio.sleep(30))  # type: ignore[unused-awaitable]


async def broken_swallowing_task() -> None:
    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()


async def broken_thread() -> None:
    threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


async def broken_timer() -> None:
    timer = threading.Timer(30, print)
    timer.daemon = True
    timer.start()


async def broken_gather_after_an_error(call: Call) -> None:
    await asyncio.gather(*(call(number) for number in range(20)))


async def broken_gather_of_all(call: Call) -> list[int]:
    return list(await asyncio.gather(*(call(number) for number in range(1000))))


async def good_task_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(0.001))


async def good_background() -> None:
    background = Background(1)
    background.spawn(asyncio.sleep, 0.001)
    await background.close(1)


async def good_map(call: Call) -> list[int]:
    return await bounded_map(call, range(1000), limit=10)
