"""Asks servers again and again from a process of its own, whether they have answered or not.

Who waited for the last answer before the next question would see a stall once: people come anyway.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from lab.measures import Sample
from lab.processes import LONGEST_LINE, running

LONGEST = 30.0
OK = 200


@dataclass(frozen=True)
class Probe:
    """What is asked, and how often."""

    url: str
    every: float = 0.02
    key: str = ""
    body: object = None
    """Sent as JSON in a POST; nothing makes it a GET."""


def prober() -> AbstractAsyncContextManager[Process]:
    """Give a process that probes, inside the block, whatever it is told to."""
    return running([sys.executable, "-m", "lab.probe"], speaks=True)


@asynccontextmanager
async def probing(process: Process, probes: Sequence[Probe]) -> AsyncIterator[list[list[Sample]]]:
    """Probe inside the block; the list has the samples of each probe after it."""
    samples: list[list[Sample]] = []
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps([asdict(probe) for probe in probes]).encode() + b"\n")
    await process.stdout.readline()
    yield samples
    process.stdin.write(b"stop\n")
    answer = json.loads(await process.stdout.readline())
    samples += [[Sample(*each) for each in one] for one in answer]


async def serve() -> None:
    """Probe what a line of the input says until the next line; print the samples; and so on."""
    reader = asyncio.StreamReader(LONGEST_LINE)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        stopping = asyncio.Event()
        probes = [Probe(**each) for each in json.loads(line)]
        asking = [asyncio.create_task(ask_until(stopping, probe)) for probe in probes]
        _say("probing")
        await reader.readline()
        stopping.set()
        _say(json.dumps(await asyncio.gather(*asking)))


async def ask_until(stopping: asyncio.Event, probe: Probe) -> list[tuple[float, float, bool]]:
    """Return when each question was asked, the seconds until its answer, and its success."""
    headers = {"authorization": f"Bearer {probe.key}"}
    connector, patience = TCPConnector(limit=0), ClientTimeout(LONGEST)
    async with ClientSession(connector=connector, timeout=patience, headers=headers) as client:
        await _ask(client, probe)
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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
