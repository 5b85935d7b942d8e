"""How Alembic reaches the database of the settings.

Branches of revisions: `engine` in `engine/sql/migrations/`, beside it one for each option that has
tables, and `app`, the tables of the features, in `migrations/versions/`. `app migrate` brings all
to their ends. After a change of your
tables, `uv run alembic revision --autogenerate -m "what changed"` writes the next step of `app`,
which knows no table of the engine; with `alembic -x branch=engine` it is the other way round.
"""

import asyncio
from collections.abc import Iterable
from sqlite3 import Connection as SqliteConnection

from alembic import context
from alembic.operations import MigrationScript
from sqlalchemy import Connection, MetaData, create_engine, event, text
from sqlalchemy.pool import NullPool

from app.features import tables
from app.settings import Settings
from engine.options import installed_options
from engine.settings.loading import load_settings
from engine.sql.postgres import open_engine
from engine.sql.tables import Base

BY_HAND = "document_words"  # an index of words: its migration writes SQL that no table tells of
LOCK = 7_295_140_631  # any number: that of this app's migrations among PostgreSQL's advisory locks
LOCK_SECONDS = 2  # for one lock: while PostgreSQL waits for a table, each reader of it waits too
OPTIONS = installed_options()  # their tables are the engine's from here on
OF_0_X = {"0008", "0009", "0010"}  # the revisions of 0.3.0 to 0.4.0: `engine_0001` goes on there

BRANCHES: dict[str, MetaData] = {"app": tables.Base.metadata, "engine": Base.metadata}
BRANCH = context.get_x_argument(as_dictionary=True).get("branch", "app")


def is_of_branch(_item: object, name: str | None, kind: str, *_rest: object) -> bool:
    """Return whether autogenerate compares this: the app's branch has all but the engine's."""
    if BY_HAND in (name or ""):
        return False
    return kind != "table" or (name in Base.metadata.tables) == (BRANCH == "engine")


def onto_branch(_context: object, _revision: object, scripts: Iterable[MigrationScript]) -> None:
    """Let a new revision go on where its branch ends."""
    for script in scripts:
        if script.head in {None, "head"}:
            script.head = f"{BRANCH}@head"


def migrate(connection: Connection) -> None:
    """Run the asked-for steps in one transaction, which a second migration waits for."""
    on_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=BRANCHES[BRANCH],
        include_object=is_of_branch,
        process_revision_directives=onto_branch,
        compare_type=True,
        render_as_batch=on_sqlite,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not on_sqlite:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        if "found" in context.config.attributes:  # by `app migrate`
            context.config.attributes["found"] = leave_0_x(connection)
        context.run_migrations()


def leave_0_x(connection: Connection) -> set[str]:
    """Return the revisions of the database, and let it be without those of 0.x."""
    found = set(context.get_context().get_current_heads())
    for revision in found & OF_0_X:
        delete = text("DELETE FROM alembic_version WHERE version_num = :revision")
        connection.execute(delete, {"revision": revision})
    return found


def migrate_sqlite(url: str) -> None:
    """Migrate with the driver of the standard library."""
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS}, poolclass=NullPool)

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
    """Print the statements instead of running them (`alembic upgrade heads --sql`)."""
    context.configure(url=url, target_metadata=BRANCHES[BRANCH], literal_binds=True)
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
