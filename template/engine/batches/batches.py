"""Batches as their callers see them: create, follow, cancel."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.batches import files, lanes, readiness
from engine.callers import fairness, usage
from engine.callers.usage import UsageObject
from engine.errors import Conflict, InvalidRequest, NotFound
from engine.operations.operation import Operations
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.statements import new_id, now
from engine.sql.tables import BatchRow

WINDOW_SECONDS = {"24h": 86_400.0}
FINAL = ("failed", "completed", "expired", "cancelled")


class RequestCounts(BaseModel):
    """Progress of a batch, in items."""

    total: int
    completed: int
    failed: int


class LineError(BaseModel):
    """A fault in a line of the input; lines count from 1."""

    code: str
    message: str
    line: int | None
    param: str | None = None


class LineErrors(BaseModel):
    """OpenAI's list of line errors."""

    object: Literal["list"] = "list"
    data: list[LineError]


class BatchObject(BaseModel):
    """OpenAI's batch object."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: LineErrors | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, Any] | None
    model: str | None
    """The model that answered first."""
    usage: UsageObject | None
    retry_of: str | None = None
    """The batch whose failed items this one tries again; not OpenAI's."""


@dataclass(frozen=True, slots=True)
class BatchWork:
    """The part of a batch that a worker needs."""

    caller_id: str
    endpoint: str
    input_file_id: str
    status: str
    request_id: str
    seconds: float
    """Time left until the batch expires."""


def find_work(session: Session, batch_id: str) -> BatchWork:
    """Return the part that a worker needs of a batch of any caller."""
    batch = session.get_one(BatchRow, batch_id)
    return BatchWork(
        caller_id=batch.caller_id,
        endpoint=batch.endpoint,
        input_file_id=batch.input_file_id,
        status=batch.status,
        request_id=batch.request_id,
        seconds=batch.expires_at - session.scalars(select(now())).one(),
    )


def create_batch(
    session: Session,
    caller_id: str,
    *,
    endpoint: str,
    input_file_id: str,
    completion_window: str,
    metadata: dict[str, str] | None,
    operations: Operations,
    flags: Collection[str],
    request_id: str,
) -> BatchObject:
    """Record a new batch with its first lane, for a worker to claim: from here on nothing is lost.

    Raise `InvalidRequest` for an endpoint that takes no batches or a file of another purpose,
    `PermissionDenied` for an endpoint whose flag the caller lacks, `NotFound` for a file that is
    not the caller's.
    """
    check_endpoint(operations, endpoint, flags)
    if files.hold_file(session, caller_id, input_file_id).purpose != "batch":
        raise InvalidRequest("Upload the input with the purpose `batch`.", param="input_file_id")
    batch = add_batch(
        session,
        caller_id,
        completion_window,
        endpoint=endpoint,
        input_file_id=input_file_id,
        batch_metadata=metadata,
        request_id=request_id,
        status="validating",
    )
    lanes.open_lanes(session, batch, range(1))
    return batch_object(batch)


def add_batch(session: Session, caller_id: str, window: str, **columns: object) -> BatchRow:
    """Add the row of a batch that is created now and has its completion window before it.

    Both are by the database's clock, which also tells when it has expired. A caller without a
    waiting lane catches up in virtual time: it has saved up nothing.
    """
    if not lanes.is_waiting(session, caller_id):
        fairness.catch_up(session, caller_id)
    batch = BatchRow(
        id=new_id("batch"),
        caller_id=caller_id,
        completion_window=window,
        total=0,
        completed=0,
        failed=0,
        created_at=now(),
        expires_at=now() + WINDOW_SECONDS[window],
        **columns,
    )
    session.add(batch)
    session.flush()
    return batch


def get_batch(session: Session, caller_id: str, batch_id: str) -> BatchObject:
    """Return a batch; raise `NotFound` where this caller has none of that id."""
    return batch_object(find_batch(session, caller_id, batch_id))


def page_of_batches(session: Session, caller_id: str, query: PageQuery) -> Page[BatchObject]:
    """Return one page of the caller's batches."""
    return page_of(session, BatchRow, query, batch_object, BatchRow.caller_id == caller_id)


def cancel_batch(session: Session, caller_id: str, batch_id: str) -> BatchObject:
    """Cancel a batch: a worker cuts its open items off and finalises it.

    Cancelling twice changes nothing. Raise `Conflict` for a batch that has ended already.
    """
    batch = find_batch(session, caller_id, batch_id, for_update=True)
    if batch.status in FINAL and batch.status != "cancelled":
        raise Conflict(f"The batch is {batch.status} already.")
    if batch.status in ("validating", "in_progress"):
        batch.status = "cancelling"
        batch.cancelling_at = now()
        session.flush()
        readiness.wake_lanes(session, [batch.id])
    return batch_object(batch)


def check_endpoint(operations: Operations, endpoint: str, flags: Collection[str]) -> None:
    """Raise `InvalidRequest` or `PermissionDenied` where it is no endpoint for this caller."""
    if endpoint not in operations:
        known = ", ".join(sorted(operations))
        raise InvalidRequest(f"Batches are for one of {known}.", param="endpoint")
    operations[endpoint].permit(flags)


def find_batch(
    session: Session, caller_id: str, batch_id: str, *, for_update: bool = False
) -> BatchRow:
    """Return a batch's row; raise `NotFound` where this caller has none of that id."""
    batch = session.get(BatchRow, batch_id, with_for_update=for_update)
    if batch is None or batch.caller_id != caller_id:
        raise NotFound(f"There is no batch {batch_id}.", param="batch_id")
    return batch


def batch_object(batch: BatchRow) -> BatchObject:
    """Return a batch as its caller sees it."""
    errors = [LineError(**error) for error in batch.errors or []]
    counts = RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed)
    times = {
        name: int(moment) if (moment := getattr(batch, name)) is not None else None
        for name in BatchObject.model_fields
        if name.endswith("_at")
    }
    return BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        errors=LineErrors(data=errors) if errors else None,
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        request_counts=counts,
        metadata=batch.batch_metadata,
        model=batch.model,
        usage=usage.usage_of_batch(batch.prompt_tokens, batch.completion_tokens),
        retry_of=batch.retry_of,
        **times,
    )
