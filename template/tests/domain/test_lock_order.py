"""Transactions that lock the same rows lock them in one order: else PostgreSQL ends one of them.

Each test holds one transaction up between two of its locks until another one waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from sqlalchemy import Connection, delete, event, insert, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from app.domain import items, recovery
from app.domain.clock import now
from app.domain.items import Outcome
from app.domain.lanes import Hold
from app.domain.tables import Base, BatchRow, CallerRow, ItemRow
from app.resources.database import Database, open_database
from app.settings import Settings
from tests.postgres import new_database

pytestmark = pytest.mark.anyio

HOLD = Hold("batch_a", 0, 1, "lease_a")
Step = Callable[[Session], object]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    return asyncio.run(new_database(postgres_url, "locks"))


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


class Held:
    """A transaction that stops after its first statement on a table, until it may go on."""

    def __init__(self, step: Step, statement: str) -> None:
        self.runs = 0
        self.holding, self.may_go_on = asyncio.Event(), asyncio.Event()
        self._step, self._statement = step, statement

    def __call__(self, session: Session) -> object:
        self.runs += 1
        event.listen(session.connection(), "after_cursor_execute", self._hold)
        return self._step(session)

    def _hold(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(self._statement):
            self.holding.set()
            await_only(self.may_go_on.wait())


class Counted:
    """A transaction that counts how often it is begun: once more after each deadlock."""

    def __init__(self, step: Step) -> None:
        self.runs = 0
        self._step = step

    def __call__(self, session: Session) -> object:
        self.runs += 1
        return self._step(session)


async def cross(database: Database, first: Held, second: Counted) -> None:
    """Let the second run into the first; neither may have been begun anew."""
    one = asyncio.create_task(database.write(first))
    await first.holding.wait()
    two = asyncio.create_task(database.write(second))
    async with asyncio.timeout(30):
        while not two.done() and not await database.read(somebody_waits):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first.may_go_on.set()
        await asyncio.gather(one, two)
    assert (first.runs, second.runs) == (1, 1), "PostgreSQL found a deadlock"


def somebody_waits(session: Session) -> bool:
    return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


async def record_beside_a_give_back(database: Database) -> None:
    """Let a worker that stops give back while its last group is still on its way."""
    claimed = [item for _ in range(2) for item in await database.write(items.claim, HOLD, 1)]
    assert claimed[0].id > claimed[1].id
    group = [Outcome(item.id, item.attempt, "succeeded", response=b"{}") for item in claimed]
    record = partial(items.record, hold=HOLD, caller_id="caller_a", outcomes=group)
    give_back = partial(items.give_back, hold=HOLD)
    await cross(database, Held(record, "UPDATE batch_items"), Counted(give_back))


async def sweep_twice(database: Database) -> None:
    """Let two workers sweep after an outage, when many batches are late at once."""
    await database.write(items.claim, Hold("batch_b", 0, 1, "lease_dead"), 1)
    await database.write(be_late)
    sweep = partial(recovery.recover, lease_seconds=15, most_crashes=1)
    await cross(database, Held(sweep, "UPDATE batches"), Counted(sweep))


def be_late(session: Session) -> None:
    session.execute(update(BatchRow).values(expires_at=1.0))


async def test_a_group_of_outcomes_and_a_give_back_do_not_deadlock(database: Database) -> None:
    await record_beside_a_give_back(database)


async def test_two_sweeps_do_not_deadlock(database: Database) -> None:
    await sweep_twice(database)


async def test_they_would_if_a_give_back_took_items_as_they_come(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = select(ItemRow.id).where(ItemRow.status == "running")
    monkeypatch.setattr(items, "_running", lambda: running)
    with pytest.raises(AssertionError, match="deadlock"):
        await record_beside_a_give_back(database)


async def test_they_would_if_a_group_took_items_as_they_come(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "sorted", lambda outcomes, key=None: list(outcomes), raising=False)
    with pytest.raises(AssertionError, match="deadlock"):
        await record_beside_a_give_back(database)


async def test_sweeps_would_if_they_waited_for_each_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(session: Session) -> None:
        late = BatchRow.expires_at < now()
        session.execute(update(BatchRow).where(late).values(status="finalizing"))

    monkeypatch.setattr(recovery, "_expire", expire)
    with pytest.raises(AssertionError, match="deadlock"):
        await sweep_twice(database)
