"""`app documents`, on both databases."""

import time

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.documents.tables import StoreFileRow, VectorStoreRow
from engine.errors import NotFound
from engine.sql.tables import JobRow
from tests.cli.command import in_database, run, told, told_json
from tests.owing import add_caller

ELSEWHERE, HERE = "vs_elsewhere", "vs_here"


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use a database with a store of this model, and one of another."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MODEL_PROVIDER", "simulated")
    in_database(add_stores)


def add_stores(session: Session) -> None:
    caller_id = add_caller(session)
    spaces = {ELSEWHERE: "old-model/64", HERE: "simulated-embeddings/256"}
    for store_id, space in spaces.items():
        store = VectorStoreRow(id=store_id, caller_id=caller_id, name="Handbook", space=space)
        store.dimensions, store.labels = int(space.rpartition("/")[2]), b"{}"
        store.created_at = store.last_active_at = time.time()
        session.add(store)
    session.flush()
    file = StoreFileRow(id="vsf_1", store_id=ELSEWHERE, file_id="file_1", caller_id=caller_id)
    file.job_id, file.filename, file.attributes, file.strategy = "job_1", "a.md", b"{}", b"[]"
    file.status, file.chunks, file.usage_bytes, file.file_bytes = "completed", 7, 1, 1
    file.extracted, file.created_at = True, time.time()
    session.add(file)


def jobs(session: Session) -> list[dict[str, object]]:
    return list(session.scalars(select(JobRow.subject)))


def test_stores_are_listed_with_their_files_and_their_model() -> None:
    lines = told("documents", "list")
    assert lines[0] == "ID NAME CALLER FILES CHUNKS MODEL CREATED"
    assert lines[1].startswith("vs_here Handbook ")
    assert " 1 7 old-model/64 " in lines[2]
    assert [each["id"] for each in told_json("documents", "list")] == [HERE, ELSEWHERE]
    assert len(told("documents", "list", "--limit", "1")) == 2


def test_stores_of_another_model_are_moved_once() -> None:
    (line,) = told("documents", "reembed")
    assert line.startswith("vs_elsewhere moves to simulated-embeddings/256.")
    assert in_database(jobs) == [{"store_id": ELSEWHERE, "space": "simulated-embeddings/256"}]
    assert told("documents", "reembed") == ["No store is to be moved to simulated-embeddings/256."]


def test_one_store_is_moved_by_its_id() -> None:
    assert told("documents", "reembed", HERE) == [
        "No store is to be moved to simulated-embeddings/256."
    ]
    assert len(told("documents", "reembed", ELSEWHERE)) == 1


def test_a_store_that_there_is_not_is_named() -> None:
    with pytest.raises(NotFound, match="vs_none"):
        run("documents", "reembed", "vs_none")
