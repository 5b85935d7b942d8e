"""Databases with tables, for tests that need no process."""

from uuid import uuid4

import asyncpg
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.sql.database import open_database
from engine.sql.tables import Base


async def new_database(server: str) -> str:
    """Return the URL of a new database on a PostgreSQL server."""
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.rpartition("/")[0] + f"/{name}"


async def make_tables(settings: Settings) -> None:
    """Make all tables in an empty database."""

    def make(session: Session) -> None:
        Base.metadata.create_all(session.connection())

    async with open_database(settings) as database:
        await database.write(make)


async def empty(settings: Settings) -> None:
    """Delete all rows."""

    def delete(session: Session) -> None:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())

    async with open_database(settings) as database:
        await database.write(delete)
