"""What each way off the event loop costs: microseconds of one call, or item, that does nothing."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

from fastapi import Request
from starlette.types import Message

from app.dependencies.model import until_disconnect
from engine.process.concurrency import bounded_map, cooperate
from engine.process.offload import Offload

CALLS = 2000
RUNS = 5


async def nothing(_item: int = 0) -> None:
    """Do nothing, in no time."""


async def one_by_one(call: Callable[[], Awaitable[object]]) -> None:
    """Await so many calls, one after the other."""
    for _ in range(CALLS):
        await call()


async def in_turns() -> None:
    """Loop over so many items, cooperating."""
    async for _ in cooperate(range(CALLS)):
        pass


async def gathered() -> None:
    """Await so many calls at once, for comparison."""
    await asyncio.gather(*(nothing() for _ in range(CALLS)))


async def costs() -> dict[str, float]:
    """Return the cost of each."""
    offload = Offload(4, 1)
    await offload.warm_up(abs, 0)
    request = Request({"type": "http", "headers": []}, _stays)
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "in_thread": partial(one_by_one, partial(offload.in_thread, abs, 0)),
        "in_process": partial(one_by_one, partial(offload.in_process, abs, 0)),
        "cooperate": in_turns,
        "bounded_map": lambda: bounded_map(nothing, range(CALLS), limit=10),
        "(gather)": gathered,
        "until_disconnect": partial(one_by_one, lambda: until_disconnect(request, nothing())),
    }
    return {name: await _cost(way) for name, way in ways.items()}


async def first_call() -> float:
    """Return the seconds that the first call in a process takes, when it was not warmed up."""
    started = time.perf_counter()
    await Offload(1, 1).in_process(abs, 0)
    return time.perf_counter() - started


async def _cost(way: Callable[[], Awaitable[object]]) -> float:
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        await way()
        took.append(time.perf_counter() - started)
    return median(took) / CALLS * 1e6


async def _stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def main() -> None:
    """Print them."""
    for name, cost in asyncio.run(costs()).items():
        sys.stdout.write(f"{name:<16} {cost:8.1f} µs\n")
    sys.stdout.write(f"first call in a process: {asyncio.run(first_call()):.2f} s\n")


if __name__ == "__main__":
    main()
