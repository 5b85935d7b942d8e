"""A worker that is stopped gives back all that it holds, also work that is just ending.

A lease was left, once in some hundred runs: the stop came between two transactions at the end of a
lane, and the second one was skipped.
"""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.batches.lane_worker import work_on_lane
from engine.batches.lanes import LaneHold
from engine.jobs.runner import run_job
from engine.jobs.runs import ClaimedJob
from engine.resources import Resources
from engine.sql.database import Database
from engine.work import leases
from tests.jobs.batches import open_leases

pytestmark = pytest.mark.anyio

OWNER = "lease_a"
HOLD = LaneHold("batch_that_nobody_has", 0, 1, OWNER)
JOB = ClaimedJob("job_a", "name_that_no_job_has", None, {}, None, "req_a", None, 1, 0, 60.0, OWNER)


class Busy:
    """A database all of whose connections are taken until `free` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        self.read = database.read

    async def write(self, *args: Any, **more: Any) -> Any:  # noqa: ANN401 -- as they come
        self.asked.set()
        await self.free.wait()
        return await self._database.write(*args, **more)


def of_a_lane(resources: Resources) -> Coroutine[Any, Any, None]:
    turn: Any = SimpleNamespace(end=lambda: None)
    return work_on_lane(resources, asyncio.Event(), HOLD, turn, 0.0)


def of_a_job(resources: Resources) -> Coroutine[Any, Any, None]:
    return run_job(resources, JOB, 0.0)


@pytest.mark.parametrize("end", [of_a_lane, of_a_job])
async def test_the_end_is_not_cut_off(database: Database, end: Any) -> None:  # noqa: ANN401
    def grant(session: Session) -> None:
        leases.grant_lease(session, OWNER, 60.0)

    await database.write(grant)
    busy = Busy(database)
    resources = SimpleNamespace(database=busy, settings=Settings(_env_file=None), jobs={})
    ending = asyncio.create_task(end(cast("Any", resources)))
    await busy.asked.wait()
    ending.cancel()
    await asyncio.sleep(0)
    busy.free.set()
    await asyncio.wait({ending})
    assert ending.cancelled()
    assert await database.read(open_leases) == 0
