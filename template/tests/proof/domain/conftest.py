"""What several of these tests need."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from engine.sql.database import Database, open_database
from tests.tables import empty


@pytest.fixture
async def postgresql(postgres_tables_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL database without rows."""
    settings = Settings(_env_file=None, database_url=postgres_tables_url)
    await empty(settings)
    async with open_database(settings) as opened:
        yield opened
