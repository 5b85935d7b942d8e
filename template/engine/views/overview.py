"""Batches and jobs of all callers, for operators: list, find, cancel, retry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel
from sqlalchemy import Row, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.batches import batches
from engine.batches import retry as retries
from engine.batches.batches import BatchObject
from engine.errors import InvalidRequest, NotFound
from engine.jobs import jobs
from engine.jobs.jobs import JobObject, Jobs
from engine.operations.operation import Operations
from engine.sql.tables import BatchRow, CallerRow, JobRow
from engine.sql.tables.batches import OPEN_BATCH

R = TypeVar("R", BatchRow, JobRow)

STATUSES = (*OPEN_BATCH, *batches.FINAL, *get_args(jobs.Status))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filter of batches and jobs to list. `name` is a job's name or a batch's endpoint."""

    status: str | None = None
    name: str | None = None
    caller: str | None = None
    limit: int = 50


class Entry(BaseModel):
    """One line of the list. `caller` is None where a schedule started the job."""

    id: str
    name: str
    caller: str | None
    status: str
    progress: dict[str, Any] | None
    created_at: float
    error: str | None


def list_entries(session: Session, wanted: Wanted) -> list[Entry]:
    """Return batches and jobs, newest first. Raise `InvalidRequest` for a status that none has."""
    if wanted.status is not None and wanted.status not in STATUSES:
        known = ", ".join(sorted(set(STATUSES)))
        raise InvalidRequest(f"There is no status {wanted.status}. Known: {known}.", param="status")
    found = [*_batches(session, wanted), *_jobs(session, wanted)]
    return sorted(found, key=lambda entry: entry.created_at, reverse=True)[: wanted.limit]


def find_subject(
    session: Session, subject_id: str, *, for_update: bool = False
) -> BatchRow | JobRow:
    """Return the row of a batch or a job; raise `NotFound` where there is none of that id."""
    row: BatchRow | JobRow | None
    if subject_id.startswith("batch_"):
        row = session.get(BatchRow, subject_id, with_for_update=for_update)
    else:
        row = session.get(JobRow, subject_id, with_for_update=for_update)
    if row is None:
        raise NotFound(f"There is no batch or job {subject_id}: `app jobs list` shows them.")
    return row


def cancel_subject(session: Session, subject_id: str, kinds: Jobs) -> BatchObject | JobObject:
    """Cancel a batch or a job, as its caller may. Raise `Conflict` where it has ended."""
    row = find_subject(session, subject_id, for_update=True)
    if isinstance(row, BatchRow):
        return batches.cancel_batch(session, row.caller_id, row.id)
    return jobs.cancel_row(session, row, jobs.ended_by(kinds))


def retry_subject(
    session: Session,
    subject_id: str,
    *,
    kinds: Jobs,
    operations: Operations,
    most_lanes: int,
    flags: frozenset[str],
    request_id: str,
) -> BatchObject | JobObject:
    """Queue a job again, or the failed items of a batch as a new batch, as their caller may.

    `flags` are the ones set for all callers. Raise `Conflict` where there is no reason to.
    """
    row = find_subject(session, subject_id, for_update=True)
    if isinstance(row, JobRow):
        return jobs.retry_row(session, row, kinds)
    caller = session.get_one(CallerRow, row.caller_id)
    return retries.retry_batch(
        session,
        caller.id,
        row.id,
        most_lanes=most_lanes,
        operations=operations,
        flags=flags | set(caller.flags),
        request_id=request_id,
    )


def _batches(session: Session, wanted: Wanted) -> list[Entry]:
    return [
        Entry(
            id=batch.id,
            name=batch.endpoint,
            caller=caller,
            status=batch.status,
            progress={name: getattr(batch, name) for name in ("total", "completed", "failed")},
            created_at=batch.created_at,
            error=batch.errors[0]["message"] if batch.errors else None,
        )
        for batch, caller in _newest(session, wanted, BatchRow, BatchRow.endpoint)
    ]


def _jobs(session: Session, wanted: Wanted) -> list[Entry]:
    return [
        Entry(
            id=job.id,
            name=job.name,
            caller=caller,
            status=job.status,
            progress=job.progress,
            created_at=job.created_at,
            error=job.error_message,
        )
        for job, caller in _newest(session, wanted, JobRow, JobRow.name)
    ]


def _newest(
    session: Session, wanted: Wanted, kind: type[R], name: InstrumentedAttribute[str]
) -> Sequence[Row[R, str | None]]:
    """Return rows and their callers' names; a job that a schedule started has none."""
    pairs = ((kind.status, wanted.status), (name, wanted.name), (CallerRow.name, wanted.caller))
    statement = (
        select(kind, CallerRow.name)
        .outerjoin(CallerRow, CallerRow.id == kind.caller_id)
        .where(*(column == value for column, value in pairs if value is not None))
        .order_by(kind.id.desc())
        .limit(wanted.limit)
    )
    return session.execute(statement).all()
