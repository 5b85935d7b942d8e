"""Asks a server again and again from a process of its own, whether it has answered or not.

Who waited for the last answer before the next question would see a stall once: people come anyway.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from lab.measures import Sample
from lab.processes import running

LONGEST = 10.0
OK = 200


@dataclass(frozen=True)
class Probe:
    """What is asked, and how often."""

    url: str
    every: float = 0.02
    key: str = ""
    body: object = None
    """Sent as JSON in a POST; nothing makes it a GET."""


@asynccontextmanager
async def probing(probe: Probe) -> AsyncIterator[list[Sample]]:
    """Probe inside the block; the list has the samples after it."""
    samples: list[Sample] = []
    command = [sys.executable, "-m", "lab.probe", json.dumps(asdict(probe))]
    async with running(command, speaks=True) as process:
        assert process.stdout
        await process.stdout.readline()
        yield samples
        output, _ = await process.communicate(b"stop\n")
        samples += [Sample(*each) for each in json.loads(output)]


async def ask_for_ever(probe: Probe) -> list[tuple[float, float, bool]]:
    """Ask until a line comes in; return when each question was asked, its wait and its success."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopping.set)
    headers = {"authorization": f"Bearer {probe.key}"}
    connector, patience = TCPConnector(limit=0), ClientTimeout(LONGEST)
    async with ClientSession(connector=connector, timeout=patience, headers=headers) as client:
        await _ask(client, probe)
        sys.stdout.write("probing\n")
        sys.stdout.flush()
        asking, due = [], time.monotonic()
        while not stopping.is_set():
            asking.append(asyncio.create_task(_ask(client, probe)))
            due += probe.every
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return await asyncio.gather(*asking)


async def _ask(client: ClientSession, probe: Probe) -> tuple[float, float, bool]:
    began = time.monotonic()
    method = "GET" if probe.body is None else "POST"
    try:
        async with client.request(method, probe.url, json=probe.body) as answer:
            await answer.read()
            good = answer.status == OK
    except (ClientError, TimeoutError, OSError):
        good = False
    return began, time.monotonic() - began, good


if __name__ == "__main__":
    json.dump(asyncio.run(ask_for_ever(Probe(**json.loads(sys.argv[1])))), sys.stdout)
