"""A webhook of before gets a name when the tables are brought to the newest revision."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.operate.cli import PROJECT
from engine.sql.database import open_database
from tests.tables import new_database

CALLER = "INSERT INTO callers (id, name, flags, created_at) VALUES ('caller_1', 'a', '[]', 1)"
WEBHOOK = (
    "INSERT INTO webhooks (id, caller_id, url, events, secret, created_at)"
    " VALUES (:id, 'caller_1', :url, '[]', 'whsec_', 5)"
)
DELIVERY = (
    "INSERT INTO webhook_deliveries"
    " (id, webhook_id, event, subject_id, payload, status, attempt, next_at, created_at)"
    " VALUES ('evt_1', 'webhook_1', 'job.failed', 'job_1', '', 'pending', 0, 0, 0)"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "postgresql":
        return asyncio.run(new_database(request.getfixturevalue("postgres_url")))
    return f"sqlite:///{tmp_path / 'app.db'}"


def alembic(url: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "alembic", *arguments]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"DATABASE_URL": url}, check=True)


def execute(url: str, /, *statements: str, **values: object) -> list[Row[Any]]:
    """Run statements in one transaction and return the rows of the last."""

    def run(session: Session) -> list[Row[Any]]:
        results = [session.execute(text(each), values) for each in statements]
        return list(results[-1]) if results[-1].returns_rows else []  # type: ignore[attr-defined]

    async def in_database() -> list[Row[Any]]:
        async with open_database(Settings(_env_file=None, database_url=url)) as database:
            return await database.write(run)

    return asyncio.run(in_database())


def test_a_webhook_without_a_name_is_named_after_its_host(url: str) -> None:
    alembic(url, "upgrade", "0002")
    execute(url, CALLER)
    execute(url, WEBHOOK, id="webhook_1", url="https://receiver.example:8443/a/b?c=//d")
    execute(url, WEBHOOK, id="webhook_2", url=f"https://{'a' * 50}.{'b' * 60}.example/")
    execute(url, DELIVERY)
    alembic(url, "upgrade", "head")
    rows = execute(url, "SELECT name, updated_at FROM webhooks ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("receiver.example:8443", 5),
        (f"{'a' * 50}.{'b' * 49}", 5),
    ]
    assert len(execute(url, "SELECT id FROM webhook_deliveries")) == 1
