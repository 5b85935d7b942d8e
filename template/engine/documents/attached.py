"""Files in a vector store: attached with a job that ingests them, shown, detached."""

import time
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.batches.files import FileObject, hold_files
from engine.documents import ownership, removal
from engine.documents.ingestion import INGEST, IngestSubject
from engine.documents.listing import page_of_rows
from engine.documents.quotas import require_room_for_files
from engine.documents.schema import (
    ContentPart,
    DeletedStoreFile,
    LastError,
    NewStoreFile,
    StoreFileObject,
    StoreFilePageQuery,
    StoreFileUpdate,
)
from engine.documents.tables import DocumentChunkRow, StoreFileRow, VectorStoreRow
from engine.errors import NotFound
from engine.jobs import jobs
from engine.models.wire import encode_json
from engine.settings.documents import OptionSettings
from engine.sql.pagination import Page
from engine.sql.statements import new_id

CHUNKS = 200
"""Chunks of a file that are read at once where its text is shown."""


def attach_file(
    session: Session,
    caller_id: str,
    store_id: str,
    new: NewStoreFile,
    *,
    settings: OptionSettings,
    request_id: str,
) -> StoreFileObject:
    """Attach a file; one that is there already is shown as it is.

    Raise `NotFound` for a store or file that this caller has not, `QuotaExceeded` for one too many.
    """
    store = ownership.find_usable_store(session, caller_id, store_id)
    (row,) = attach_files(session, store, [new], settings=settings, request_id=request_id)
    return show_file(row)


def attach_files(
    session: Session,
    store: VectorStoreRow,
    wanted: Sequence[NewStoreFile],
    *,
    settings: OptionSettings,
    request_id: str,
    batch_id: str | None = None,
) -> list[StoreFileRow]:
    """Record files with a job each, which are not lost from here on; return all their rows.

    One that is there already stays as it is, but belongs to this batch from now on: a client that
    sends a request again follows the batch of the second one.
    """
    ownership.touch_store(store)
    session.flush()  # two that attach to one store at once take turns from here on
    held = hold_files(session, store.caller_id, {each.file_id: None for each in wanted})
    there = rows_of_files(session, store.id, held)
    for row in there.values():
        row.batch_id = batch_id or row.batch_id
    new = {each.file_id: each for each in wanted if each.file_id not in there}
    size = sum(held[file_id].bytes for file_id in new)
    require_room_for_files(session, store.caller_id, settings, len(new), size)
    rows = [_row(store, each, held[each.file_id], batch_id) for each in new.values()]
    _submit(session, store.caller_id, rows, request_id)
    there |= {row.file_id: row for row in rows}
    return [there[file_id] for file_id in held]


def find_file(session: Session, caller_id: str, store_id: str, file_id: str) -> StoreFileRow:
    """Return a file's row; raise `NotFound` where this caller's store has none of that id."""
    store = ownership.find_store(session, caller_id, store_id)
    row = rows_of_files(session, store.id, [file_id]).get(file_id)
    if row is None:
        message = f"There is no file {file_id} in the vector store {store_id}."
        raise NotFound(message, param="file_id")
    return row


def get_store_file(
    session: Session, caller_id: str, store_id: str, file_id: str
) -> StoreFileObject:
    """Return a file in a store."""
    return show_file(find_file(session, caller_id, store_id, file_id))


def page_of_store_files(
    session: Session,
    caller_id: str,
    store_id: str,
    query: StoreFilePageQuery,
    batch_id: str | None = None,
) -> Page[StoreFileObject]:
    """Return a page of the files in a store, or of one batch of them."""
    row = StoreFileRow
    conditions = [row.store_id == ownership.find_store(session, caller_id, store_id).id]
    conditions.append(row.status == query.filter if query.filter else row.status != "deleted")
    if batch_id is not None:
        conditions.append(row.batch_id == batch_id)
    rows, more = page_of_rows(session, row, query, row.file_id, *conditions)
    return Page(
        data=[show_file(each) for each in rows],
        first_id=rows[0].file_id if rows else None,
        last_id=rows[-1].file_id if rows else None,
        has_more=more,
    )


def update_store_file(
    session: Session, caller_id: str, store_id: str, file_id: str, update: StoreFileUpdate
) -> StoreFileObject:
    """Replace the attributes of a file in a store."""
    row = find_file(session, caller_id, store_id, file_id)
    row.attributes = encode_json(update.attributes)
    return show_file(row)


def detach_file(
    session: Session, caller_id: str, store_id: str, file_id: str, request_id: str
) -> DeletedStoreFile:
    """Remove a file from a store: it is gone at once, and a job removes its chunks."""
    row = find_file(session, caller_id, store_id, file_id)
    removal.hide_file(session, row)
    removal.submit_removal(session, caller_id, store_id, request_id)
    return DeletedStoreFile(id=file_id)


def content_after(
    session: Session, caller_id: str, store_id: str, file_id: str, seq: int
) -> list[ContentPart]:
    """Return the parts of a file's text from the chunk `seq` on, without what chunks repeat.

    There are none before it is `completed`, as a search finds none.
    """
    row = find_file(session, caller_id, store_id, file_id)
    if row.status != "completed":
        return []
    chunk = DocumentChunkRow
    found = session.scalars(
        select(chunk)
        .where(chunk.store_file_id == row.id, chunk.seq >= seq)
        .order_by(chunk.seq)
        .limit(CHUNKS)
    )
    return [ContentPart(text=each.text[each.repeated :]) for each in found]


def rows_of_files(
    session: Session, store_id: str, file_ids: Collection[str]
) -> dict[str, StoreFileRow]:
    """Return the rows of these files in a store, by the ids of the files."""
    row = StoreFileRow
    found = session.scalars(select(row).where(row.store_id == store_id, row.file_id.in_(file_ids)))
    return {each.file_id: each for each in found}


def show_file(row: StoreFileRow) -> StoreFileObject:
    """Return a file in a store as its caller reads it."""
    return StoreFileObject(
        id=row.file_id,
        created_at=int(row.created_at),
        vector_store_id=row.store_id,
        status=row.status,
        last_error=LastError(**msgspec.json.decode(row.error)) if row.error else None,
        usage_bytes=row.usage_bytes,
        attributes=msgspec.json.decode(row.attributes),
        chunking_strategy=_shown_strategy(msgspec.json.decode(row.strategy)),
    )


def _row(
    store: VectorStoreRow, new: NewStoreFile, file: FileObject, batch_id: str | None
) -> StoreFileRow:
    return StoreFileRow(
        id=new_id("vsf"),
        store_id=store.id,
        file_id=file.id,
        caller_id=store.caller_id,
        batch_id=batch_id,
        filename=file.filename,
        attributes=encode_json(new.attributes),
        strategy=encode_json(list(new.chunking_strategy.sizes)),
        status="in_progress",
        file_bytes=file.bytes,
        usage_bytes=0,
        chunks=0,
        extracted=False,
        created_at=time.time(),
    )


def _submit(
    session: Session, caller_id: str, rows: Sequence[StoreFileRow], request_id: str
) -> None:
    subjects = [
        IngestSubject(store_file_id=row.id, vector_store_id=row.store_id, file_id=row.file_id)
        for row in rows
    ]
    job_ids = jobs.submit_jobs(session, caller_id, INGEST, subjects, request_id=request_id)
    for row, job_id in zip(rows, job_ids, strict=True):
        row.job_id = job_id
    session.add_all(rows)
    session.flush()


def _shown_strategy(sizes: list[int]) -> dict[str, object]:
    most, overlap = sizes
    static = {"max_chunk_size_tokens": most, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": static}
