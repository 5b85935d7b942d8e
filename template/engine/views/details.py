"""All about one batch or job, for operators: its tries, its holders, its failures."""

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.batches import batches
from engine.batches.batches import BatchObject
from engine.jobs import jobs
from engine.jobs.jobs import JobObject
from engine.sql.statements import now
from engine.sql.tables import (
    BatchLaneRow,
    BatchRow,
    CallerRow,
    ItemRow,
    JobRow,
    LeaseRow,
)
from engine.views.overview import find_subject

SHOWN_FAILURES = 5


class ItemState(BaseModel):
    """The items of a batch in one state, with their attempts, errors and crashes so far."""

    status: str
    items: int
    attempts: int
    errors: int
    crashes: int


class FailedItem(BaseModel):
    """An item that has failed, or has failed once and waits. `line` counts from 1."""

    line: int
    custom_id: str
    status: str
    attempt: int
    code: str | None
    message: str | None


class Lane(BaseModel):
    """A lane of a batch: `silent` seconds ago its worker gave a sign of life, None if it is free.

    After `lease_seconds` of silence another worker may take the lane.
    """

    lane: int
    silent: float | None


class BatchDetail(BaseModel):
    """All about a batch."""

    caller: str
    request_id: str
    batch: BatchObject
    lanes: list[Lane]
    items: list[ItemState]
    failures: list[FailedItem]
    """The first few."""


class JobDetail(BaseModel):
    """All about a job. `lease` is held by its worker and ends in `lease_left` seconds."""

    caller: str | None
    job: JobObject
    scheduled: bool
    errors: int
    crashes: int
    traceparent: str | None
    lease: str | None
    lease_left: float | None


def show_details(session: Session, subject_id: str) -> BatchDetail | JobDetail:
    """Return all about a batch or a job; raise `NotFound` where there is none of that id."""
    row = find_subject(session, subject_id)
    return _batch(session, row) if isinstance(row, BatchRow) else _job(session, row)


def _batch(session: Session, row: BatchRow) -> BatchDetail:
    return BatchDetail(
        caller=session.get_one(CallerRow, row.caller_id).name,
        request_id=row.request_id,
        batch=batches.get_batch(session, row.caller_id, row.id),
        lanes=_lanes(session, row.id),
        items=_items(session, row.id),
        failures=_failures(session, row.id),
    )


def _job(session: Session, row: JobRow) -> JobDetail:
    left = select(LeaseRow.expires_at - now()).where(LeaseRow.id == row.owner)
    return JobDetail(
        caller=session.get_one(CallerRow, row.caller_id).name if row.caller_id else None,
        job=jobs.as_object(row),
        scheduled=row.scheduled,
        errors=row.errors,
        crashes=row.crashes,
        traceparent=row.traceparent,
        lease=row.owner,
        lease_left=session.scalar(left),
    )


def _lanes(session: Session, batch_id: str) -> list[Lane]:
    lanes = select(BatchLaneRow.lane, BatchLaneRow.heartbeat_at, now() - BatchLaneRow.heartbeat_at)
    lanes = lanes.where(BatchLaneRow.batch_id == batch_id).order_by(BatchLaneRow.lane)
    return [
        Lane(lane=lane, silent=silent if beat else None)
        for lane, beat, silent in session.execute(lanes)
    ]


def _items(session: Session, batch_id: str) -> list[ItemState]:
    states = (
        select(
            ItemRow.status,
            func.count(),
            func.sum(ItemRow.attempt),
            func.sum(ItemRow.errors),
            func.sum(ItemRow.crashes),
        )
        .where(ItemRow.batch_id == batch_id)
        .group_by(ItemRow.status)
        .order_by(ItemRow.status)
    )
    return [
        ItemState(status=status, items=items, attempts=attempts, errors=errors, crashes=crashes)
        for status, items, attempts, errors, crashes in session.execute(states)
    ]


def _failures(session: Session, batch_id: str) -> list[FailedItem]:
    failed = (
        select(ItemRow)
        .where(ItemRow.batch_id == batch_id, ItemRow.error_code.is_not(None))
        .order_by(ItemRow.seq)
        .limit(SHOWN_FAILURES)
    )
    return [
        FailedItem(
            line=item.seq + 1,
            custom_id=item.custom_id,
            status=item.status,
            attempt=item.attempt,
            code=item.error_code,
            message=item.error_message,
        )
        for item in session.scalars(failed)
    ]
