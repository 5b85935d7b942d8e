"""Databases of their own for tests that share a PostgreSQL server."""

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine


async def new_database(url: str, name: str) -> str:
    """Return the address of a new, empty database on the server at `url`."""
    server = make_url(url)
    engine = create_async_engine(
        server.set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT"
    )
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}"'))
    await engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)
