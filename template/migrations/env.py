"""How Alembic reaches the database of the settings.

Used by `app migrate` and by the `alembic` command: after a change of `engine/sql/tables.py`,
`uv run alembic revision --autogenerate -m "what changed"` writes the next step.
"""

import asyncio
from sqlite3 import Connection as SqliteConnection

from alembic import context
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from app.settings import Settings
from engine.settings.loading import load_settings
from engine.sql.postgres import open_engine
from engine.sql.tables import Base

LOCK = 7_295_140_631  # any number: that of this app's migrations among PostgreSQL's advisory locks
SQLITE_WAIT = 60.0  # seconds for another migration to end


def migrate(connection: Connection) -> None:
    """Run the asked-for steps in one transaction, which a second migration waits for."""
    on_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=on_sqlite,
        transactional_ddl=True,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        if not on_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


def migrate_sqlite(url: str) -> None:
    """Migrate with the driver of the standard library."""
    engine = create_engine(url, connect_args={"timeout": SQLITE_WAIT}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def leave_transactions_to_sqlalchemy(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def lock(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.connect() as connection:
        migrate(connection)


async def migrate_postgres(url: str) -> None:
    """Migrate with asyncpg, so that no second driver is needed."""
    engine = await open_engine(url, {}, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


def write_sql(url: str) -> None:
    """Print the statements instead of running them (`alembic upgrade head --sql`)."""
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Do what the command line asks for."""
    settings = load_settings(Settings)
    url = settings.sql_url
    if context.is_offline_mode():
        write_sql(url)
    elif url.startswith("sqlite"):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrate_sqlite(url)
    else:
        asyncio.run(migrate_postgres(url))


main()
