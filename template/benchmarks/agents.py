"""What a step of an agent costs beside its model, how soon a run begins, and how a crowd is served.

The model and the tool of `benchmarks.agent.instant` take no time. `uv run python -m
benchmarks.agents --help` tells the sizes. Ratios of one run are comparable between machines;
milliseconds and bytes are this machine's.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from benchmarks.agent.instant import AGENT
from benchmarks.batches import at, servers
from benchmarks.memory import peak
from benchmarks.upload import say
from engine.agents import runs
from engine.jobs.runner import claim_run
from engine.jobs.runs import claim_job
from engine.process.queue import Kind
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript
from engine.sql.database import Database, P, T, Transaction, open_database
from engine.sql.statements import new_id
from engine.sql.tables import CallerRow, JobRow
from tests.service import Service, eventually, service

SHARES = {"large": 0.7, "middle": 0.2, "small": 0.09, "smallest": 0.01}
"""The callers of the crowd, and their shares of its runs."""

CALLS = 3
"""Calls of the tool in each run of the crowd."""


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20, help="calls of the tool in a long run")
    parser.add_argument("--runs", type=int, default=50, help="runs of each length")
    parser.add_argument("--starts", type=int, default=200, help="runs for a caller who waits")
    parser.add_argument("--crowd", type=int, default=1000, help="runs at once, of four callers")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with servers(postgres=options.postgres) as (redis, database):
        with serving(redis, database) as ready:
            overhead(ready, options.runs, options.calls)
        with serving(redis, database) as ready:
            ready.start("api", "worker")
            starts(ready, options.starts)
        with serving(redis, database) as ready:
            claims(ready, options.crowd)
        for slots, pause in ((20, 0.0), (options.crowd // 2, 5.0)):
            with serving(redis, database, worker_agents=slots) as ready:
                crowd(ready, options.crowd, slots, pause)


@contextmanager
def serving(redis: str, database: str | None, **settings: float) -> Iterator[Service]:
    """Yield a service with the agent, whose programs are still to be started."""
    modules, provider = Path("benchmarks/agent"), "benchmarks.agent.instant"
    more: dict[str, Any] = {"requests_per_minute": 0, "tokens_per_minute": 0, **settings}
    with (
        tempfile.TemporaryDirectory() as folder,
        service(
            Path(folder), redis, database, modules=modules, model_provider=provider, **more
        ) as ready,
    ):
        yield ready


class Cost(NamedTuple):
    """Milliseconds of the clock, of the processor and in SQL, and the number of transactions."""

    wall: float
    processor: float
    sql: float
    transactions: float


class Counted:
    """A database whose transactions are counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.limits = database.limits
        self.milliseconds = 0.0
        self.transactions = 0

    async def write(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Write, and count it."""
        with self._counting():
            return await self._database.write(fn, *args, **kwargs)

    async def read(self, fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Read, and count it."""
        with self._counting():
            return await self._database.read(fn, *args, **kwargs)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.milliseconds += 1000 * (time.perf_counter() - began)
        self.transactions += 1


def overhead(ready: Service, number: int, calls: int) -> None:
    """Print what a run of one step costs, from its claim to its end, and each further step."""
    caller_id = caller(ready, "developer")
    short = asyncio.run(cost_of_runs(ready.settings, caller_id, number, 0))
    long = asyncio.run(cost_of_runs(ready.settings, caller_id, number, calls))
    step = Cost(*((more - less) / (2 * calls) for more, less in zip(long, short, strict=True)))
    say("cost beside the model", "ms", "cpu ms", "sql ms", "transactions")
    for name, cost in (("  a run of one step", short), ("  each further step", step)):
        say(name, *(f"{each:.2f}" for each in cost))


async def cost_of_runs(settings: Settings, caller_id: str, number: int, calls: int) -> Cost:
    """Return the median cost of so many runs, one after the other, in this process."""
    async with open_resources(settings) as opened:
        costs = [await cost_of_run(opened, caller_id, calls) for _ in range(number + 1)]
    return Cost(*map(median, zip(*costs[1:], strict=True)))  # the first one warms up


async def cost_of_run(opened: Resources, caller_id: str, calls: int) -> Cost:
    """Return the cost of a run from its claim to its end."""
    await opened.database.write(start, [caller_id], calls)
    counted = Counted(opened.database)
    resources = replace(opened, database=counted, agents={AGENT.name: AGENT})
    began, spent = time.perf_counter(), time.process_time()
    work = await claim_run(resources, asyncio.Event(), pool=Kind.BACKGROUND_AGENTS)
    assert work
    await work()
    wall, processor = time.perf_counter() - began, time.process_time() - spent
    return Cost(1000 * wall, 1000 * processor, counted.milliseconds, counted.transactions)


def caller(ready: Service, name: str) -> str:
    """Return the id of a new caller."""
    ready.new_key(name)
    named = select(CallerRow.id).where(CallerRow.name == name)
    return ready.in_database(lambda session: session.scalars(named).one())


def start(session: Session, callers: Sequence[str], calls: int) -> None:
    """Start a run in the background for each of the callers."""
    body = {"model": AGENT.name, "input": str(calls), "background": True}
    for caller_id in callers:
        request = ResponseRequest.model_validate(body)
        transcript = Transcript.alone(request.items)
        runs.start_run(session, caller_id, request, transcript, request_id="", traceparent=None)


def starts(ready: Service, number: int) -> None:
    """Print how long after the request a run for a waiting caller begins, and speaks."""
    body = {"model": AGENT.name, "input": "0", "stream": True}
    begun: list[float] = []
    spoken: list[float] = []
    with ready.http(ready.new_key()) as client:
        for _ in range(number + 1):
            asked = time.perf_counter()
            with client.stream("POST", "/v1/responses", json=body) as answer:
                for line in answer.iter_lines():
                    if line == "event: response.in_progress":
                        begun.append(time.perf_counter() - asked)
                    elif line == "event: response.output_text.delta":
                        spoken.append(time.perf_counter() - asked)
    say(f"{number} runs for a waiting caller", "p50 ms", "p99 ms")
    for name, waits in (("  to in_progress", begun), ("  to the first text", spoken)):
        say(name, *percentiles(waits[1:]))


def percentiles(seconds: Sequence[float]) -> tuple[str, str]:
    """Return the median and the 99th percentile, as milliseconds."""
    half, most = (1000 * at(seconds, share) for share in (0.5, 0.99))
    return f"{half:.1f}", f"{most:.1f}"


def claims(ready: Service, number: int) -> None:
    """Print how long a claim takes while so many runs wait, until the last of them is claimed."""
    fill(ready, number)
    took = asyncio.run(claimed(ready.settings, number))
    say(f"{number} runs of four callers wait", "p50 ms", "p99 ms")
    say("  a claim", *percentiles(took))


async def claimed(settings: Settings, number: int) -> list[float]:
    """Return the seconds of each claim, one after the other."""
    took = []
    async with open_database(settings) as database:
        for _ in range(number):
            began = time.perf_counter()
            lease = new_id("lease"), settings.lease_seconds, ["background_agent"]
            assert await database.write(claim_job, *lease, scheduled=False)
            took.append(time.perf_counter() - began)
    return took


def fill(ready: Service, number: int) -> dict[str, str]:
    """Start the runs of the crowd in one transaction; return the names of the callers by ids."""
    names = {caller(ready, name): name for name in SHARES}
    wanted = [each for each, name in names.items() for _ in range(round(number * SHARES[name]))]
    ready.in_database(start, wanted, CALLS)
    return names


def crowd(ready: Service, number: int, slots: int, pause: float) -> None:
    """Print how long two workers take for the crowd, and the most memory that each has.

    Where runs have to wait for others, print how fair that is.
    """
    names = fill(ready, number)
    ready.start("worker", "worker", TOOL_SECONDS=str(pause))

    def served() -> bool:
        time.sleep(0.5)  # so that asking does not compete with working
        return not ready.in_database(open_runs)

    eventually(served, limit=3600)
    memory = [f"{peak(worker) / 1e6:.0f}" for worker in ready.workers()]
    began, ended = ready.in_database(moments)
    took = max(ended.values()) - began
    say(f"{number} runs, tool of {pause:g} s", "slots", "s", "MB", "MB")
    say("  two workers", str(slots), f"{took:.1f}", *memory)
    if 2 * slots < number:
        turns(names, number, {each: (end - began) / took for each, end in ended.items()})


def turns(names: Mapping[str, str], number: int, shares: Mapping[str, float]) -> None:
    """Print when each caller's runs had ended, as a share of the time, and when by fair turns."""
    say("the end of a caller's runs", "runs", "share", "fair")
    sizes = {name: round(number * share) for name, share in SHARES.items()}
    for caller_id, name in names.items():
        fair = sum(min(size, sizes[name]) for size in sizes.values()) / number
        say(f"  {name}", str(sizes[name]), f"{shares[caller_id]:.2f}", f"{fair:.2f}")


def open_runs(session: Session) -> int:
    """Return how many runs have not ended."""
    return session.scalar(select(func.count()).where(JobRow.finished_at.is_(None))) or 0


def moments(session: Session) -> tuple[float, dict[str, float]]:
    """Return when the first run began, and when the last of each caller ended."""
    began = session.scalar(select(func.min(JobRow.started_at))) or 0.0
    rows = select(JobRow.caller_id, func.max(JobRow.finished_at)).group_by(JobRow.caller_id)
    return began, {str(caller_id): ended or 0.0 for caller_id, ended in session.execute(rows)}


if __name__ == "__main__":
    main()
