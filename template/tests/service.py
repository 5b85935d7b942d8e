"""The real thing for tests: API and worker as processes, on real servers and free ports."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx
from openai import AsyncOpenAI, OpenAI
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url

from app.settings import Settings
from engine.callers import keys
from engine.sql.database import Transaction, open_database
from tests.forked import MORE_MODULES, Forked
from tests.isolation import check_url, own_folder
from tests.tables import new_database

LIMIT = 60.0
LOOK, REST = 0.02, 0.1
"""Seconds between two looks: as long as three looks take, within these bounds.

A look into PostgreSQL takes 28 ms of the processor, which the process looked at may need.
"""
MOST_KEPT = 200
_kept: deque[int] = deque()
"""Descriptors of the sockets that keep a port."""
P = ParamSpec("P")
T = TypeVar("T")
PROJECT = Path(__file__).parents[1]


def eventually(holds: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until `holds()` is true."""
    deadline = (began := time.monotonic()) + limit
    while not holds():
        now = time.monotonic()
        assert now < deadline, f"not within {limit:g} s"
        time.sleep(min(max(LOOK, 3 * (now - began)), REST))
        began = time.monotonic()


def free_port() -> int:
    """Return a port on which nothing listens, and which no other process is given for now.

    A bound socket keeps it. On Linux a server may listen there all the same, as both say that the
    address may be used again. Without it one service answered for another, at a load of 10.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        if sys.platform == "linux":
            _kept.append(os.dup(bound.fileno()))
        if len(_kept) > MOST_KEPT:
            os.close(_kept.popleft())
        port: int = bound.getsockname()[1]
        return port


def answers(redis: Redis) -> bool:
    """Return whether the server is there."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False


class Program:
    """One `app` command line as a process, with its log in a file."""

    def __init__(self, command: str, environment: Mapping[str, str], log: Path) -> None:
        check_url(environment["DATABASE_URL"])
        self.command = command
        self.name = log.stem
        self.log = log
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        self.process = Forked(command.split(), {**os.environ, **environment}, log)

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, also to a frozen process, and return the exit code."""
        if not self.ended:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def text(self) -> str:
        """Return what it has logged."""
        return self.log.read_text(errors="replace")


class Service:
    """A rendered project at work: its address, its settings, its processes."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], folder: Path) -> None:
        self.settings = settings
        self.environment = environment
        self.folder = folder
        self.url = f"http://127.0.0.1:{settings.port}"
        self.programs: list[Program] = []

    def start(self, *commands: str, **environment: str) -> Program:
        """Start `app api` or `app worker`, several at once; return the last, once all are ready.

        `environment` is theirs alone; `{name}` in it becomes the program's name.
        """
        started = [self._start(command, environment) for command in commands]
        for program in started:
            eventually(partial(self._settled, program))
            assert not program.ended, program.text()
        return started[-1]

    def workers(self) -> list[Program]:
        """Return the workers that run."""
        return [each for each in self.programs if each.command == "worker" and not each.ended]

    def freeze(self, program: Program) -> None:
        """Freeze a process between two transactions: inside one it would keep SQLite's lock."""
        eventually(partial(self._frozen_outside, program))

    def new_key(self, name: str = "tester", requests_per_minute: int | None = None) -> str:
        """Return a key of the caller `name`."""

        return self.in_database(keys.create_key, name, requests_per_minute=requests_per_minute)

    def in_database(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `fn(session, …)`, committed in the service's database."""

        async def run() -> T:
            async with open_database(self.settings) as database:
                return await database.write(fn, *args, **kwargs)

        return asyncio.run(run())

    def client(self, key: str, *, max_retries: int = 2) -> OpenAI:
        """Return the official client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=max_retries)

    def async_client(self, key: str, *, max_retries: int = 2) -> AsyncOpenAI:
        """Return the official asynchronous client."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=max_retries)

    def http(self, key: str | None = None) -> httpx.Client:
        """Return a plain HTTP client."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LIMIT)

    def _start(self, command: str, environment: Mapping[str, str]) -> Program:
        name = f"{command.split(maxsplit=1)[0]}-{len(self.programs)}"
        own = {key: value.format(name=name) for key, value in environment.items()}
        log = self.folder / f"{name}.log"
        program = Program(command, {**self.environment, **own}, log)
        self.programs.append(program)
        return program

    def _frozen_outside(self, program: Program) -> bool:
        program.process.send_signal(signal.SIGSTOP)
        eventually(partial(_all_stopped, program.process.pid))
        url = make_url(self.settings.sql_url)
        if url.get_backend_name() != "sqlite" or _can_write(str(url.database)):
            return True
        program.process.send_signal(signal.SIGCONT)
        return False

    def _settled(self, program: Program) -> bool:
        return program.ended or self._ready(program)

    def _ready(self, program: Program) -> bool:
        if program.command == "worker":
            return "worker ready" in program.text()
        try:
            return httpx.get(f"{program.url}/ready").status_code == 200
        except httpx.TransportError:
            return False


def _all_stopped(pid: int) -> bool:
    """Return whether no thread runs any more: one that is in the kernel may yet get the lock."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")  # none where there is no /proc
    try:
        states = {thread.read_text().rpartition(")")[2].split()[0] for thread in threads}
    except OSError:  # one has just ended
        return False
    return states <= {"T", "Z"}


def _can_write(database: str) -> bool:
    with closing(sqlite3.connect(database, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_migrated: list[bytes] = []
"""A SQLite database as the first service migrated it."""


def _migrate(environment: Mapping[str, str], folder: Path) -> None:
    check_url(environment["DATABASE_URL"])
    url = make_url(environment["DATABASE_URL"])
    file = Path(str(url.database))
    new = url.get_backend_name() == "sqlite" and not file.exists()
    if new and _migrated:
        file.write_bytes(_migrated[0])
        return
    assert Program("migrate", environment, folder / "migrate.log").process.wait(LIMIT) == 0
    if new:
        _migrated.append(file.read_bytes())


@contextmanager
def service(
    folder: Path,
    redis_url: str,
    database_url: str | None = None,
    *,
    modules: Path | None = None,
    **settings: object,
) -> Iterator[Service]:
    """Migrate a database and yield the service on it; all its processes end with it.

    Where `database_url` is a server of PostgreSQL, the service has a database of its own there: the
    workers of another one would claim its work.
    The modules of the folder `modules` are features with a `JOB` or an `AGENT`.
    """
    own_folder(folder)
    url = database_url or f"sqlite:///{folder / 'app.db'}"
    if url.startswith("postgresql"):
        url = asyncio.run(new_database(url))
    environment = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "SERVICE_SLUG": folder.name,
        "PORT": str(free_port()),
        "MODEL_PROVIDER": "simulated",
        "DOCS": "false",  # a test of the documentation asks for it: it is 0.2 s of each start
        "LOG_LEVEL": "INFO",  # at which a worker tells that it is ready
        "SIMULATED_LATENCY": "0",
        "SIMULATED_TOKENS_PER_SECOND": "100000",
        MORE_MODULES: str(modules or ""),
        **{name.upper(): _as_text(value) for name, value in settings.items()},
    }
    _migrate(environment, folder)
    values = {name.lower(): value for name, value in environment.items()} | settings
    configured = Settings(**values)  # type: ignore[arg-type]
    running = Service(configured, environment, folder)
    try:
        yield running
    finally:
        for program in reversed(running.programs):
            program.stop()
