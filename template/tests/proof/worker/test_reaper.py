"""A worker shows itself as long as it sweeps."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.process.tasks import end_tasks
from engine.sql.database import Database
from engine.sql.tables import WorkerRow
from engine.worker.probes import Liveness
from engine.worker.reaper import reap_for_ever

pytestmark = pytest.mark.anyio


async def sign_of_life(database: Database, *, after: float = 0.0) -> float:
    """Return when the one worker was last seen, once that is later than `after`."""

    def seen_at(session: Session) -> float | None:
        return session.scalar(select(WorkerRow.seen_at))

    async with asyncio.timeout(30):
        while (seen := await database.read(seen_at) or 0.0) <= after:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return seen


async def test_a_worker_signs_in_again_and_again_and_off_at_its_end(database: Database) -> None:
    settings = Settings(_env_file=None, sweep_seconds=0.01)
    resources = cast("Any", SimpleNamespace(database=database, settings=settings))
    sweeping = asyncio.create_task(reap_for_ever(resources, Liveness()))
    first = await sign_of_life(database)
    await sign_of_life(database, after=first)
    await end_tasks(sweeping)
    assert await database.read(lambda session: session.scalars(select(WorkerRow.id)).all()) == []
