"""An old snapshot of the database is told of, for it slows every claim down."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from app.settings import Settings
from engine.sql.database import Database, open_database
from engine.views.backlog import oldest_snapshot

pytestmark = pytest.mark.anyio
OLD = 0.3


async def until(database: Database, *, old: bool) -> None:
    async with asyncio.timeout(30):
        while ((await database.read(oldest_snapshot) or 0.0) > OLD) is not old:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "statement", ["SELECT 1", "CREATE TEMPORARY TABLE held (n int)"], ids=["read", "written"]
)
async def test_a_transaction_that_stays_open_is_told_until_it_ends(
    postgres_tables_url: str, statement: str
) -> None:
    settings = Settings(_env_file=None, database_url=postgres_tables_url)
    other = await asyncpg.connect(postgres_tables_url)
    try:
        async with open_database(settings) as database:
            async with other.transaction(isolation="repeatable_read"):
                await other.execute(statement)
                await until(database, old=True)
            await until(database, old=False)
    finally:
        await other.close()


async def test_sqlite_has_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    async with open_database(Settings(_env_file=None, database_url=url)) as database:
        assert await database.read(oldest_snapshot) is None
