"""A database that does not serve is told as that, in time, and serves again when it is back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.errors import Unavailable
from engine.sql.database import Database, open_database
from tests.proof.machines.silence import Wire, wire_to

pytestmark = pytest.mark.anyio

TIME = 1.0
BOUND = 20.0
"""Far more than a turn, a transaction and the end of a connection take; far less than for ever."""


def ask(session: Session, statement: str = "SELECT 1") -> int:
    return int(session.execute(text(statement)).scalar_one())


@pytest.fixture
def wired(postgres_url: str) -> Iterator[tuple[Wire, str]]:
    with wire_to(postgres_url) as wire:
        yield wire


@pytest.fixture
def wire(wired: tuple[Wire, str]) -> Wire:
    return wired[0]


@pytest.fixture
async def postgres(wired: tuple[Wire, str]) -> AsyncIterator[Database]:
    settings = Settings(
        _env_file=None, database_url=wired[1], database_timeout=TIME, database_connections=2
    )
    async with open_database(settings) as opened:
        yield opened


async def unavailable(database: Database, count: int) -> bool:
    """Return whether so many transactions at once are all told so in time."""
    async with asyncio.timeout(BOUND):
        calls = [database.write(ask) for _ in range(count)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    return all(isinstance(end, Unavailable) for end in ends)


@pytest.mark.parametrize("count", [1, 20], ids=["one", "more than there are connections"])
async def test_a_silent_server_is_not_waited_for(
    postgres: Database, wire: Wire, count: int
) -> None:
    wire.cut()
    assert await unavailable(postgres, count)


async def test_nor_where_it_falls_silent_in_the_middle(postgres: Database, wire: Wire) -> None:
    def cut_between(session: Session) -> None:
        ask(session)
        wire.cut()
        ask(session)

    async with asyncio.timeout(BOUND):
        with pytest.raises(Unavailable):
            await postgres.write(cut_between)


async def test_a_database_that_speaks_again_serves_at_once(postgres: Database, wire: Wire) -> None:
    wire.cut()
    assert await unavailable(postgres, 3)
    wire.mend()
    assert await postgres.read(ask) == 1


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres: Database) -> None:
    before = await postgres.read(ask, "SELECT pg_backend_pid()")
    with pytest.raises(Unavailable):
        await postgres.read(ask, "SELECT 1 FROM pg_sleep(60)")
    assert await postgres.read(ask, "SELECT pg_backend_pid()") == before


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    settings = Settings(_env_file=None, database_url=url, database_timeout=TIME)
    async with open_database(settings) as opened:
        yield opened


async def test_a_lock_that_another_process_keeps_is_not_waited_for(
    sqlite: Database, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "test.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await unavailable(sqlite, 20)
        assert await sqlite.read(ask) == 1
    assert await sqlite.write(ask) == 1


async def test_a_wrong_statement_is_no_outage(sqlite: Database) -> None:
    with pytest.raises(DBAPIError, match="no such table"):
        await sqlite.read(ask, "SELECT 1 FROM nowhere")
