"""What callers delete is gone: at once for them, and soon from every table."""

import time
from collections.abc import Callable

import openai
import pytest
from openai import OpenAI
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from engine.documents.ingestion import INGEST
from engine.documents.removal import JOBS, REMOVE, remove_expired, remove_unused
from engine.documents.tables import (
    DocumentChunkRow,
    FileBatchRow,
    StoreFileRow,
    VectorPageRow,
    VectorStoreRow,
)
from engine.jobs.jobs import FINAL
from engine.sql.tables import JobRow
from tests.documents import files
from tests.documents.stocked import Stocked
from tests.documents.test_protocol import FOX, attached, uploaded
from tests.service import Service, eventually

TABLES = (VectorStoreRow, FileBatchRow, StoreFileRow, DocumentChunkRow, VectorPageRow)
LONG = b"".join(files.long_text(300_000))


def rows(session: Session) -> dict[str, int]:
    """Return how many rows each table has, and how many chunks have their words in the index."""
    counts = {
        table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
        for table in TABLES
    }
    if session.get_bind().dialect.name == "sqlite":
        session.execute(
            text("INSERT INTO document_words(document_words, rank) VALUES ('integrity-check', 1)")
        )
        found = "SELECT count(*) FROM document_words WHERE document_words MATCH 'text : fox'"
    else:
        found = "SELECT count(*) FROM document_chunks WHERE document_words @@ to_tsquery('fox')"
    return {**counts, "words": session.scalar(text(found)) or 0}


@pytest.fixture
def before(live: Service) -> dict[str, int]:
    """The rows before the test, to which the jobs of earlier ones add nothing any more."""
    eventually(lambda: not live.in_database(_open_jobs))
    return live.in_database(rows)


def _open_jobs(session: Session) -> int:
    statement = select(func.count()).where(
        JobRow.name.in_((INGEST.name, REMOVE.name)), JobRow.status.not_in(FINAL)
    )
    return session.scalar(statement) or 0


def _store(client: OpenAI) -> tuple[str, str]:
    """Return a store with a long file and a short one, and the id of the long one."""
    store = client.vector_stores.create().id
    long = attached(client, store, "long.txt", LONG)
    client.vector_stores.file_batches.create_and_poll(store, file_ids=[uploaded(client)])
    return store, long


def _after_deleting_all(client: OpenAI, store: str, _long: str) -> None:
    client.vector_stores.delete(store)


def _after_deleting_files(client: OpenAI, store: str, _long: str) -> None:
    for file in client.vector_stores.files.list(store):
        client.files.delete(file.id)
    assert client.vector_stores.retrieve(store).usage_bytes == 0
    client.vector_stores.delete(store)


@pytest.mark.parametrize("delete", [_after_deleting_all, _after_deleting_files])
def test_a_deletion_leaves_no_row(
    live: Service,
    client: OpenAI,
    before: dict[str, int],
    delete: Callable[[OpenAI, str, str], None],
) -> None:
    store, long = _store(client)
    there = live.in_database(rows)
    assert all(there[name] > before[name] for name in before)
    delete(client, store, long)
    eventually(lambda: live.in_database(rows) == before)


def test_a_removed_file_leaves_the_others(live: Service, client: OpenAI) -> None:
    store, long = _store(client)
    client.vector_stores.files.delete(long, vector_store_id=store)
    eventually(lambda: not live.in_database(_chunks_of, store, deleted=True))
    assert live.in_database(_chunks_of, store, deleted=False) == 1
    assert client.vector_stores.search(store, query="fox").data[0].filename == "fox.md"


def _chunks_of(session: Session, store_id: str, *, deleted: bool) -> int:
    gone = StoreFileRow.status == "deleted"
    statement = (
        select(func.count())
        .select_from(DocumentChunkRow)
        .join(StoreFileRow, StoreFileRow.id == DocumentChunkRow.store_file_id)
        .where(StoreFileRow.store_id == store_id, gone if deleted else ~gone)
    )
    return session.scalar(statement) or 0


