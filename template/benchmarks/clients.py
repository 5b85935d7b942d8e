"""Processor time of a call to another server: by session, by httpx over it, by httpx alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import httpx

from benchmarks.passthrough import server
from benchmarks.upload import say
from engine.process.http import http_over, open_upstream_session
from engine.settings import Settings
from tests.service import free_port

CALLS = 640
CONNECTIONS = (1, 32)
ROUNDS = 3

Ask = Callable[[], Awaitable[object]]


def main() -> None:
    """Run the benchmark and print its table."""
    say("µs of processor time a call", *(f"{number} open" for number in CONNECTIONS))
    with server("model", free_port()) as (_, url):
        for name, costs in asyncio.run(measure(f"{url}/v1/chat/completions")).items():
            say(f"  {name}", *(f"{cost:.0f}" for cost in costs))


async def measure(url: str) -> dict[str, list[float]]:
    """Return the cost of each client by the number of connections."""
    settings = Settings(_env_file=None)
    alone = httpx.AsyncClient(limits=httpx.Limits(max_connections=100), trust_env=False)
    async with open_upstream_session(settings) as session, alone:
        shared = http_over(session, settings)

        async def bare() -> None:
            async with session.post(url, data=b"{}") as response:
                await response.read()

        asks: dict[str, Ask] = {
            "aiohttp's session": bare,
            "httpx over the session": lambda: shared.post(url, content=b"{}"),
            "httpx with its own pool": lambda: alone.post(url, content=b"{}"),
        }
        return {name: [await cost(ask, n) for n in CONNECTIONS] for name, ask in asks.items()}


async def cost(ask: Ask, at_once: int) -> float:
    """Return the microseconds of a call, the median of some rounds."""

    async def call() -> None:
        for _ in range(CALLS // at_once):
            await ask()

    taken = []
    for _ in range(ROUNDS):
        before = time.process_time()
        await asyncio.gather(*(call() for _ in range(at_once)))
        taken.append((time.process_time() - before) / CALLS * 1e6)
    return median(taken)


if __name__ == "__main__":
    main()
