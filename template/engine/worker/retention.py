"""Retention: once a day, deletes old ended work, conversations, webhooks, and unneeded files.

No open work is touched, and none that ended less than `keep_days` ago. Input files go like
OpenAI's, by age, but not before the last batch that was made from them. A response goes by its last
use, so that a chain stays whole, and so does a conversation. Usage is kept for ever.

It goes in pieces, one transaction each, and pauses after each for as long as that took: another
writer waits for one piece at most.
"""

import asyncio
import time
from collections import Counter

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, delete, exists, func, select, tuple_
from sqlalchemy.orm import Session

from engine.batches import batches
from engine.jobs import jobs
from engine.jobs.jobs import DAY, Job
from engine.jobs.runs import Run
from engine.options import Piece, installed_options
from engine.settings import Settings
from engine.sql.statements import id_at, now, rows_changed, some_rows
from engine.sql.tables import (
    BatchRow,
    ConversationRow,
    FileChunkRow,
    FileRow,
    IdempotencyRow,
    ItemRow,
    JobRow,
    ResponseEventRow,
    ResponseItemRow,
    ResponseRow,
    WebhookDeliveryRow,
)

ROWS = 200
"""Rows of one piece. Another writer on SQLite then had a 99th percentile of 30 ms (items of 4 KB, 2
busy cores); with 500 rows 42 ms, with 1,000 rows 56 ms, with nothing beside it 6 ms."""

CHUNKS = 2
"""Chunks of a file in one piece, each of 1 MiB: 23 ms; 8 of them 80 ms."""

GROUPS = 32
"""Groups of events in one piece, each of 64 KiB at most: as much as of a file."""


class Everything(BaseModel):
    """The empty input of the job: the settings decide."""


class Deleted(BaseModel):
    """Numbers of deleted rows, those of options among the extra fields."""

    model_config = ConfigDict(extra="allow")

    batches: int = 0
    items: int = 0
    files: int = 0
    chunks: int = 0
    jobs: int = 0
    conversations: int = 0
    responses: int = 0
    response_items: int = 0
    response_events: int = 0
    webhook_deliveries: int = 0
    idempotency_keys: int = 0


async def delete_old(run: Run, _everything: Everything) -> Deleted:
    """Delete all old rows; an attempt that was cut off is counted too."""
    deleted = Counter(run.progress or {})
    for piece, seconds in _pieces(run.resources.settings):
        while True:
            started = time.monotonic()
            found = await run.resources.database.write(piece, seconds)
            if not found:
                break
            deleted += found
            await run.report(**deleted)
            await asyncio.sleep(time.monotonic() - started)
    return Deleted(**deleted)


RETENTION = Job("retention", Everything, delete_old, cron="17 3 * * *")


