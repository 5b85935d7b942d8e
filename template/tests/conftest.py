"""Servers for the tests: started here, on sockets and free ports of their own, once a session."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from app.settings import Settings
from engine.sql.database import Database, open_database
from tests.batches import HoldBatch, holding_batches
from tests.blocking import no_blocking
from tests.isolation import own_folder, refuse_foreign_databases
from tests.leaks import nothing_left
from tests.receiver import Receiver, receiving
from tests.servers import EmbeddedRedis, InstalledRedis, Postgres, running
from tests.service import Service, service
from tests.tables import empty, make_tables, new_database

LIVE: dict[str, Any] = {
    "lease_seconds": 3,
    "key_cache_seconds": 0.5,
    "webhook_private_addresses": True,
}


PROGRAMS = {"chromium", "curl", "nginx", "on_postgres", "postgres", "postgres_url", "tcp_redis_url"}
"""Fixtures that need a program of the system."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line say on which servers the tests run."""
    parser.addoption(
        "--servers",
        choices=["embedded", "installed", "all"],
        default="embedded",
        help="embedded: Valkey's wheel and SQLite. installed: PostgreSQL, Redis, other programs.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that run on these servers."""
    wanted = config.getoption("servers")
    if wanted != "all":
        left_out = [each for each in items if _of_the_system(each) != (wanted == "installed")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


def _of_the_system(item: pytest.Item) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    fixtures = PROGRAMS & set(getattr(item, "fixturenames", ()))
    return bool(fixtures) or "postgresql" in parameters


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _own_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let databases be in the folders of the tests, where a forgotten setting puts them too."""
    folder = tmp_path_factory.getbasetemp()
    own_folder(folder)
    refuse_foreign_databases()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(folder / "data"))
        yield


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let each test begin in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _guarded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an asynchronous test for calls of the app that block the event loop, and for leaks."""
    if not iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    request.getfixturevalue("_nothing_is_left")
    with no_blocking():
        yield


@pytest.fixture
async def _nothing_is_left() -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task or a thread behind."""
    async with nothing_left():
        yield


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server of these tests."""
    with tempfile.TemporaryDirectory() as name, running(EmbeddedRedis(Path(name))) as server:
        yield server.url


@pytest.fixture(scope="session")
def tcp_redis_url() -> Iterator[str]:
    """A Redis server of the system, on a port. It must be installed."""
    with tempfile.TemporaryDirectory() as name, running(InstalledRedis(Path(name))) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty PostgreSQL database of these tests. PostgreSQL itself must be installed."""
    with tempfile.TemporaryDirectory() as name, running(Postgres(Path(name))) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_tables_url(postgres_url: str) -> str:
    """A PostgreSQL database of its own with all tables."""
    url = asyncio.run(new_database(postgres_url))
    asyncio.run(make_tables(Settings(_env_file=None, database_url=url)))
    return url


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables, to be copied."""
    path = tmp_path_factory.mktemp("tables") / "test.db"
    asyncio.run(make_tables(Settings(_env_file=None, database_url=f"sqlite:///{path}")))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind with all tables, all of them empty."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_tables_url")
        asyncio.run(empty(url))
        return url
    copy = shutil.copy(request.getfixturevalue("sqlite_tables"), tmp_path)
    return f"sqlite:///{copy}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, opened."""
    async with open_database(Settings(_env_file=None, database_url=database_url)) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks that remembers what it got."""
    with receiving() as running:
        yield running


@pytest.fixture(scope="session")
def on_sqlite(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """API and worker on a simulated model, on what is embedded."""
    with service(tmp_path_factory.mktemp("sqlite"), redis_url, docs=True, **LIVE) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture(scope="session")
def on_postgres(
    postgres_url: str, tcp_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """API and worker on a simulated model, on installed servers."""
    folder = tmp_path_factory.mktemp("postgresql")
    with service(folder, tcp_redis_url, postgres_url, **LIVE) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest) -> Service:
    """Each of the two: started when first needed, and not again."""
    fixture = "on_postgres" if request.param == "postgresql" else "on_sqlite"
    running: Service = request.getfixturevalue(fixture)
    return running


@pytest.fixture
def key(live: Service) -> str:
    return live.new_key()


@pytest.fixture
def client(live: Service, key: str) -> Iterator[OpenAI]:
    with live.client(key, max_retries=0) as official:
        yield official


@pytest.fixture(scope="module")
def prepared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with tables whose process is the test itself."""
    with service(tmp_path_factory.mktemp("prepared"), redis_url, docs=True) as ready:
        yield ready


@pytest.fixture
def hold_batch() -> Iterator[HoldBatch]:
    """Makes running batches that the test works off itself."""
    with holding_batches() as hold:
        yield hold
