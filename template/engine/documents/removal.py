"""Removal: what callers delete is gone at once; a job takes away its rows in small pieces.

Each piece is a transaction, and the job pauses after it as long as it took, so that another writer
waits for one piece at most.
"""

import asyncio
import time
from collections import Counter

from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from engine.documents.tables import (
    DocumentChunkRow,
    StoreFileRow,
    VectorPageRow,
    VectorStoreRow,
)
from engine.jobs import jobs
from engine.jobs.jobs import FINAL, Job, submit_job
from engine.jobs.runs import Run
from engine.sql.statements import rows_changed, sql_constant
from engine.sql.tables import JobRow

CHUNKS = 200
"""Chunks of one piece, with their words: as many rows as retention deletes at once."""
PAGES = 16
"""Pages of one piece, each of 128 vectors: 2 MiB at 256 dimensions."""
FILES = 64
"""Files that one piece looks at: at all 10,000 of a store each piece would take 25 ms."""
JOBS = 20
"""Jobs that one piece cancels: each is told to the caller's webhooks, and takes 1 to 4 ms."""

UNUSED = ("cancelled", "deleted", "failed")
"""States of files whose chunks no search reads."""
IS_UNUSED = StoreFileRow.status.in_([sql_constant(status) for status in UNUSED])


class RemovalSubject(BaseModel):
    """Subject of the job: a store that has something to remove."""

    store_id: str


def submit_removal(session: Session, caller_id: str, store_id: str, request_id: str) -> None:
    """Record the job that removes what is left of a store, or of files in it."""
    submit_job(session, caller_id, REMOVE, RemovalSubject(store_id=store_id), request_id=request_id)


def hide_file(session: Session, row: StoreFileRow) -> None:
    """Let a file be gone for its caller, and stop its ingestion."""
    stop_ingestion(session, row)
    row.status, row.file_id = "deleted", row.id
    session.flush()


def stop_ingestion(session: Session, row: StoreFileRow) -> None:
    """Cancel the job that ingests a file, where it has not ended."""
    job = session.get(JobRow, row.job_id, with_for_update=True)
    if job is not None and job.status not in FINAL:
        jobs.cancel_row(session, job)


def give_up_batch(session: Session, batch_id: str) -> int:
    """Cancel the files of a batch that are not ingested yet; return how many.

    Of their jobs those that run are cancelled at once. The rest have nothing to do any more, and
    `remove_piece` cancels them: 2,000 at once held SQLite's lock for 5 seconds.
    """
    file = StoreFileRow
    waiting = file.batch_id == batch_id, file.status == "in_progress"
    running = (
        select(JobRow)
        .join(file, file.job_id == JobRow.id)
        .where(*waiting, JobRow.status == "running")
        .order_by(JobRow.id)
        .with_for_update(of=JobRow)
    )
    for job in session.scalars(running):
        jobs.cancel_row(session, job)
    nothing = {"status": "cancelled", "chunks": 0, "usage_bytes": 0}
    return rows_changed(session, update(file).where(*waiting).values(nothing))


def forget_deleted_file(session: Session, caller_id: str, file_id: str) -> None:
    """Remove a file that is about to be deleted from all vector stores."""
    own = StoreFileRow.caller_id == caller_id, StoreFileRow.file_id == file_id
    for row in session.scalars(select(StoreFileRow).where(*own)).all():
        store_id = row.store_id
        hide_file(session, row)
        submit_removal(session, caller_id, store_id, "")


async def remove(run: Run, subject: RemovalSubject) -> None:
    """Remove what no caller sees any more, piece by piece; a killed attempt is gone on with."""
    write = run.resources.database.write
    while True:
        began = time.monotonic()
        if not await write(remove_piece, subject.store_id):
            return
        await asyncio.sleep(time.monotonic() - began)


REMOVE: Job[RemovalSubject] = Job(
    "remove_documents",
    RemovalSubject,
    remove,
    attempts=10,
    submittable=False,
    ended=lambda *_: None,  # no webhook tells of it: its caller has been told that all is gone
)


def remove_piece(session: Session, store_id: str) -> Counter[str]:
    """Remove one piece of a store that is deleted, or of files in it; return what went."""
    store, file = session.get(VectorStoreRow, store_id), StoreFileRow
    if store is None:
        return Counter()
    everything = store.deleted_at is not None
    if everything and (row := _first_in_progress(session, store_id)):
        hide_file(session, row)
        return Counter(files=1)
    if gone := _cancel_jobs(session, store_id):
        return gone
    of_store = file.store_id == store_id
    unseen = of_store if everything else of_store & IS_UNUSED & (file.status == "deleted")
    if ids := session.scalars(select(file.id).where(unseen).limit(FILES)).all():
        rows = file.id.in_(ids)
        gone = remove_chunks(session, rows)
        return gone or Counter(files=rows_changed(session, delete(file).where(rows)))
    if everything:
        session.delete(store)
        return Counter(vector_stores=1)
    return remove_chunks(session, of_store & IS_UNUSED)


def remove_expired(session: Session, _seconds: float) -> Counter[str]:
    """Hide some files of a store that was out of use for too long; a job removes them."""
    store, file = VectorStoreRow, StoreFileRow
    shown = file.store_id == store.id, file.status != "deleted"
    expired = select(store).where(store.expires_at < time.time(), exists().where(*shown))
    found = session.scalar(expired.order_by(store.expires_at).limit(1))
    if found is None:
        return Counter()
    files = select(file).where(file.store_id == found.id, file.status != "deleted")
    rows = session.scalars(files.limit(JOBS + 1)).all()
    for row in rows[:JOBS]:
        hide_file(session, row)
    if len(rows) <= JOBS:
        submit_removal(session, found.caller_id, found.id, "")
    return Counter(store_files=len(rows[:JOBS]))


def remove_unused(session: Session, _seconds: float) -> Counter[str]:
    """Remove chunks of files that failed or were given up; a worker that died may leave some."""
    return remove_chunks(session, IS_UNUSED)


def _first_in_progress(session: Session, store_id: str) -> StoreFileRow | None:
    row = StoreFileRow
    return session.scalar(
        select(row).where(row.store_id == store_id, row.status == "in_progress").limit(1)
    )


def _cancel_jobs(session: Session, store_id: str) -> Counter[str]:
    """Cancel some jobs that wait for files which are not wanted any more."""
    file = StoreFileRow
    unwanted = file.store_id == store_id, IS_UNUSED
    waiting = select(file).join(JobRow, JobRow.id == file.job_id).where(JobRow.status == "queued")
    rows = session.scalars(waiting.where(*unwanted).limit(JOBS)).all()
    for row in rows:
        stop_ingestion(session, row)
    return +Counter(jobs=len(rows))


def remove_chunks(session: Session, files: ColumnElement[bool]) -> Counter[str]:
    """Remove some pages or chunks of these files; return how many, nothing at the end."""
    for name, table, most in (
        ("vector_pages", VectorPageRow, PAGES),
        ("document_chunks", DocumentChunkRow, CHUNKS),
    ):
        some = (
            select(table.id)
            .join(StoreFileRow, StoreFileRow.id == table.store_file_id)
            .where(files)
            .limit(most)
        )
        if gone := rows_changed(session, delete(table).where(table.id.in_(some))):
            return Counter({name: gone})
    return Counter()
