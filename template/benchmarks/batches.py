"""How fast batches run against what the model allows, how soon they begin, what the record costs.

A worker is one process: at 1 ms of processor time an item it does 1,000 items a second at most. So
the share at calls of 50 ms, which ask for 1,000, is bounded by the processor; the share at 500 ms
is what the scheduling reaches: 0.90 to 0.94 on two cores that other programs kept at 100 %, where
50 ms had 0.22 to 0.66 at 1.0 to 1.7 ms an item (SQLite, single runs, 2026-11-27).

`uv run python -m benchmarks.batches --help` tells the sizes.
Ratios of one run are comparable between machines; seconds are not.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from openai import OpenAI
from openai.types import Batch
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.resources.lifespan import open_resources
from app.settings import Settings
from benchmarks.passthrough import processor_time
from benchmarks.upload import say
from engine.models.interface import ChatRequest
from engine.operations.operation import CHAT
from engine.resources import model_for
from engine.sql.tables import BatchRow, ItemRow
from tests.lines import chat_body, chats
from tests.servers import EmbeddedRedis, Postgres, running
from tests.service import Service, eventually, service

CHAT_URL: Final = "/v1/chat/completions"
SLOTS = 50
SHORT, LONG = 0.05, 0.5
"""Seconds of a call."""
LANES = 2


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000, help="items of each short-call batch")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--pickups", type=int, default=200, help="batches of one line")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with servers(postgres=options.postgres) as (redis, database):
        efficiency(redis, database, options.items, options.runs)
        durability(redis, database, options.items, options.runs)
        pickup(redis, database, options.pickups)


def efficiency(redis: str, database: str | None, items: int, runs: int) -> None:
    """Print the share of the model's own throughput that a batch reaches, and an item's cost."""
    say(f"{SLOTS} slots", "median s", "ideal s", "share", "cpu ms")
    for call, workers in product((SHORT, LONG), (1, 2)):
        number = round(items * SHORT / call)  # as long a run
        ideal = number * call / SLOTS
        slow = {"simulated_latency": call, "simulated_parallel": SLOTS // workers}
        slow |= {"model_slots": SLOTS, "model_slots_reserve": 0}  # of all workers; no online calls
        with serving(redis, database, workers, **slow) as (ready, client):
            before = spent(ready)
            took = median(seconds(ready, finished(client, number)) for _ in range(runs))
            cost = 1000 * (spent(ready) - before) / runs / number
        name = f"  calls of {1000 * call:g} ms, {workers} worker(s)"
        say(name, f"{took:.2f}", f"{ideal:.2f}", f"{ideal / took:.2f}", f"{cost:.2f}")


def durability(redis: str, database: str | None, items: int, runs: int) -> None:
    """Print how many items a second one worker does with the record and without it."""
    say(f"{items:,} items of no time", "items/s")
    with serving(redis, database, 1) as (ready, client):
        took = median(seconds(ready, finished(client, items)) for _ in range(runs))
        say("  recorded", f"{items / took:.0f}")
        bare = median(asyncio.run(unrecorded(ready.settings, items)) for _ in range(runs))
        say("  calls alone", f"{items / bare:.0f}")


def pickup(redis: str, database: str | None, batches: int) -> None:
    """Print how long after its commit a batch of one line begins, and an idle service's wait."""
    with serving(redis, database, 1) as (ready, client):
        waits = [begun(ready, finished(client, 1)) for _ in range(batches)]
    half, most = (1000 * at(waits, share) for share in (0.5, 0.99))
    say(f"{batches} batches of one line", "p50 ms", "p99 ms")
    say("  commit to first item", f"{half:.0f}", f"{most:.0f}")


@contextmanager
def servers(*, postgres: bool) -> Iterator[tuple[str, str | None]]:
    """Yield the URL of a Redis, and of a PostgreSQL or None for SQLite; both end with the block."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        redis = stack.enter_context(running(EmbeddedRedis(folders[0]))).url
        database = stack.enter_context(running(Postgres(folders[1]))).url if postgres else None
        yield redis, database


@contextmanager
def serving(
    redis: str, database: str | None, workers: int, **settings: float
) -> Iterator[tuple[Service, OpenAI]]:
    """Yield a service with these workers and a client of it."""
    quick: dict[str, Any] = {
        "simulated_latency": 0,
        "simulated_tokens_per_second": 1_000_000,
        **settings,
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ready = stack.enter_context(service(Path(folder), redis, database, **quick))
        ready.start("api", *["worker"] * workers)
        yield ready, stack.enter_context(ready.client(ready.new_key()))


def finished(client: OpenAI, items: int) -> Batch:
    """Run a batch of as many chats to its end."""
    file = client.files.create(file=("in.jsonl", chats(items, max_tokens=1)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT_URL, completion_window="24h")
    pause = 0.25 if items > 1 else 0.02  # so that asking does not compete with working

    def ended() -> bool:
        time.sleep(pause)
        return client.batches.retrieve(batch.id).status == "completed"

    eventually(ended, limit=600)
    return batch


def seconds(ready: Service, batch: Batch) -> float:
    """Return the seconds from the first claim to the last result, by the database's clock."""

    def read(session: Session) -> float:
        last = select(func.max(ItemRow.finished_at)).where(ItemRow.batch_id == batch.id)
        begun_at = session.get_one(BatchRow, batch.id).in_progress_at or 0.0
        return (session.scalar(last) or 0.0) - begun_at

    return ready.in_database(read)


def spent(ready: Service) -> float:
    """Return the seconds of processor time that the workers have taken."""
    return sum(processor_time(worker.process.pid) for worker in ready.workers())


def begun(ready: Service, batch: Batch) -> float:
    """Return the seconds from a batch's commit until its lines were checked and items began."""

    def read(session: Session) -> float:
        row = session.get_one(BatchRow, batch.id)
        return (row.in_progress_at or 0.0) - row.created_at

    return ready.in_database(read)


async def unrecorded(settings: Settings, items: int) -> float:
    """Return the seconds of the same calls in one process, as many at once, without a record."""
    chat = ChatRequest.model_validate(chat_body("Say 1", max_tokens=1))
    async with open_resources(settings) as resources:
        waiting, model = iter(range(items)), model_for(resources, "nobody", counted=False)

        async def call() -> None:
            for _ in waiting:
                await CHAT.run(model, chat)

        started = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(LANES * settings.batch_chunk)))
        return time.perf_counter() - started


def at(values: Sequence[float], share: float) -> float:
    """Return what this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
