"""Lanes whose writer left the columns empty by which they are claimed: a sweep fills them."""

import time

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from engine.batches import lanes
from engine.batches.lanes import Terms
from engine.sql.database import Database
from engine.sql.statements import new_id
from engine.sql.tables import BatchLaneRow, BatchRow
from engine.worker import reaper
from tests.proof.machines.past import add_batch, add_caller

pytestmark = pytest.mark.anyio

TERMS = Terms(60.0, lanes_per_batch=2, lanes_per_caller=2, held={})


def make(session: Session) -> str:
    """Make a batch that runs, whose lanes are told of nowhere; another worker holds the first."""
    add_caller(session)
    batch_id = add_batch(session, 0, "in_progress")
    session.execute(update(BatchLaneRow).values(caller_id=None, ready=False, ready_at=None))
    lane = {"batch_id": batch_id, "lane": -1, "heartbeat_at": 0.0}
    session.execute(insert(BatchLaneRow).values(lane))
    held = update(BatchLaneRow).where(BatchLaneRow.lane == 0)
    session.execute(held.values(heartbeat_at=time.time()))
    return batch_id


def claim_all(session: Session) -> list[int]:
    """Return which lanes can be claimed, in their order."""
    holds = iter(lambda: lanes.claim_lane(session, new_id("lease"), TERMS), None)
    return [hold.lane for hold in holds]


async def test_a_sweep_adopts_lanes_that_are_told_of_nowhere(database: Database) -> None:
    await database.write(make)
    assert await database.write(claim_all) == []
    await database.write(reaper.recover_work, lease_seconds=60.0, most_crashes=3)
    assert await database.write(claim_all) == [1]


async def test_unadopted_lanes_keep_no_other_from_its_turn(database: Database) -> None:
    def open_one_more(session: Session) -> None:
        batch_id = make(session)
        session.execute(update(BatchLaneRow).values(heartbeat_at=9e9))
        lanes.open_lanes(session, session.get_one(BatchRow, batch_id), [2])

    await database.write(open_one_more)
    assert await database.write(claim_all) == [2]
