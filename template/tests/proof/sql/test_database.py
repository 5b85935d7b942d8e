"""Transactions as functions: the same behaviour on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path
from threading import Event

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from app.settings import Settings
from engine import deadline
from engine.errors import DeadlineExceeded
from engine.sql.database import Database, SqliteDatabase, open_database

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def configured(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    return Settings(_env_file=None, database_url=url)


@pytest.fixture
async def database(configured: Settings) -> AsyncIterator[Database]:
    """A database with one table, which holds the number 0."""
    async with open_database(configured) as opened:
        await opened.write(run, "CREATE TABLE counter (number INTEGER NOT NULL)")
        await opened.write(run, "INSERT INTO counter VALUES (0)")
        try:
            yield opened
        finally:
            await opened.write(run, "DROP TABLE counter")


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Database]:
    settings = Settings(_env_file=None, database_url=postgres_url, lease_seconds=15)
    async with open_database(settings) as opened:
        yield opened


def run(session: Session, statement: str) -> None:
    session.execute(text(statement))


def number(session: Session) -> int:
    return int(session.execute(text("SELECT number FROM counter")).scalar_one())


def add(session: Session, amount: int = 1) -> int:
    session.execute(text("UPDATE counter SET number = number + :amount"), {"amount": amount})
    return number(session)


def add_and_fail(session: Session) -> None:
    add(session)
    raise ValueError("broken on purpose")


async def test_a_write_returns_what_its_function_returns(database: Database) -> None:
    assert await database.write(add, amount=7) == 7


async def test_a_write_is_seen_by_the_next_read(database: Database) -> None:
    await database.write(add)
    assert await database.read(number) == 1


async def test_an_error_comes_out_as_it_is(database: Database) -> None:
    with pytest.raises(ValueError, match="on purpose"):
        await database.write(add_and_fail)


async def test_an_error_rolls_everything_back(database: Database) -> None:
    with pytest.raises(ValueError, match="on purpose"):
        await database.write(add_and_fail)
    assert await database.read(number) == 0


async def test_a_read_refuses_to_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"):
        await database.read(add)


async def test_a_refused_write_leaves_no_read_only_connection_behind(database: Database) -> None:
    with pytest.raises(DBAPIError):
        await database.read(add)
    assert await database.write(add) == 1


async def test_a_read_is_of_one_moment(database: Database) -> None:
    def read_twice(session: Session) -> tuple[int, int]:
        before = number(session)
        if isinstance(database, SqliteDatabase):
            anyio.from_thread.run(partial(database.write, add))
        else:
            await_only(database.write(add))
        return before, number(session)

    assert await database.read(read_twice) == (0, 0)


async def test_many_writers_at_once_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(database.write(add) for _ in range(50)))
    assert await database.read(number) == 50


async def test_many_readers_beside_many_writers_are_served(database: Database) -> None:
    calls = [database.write(add) if each % 2 else database.read(number) for each in range(100)]
    await asyncio.gather(*calls)
    assert await database.read(number) == 50


async def test_writers_of_two_processes_do_not_lock_each_other_out(
    configured: Settings, database: Database
) -> None:
    async with open_database(configured) as other:
        writers = [each.write(add) for each in (database, other) for _ in range(25)]
        await asyncio.gather(*writers)
    assert await database.read(number) == 50


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_conflict_is_tried_again(postgres: Database, state: str) -> None:
    tries: list[int] = []

    def conflict_once(session: Session) -> int:
        tries.append(1)
        if len(tries) == 1:
            run(session, _raise(state))
        return len(tries)

    assert await postgres.write(conflict_once) == 2


async def test_a_conflict_that_stays_comes_out_in_the_end(postgres: Database) -> None:
    with pytest.raises(DBAPIError, match="on purpose"):
        await postgres.write(run, _raise("40001"))


async def test_an_error_without_a_conflict_is_tried_once(postgres: Database) -> None:
    tries: list[int] = []

    def fail(session: Session) -> None:
        tries.append(1)
        run(session, _raise("23505"))

    with pytest.raises(DBAPIError, match="on purpose"):
        await postgres.write(fail)
    assert len(tries) == 1


async def test_the_server_ends_a_transaction_that_is_silent_for_a_lease(postgres: Database) -> None:
    def limit(session: Session) -> str:
        shown = session.execute(text("SHOW idle_in_transaction_session_timeout"))
        return str(shown.scalar_one())

    assert await postgres.read(limit) == "15s"


async def test_a_database_that_is_not_there_does_not_open(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}"
    with pytest.raises(DBAPIError, match="unable to open"):
        async with open_database(Settings(_env_file=None, database_url=url)):
            pass


async def blocked(database: Database, release: Event) -> list[asyncio.Task[int]]:
    """Return transactions that have taken every writer or connection, until `release` is set."""

    def block(session: Session) -> int:
        if isinstance(database, SqliteDatabase):
            release.wait(30)
        else:
            while not release.is_set():
                await_only(asyncio.sleep(0.005))
        return number(session)

    limit = next(iter(database.limits.values()))
    size = int(limit.total_tokens)
    tasks = [asyncio.create_task(database.write(block)) for _ in range(size)]
    async with asyncio.timeout(30):
        while limit.borrowed_tokens < size:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return tasks


async def test_out_of_time_no_transaction_begins(database: Database) -> None:
    with pytest.raises(DeadlineExceeded):
        await late(database.write(add))
    assert await database.read(number) == 0


async def late(write: Awaitable[int]) -> int:
    deadline.ends_at.set(asyncio.get_running_loop().time())
    try:
        return await write
    finally:
        deadline.ends_at.set(None)


async def test_the_wait_for_a_connection_ends_at_the_deadline(database: Database) -> None:
    release = Event()
    running = await blocked(database, release)

    async def hasty() -> None:
        deadline.shorten(0.01)
        await database.write(add)

    try:
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(asyncio.create_task(hasty()), 10)
    finally:
        release.set()
    assert set(await asyncio.gather(*running)) == {0}
    assert await database.read(number) == 0


async def left(database: Database, release: Event) -> None:
    """Return when a transaction has begun whose caller has gone; it ends once `release` is set."""
    begun = Event()

    def slow(session: Session) -> None:
        begun.set()
        add(session)
        if isinstance(database, SqliteDatabase):
            release.wait(30)
        else:
            while not release.is_set():
                await_only(asyncio.sleep(0.005))

    caller = asyncio.create_task(database.write(slow))
    async with asyncio.timeout(30):
        while not begun.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()


async def test_a_transaction_that_has_begun_goes_on_without_its_caller(database: Database) -> None:
    release = Event()
    await left(database, release)
    release.set()
    async with asyncio.timeout(30):
        while await database.read(number) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_closing_waits_for_what_goes_on_without_its_caller(
    configured: Settings, database: Database
) -> None:
    """Its connection came back to a pool that was gone, and stayed open."""
    release = Event()
    async with open_database(configured) as another:
        await left(another, release)
        asyncio.get_running_loop().call_later(0.1, release.set)
    assert await database.read(number) == 1


def _raise(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$"
