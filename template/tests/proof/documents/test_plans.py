"""A removal looks at what it removes, and never at all chunks, vectors or files."""

import shutil
import time
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.documents.removal import remove_expired, remove_piece, remove_unused
from engine.documents.tables import VectorStoreRow
from engine.sql.database import open_database
from tests.owing import add_caller
from tests.proof.machines.plans import sqlite_plans

SCANS = ("SCAN document_chunks", "SCAN vector_pages", "SCAN store_files")
OF_FEW = "USING INDEX ix_store_files_unused"
"""An index of those files alone whose chunks no search reads."""


@pytest.mark.anyio
async def test_a_removal_scans_no_large_table(sqlite_tables: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{shutil.copy(sqlite_tables, tmp_path)}"
    async with open_database(Settings(_env_file=None, database_url=url)) as database:
        await database.write(add_store)
        with sqlite_plans() as plans:
            await database.write(remove_piece, "vs_a")
            await database.write(remove_unused, 0.0)
            await database.write(remove_expired, 0.0)
    assert plans
    assert not [each for each in plans if each.startswith(SCANS) and OF_FEW not in each]


def add_store(session: Session) -> None:
    known = {"caller_id": add_caller(session), "labels": b"{}", "space": "a", "dimensions": 1}
    at = time.time()
    session.add(VectorStoreRow(id="vs_a", created_at=at, last_active_at=at, **known))
