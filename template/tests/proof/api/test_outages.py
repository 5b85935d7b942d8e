"""Answers while the database or the disk cannot be used, and their one line in the log."""

import asyncio
import errno
import sqlite3
from pathlib import Path
from socket import gaierror
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.main import create_app
from app.settings import Settings
from engine.callers.keys import create_key
from engine.errors import Unavailable
from engine.process.outages import is_outage
from engine.sql.database import open_database
from tests.api.serving import serving
from tests.isolation import own_server
from tests.service import free_port
from tests.tables import make_tables

pytestmark = pytest.mark.anyio


class Log:
    """What the app writes to standard error."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def check(self) -> None:
        """Fail where there is not one line that tells of it, or a traceback."""
        told = self._capfd.readouterr().err
        assert "Traceback" not in told
        assert told.count(" has no data: ") == 1


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Log:
    return Log(capfd)


def check(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["code"] == "service_unavailable"


async def prepared(tmp_path: Path, url: str) -> tuple[Settings, str]:
    settings = Settings(
        data_dir=tmp_path,
        database_url=url,
        redis_url="none",
        model_provider="simulated",
        key_cache_seconds=0.01,
        database_timeout=4,
    )
    await make_tables(settings)
    async with open_database(settings) as database:
        return settings, await database.write(create_key, "ada")


async def upload(client: httpx.AsyncClient, key: str) -> httpx.Response:
    files = {"file": ("items.jsonl", b'{"a": 1}\n' * 4000)}
    headers = {"authorization": f"Bearer {key}"}
    return await client.post("/v1/files", data={"purpose": "batch"}, files=files, headers=headers)


async def test_sqlite_is_locked(tmp_path: Path, log: Log) -> None:
    settings, key = await prepared(tmp_path, f"sqlite:///{tmp_path / 'app.db'}")
    loop, held, enough = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def hold(session: Session) -> None:
        session.connection()
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(enough.wait(), loop).result()

    async with open_database(settings) as other, serving(create_app(settings)) as client:
        holding = asyncio.create_task(other.write(hold))
        await held.wait()
        try:
            answer = await upload(client, key)
        finally:
            enough.set()
            await holding
        check(answer)
        assert (await upload(client, key)).status_code == 200
    log.check()


async def test_postgresql_goes_away(tmp_path: Path, postgres_url: str, log: Log) -> None:
    name = f"leaving_{uuid4().hex}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"CREATE DATABASE {name}")
    settings, key = await prepared(tmp_path, postgres_url.rpartition("/")[0] + f"/{name}")
    async with serving(create_app(settings)) as client:
        assert (await upload(client, key)).status_code == 200
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        answer = await upload(client, key)
    await server.close()
    check(answer)
    log.check()


async def test_postgresql_cannot_be_reached() -> None:
    port = free_port()
    own_server(port)
    url = f"postgresql://app@127.0.0.1:{port}/nowhere"
    with pytest.raises(OSError, match=r"refused|Connect") as refused:
        async with open_database(Settings(database_url=url)):
            pass
    assert is_outage(refused.value)


def sqlite_error(code: int) -> DBAPIError:
    error = sqlite3.OperationalError("as told")
    error.sqlite_errorcode = code
    return DBAPIError("INSERT", None, error)


def postgres_error(code: str) -> DBAPIError:
    error = RuntimeError("as told")
    error.sqlstate = code  # type: ignore[attr-defined]
    return DBAPIError("INSERT", None, error)


@pytest.mark.parametrize(
    "error",
    [
        sqlite_error(sqlite3.SQLITE_BUSY),
        sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT),
        sqlite_error(sqlite3.SQLITE_FULL),
        sqlite_error(sqlite3.SQLITE_IOERR_WRITE),
        sqlite_error(sqlite3.SQLITE_CANTOPEN),
        sqlite_error(sqlite3.SQLITE_READONLY),
        postgres_error("08006"),
        postgres_error("53100"),
        postgres_error("53300"),
        postgres_error("57P01"),
        postgres_error("25006"),
        postgres_error("40001"),
        asyncpg.CannotConnectNowError("starting up"),
        DBAPIError("SELECT", None, RuntimeError("closed"), connection_invalidated=True),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Multiple exceptions: [Errno 111] ..."),
        ConnectionRefusedError(),
        TimeoutError(),
        gaierror(-2, "Name or service not known"),
    ],
)
def test_an_error_that_may_pass_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        sqlite_error(sqlite3.SQLITE_ERROR),
        sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
        sqlite_error(sqlite3.SQLITE_CORRUPT),
        postgres_error("42P01"),
        postgres_error("22003"),
        postgres_error("23505"),
        FileNotFoundError(),
        ValueError(),
    ],
)
def test_an_error_that_stays_is_no_outage(error: Exception) -> None:
    assert not is_outage(error)


async def test_a_full_database_is_an_outage(tmp_path: Path) -> None:
    settings, _ = await prepared(tmp_path, f"sqlite:///{tmp_path / 'app.db'}")

    def fill(session: Session) -> None:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
        for number in range(100):
            session.execute(text(f"CREATE TABLE more_{number} (a)"))

    async with open_database(settings) as database:
        with pytest.raises(Unavailable):
            await database.write(fill)
