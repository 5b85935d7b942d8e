"""Work that is accepted, and a `kill -9` in its middle."""

import asyncio
import time

from aiohttp import ClientSession
from sqlalchemy.orm import Session

from engine.sql.database import open_database
from engine.sql.tables import BatchRow
from lab import server
from lab.batches import Batches
from lab.measures import Experiment, Headline, Run
from lab.recording import Laboratory, code_of, patient, recording, watching
from lab.servers import LEASE, LabServer

SETTLE = 1.5
"""Seconds that the restarted server is given to do what it has left."""


async def lost_work(laboratory: Laboratory) -> Experiment:
    """Return how much accepted work is done after a crash, by where it was kept."""
    questions = [
        f"question {n}" for n in range(int(laboratory.seconds * server.SLOTS / server.CALL))
    ]
    memory = Run(
        "In-process background tasks",
        "wrong",
        "accepted, and kept in memory",
        code_of(server.accept, server.work),
    )
    record = Run(
        "Jobs",
        "right",
        "accepted once they are committed",
        "POST /v1/batches   an id, after the commit\n\n# The worker is killed as well. After the"
        f"\n# restart its lease ends ({LEASE} s here),\n# and another goes on.",
    )
    kept = await _in_memory(laboratory, memory, questions)
    done = await _in_a_record(laboratory, record, questions)
    return Experiment(
        name="lost-work",
        title="Work that gets lost",
        setting=f"{len(questions)} pieces of work are accepted. With half of them done, every"
        " process is killed with kill -9 and started again.",
        runs=[memory, record],
        rate_of="pieces of accepted work that were done",
        verdict=f"Of {len(questions)} pieces of accepted work, in-process background tasks had"
        f" finished {kept} after the restart, and nobody knew of the other {len(questions) - kept}."
        f" Jobs finished {done} of them.",
        shown=kept < 0.9 * len(questions) and done == len(questions),
        lesson="What was accepted must be committed before it is answered. Zone 2"
        " (`resources.background`) is for work that may be lost; zone 3, jobs, for all other work.",
        headline=Headline(
            "accepted work that was done",
            f"{kept} of {len(questions)}",
            f"{done} of {len(questions)}",
        ),
        progress_of="accepted work that is done",
    )


async def _in_memory(laboratory: Laboratory, run: Run, questions: list[str]) -> int:
    async with LabServer(laboratory.room("lost-work-memory")) as tasks:

        async def done() -> int:
            return tasks.done()

        async with recording(laboratory, run, tasks), watching(run, done):
            async with patient() as client, asyncio.TaskGroup() as group:
                for question in questions:
                    url = f"{tasks.url}/work?item={question}"
                    group.create_task(_accepted(client, url))
            while tasks.done() < len(questions) / 2:
                await asyncio.sleep(0.02)
            run.events.append((time.monotonic(), "kill -9"))
            await tasks.kill()
            await tasks.start()
            run.events.append((time.monotonic(), "restarted"))
            await asyncio.sleep(SETTLE)
        run.rate = tasks.done()
        return tasks.done()


async def _accepted(client: ClientSession, url: str) -> None:
    async with client.post(url) as answer:
        answer.raise_for_status()


async def _in_a_record(laboratory: Laboratory, run: Run, questions: list[str]) -> int:
    api, worker, key, settings = await laboratory.app()
    async with open_database(settings) as database, Batches(api.url, key) as client:

        async def done() -> int:
            return await database.read(_completed, client.batch_id)

        async with recording(laboratory, run, api), watching(run, done):
            await client.submit(questions)
            while await done() < len(questions) / 2:
                await asyncio.sleep(0.02)
            run.events.append((time.monotonic(), "kill -9"))
            await asyncio.gather(api.kill(), worker.kill())
            await asyncio.gather(api.start(), worker.start())
            run.events.append((time.monotonic(), "restarted"))
            while not await client.ended():
                await asyncio.sleep(0.1)
        run.rate = await client.done()
    return int(run.rate)


def _completed(session: Session, batch_id: str) -> int:
    batch = session.get(BatchRow, batch_id)
    return batch.completed if batch else 0
