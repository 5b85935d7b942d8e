"""A limit holds whatever plan PostgreSQL makes.

A subquery with `FOR UPDATE SKIP LOCKED` gives other rows each time it is run. As the inner side of
a nested loop it is run for each row of the outer one, so `LIMIT 10` took all 200 items of a batch.
Which plan is made depends on statistics that the server gathers when it likes.
"""

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from engine.batches import items
from engine.batches.lanes import LaneHold
from engine.sql.database import Database
from engine.sql.statements import rows_changed
from engine.sql.tables import ItemRow
from engine.worker import retention
from engine.worker.retention import ROWS
from tests.proof.machines import past

pytestmark = pytest.mark.anyio

OTHERS = ("hashjoin", "mergejoin", "hashagg", "sort", "material")
"""What PostgreSQL may not use, so that nothing but a nested loop is left."""


@pytest.fixture
async def database(postgresql: Database) -> Database:
    await postgresql.write(past.add_caller)
    return postgresql


def loop(session: Session) -> None:
    for way in OTHERS:
        session.execute(text(f"SET LOCAL enable_{way} = off"))


def waiting(session: Session) -> LaneHold:
    """Return a hold on a batch of 200 items, of which PostgreSQL believes that there are few."""
    past.add_batch(session, 0, "in_progress", items=1)
    session.execute(text("ANALYZE"))
    batch_id = past.add_batch(session, 0, "in_progress", items=200)
    loop(session)
    return LaneHold(batch_id, 0, 1, "lease_a")


async def test_a_subquery_would_take_more_than_its_limit(database: Database) -> None:
    def twin(session: Session) -> int:
        mine = ItemRow.batch_id == waiting(session).batch_id, ItemRow.status == "pending"
        some = select(ItemRow.id).where(*mine).order_by(ItemRow.not_before, ItemRow.seq).limit(10)
        some = some.with_for_update(skip_locked=True)
        taken = update(ItemRow).where(ItemRow.id.in_(some)).values(status="running")
        return rows_changed(session, taken)

    assert await database.write(twin) > 10


async def test_a_claim_takes_no_more_items_than_its_limit(database: Database) -> None:
    def claim(session: Session) -> int:
        return len(items.claim_items(session, waiting(session), 10))

    assert await database.write(claim) == 10


async def test_old_jobs_are_deleted_in_pieces(database: Database) -> None:
    def delete(session: Session) -> int:
        past.add_job(session, 40, "failed")
        session.execute(text("ANALYZE"))
        for _ in range(2 * ROWS):
            past.add_job(session, 40, "failed")
        loop(session)
        return retention.delete_jobs(session, 30 * past.DAY)["jobs"]

    assert await database.write(delete) == ROWS
