"""Runs a load against a server while others ask it, and records what they see."""

import asyncio
import inspect
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from lab import server
from lab.measures import Point, Run, Sample
from lab.probe import Probe, probing
from lab.servers import Api, App, LabServer, real_app

QUIET = 0.5
"""Seconds before and after the load, so that a plot shows what is usual."""

LONGEST = 60.0
WATCH_EVERY = 0.05


@dataclass
class Laboratory:
    """Where experiments put their files, how long a load lasts, and this project's own app."""

    folder: Path
    seconds: float
    prober: Process
    stack: AsyncExitStack
    """Ends what is kept from one experiment to the next."""
    _app: App | None = None

    def room(self, name: str) -> Path:
        """Return a new folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def questions(self) -> list[str]:
        """Return as many questions as the model of the batches answers in that time."""
        count = int(self.seconds * server.SLOTS / server.CALL)
        return [f"question {number}" for number in range(count)]

    async def app(self) -> App:
        """Return this project's app at work. The first who asks waits for its start."""
        if self._app is None:
            self._app = await self.stack.enter_async_context(real_app(self.room("app")))
        return self._app


@asynccontextmanager
async def recording(
    laboratory: Laboratory,
    run: Run,
    target: LabServer | Api,
    path: str = "/live",
    people: Probe | None = None,
) -> AsyncIterator[Run]:
    """Probe the target while the block puts load on it; the run has all that was seen after it."""
    probes = [Probe(target.url + path), *([people] if people else [])]
    async with probing(laboratory.prober, probes) as samples, target.lag() as lag:
        zero = time.monotonic()
        await asyncio.sleep(QUIET)
        run.begin = time.monotonic()
        yield run
        run.end = time.monotonic()
        await asyncio.sleep(QUIET)
        run.length = time.monotonic()
    run.probes = _from(zero, samples[0])
    run.people = _from(zero, samples[1] if people else run.people)
    run.lag = _since(zero, lag)
    run.progress = _since(zero, run.progress)
    run.events = [(at - zero, label) for at, label in run.events]
    run.begin, run.end, run.length = run.begin - zero, run.end - zero, run.length - zero


async def callers(
    count: int, seconds: float, ask: Callable[[ClientSession], Awaitable[object]]
) -> float:
    """Let so many callers ask, each again when it is answered; return the answers a second."""
    began = time.monotonic()
    answers = 0
    async with patient() as client:

        async def go_on() -> None:
            nonlocal answers
            while time.monotonic() - began < seconds:
                await ask(client)
                answers += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(go_on())
    return answers / (time.monotonic() - began)


def patient(key: str = "") -> ClientSession:
    """Return a client that waits long, and opens as many connections as it has requests."""
    return ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(LONGEST),
        headers={"authorization": f"Bearer {key}"},
    )


@asynccontextmanager
async def watching(run: Run, count: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Note inside the block how much is done, again and again, and once more at its end."""

    async def note() -> None:
        with suppress(ClientError, TimeoutError):  # it may be down
            done = await count()
            run.progress.append((time.monotonic(), done))

    async def go_on() -> None:
        while True:
            await note()
            await asyncio.sleep(WATCH_EVERY)

    task = asyncio.create_task(go_on())
    try:
        yield
        await note()
    finally:
        task.cancel()


def code_of(*functions: Callable[..., object]) -> str:
    """Return the source of handlers as the report shows it."""
    return "\n\n".join(inspect.getsource(function).strip() for function in functions)


def _from(zero: float, samples: list[Sample]) -> list[Sample]:
    return [Sample(s.at - zero, s.seconds, s.good) for s in samples if s.at >= zero]


def _since(zero: float, points: list[Point]) -> list[Point]:
    return [(at - zero, value) for at, value in points if at >= zero]
