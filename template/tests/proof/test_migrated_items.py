"""Items of before get their places when the tables are brought to the newest revision."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.resources.database import Transaction, open_database
from app.settings import Settings
from tests.service import PROJECT
from tests.tables import new_database

OLD_BATCH = """
INSERT INTO callers (id, name, flags, created_at) VALUES ('caller_1', 'a', '[]', 0);
INSERT INTO batches (
    id, caller_id, endpoint, input_file_id, completion_window, request_id, status, total,
    completed, failed, created_at, expires_at
) VALUES ('batch_1', 'caller_1', '/', 'file_1', '24h', 'req_1', 'in_progress', 4, 2, 1, 0, 0);
"""
OLD_ITEM = text("""
INSERT INTO batch_items (
    batch_id, seq, custom_id, status, body, attempt, errors, crashes, not_before, finished_at
) VALUES ('batch_1', :seq, 'a', :status, :body, 0, 0, 0, 0, :finished_at)
""")
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


def write(settings: Settings, fn: Transaction[[], None]) -> None:
    async def run() -> None:
        async with open_database(settings) as database:
            await database.write(fn)

    asyncio.run(run())


def test_items_that_have_ended_get_places_in_the_order_of_their_ends(settings: Settings) -> None:
    places: dict[int, int | None] = {}

    def insert(session: Session) -> None:
        for statement in OLD_BATCH.split(";\n")[:-1]:
            session.execute(text(statement))
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
