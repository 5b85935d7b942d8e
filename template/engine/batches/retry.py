"""Retry: a new batch of the items that another batch left without an answer."""

from collections.abc import Collection

from sqlalchemy import insert, literal, select
from sqlalchemy.orm import Session

from engine.batches import batches, lanes
from engine.batches.batch_output import ERRORS, WANTED
from engine.batches.batches import FINAL, BatchObject
from engine.batches.readiness import QUARANTINE
from engine.errors import Conflict
from engine.operations.operation import Operations
from engine.sql.statements import now, rows_changed
from engine.sql.tables import ItemRow


def retry_batch(
    session: Session,
    caller_id: str,
    batch_id: str,
    *,
    most_lanes: int,
    operations: Operations,
    flags: Collection[str],
    request_id: str,
) -> BatchObject:
    """Return a new batch of the failed, expired and cancelled items of an ended one.

    Its lines have been checked already, so it starts at once on `most_lanes` lanes. They keep their
    `custom_id` and their numbers. Raise `Conflict` where the batch still runs or nothing failed.
    """
    old = batches.find_batch(session, caller_id, batch_id)
    if old.status not in FINAL:
        raise Conflict(f"The batch is {old.status}: retry it when it has ended.")
    batches.check_endpoint(operations, old.endpoint, flags)
    new = batches.add_batch(
        session,
        old.caller_id,
        old.completion_window,
        endpoint=old.endpoint,
        input_file_id=old.input_file_id,
        batch_metadata=old.batch_metadata,
        request_id=request_id,
        status="in_progress",
        in_progress_at=now(),
        retry_of=old.id,
    )
    new.total = _copy_items(session, old.id, new.id)
    if new.total == 0:
        raise Conflict("No item of the batch failed, expired or was cancelled.")
    lanes.open_lanes(session, new, [*range(most_lanes), QUARANTINE])
    return batches.batch_object(new)


def _copy_items(session: Session, old_id: str, new_id: str) -> int:
    failed = select(literal(new_id), ItemRow.seq, ItemRow.custom_id, ItemRow.body).where(
        ItemRow.batch_id == old_id, WANTED[ERRORS]
    )
    columns = ["batch_id", "seq", "custom_id", "body"]
    return rows_changed(session, insert(ItemRow).from_select(columns, failed.order_by(ItemRow.seq)))
