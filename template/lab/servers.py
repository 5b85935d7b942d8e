"""The servers that are measured: the one that breaks the rules, and this project's own app."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from aiohttp import ClientError, ClientSession

from app.settings import Settings
from engine.callers.keys import create_key
from engine.operate.cli.settings import as_text
from engine.operate.dev import CannotStart, valkey
from engine.sql.database import open_database
from lab import server as lab_server
from lab.measures import Point
from lab.processes import end, running

START_LIMIT = 60.0
BACKLOG = 2048
APP = (sys.executable, "-m", "app.cli")
LAG = re.compile(rb"^app_event_loop_lag_seconds_(?:sum|count) (\S+)", re.MULTILINE)
SCRAPE_EVERY = 0.1
LEASE = 3
"""Seconds after which a killed worker's work is another's: the default is longer."""


class Program:
    """A server on a socket that stays when it is killed, or a worker without one."""

    def __init__(
        self, folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._stack = AsyncExitStack()
        self._listener = self._stack.enter_context(listening())
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._log = folder / f"{name}.log"
        self._command = [part.format(fd=self._listener.fileno()) for part in command]
        self._environment = environment
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Return once it is ready."""
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End it."""
        await self.stop()

    async def stop(self) -> None:
        """Kill it, since there is nothing to save, and close the socket."""
        await self.kill()
        await self._stack.aclose()

    async def start(self) -> None:
        """Start it, also again after a kill. Raise `CannotStart` where it does not get ready."""
        started = running(
            self._command,
            self._environment,
            log=self._log,
            descriptors=[self._listener.fileno()],
        )
        self._process = await self._stack.enter_async_context(started)
        logged = self._log.stat().st_size
        with suppress(TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                while self._process.returncode is None:
                    if await self.ready(self._log.read_bytes()[logged:]):
                        return
                    await asyncio.sleep(0.05)
        said = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        raise CannotStart("\n".join([f"{self._log.stem} did not start:", *said]))

    async def kill(self) -> None:
        """Kill it as `kill -9` does."""
        if self._process:
            await end(self._process, signal.SIGKILL)

    async def ready(self, _log: bytes) -> bool:
        """Whether it answers."""
        try:
            async with (
                asyncio.timeout(1),
                ClientSession() as client,
                client.get(f"{self.url}/live") as answer,
            ):
                return answer.ok
        except (ClientError, TimeoutError):
            return False


class Worker(Program):
    """A process that serves nobody, but says when it is ready."""

    async def ready(self, log: bytes) -> bool:
        """Whether it has said so."""
        return b"worker ready" in log


class LabServer(Program):
    """The server that breaks the rules."""

    def __init__(self, folder: Path, model_url: str = "") -> None:
        self.folder = folder
        environment = {lab_server.FOLDER: str(folder), lab_server.MODEL: model_url}
        command = [sys.executable, "-m", "lab.server", "{fd}"]
        super().__init__(folder, "lab-server", command, environment)

    @asynccontextmanager
    async def lag(self) -> AsyncIterator[list[Point]]:
        """Yield a list that holds after the block when the loop came back, and how late."""
        points: list[Point] = []
        beats = self.folder / lab_server.BEATS
        known = beats.stat().st_size
        yield points
        points += list(lab_server.BEAT.iter_unpack(beats.read_bytes()[known:]))

    def done(self) -> int:
        """Return how much work is finished, counted where it was written down."""
        file = self.folder / lab_server.DONE
        return file.read_text().count("\n") if file.exists() else 0


class Api(Program):
    """This project's API, as `app api` runs it."""

    @asynccontextmanager
    async def lag(self) -> AsyncIterator[list[Point]]:
        """Yield a list of how late the loop was between two looks at `GET /metrics`."""
        points: list[Point] = []
        looking = asyncio.create_task(self._look(points))
        try:
            yield points
        finally:
            looking.cancel()

    async def _look(self, points: list[Point]) -> None:
        before: list[float] = []
        async with ClientSession(f"{self.url}/") as client:
            while True:
                await asyncio.sleep(SCRAPE_EVERY)
                try:
                    async with client.get("metrics") as answer:
                        now = sorted(map(float, LAG.findall(await answer.read())))
                except ClientError:
                    now = []
                if before and now and now[1] > before[1]:
                    beats = now[1] - before[1]
                    points.append((time.monotonic(), (now[0] - before[0]) / beats))
                before = now


class App(NamedTuple):
    """Two processes of this project, a key for them, and what leads to their database."""

    api: Api
    worker: Worker
    key: str
    settings: Settings


@asynccontextmanager
async def real_app(folder: Path) -> AsyncIterator[App]:
    """Yield this project's own app, with its own Valkey, on a simulated model.

    Every setting is at its default but for those of the laboratory: nobody's `.env` counts.
    """
    path = valkey.socket_path(folder)
    settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'app.db'}")
    environment = {**_defaults(), **_of_the_lab(settings, valkey.url(path))}
    async with running(
        valkey.command(valkey.find_server(), folder, path), log=folder / "redis.log"
    ):
        await valkey.wait_until_up(path, START_LIMIT)
        async with running([*APP, "migrate"], environment, log=folder / "migrate.log") as migrating:
            await migrating.wait()
        async with open_database(settings) as database:
            key = await database.write(create_key, "laboratory")
        api = Api(folder, "api", [*APP, "api", "--fd", "{fd}"], environment)
        worker = Worker(folder, "worker", [*APP, "worker"], environment)
        async with started(api, worker):
            yield App(api, worker, key, settings)


@asynccontextmanager
async def started(*programs: Program) -> AsyncIterator[None]:
    """Start programs together, and end them at the end."""
    try:
        await asyncio.gather(*(program.start() for program in programs))
        yield
    finally:
        for program in programs:
            await program.stop()


def _defaults() -> dict[str, str]:
    fields = Settings.model_fields
    return {name.upper(): as_text(fields[name].default) for name in fields}


def _of_the_lab(settings: Settings, redis_url: str) -> dict[str, str]:
    return {
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.sql_url,
        "REDIS_URL": redis_url,
        "MODEL_PROVIDER": "simulated",
        "MODEL_SLOTS": str(lab_server.SLOTS),
        "SIMULATED_LATENCY": str(lab_server.CALL),
        "SIMULATED_TOKENS_PER_SECOND": "1000000",
        "REQUESTS_PER_MINUTE": "0",
        "TOKENS_PER_MINUTE": "0",
        "LEASE_SECONDS": str(LEASE),
        "MODEL_SLOT_LEASE": "2",
        "SWEEP_SECONDS": "0.2",
        "LOG_LEVEL": "INFO",
    }


def listening() -> socket.socket:
    """Return a socket that listens on a free port. Raise `CannotStart` where there is none."""
    try:
        return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise CannotStart(f"No port of 127.0.0.1 can be listened on: {reason}.") from error
