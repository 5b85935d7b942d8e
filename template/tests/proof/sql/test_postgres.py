"""The ways to a PostgreSQL server: by the parameters of libpq, by TLS, by PgBouncer."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.settings.urls import CHOICES, database_url
from engine.sql.database import Database, open_database
from engine.sql.postgres import connect_arguments
from tests.batches import ended, submit
from tests.lines import chats
from tests.proof.machines.certificates import certify
from tests.proof.machines.poolers import PgBouncer
from tests.servers import Postgres, running
from tests.service import service

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("postgres_url")]

SHOWN = {
    "options=-c%20search_path%3Dours": ("search_path", "ours"),
    "options=-csearch_path%3Dours": ("search_path", "ours"),
    "application_name=billing": ("application_name", "billing"),
    "connect_timeout=7&channel_binding=prefer": ("search_path", '"$user", public'),
    "target_session_attrs=read-write": ("transaction_read_only", "off"),
}
WITHOUT_TLS = {"disable", "allow", "prefer"}
STRICT = {"verify-ca", "verify-full"}
BY_TLS = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


def ask(session: Session, statement: str) -> object:
    return session.scalar(text(statement))


def with_parameters(url: str, parameters: str) -> Settings:
    return Settings(_env_file=None, database_url=f"{url}?{parameters}")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg2", "postgresql+asyncpg"])
async def test_other_names_of_the_scheme_lead_there(postgres_url: str, scheme: str) -> None:
    settings = Settings(_env_file=None, database_url=postgres_url.replace("postgresql", scheme))
    async with open_database(settings) as database:
        assert await database.read(ask, "SELECT 1") == 1


@pytest.mark.parametrize(("parameters", "shown"), SHOWN.items())
async def test_parameters_of_libpq_do_what_they_say(
    postgres_url: str, parameters: str, shown: tuple[str, str]
) -> None:
    name, value = shown
    async with open_database(with_parameters(postgres_url, parameters)) as database:
        assert await database.write(ask, f"SHOW {name}") == value


async def test_a_server_is_reached_by_the_socket_in_the_query(postgres_url: str) -> None:
    async with open_database(Settings(_env_file=None, database_url=postgres_url)) as database:
        folder = await database.read(ask, "SHOW unix_socket_directories")
    port = make_url(postgres_url).port
    url = database_url(f"postgres:///postgres?host={folder}&port={port}&user=app")
    connection = await asyncpg.connect(**connect_arguments(url))
    assert await connection.fetchval("SELECT inet_client_addr()") is None
    await connection.close()


def test_a_time_limit_and_the_roots_of_the_machine_are_given_to_the_driver() -> None:
    arguments = connect_arguments("postgresql://h/db?connect_timeout=7&sslrootcert=system")
    assert arguments["timeout"] == 7
    assert arguments["ssl"].check_hostname
    assert arguments["dsn"] == "postgresql://h/db"


class WithTls(Postgres):
    """A server with a certificate for `localhost` of its own making."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.certificate, key = certify(folder)
        for name, value in (("", "on"), ("_cert_file", self.certificate), ("_key_file", key)):
            self._command = [*self._command, "-c", f"ssl{name}={value}"]


@pytest.fixture(scope="module")
def tls() -> Iterator[WithTls]:
    with tempfile.TemporaryDirectory() as name, running(WithTls(Path(name))) as server:
        yield server


@pytest.mark.parametrize("mode", CHOICES["sslmode"].split())
async def test_each_ssl_mode_encrypts_where_it_says_so(
    tls: WithTls, postgres_url: str, mode: str
) -> None:
    roots = f"&sslrootcert={tls.certificate}" if mode in STRICT else ""
    url = tls.url.replace("127.0.0.1", "localhost")
    async with open_database(with_parameters(url, f"sslmode={mode}{roots}")) as database:
        assert await database.read(is_encrypted) == (mode not in {"disable", "allow"})
    plain = with_parameters(postgres_url, f"sslmode={mode}{roots}")
    if mode in WITHOUT_TLS:
        async with open_database(plain) as database:
            assert not await database.read(is_encrypted)
    else:
        with pytest.raises(ConnectionError, match="rejected SSL"):
            await anext(opening(plain))


@pytest.mark.parametrize(
    ("parameters", "host"),
    [("sslmode=verify-full", "127.0.0.1"), ("sslrootcert=system", "localhost")],
)
async def test_a_certificate_of_another_name_or_maker_is_refused(
    tls: WithTls, parameters: str, host: str
) -> None:
    roots = "" if "system" in parameters else f"&sslrootcert={tls.certificate}"
    url = tls.url.replace("127.0.0.1", host)
    with pytest.raises(ssl.SSLCertVerificationError):
        await anext(opening(with_parameters(url, parameters + roots)))


async def opening(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings) as database:
        yield database


def is_encrypted(session: Session) -> bool:
    return bool(session.scalar(BY_TLS))


@pytest.fixture(scope="module")
def pooled_url(postgres_url: str) -> Iterator[str]:
    """That server behind PgBouncer in transaction mode."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running(PgBouncer(folder, postgres_url)) as pooler:
            yield pooler.url


@pytest.mark.parametrize("parameters", ["", "?pgbouncer=true", "?statement_cache_size=0"])
async def test_transactions_share_the_sessions_of_a_pooler(
    pooled_url: str, postgres_url: str, parameters: str
) -> None:
    """More than it has sessions, with several statements each; nothing of them stays behind."""

    def several(session: Session, number: int) -> list[object]:
        asked = [session.scalar(text(f"SELECT {number} + :n"), {"n": n}) for n in range(3)]
        return [*asked, ask(session, "SHOW idle_in_transaction_session_timeout")]

    def left(session: Session) -> object:
        return ask(session, "SELECT count(*) FROM pg_prepared_statements")

    settings = Settings(_env_file=None, database_url=pooled_url + parameters, lease_seconds=15)
    async with open_database(settings) as first, open_database(settings) as second:
        calls = [
            call(several, number)
            for number in range(20)
            for call in (first.read, second.write, second.read, first.write)
        ]
        answers = await asyncio.gather(*calls)
        assert await asyncio.gather(*(first.read(left) for _ in range(10))) == [0] * 10
    assert answers == [[n, n + 1, n + 2, "15s"] for n in range(20) for _ in range(4)]


def test_api_and_worker_do_their_work_behind_a_pooler(
    pooled_url: str, redis_url: str, tmp_path: Path
) -> None:
    with service(tmp_path, redis_url, pooled_url) as ready:
        ready.start("api", "worker", "worker")
        with ready.client(ready.new_key()) as client:
            counts = ended(client, submit(client, chats(100))).request_counts
    assert counts
    assert (counts.completed, counts.failed) == (100, 0)
