"""Servers for the tests: started here, on sockets and free ports of their own, once a session."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from redis import Redis

from app.development import valkey
from app.resources.database import Database, open_database
from app.settings import Settings
from tests.service import Service, answers, eventually, free_port, service
from tests.tables import empty, make_tables, new_database

LIVE: dict[str, Any] = {"lease_seconds": 3, "sweep_seconds": 0.2, "key_cache_seconds": 0.5}
POSTGRES_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own `.env` out of the tests."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server of these tests."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "redis.sock")
        server = subprocess.Popen(
            valkey.command(valkey.find_server(), Path(name), path), stdout=subprocess.DEVNULL
        )
        try:
            eventually(path.exists)
            with Redis(unix_socket_path=str(path)) as client:
                eventually(client.ping)
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="session")
def tcp_redis_url() -> Iterator[str]:
    """A Redis server of the system, on a port. It must be installed."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if not binary:
        _missing("Redis is not installed: `apt-get install redis-server` brings it")
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        server = subprocess.Popen(
            [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", name],
            stdout=subprocess.DEVNULL,
        )
        try:
            with Redis(port=port) as client:
                eventually(lambda: answers(client))
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty PostgreSQL database of these tests. PostgreSQL itself must be installed."""
    on_path = shutil.which("initdb")
    found = [*POSTGRES_FOLDERS, *([Path(on_path).parent] if on_path else [])]
    if not found:
        _missing("PostgreSQL is not installed: `apt-get install postgresql` brings it")
    with tempfile.TemporaryDirectory() as name:
        yield from _postgres(found[0], Path(name))


def _missing(what: str) -> None:
    """Skip on a laptop, say loudly why, and never skip in CI."""
    pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)


def _postgres(binaries: Path, folder: Path) -> Iterator[str]:
    data, port = folder / "data", free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "app", "-A", "trust"]
    subprocess.run(initdb, check=True, capture_output=True, user=user)
    options = ["-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1"]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options],
            user=user,
            stderr=log,
        )
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    try:
        eventually(lambda: subprocess.run(ready, check=False).returncode == 0)
        yield f"postgresql://app@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def postgres_tables_url(postgres_url: str) -> str:
    """A PostgreSQL database of its own with all tables."""
    url = asyncio.run(new_database(postgres_url))
    asyncio.run(make_tables(Settings(_env_file=None, database_url=url)))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind with all tables, all of them empty."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_tables_url")
        asyncio.run(empty(Settings(_env_file=None, database_url=url)))
        return url
    url = f"sqlite:///{tmp_path / 'test.db'}"
    asyncio.run(make_tables(Settings(_env_file=None, database_url=url)))
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, opened."""
    async with open_database(Settings(_env_file=None, database_url=database_url)) as opened:
        yield opened


@pytest.fixture(scope="session")
def on_sqlite(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """API and worker on a simulated model, on what is embedded."""
    with service(tmp_path_factory.mktemp("sqlite"), redis_url, **LIVE) as running:
        running.start("api", "worker")
        yield running


@pytest.fixture(scope="session")
def on_postgres(
    postgres_url: str, tcp_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """API and worker on a simulated model, on installed servers."""
    folder = tmp_path_factory.mktemp("postgresql")
    with service(folder, tcp_redis_url, postgres_url, **LIVE) as running:
        running.start("api", "worker")
        yield running


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
