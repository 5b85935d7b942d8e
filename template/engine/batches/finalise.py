"""Finalising a batch: cut open items off, write rows of its files and its final status.

The lines of the files are made when they are read.
"""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from engine.batches import batch_output, readiness
from engine.process.queue import Kind
from engine.resources import Resources
from engine.sql.statements import new_id, now
from engine.sql.tables import BatchRow, FileRow, ItemRow
from engine.work import outbox


async def finalise_batch(resources: Resources, batch_id: str) -> None:
    """Finalise a batch, unless one of its items is still open."""
    await resources.database.write(cut_off, batch_id)
    if await resources.database.write(begin_finalising, batch_id):
        output = await _size(resources, batch_id, batch_output.OUTPUT)
        failures = await _size(resources, batch_id, batch_output.ERRORS)
        await resources.database.write(finish_batch, batch_id, output, failures)
        await resources.queue.wake(Kind.WEBHOOKS)


async def _size(resources: Resources, batch_id: str, purpose: str) -> int:
    size = 0
    position: int | None = 0
    while position is not None:
        more, position = await resources.database.read(
            batch_output.output_size, batch_id, purpose, position
        )
        size += more
    return size


def cut_off(session: Session, batch_id: str) -> None:
    """End the items that wait, where the batch was cancelled or has expired."""
    batch = session.get_one(BatchRow, batch_id)
    if batch.status not in ("cancelling", "finalizing"):
        return
    if batch.in_progress_at is None:
        session.execute(delete(ItemRow).where(ItemRow.batch_id == batch_id))  # half taken in
    status = "expired" if batch.expired_at else "cancelled"
    waiting = select(ItemRow.id).where(ItemRow.batch_id == batch_id, ItemRow.status == "pending")
    session.execute(
        update(ItemRow)
        .where(ItemRow.id.in_(waiting.order_by(ItemRow.id).with_for_update()))
        .values(status=status, error_code=None, error_message=None, finished_at=now())
        .execution_options(synchronize_session=False)
    )


def begin_finalising(session: Session, batch_id: str) -> bool:
    """Return whether no item is open any more; then the batch is `finalizing`."""
    batch = session.get_one(BatchRow, batch_id, with_for_update=True)
    if batch.status not in ("in_progress", "cancelling", "finalizing"):
        return False
    if readiness.has_open_items(session, batch_id):
        return False
    batch.status = "finalizing"
    batch.finalizing_at = batch.finalizing_at or now()
    return True


def finish_batch(session: Session, batch_id: str, output_bytes: int, error_bytes: int) -> None:
    """Show the files, set the final status and announce it; a second time changes nothing."""
    batch = session.get_one(BatchRow, batch_id, with_for_update=True)
    if batch.status != "finalizing":
        return
    batch.output_file_id = _file(session, batch, batch_output.OUTPUT, output_bytes)
    batch.error_file_id = _file(session, batch, batch_output.ERRORS, error_bytes)
    if batch.expired_at:
        batch.status = "expired"
    elif batch.cancelling_at:
        batch.status, batch.cancelled_at = "cancelled", now()
    else:
        batch.status, batch.completed_at = "completed", now()
    readiness.close_lanes(session, batch.id)
    outbox.enqueue_event(session, batch.caller_id, f"batch.{batch.status}", batch.id)


def _file(session: Session, batch: BatchRow, purpose: str, size: int) -> str | None:
    if size == 0:
        return None
    file = FileRow(
        id=new_id("file"),
        caller_id=batch.caller_id,
        filename=f"{batch.id}_{purpose.removeprefix('batch_')}.jsonl",
        purpose=purpose,
        bytes=size,
        created_at=now(),
        complete=True,
        batch_id=batch.id,
    )
    session.add(file)
    return file.id