def delete_batch(session: Session, seconds: float) -> Counter[str]:
    """Delete some items of the oldest batch that ended before, or the batch when none is left."""
    ends = BatchRow.completed_at, BatchRow.failed_at, BatchRow.cancelled_at, BatchRow.expired_at
    batch = session.scalar(
        select(BatchRow)
        .where(
            BatchRow.id < _id_before("batch", seconds),
            BatchRow.status.in_(batches.FINAL),
            func.coalesce(*ends) < now() - seconds,
        )
        .order_by(BatchRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if batch is None:
        return Counter()
    of_batch = FileRow.id.in_((batch.output_file_id, batch.error_file_id))
    files = rows_changed(session, delete(FileRow).where(of_batch))
    rows = select(ItemRow.id).where(ItemRow.batch_id == batch.id).order_by(ItemRow.seq).limit(ROWS)
    items = rows_changed(session, delete(ItemRow).where(ItemRow.id.in_(rows)))
    if items == ROWS:
        return Counter(items=items, files=files)
    session.delete(batch)  # and with it its lanes
    return Counter(batches=1, items=items, files=files)


def delete_input(session: Session, seconds: float) -> Counter[str]:
    """Delete an input file that no batch reads or was made from any more."""
    needed = FileRow.id.in_(select(BatchRow.input_file_id))
    old = FileRow.purpose == "batch", FileRow.complete.is_(True), ~needed
    return _delete_file(session, seconds, *old)


def delete_upload(session: Session, seconds: float) -> Counter[str]:
    """Delete an upload that never came to its end, or the rest of a file."""
    return _delete_file(session, seconds, FileRow.complete.is_(False))


def delete_jobs(session: Session, seconds: float) -> Counter[str]:
    """Delete jobs that have ended."""
    old = (
        select(JobRow.id)
        .where(
            JobRow.id < _id_before("job", seconds),
            JobRow.status.in_(jobs.FINAL),
            JobRow.finished_at < now() - seconds,
        )
        .order_by(JobRow.id)
    )
    rows = some_rows(old.limit(ROWS).with_for_update(skip_locked=True))
    return +Counter(jobs=rows_changed(session, delete(JobRow).where(JobRow.id.in_(rows))))


def delete_conversations(session: Session, seconds: float) -> Counter[str]:
    """Delete conversations that were last used before, each before the first of its responses."""
    row = ConversationRow
    unused = row.used_at < now() - seconds, row.held_by.is_(None)
    old = select(row.id).where(*unused).order_by(row.used_at)
    rows = some_rows(old.limit(ROWS).with_for_update(skip_locked=True))
    return +Counter(conversations=rows_changed(session, delete(row).where(row.id.in_(rows))))


def delete_responses(session: Session, seconds: float) -> Counter[str]:
    """Delete some items of the responses that were last used before, or these without items."""
    row, item = ResponseRow, ResponseItemRow
    unused = row.used_at < now() - seconds - DAY  # `used_at` may lag by a day
    old = select(row.id).where(unused, row.finished_at.is_not(None)).order_by(row.used_at)
    found = session.scalars(old.limit(ROWS).with_for_update(skip_locked=True)).all()
    key = item.response_id, item.position
    rows = select(*key).where(item.response_id.in_(found)).limit(ROWS)
    items = rows_changed(session, delete(item).where(tuple_(*key).in_(some_rows(rows))))
    if items == ROWS:
        return Counter(response_items=items)
    gone = rows_changed(session, delete(row).where(row.id.in_(found)))
    return +Counter(responses=gone, response_items=items)


def delete_events(session: Session, seconds: float) -> Counter[str]:
    """Delete events of background responses that have ended."""
    row = ResponseEventRow
    key = row.response_id, row.first_seq
    old = (
        select(*key)
        .join(ResponseRow, ResponseRow.id == row.response_id)
        .where(row.response_id < _id_before("resp", seconds))
        .where(ResponseRow.finished_at < now() - seconds)
        .order_by(*key)
    )
    rows = some_rows(old.limit(GROUPS).with_for_update(of=row, skip_locked=True))
    gone = rows_changed(session, delete(row).where(tuple_(*key).in_(rows)))
    return +Counter(response_events=gone)


def delete_deliveries(session: Session, seconds: float) -> Counter[str]:
    """Delete webhooks that arrived or were given up."""
    row = WebhookDeliveryRow
    old = (
        select(row.id)
        .where(
            row.id < _id_before("evt", seconds),
            row.status != "pending",
            func.coalesce(row.finished_at, row.created_at) < now() - seconds,
        )
        .order_by(row.id)
    )
    rows = some_rows(old.limit(ROWS).with_for_update(skip_locked=True))
    return +Counter(webhook_deliveries=rows_changed(session, delete(row).where(row.id.in_(rows))))


def delete_idempotency_keys(session: Session, seconds: float) -> Counter[str]:
    """Delete expired idempotency keys with their answers."""
    key = IdempotencyRow.caller_id, IdempotencyRow.key
    old = select(*key).where(IdempotencyRow.created_at < now() - seconds).order_by(*key)
    rows = some_rows(old.limit(ROWS).with_for_update(skip_locked=True))
    gone = rows_changed(session, delete(IdempotencyRow).where(tuple_(*key).in_(rows)))
    return +Counter(idempotency_keys=gone)


def _pieces(settings: Settings) -> list[tuple[Piece, float]]:
    always: list[tuple[Piece, float]] = [
        (delete_upload, DAY),
        (delete_idempotency_keys, settings.idempotency_seconds),
        (delete_events, settings.response_event_seconds),
    ]
    for option in installed_options().values():
        always += option.pieces(settings) if option.pieces else []
    if settings.keep_days <= 0:
        return always
    by_age = (
        *(delete_batch, delete_input, delete_jobs),
        *(delete_conversations, delete_responses, delete_deliveries),
    )
    return [*((piece, settings.keep_days * DAY) for piece in by_age), *always]


def _delete_file(session: Session, seconds: float, *which: ColumnElement[bool]) -> Counter[str]:
    file = session.scalar(
        select(FileRow)
        .where(FileRow.id < _id_before("file", seconds), *which)
        .order_by(FileRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if file is None or _is_needed(session, file.id):
        return Counter()
    file.complete = False  # from here on it is invisible; `delete_upload` deletes the rest
    of_file = FileChunkRow.file_id == file.id
    rows = select(FileChunkRow.seq).where(of_file).order_by(FileChunkRow.seq).limit(CHUNKS)
    chunks = rows_changed(session, delete(FileChunkRow).where(of_file, FileChunkRow.seq.in_(rows)))
    if chunks == CHUNKS:
        return Counter(chunks=chunks)
    session.delete(file)
    return Counter(files=1, chunks=chunks)


def _is_needed(session: Session, file_id: str) -> bool:
    """Return whether a batch was made from the file before this lock: see `files.hold_file`."""
    return session.scalar(select(exists().where(BatchRow.input_file_id == file_id))) or False


def _id_before(kind: str, seconds: float) -> str:
    """Return the limit of ids from so long ago: younger rows need not even be looked at."""
    return id_at(kind, time.time() - seconds)
