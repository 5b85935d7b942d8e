"""Items get their places, and lanes tell of their work, when the tables are brought to the newest
revision; so do lanes that workers of the release before make beside it."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.batches import lanes
from engine.batches.lanes import Terms
from engine.sql.database import Transaction, open_database
from engine.sql.ids import new_id
from engine.sql.tables import BatchLaneRow, BatchRow
from engine.worker import recovery
from tests.service import PROJECT
from tests.tables import new_database

T = TypeVar("T")

OLD_CALLER = "INSERT INTO callers (id, name, flags, created_at) VALUES ('caller_1', 'a', '[]', 0)"
CALLER = """
INSERT INTO callers (id, name, flags, created_at, weight, priority, virtual_time)
VALUES ('caller_1', 'a', '[]', 0, 1, 0, 0)
"""
OLD_BATCH = text("""
INSERT INTO batches (
    id, caller_id, endpoint, input_file_id, completion_window, request_id, status, total,
    completed, failed, created_at, expires_at
) VALUES (:id, 'caller_1', '/', 'file_1', '24h', 'req_1', :status, 4, 2, 1, 0, 9e9)
""")
RUNNING = {"id": "batch_1", "status": "in_progress"}
OLD_ITEM = text("""
INSERT INTO batch_items (
    batch_id, seq, custom_id, status, body, attempt, errors, crashes, not_before, finished_at
) VALUES ('batch_1', :seq, 'a', :status, :body, 0, 0, 0, 0, :finished_at)
""")
OLD_LANE = text("""
INSERT INTO deliveries (batch_id, lane, generation, heartbeat_at) VALUES (:batch, :lane, 0, :beat)
""")
TERMS = Terms(60.0, lanes_per_batch=2, lanes_per_caller=2, held={})
ITEMS = [("succeeded", 3.0), ("failed", 1.0), ("pending", None), ("succeeded", 2.0)]


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty database of each kind."""
    if request.param == "postgresql":
        url = asyncio.run(new_database(request.getfixturevalue("postgres_url")))
        return Settings(_env_file=None, database_url=url)
    return Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'test.db'}")


def alembic(settings: Settings, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": settings.sql_url},
        check=True,
        capture_output=True,
    )


def write(settings: Settings, fn: Transaction[[], T]) -> T:
    async def run() -> T:
        async with open_database(settings) as database:
            return await database.write(fn)

    return asyncio.run(run())


def insert_old_batches(session: Session) -> None:
    """Make a batch that runs, whose first lane is held, and another that has ended."""
    insert_running(session)
    session.execute(OLD_BATCH, {"id": "batch_2", "status": "completed"})
    for lane in (0, -1):
        session.execute(OLD_LANE, {"batch": "batch_2", "lane": lane, "beat": 0.0})


def insert_running(session: Session) -> None:
    """Make a batch that runs as the release before did: a worker of it holds the first lane."""
    session.execute(text(CALLER))
    session.execute(OLD_BATCH, RUNNING)
    for lane, beat in ((0, time.time()), (1, 0.0), (-1, 0.0)):
        session.execute(OLD_LANE, {"batch": "batch_1", "lane": lane, "beat": beat})


def read_lanes(session: Session) -> list[tuple[str, int, str | None, bool, bool]]:
    rows = session.scalars(select(BatchLaneRow).order_by(BatchLaneRow.batch_id, BatchLaneRow.lane))
    return [
        (row.batch_id, row.lane, row.caller_id, row.ready, row.ready_at is not None) for row in rows
    ]


def claim_all(session: Session) -> list[int]:
    """Return which lanes can be claimed, in their order."""
    holds = iter(lambda: lanes.claim(session, new_id("lease"), TERMS), None)
    return [hold.lane for hold in holds]


def test_lanes_of_before_are_claimed(settings: Settings) -> None:
    alembic(settings, "upgrade", "0008")
    write(settings, insert_old_batches)
    alembic(settings, "upgrade", "head")
    assert write(settings, read_lanes) == [
        ("batch_1", -1, "caller_1", False, False),
        ("batch_1", 0, "caller_1", True, True),
        ("batch_1", 1, "caller_1", True, True),
        ("batch_2", -1, "caller_1", False, False),
        ("batch_2", 0, "caller_1", False, False),
    ]
    assert write(settings, claim_all) == [1], "the one that a worker of before does not hold"


def test_lanes_that_workers_of_before_make_are_adopted_by_a_sweep(settings: Settings) -> None:
    def sweep(session: Session) -> None:
        recovery.recover(session, lease_seconds=60.0, most_crashes=3)

    alembic(settings, "upgrade", "head")
    write(settings, insert_running)
    assert write(settings, claim_all) == []
    write(settings, sweep)
    assert write(settings, claim_all) == [1]


def test_lanes_that_nobody_has_adopted_keep_no_other_from_its_turn(settings: Settings) -> None:
    def make(session: Session) -> None:
        insert_running(session)
        session.execute(text("UPDATE deliveries SET heartbeat_at = 9e9"))
        lanes.open_lanes(session, session.get_one(BatchRow, "batch_1"), [2])

    alembic(settings, "upgrade", "head")
    write(settings, make)
    assert write(settings, claim_all) == [2]


def test_items_that_have_ended_get_places_in_the_order_of_their_ends(settings: Settings) -> None:
    places: dict[int, int | None] = {}

    def insert(session: Session) -> None:
        session.execute(text(OLD_CALLER))
        session.execute(OLD_BATCH, RUNNING)
        for seq, (status, moment) in enumerate(ITEMS):
            values = {"seq": seq, "status": status, "body": b"{}", "finished_at": moment}
            session.execute(OLD_ITEM, values)

    def read(session: Session) -> None:
        places.update(dict(session.execute(text("SELECT seq, place FROM batch_items")).all()))

    alembic(settings, "upgrade", "0002")
    write(settings, insert)
    alembic(settings, "upgrade", "head")
    write(settings, read)
    assert places == {0: 3, 1: 1, 2: None, 3: 2}
