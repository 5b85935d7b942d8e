"""Memory of an API process that answers many requests: it grows at first, and then no more."""

import argparse
import asyncio
import itertools
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from engine.process.concurrency import bounded_map
from tests.lines import CHAT_URL, chat_body
from tests.servers import EmbeddedRedis, running
from tests.service import Service, service

MIB = 1024 * 1024
ALLOWED = 2 * MIB
"""Growth that is no leak: the allocator and a few caches."""

AT_ONCE = 20


@dataclass(frozen=True)
class Growth:
    """Bytes that a process grew by in the first and the second half of the requests."""

    first: int
    second: int

    @property
    def flat(self) -> bool:
        """Whether it has come to an end: a leak goes on as it began."""
        return self.second <= max(ALLOWED, self.first // 2)


def resident(process: int) -> int:
    """Return the bytes of memory that a process has, from Linux's own books."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


async def soak(ask: Callable[[int], Awaitable[None]], requests: int, process: int) -> Growth:
    """Ask so many times, after a fifth of it to warm up; return by what the process grew."""
    sizes = []
    parts = itertools.accumulate([requests // 5, requests // 2, requests - requests // 2])
    for begin, end in itertools.pairwise([0, *parts]):
        await bounded_map(ask, range(begin, end), limit=AT_ONCE)
        sizes.append(resident(process))
    return Growth(sizes[1] - sizes[0], sizes[2] - sizes[1])


async def soak_api(live: Service, key: str, requests: int) -> Growth:
    """Ask the API of a service for a bit of everything."""
    headers = {"authorization": f"Bearer {key}"}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", CHAT_URL, {"json": chat_body("Hello", max_tokens=3)}),
        ("POST", CHAT_URL, {"json": chat_body("Hello", max_tokens=3, stream=True)}),
        ("POST", "/v1/embeddings", {"json": {"model": "simulated-embeddings", "input": "Hello"}}),
        ("GET", "/v1/usage", {}),
        ("GET", "/v1/nothing", {}),
        ("GET", "/metrics", {}),
    ]
    async with ClientSession(live.url, headers=headers) as client:

        async def ask(number: int) -> None:
            method, path, more = asked[number % len(asked)]
            own = {"x-request-id": f"soak-{number}"}
            async with client.request(method, path, headers=own, **more) as answer:
                await answer.read()

        return await soak(ask, requests, live.programs[0].process.pid)


def main() -> None:
    """Soak an API of its own; exit with 1 where its memory goes on growing."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    requests: int = parser.parse_args().requests
    with (
        tempfile.TemporaryDirectory() as name,
        running(EmbeddedRedis(Path(name))) as redis,
        service(Path(name), redis.url, log_level="ERROR") as live,
    ):
        live.start("api")
        growth = asyncio.run(soak_api(live, live.new_key(requests_per_minute=0), requests))
    sys.stdout.write(
        f"{requests:,} requests: {growth.first / MIB:+.1f} MiB in the first half, "
        f"{growth.second / MIB:+.1f} MiB in the second: {'flat' if growth.flat else 'it leaks'}\n"
    )
    sys.exit(not growth.flat)


if __name__ == "__main__":
    main()
