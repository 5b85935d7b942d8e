"""Transactions that lock the same rows lock them in one order: else PostgreSQL ends one of them.

Each test stops a transaction between two of its locks until another one waits for it. Twins that
lock in another order show that PostgreSQL ends them then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.batches import items
from engine.batches.items import ItemOutcome
from engine.batches.lanes import LaneHold
from engine.callers import fairness
from engine.models.interface import Usage
from engine.sql.database import Database, open_database
from engine.sql.statements import now
from engine.sql.tables import (
    Base,
    BatchRow,
    CallerRow,
    ItemRow,
)
from engine.worker import reaper
from tests.proof.machines.races import Counted, Held, Step, run_into
from tests.tables import new_database

pytestmark = pytest.mark.anyio

HOLD = LaneHold("batch_a", 0, 1, "lease_a")


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    return asyncio.run(new_database(postgres_url))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Two batches of two items each."""
    async with open_database(Settings(_env_file=None, database_url=url)) as opened:
        await opened.write(create)
        await opened.write(populate)
        yield opened
        await opened.write(empty)


def create(session: Session) -> None:
    Base.metadata.create_all(session.connection())


def empty(session: Session) -> None:
    for table in reversed(Base.metadata.sorted_tables):
        session.execute(delete(table))


def populate(session: Session) -> None:
    session.execute(insert(CallerRow).values(id="caller_a", name="a", flags=[], created_at=0))
    for batch_id in ("batch_a", "batch_b"):
        session.execute(
            insert(BatchRow).values(
                id=batch_id,
                caller_id="caller_a",
                endpoint="/v1/embeddings",
                input_file_id="file_a",
                completion_window="24h",
                request_id="req_a",
                status="in_progress",
                created_at=now(),
                in_progress_at=now(),
                expires_at=now() + 1000,
            )
        )
        for seq in (1, 0):  # so that the item that is claimed first has the greater id
            session.execute(
                insert(ItemRow).values(batch_id=batch_id, seq=seq, custom_id=f"{seq}", body=b"{}")
            )


def record(session: Session, group: list[ItemOutcome]) -> None:
    items.record_items(session, HOLD, "caller_a", group)


def give_back(session: Session, group: list[ItemOutcome]) -> None:
    assert group
    items.give_back(session, HOLD)


async def meet_on_items(database: Database, step: Callable[..., None], *, forwards: bool) -> None:
    """Let the step come to two items that another transaction locks one by one.

    As they lie in the table, the one with the greater id comes first.
    """
    claimed = [item for _ in range(2) for item in await database.write(items.claim_items, HOLD, 1)]
    assert claimed[0].id > claimed[1].id
    group = [ItemOutcome(item.id, item.attempt, "succeeded", response=b"{}") for item in claimed]
    ids = sorted((item.id for item in claimed), reverse=not forwards)

    def lock_one_by_one(session: Session) -> None:
        for item_id in ids:
            session.execute(select(ItemRow.id).where(ItemRow.id == item_id).with_for_update())

    await run_into(database, Held(lock_one_by_one, "SELECT"), Counted(partial(step, group=group)))


async def record_for_one_caller(database: Database, first: Step, stop_after: str) -> None:
    """Record an item of each of a caller's batches; the first transaction begins with a step."""
    steps: list[Step] = []
    for hold in (HOLD, LaneHold("batch_b", 0, 1, "lease_b")):
        [item] = await database.write(items.claim_items, hold, 1)
        used = ItemOutcome(item.id, item.attempt, "succeeded", b"{}", Usage(1, 1), "model_a")
        steps.append(partial(items.record_items, hold=hold, caller_id="caller_a", outcomes=[used]))

    def begin_and_record(session: Session) -> None:
        first(session)
        steps[0](session)

    await run_into(database, Held(begin_and_record, stop_after), Counted(steps[1]))


async def sweep_twice(database: Database) -> None:
    """Let two workers sweep after an outage, when many batches are late at once."""
    await database.write(items.claim_items, LaneHold("batch_b", 0, 1, "lease_dead"), 1)
    await database.write(be_late)
    sweep = partial(reaper.recover_work, lease_seconds=15, most_crashes=1)
    await run_into(database, Held(sweep, "UPDATE batches"), Counted(sweep))


def be_late(session: Session) -> None:
    session.execute(update(BatchRow).values(expires_at=1.0))


@pytest.mark.parametrize("step", [record, give_back])
async def test_items_are_locked_in_the_order_of_their_ids(
    database: Database, step: Callable[..., None]
) -> None:
    await meet_on_items(database, step, forwards=True)


@pytest.mark.parametrize("step", [record, give_back])
async def test_in_another_order_they_would_deadlock(
    database: Database, step: Callable[..., None]
) -> None:
    with pytest.raises(AssertionError, match="deadlock"):
        await meet_on_items(database, step, forwards=False)


async def test_usage_and_virtual_time_are_written_in_one_order(
    database: Database,
) -> None:
    await record_for_one_caller(database, lambda _: None, "INSERT INTO usage")


async def test_with_the_virtual_time_first_they_would_deadlock(database: Database) -> None:
    charge = partial(fairness.charge_caller, caller_id="caller_a", cost=1)
    with pytest.raises(AssertionError, match="deadlock"):
        await record_for_one_caller(database, charge, "UPDATE callers")


async def test_two_sweeps_do_not_deadlock(database: Database) -> None:
    await sweep_twice(database)


async def test_they_would_if_they_waited_for_each_others_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(session: Session) -> None:
        late = BatchRow.expires_at < now()
        session.execute(update(BatchRow).where(late).values(status="finalizing"))

    monkeypatch.setattr(reaper, "_expire", expire)
    with pytest.raises(AssertionError, match="deadlock"):
        await sweep_twice(database)
