"""Workers that die at a named point of their work.

Every durable step of a worker is a function that it hands to `database.write`, so a point is the
name of such a function, and whether the worker dies just before its commit or just after it.
`python -m tests.proof.worker.crashing` reads from its input, line by line, at which point the
next worker dies, and answers with the exit code of that worker. It forks: a start costs a second.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Literal, ParamSpec, TypeVar

from sqlalchemy import event, exists, select
from sqlalchemy.orm import Session

from app.resources.lifespan import open_resources
from app.settings import Settings
from engine.batches import batches
from engine.jobs import jobs
from engine.sql.database import Database, Transaction
from engine.sql.tables import BatchRow, JobRow
from engine.worker.probes import Liveness
from engine.worker.process import work_until_stopped
from tests.forked import import_features
from tests.proof.machines.features import features, greeting
from tests.service import PROJECT

P = ParamSpec("P")
T = TypeVar("T")

KILLED = 137
"""Exit code of a process that a shell has seen die of SIGKILL."""

LONGEST = 60
"""Seconds after which a worker that does not come to an end is killed."""

SEEKING = ("claim", "start_due", "begin")
"""What these functions find nothing with is no step."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker dies: at the commit of the `nth` step, such as `items.claim_items`.

    Or within that step, after so many of its statements.
    """

    step: str
    when: Literal["before", "after", "within"]
    nth: int = 1
    statements: int = 0

    def __str__(self) -> str:
        return f"{self.when}-{self.step}" + (f"-{self.statements}" if self.statements else "")


class Crashing:
    """A database whose process dies at a point."""

    def __init__(self, database: Database, point: Point) -> None:
        self._database = database
        self.limits = database.limits
        self._point = point
        self._seen = 0

    async def write(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn`; return only where this is not the point."""
        reached = False

        def watched(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal reached
            if self._point.when == "within" and _name(fn) == self._point.step:
                event.listen(session.connection(), "after_cursor_execute", self._count)
            result = fn(session, *args, **kwargs)
            reached = self._reached(fn, result)
            if reached and self._point.when == "before":
                session.flush()
                os._exit(KILLED)
            return result

        result = await self._database.write(watched, *args, **kwargs)
        if reached:
            os._exit(KILLED)
        return result

    async def read(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Read."""
        return await self._database.read(fn, *args, **kwargs)

    def _count(self, *_: object) -> None:
        self._seen += 1
        if self._seen == self._point.statements:
            os._exit(KILLED)

    def _reached(self, fn: Callable[..., object], result: object) -> bool:
        if _name(fn) != self._point.step or self._point.when == "within":
            return False
        if fn.__name__ in SEEKING and not result:
            return False
        self._seen += 1
        return self._seen == self._point.nth


def _name(fn: Callable[..., object]) -> str:
    return f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"


async def run(point: Point | None) -> None:
    """Work until the point is reached, or until nothing is left to do."""
    stopping = asyncio.Event()
    async with open_resources(Settings()) as resources:
        database: Database = resources.database
        ending = asyncio.create_task(_stop_when_done(database, stopping))
        if point is not None:
            database = Crashing(database, point)
        crashing = replace(resources, database=database)
        await work_until_stopped(crashing, Liveness(), stopping, asyncio.Event())
        await ending


async def _stop_when_done(database: Database, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await asyncio.sleep(0.05)
        if await database.read(done):
            stopping.set()


def done(session: Session) -> bool:
    """Return whether everything has ended, and the job that the clock starts was started."""
    open_batch = exists().where(BatchRow.status.not_in(batches.FINAL))
    open_job = exists().where(JobRow.status.not_in(jobs.FINAL))
    started = exists().where(JobRow.name == greeting.JOB.name)
    return bool(session.scalar(select(~open_batch & ~open_job & started)))


class Workers:
    """The process that forks the workers, seen from a test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, point: Point | None = None) -> int:
        """Run a worker to its end, or to the point where it dies, and return its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(point) if point else None) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def workers(environment: Mapping[str, str]) -> Iterator[Workers]:
    """Yield workers with these settings."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Workers(process)
        assert process.stdin
        process.stdin.close()


def main() -> None:
    """Fork a worker for each line of the input. What each would load is loaded before."""
    importlib.import_module("tests.preloaded")
    import_features(os.environ)
    with features():
        for line in sys.stdin:
            wanted = json.loads(line)
            child = os.fork()
            if child == 0:
                signal.alarm(LONGEST)
                asyncio.run(run(Point(**wanted) if wanted else None))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
