"""PostgreSQL by asyncpg: reached by an address of libpq, with or without a pooler between."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Connection, NullPool, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVER = "postgresql+asyncpg://"
UNNAMED: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,  # each is '', the unnamed one
}
"""No statement that outlives its transaction: behind a pooler the next one has another session."""


async def open_engine(url: str, session: Mapping[str, str], **options: Any) -> AsyncEngine:  # noqa: ANN401
    """Return an engine that runs its transactions under these settings of the server.

    It is connected once, to learn whether a pooler as PgBouncer gives each transaction a session of
    its own; `pgbouncer=true` in the address says so where it cannot be seen.
    """
    arguments = connect_arguments(url)
    pooled = UNNAMED.keys() <= arguments.keys() or await _is_pooled(arguments)
    if not pooled:
        arguments["server_settings"] = session
        return create_async_engine(DRIVER, connect_args=arguments, **options)
    engine = create_async_engine(DRIVER, connect_args=arguments | UNNAMED, **options)
    if session:
        _set_in_each_transaction(engine, session)
    return engine


def connect_arguments(url: str) -> dict[str, Any]:
    """Return the arguments with which asyncpg connects to an address of the settings."""
    head, _, query = url.partition("?")
    parameters = dict(parse_qsl(query))
    arguments: dict[str, Any] = {}
    if seconds := int(parameters.pop("connect_timeout", 0)):
        arguments["timeout"] = seconds
    if parameters.pop("pgbouncer", "false") == "true":
        arguments |= UNNAMED
    if parameters.get("sslrootcert") == "system":  # as libpq: the machine's certificates, strictly
        del parameters["sslrootcert"]
        arguments["ssl"] = ssl.create_default_context()
    return arguments | {"dsn": f"{head}?{urlencode(parameters)}".rstrip("?")}


async def _is_pooled(arguments: Mapping[str, Any]) -> bool:
    """Return whether a pooler stands between: another process answers than accepted the login."""
    engine = create_async_engine(DRIVER, connect_args={**arguments, **UNNAMED}, poolclass=NullPool)
    async with engine.connect() as connection:
        answering = await connection.scalar(text("SELECT pg_backend_pid()"))
        driver = (await connection.get_raw_connection()).driver_connection
        return driver is None or answering != driver.get_server_pid()


def _set_in_each_transaction(engine: AsyncEngine, session: Mapping[str, str]) -> None:
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in session.items())

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT {calls}")