def test_a_store_that_is_deleted_while_it_ingests_leaves_no_row(
    live: Service, client: OpenAI, before: dict[str, int]
) -> None:
    store = client.vector_stores.create().id
    ids = [uploaded(client, f"{number}.txt", LONG) for number in range(3)]
    client.vector_stores.file_batches.create(store, file_ids=ids)
    eventually(lambda: live.in_database(rows)["document_chunks"] > before["document_chunks"])
    client.vector_stores.delete(store)
    eventually(lambda: live.in_database(rows) == before)


def test_a_failed_file_leaves_no_chunks(live: Service, client: OpenAI) -> None:
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("half.txt", LONG + "ab".encode("utf-16")[:-1])
    )
    assert file.status == "failed"
    eventually(lambda: not live.in_database(_chunks_of, store, deleted=False))


def test_an_expired_store_is_shown_and_not_searched(live: Service, client: OpenAI) -> None:
    days = {"anchor": "last_active_at", "days": 1}
    store = client.vector_stores.create(expires_after=days).id  # type: ignore[arg-type]
    attached(client, store)
    live.in_database(_expire, store)
    found = client.vector_stores.retrieve(store)
    assert found.status == "expired"
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.search(store, query="fox")
    assert caught.value.code == "vector_store_expired"
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.files.create(store, file_id=uploaded(client))
    assert live.in_database(remove_expired, 0.0) == {"store_files": 1}
    assert live.in_database(remove_expired, 0.0) == {}
    eventually(lambda: not live.in_database(_chunks_of, store, deleted=True))
    assert client.vector_stores.retrieve(store).file_counts.total == 0


def _expire(session: Session, store_id: str) -> None:
    row = VectorStoreRow
    session.execute(update(row).where(row.id == store_id).values(expires_at=time.time() - 1))


@pytest.mark.anyio
async def test_expiry_hides_few_files_at_once_and_asks_once_for_each_store(
    stocked: Stocked, strangers: Stocked
) -> None:
    write = stocked.resources.database.write
    for store, count in ((stocked, JOBS + 1), (strangers, 1)):
        for _ in range(count):
            await store.add("The fox", status="in_progress")
        await write(_expire, store.id)
    pieces = [await write(remove_expired, 0.0) for _ in range(4)]
    assert pieces == [{"store_files": JOBS}, {"store_files": 1}, {"store_files": 1}, {}]
    assert await write(_removals) == sorted([stocked.id, strangers.id])


def _removals(session: Session) -> list[str]:
    subjects = session.scalars(select(JobRow.subject).where(JobRow.name == REMOVE.name))
    return sorted(subject["store_id"] for subject in subjects)


def test_use_puts_the_expiry_off(live: Service, client: OpenAI) -> None:
    days = {"anchor": "last_active_at", "days": 1}
    store = client.vector_stores.create(expires_after=days)  # type: ignore[arg-type]
    live.in_database(_use_long_ago, store.id)
    client.vector_stores.search(store.id, query="fox")
    again = client.vector_stores.retrieve(store.id)
    assert again.last_active_at
    assert again.last_active_at >= store.created_at
    assert again.expires_at == again.last_active_at + 86_400


def _use_long_ago(session: Session, store_id: str) -> None:
    row = VectorStoreRow
    session.execute(update(row).where(row.id == store_id).values(last_active_at=time.time() - 3600))


def test_retention_removes_what_a_dead_worker_has_left(live: Service, client: OpenAI) -> None:
    store = client.vector_stores.create().id
    attached(client, store, "fox.md", FOX)
    live.in_database(_let_fail, store)
    assert live.in_database(remove_unused, 0.0) == {"vector_pages": 1}
    assert live.in_database(remove_unused, 0.0) == {"document_chunks": 1}
    assert live.in_database(remove_unused, 0.0) == {}


def _let_fail(session: Session, store_id: str) -> None:
    row = StoreFileRow
    session.execute(update(row).where(row.store_id == store_id).values(status="failed"))
