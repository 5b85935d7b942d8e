"""Databases with tables, for tests that need no process."""

from uuid import uuid4

import asyncpg
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.features import tables
from app.settings import Settings
from engine.options import installed_options
from engine.sql.database import open_database
from engine.sql.revisions import OWN
from engine.sql.tables import Base

OPTIONS = installed_options()  # their tables are the engine's from here on


async def new_database(server: str) -> str:
    """Return the URL of a new database on a PostgreSQL server."""
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.rpartition("/")[0] + f"/{name}"


async def make_tables(settings: Settings) -> None:
    """Make all tables in an empty database, which says that it is at the newest revisions."""

    def make(session: Session) -> None:
        for base in (Base, tables.Base):
            base.metadata.create_all(session.connection())
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        heads = [{"head": each} for each in OWN.heads]
        session.execute(text("INSERT INTO alembic_version VALUES (:head)"), heads)

    async with open_database(settings) as database:
        await database.write(make)


async def empty(url: str) -> None:
    """Delete all rows of a PostgreSQL database.

    At once, as hundreds of tests begin so: 13 ms of the processor, and 75 table by table.
    """
    own = [each for each in tables.Base.metadata.sorted_tables if each.name != "callers"]
    names = [table.name for table in reversed([*Base.metadata.sorted_tables, *own])]
    connection = await asyncpg.connect(url)
    await connection.execute("; ".join(f"DELETE FROM {name}" for name in names))
    await connection.close()
