"""A search, a move to another model and a removal read by indexes, whatever else is there."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from sqlalchemy.orm import Session

from engine.documents import reembedding, removal, search
from engine.documents.words import ChunkKey
from engine.resources import Resources
from tests.documents.stocked import SPACE, Stocked, add_store, file_row, fill
from tests.proof.machines import past
from tests.proof.machines.plans import sqlite_plans
from tests.proof.machines.store import Store

LARGE = {"store_files", "document_chunks", "vector_pages"}
ID = "vs_0123456789abcdef"


def stocked(session: Session) -> str:
    """Make a store with a file; return the id of the row."""
    past.add_caller(session)
    store = Stocked(cast("Resources", None), past.CALLER, ID)
    add_store(session, store)
    row = file_row(store, {}, "completed")
    fill(session, row, SPACE, ["fox"], np.ones((1, SPACE.dimensions), dtype="<f4"))
    return row.id


def plan(session: Session, _file_id: str) -> object:
    return search.plan_search(session, past.CALLER, ID, ["fox"], keyword_rows=10)


def read(session: Session, file_id: str) -> object:
    return search.read_chunks(session, [ChunkKey(file_id, seq) for seq in range(3)])


def move(session: Session, _file_id: str) -> object:
    return reembedding.files_without(session, ID, "other/64")


def remove(session: Session, _file_id: str) -> object:
    return removal.remove_piece(session, ID)


@pytest.mark.parametrize("step", [plan, read, move, remove])
def test_no_table_of_documents_is_scanned(step: Callable[[Session, str], object]) -> None:
    kept = Store()
    file_id = kept.write(stocked)
    with sqlite_plans() as plans:
        kept.write(step, file_id)
    assert plans
    assert not [each for each in plans if each in {f"SCAN {table}" for table in LARGE}]
