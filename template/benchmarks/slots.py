"""What a slot costs, how long people wait for one beside a batch, and how soon a dead one is free.

Batches run in two processes of their own, as workers do.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median

from redis.asyncio import Redis

from app.settings import Settings
from benchmarks.upload import say
from engine.process.redis import open_redis
from engine.slots.pools import open_slots
from engine.slots.redis_semaphore import Priority
from engine.slots.semaphore import Limits, SlotSemaphore
from tests.servers import EmbeddedRedis, running

SLOTS = 50
LIMITS = Limits(slots=SLOTS, batch_pause_wait=60)
CALL = (0.15, 0.35)
"""Shortest and longest call, in seconds: 200 calls a second fill 50 slots."""

SHARE = 0.6
TASKS = 60

PAUSE = 0.01
"""Seconds before a slot or a ping of the second table: the processor has done other things since,
and a slot is no longer at hand."""


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="length of each run")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(EmbeddedRedis(Path(name))) as redis:
        asyncio.run(costs(redis.url))
        waits(redis.url, options.seconds, options.runs)
        asyncio.run(after_a_kill(redis.url))


async def costs(url: str) -> None:
    """Print what it takes to take a slot and give it back, against two pings."""
    async with slots(url, "costs", Priority.ONLINE) as (redis, semaphore):
        take = partial(one, semaphore)
        table("a slot taken and given back", await timed(2000, redis.ping), await timed(2000, take))
        pings: list[float] = []
        takes: list[float] = []
        for _ in range(300):
            for taken, act in ((pings, redis.ping), (takes, take)):
                await asyncio.sleep(PAUSE)
                while semaphore.allowed:  # noqa: ASYNC110 -- until it is given back in Redis, too
                    await asyncio.sleep(0.002)
                taken.extend(await timed(1, act))
        table("the same, each after a pause", pings, takes)


def table(title: str, pings: list[float], takes: list[float]) -> None:
    """Print what a slot takes beside a ping under the same conditions."""
    say(title, "p50 µs", "p99 µs", "of 2 pings")
    for label, took in (("ping", pings), ("slot", takes)):
        half, most = (1e6 * at(took, share) for share in (0.5, 0.99))
        say(f"  {label}", f"{half:.0f}", f"{most:.0f}", f"{at(took, 0.5) / 2 / at(pings, 0.5):.2f}")


def waits(url: str, seconds: float, runs: int) -> None:
    """Print how long people wait at 60 % of the slots, alone and beside two batches."""
    say("online at 60 % of 50 slots", "p50 ms", "p99 ms", "max ms", "batch/left")
    for batches in (0, 2):
        taken = [
            asyncio.run(people(url, f"{batches}-{run}", batches, seconds)) for run in range(runs)
        ]
        half, most, longest, used = (median(column) for column in zip(*taken, strict=True))
        share = f"{used:.2f}" if batches else "-"
        say(f"  {batches} batches", f"{half:.1f}", f"{most:.1f}", f"{longest:.1f}", share)


async def people(url: str, key: str, batches: int, seconds: float) -> list[float]:
    """Return p50, p99 and longest wait in ms, and what share of the free slots batches used."""
    waited: list[float] = []
    used: list[float] = []
    with working(url, key, batches):
        async with slots(url, key, Priority.ONLINE) as (_, semaphore), asyncio.TaskGroup() as calls:
            if batches:
                await until_batches_work(semaphore)
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                calls.create_task(call(semaphore, waited))
                left = SLOTS - LIMITS.reserved - semaphore.held
                used.append(semaphore.used[Priority.BATCH] / max(1, left))
                rate = SHARE * SLOTS / (sum(CALL) / 2)
                await asyncio.sleep(random.expovariate(rate))
    shares = [1000 * at(waited, share) for share in (0.5, 0.99, 1.0)]
    return [*shares, sum(used) / len(used)]


async def call(semaphore: SlotSemaphore, waited: list[float]) -> None:
    """Make one call, and note its wait."""
    began = time.perf_counter()
    async with semaphore.slot("model", "caller"):
        waited.append(time.perf_counter() - began)
        await asyncio.sleep(random.uniform(*CALL))
        semaphore.succeeded()


async def batch(url: str, key: str) -> None:
    """Take as many slots as there are to have, for ever."""
    async with slots(url, key, Priority.BATCH) as (_, semaphore):

        async def work() -> None:
            while True:
                await call(semaphore, [])

        await asyncio.gather(*(work() for _ in range(TASKS)))


async def after_a_kill(url: str) -> None:
    """Print how soon the slots of a killed process are another's."""
    with working(url, "kill", 1) as (process,):
        async with slots(url, "kill", Priority.BATCH) as (_, semaphore):
            await until_batches_work(semaphore)
            process.send_signal(signal.SIGKILL)
            began = time.perf_counter()
            await asyncio.gather(*(one(semaphore) for _ in range(2 * SLOTS)))
            took = time.perf_counter() - began
    say("slots of a killed process", "s", "lease s")
    say("  free again", f"{took:.1f}", f"{LIMITS.lease:.1f}")


async def until_batches_work(semaphore: SlotSemaphore) -> None:
    """Ask for a slot now and then, until the report says that batches have all they can."""
    while semaphore.used[Priority.BATCH] < SLOTS - LIMITS.reserved:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await one(semaphore)
        await asyncio.sleep(0.1)


async def one(semaphore: SlotSemaphore) -> None:
    """Take a slot and give it back."""
    async with semaphore.slot("model", "caller"):
        pass


@asynccontextmanager
async def slots(
    url: str, key: str, priority: Priority
) -> AsyncIterator[tuple[Redis, SlotSemaphore]]:
    """Yield the slots under this key, as one more process sees them."""
    settings = Settings(_env_file=None, redis_url=url)
    async with (
        open_redis(settings) as redis,
        open_slots(key, LIMITS, priority, redis, "benchmark") as semaphore,
    ):
        yield redis, semaphore


@contextmanager
def working(url: str, key: str, batches: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield processes that work on batches."""
    command = [sys.executable, "-m", "benchmarks.slots", "batch", url, key]
    processes = [subprocess.Popen(command) for _ in range(batches)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def timed(times: int, act: Callable[[], Awaitable[object]]) -> list[float]:
    """Return the seconds that each of so many acts took."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        took.append(time.perf_counter() - began)
    return took


def at(values: list[float], share: float) -> float:
    """Return what this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["batch"]:
        asyncio.run(batch(*sys.argv[2:]))
    else:
        main()
