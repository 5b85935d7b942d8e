"""A lane is given back, claimed and woken at the same time: no look at it is lost."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.batches import batches, items, lanes
from engine.batches.lanes import LaneHold, Terms
from engine.sql.database import Database
from engine.sql.statements import now
from engine.sql.tables import BatchLaneRow, BatchRow, ItemRow
from engine.worker import reaper
from tests.proof.machines import past
from tests.proof.machines.races import Counted, Held, run_into

pytestmark = pytest.mark.anyio

LEASE = 60.0
TERMS = Terms(LEASE, lanes_per_batch=2, lanes_per_caller=8, held={})


@pytest.fixture
async def database(postgresql: Database) -> Database:
    await postgresql.write(past.add_caller)
    return postgresql


def take(session: Session) -> LaneHold:
    """Return a hold on the only lane of a batch whose items are tried again later."""
    batch_id = past.add_batch(session, 0, "in_progress")
    session.execute(update(ItemRow).values(not_before=now() + 10 * LEASE))
    session.execute(update(BatchLaneRow).where(BatchLaneRow.lane == 1).values(ready=False))
    hold = lanes.claim_lane(session, "lease_a", TERMS)
    assert hold == LaneHold(batch_id, 0, 1, "lease_a")
    return hold


def let_lease_run_out(session: Session) -> None:
    session.execute(update(BatchLaneRow).values(heartbeat_at=1.0, ready_at=1.0))


def is_ready(session: Session) -> bool:
    return session.scalars(select(BatchLaneRow.ready).where(BatchLaneRow.lane == 0)).one()


async def test_a_lane_that_is_being_given_back_is_not_claimed(database: Database) -> None:
    hold = await database.write(take)
    await database.write(let_lease_run_out)
    claimed: list[LaneHold | None] = []

    def leave(session: Session) -> None:
        items.leave_lane(session, hold, LEASE, at_once=True)

    def claim(session: Session) -> None:
        claimed.append(lanes.claim_lane(session, "lease_b", TERMS))

    await run_into(database, Held(leave, "SELECT batch_lanes"), Counted(claim))
    assert [each for each in claimed if each and each.lane == 0] == []


async def test_a_cancelled_batch_is_looked_at_although_its_lane_was_locked(
    database: Database,
) -> None:
    hold = await database.write(take)

    def leave(session: Session) -> None:
        items.leave_lane(session, hold, LEASE, at_once=True)

    def cancel(session: Session) -> None:
        batches.cancel_batch(session, past.CALLER, hold.batch_id)

    await run_into(database, Held(leave, "SELECT batches"), Counted(cancel))
    assert await database.read(is_ready)


async def test_a_batch_that_expires_is_looked_at_although_its_lane_was_locked(
    database: Database,
) -> None:
    hold = await database.write(take)

    def be_late(session: Session) -> None:
        session.execute(update(BatchRow).values(expires_at=1.0))

    def sweep(session: Session) -> None:
        reaper.recover_work(session, lease_seconds=LEASE, most_crashes=3)

    def leave(session: Session) -> None:
        items.leave_lane(session, hold, LEASE, at_once=True)

    await database.write(be_late)
    await run_into(database, Held(sweep, "UPDATE batches"), Counted(leave))
    assert await database.read(is_ready)
