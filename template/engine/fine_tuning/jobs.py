"""Fine-tuning jobs as their callers see them: create, follow, cancel."""

import secrets
import time
from typing import Any

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.batches import files
from engine.callers.usage import add_usage
from engine.errors import Conflict, InvalidRequest, NotFound, RateLimited
from engine.fine_tuning.provider_job import ProviderEvent
from engine.fine_tuning.schema import FineTuningEvent, FineTuningJob, NewFineTuning, TrainingError
from engine.fine_tuning.tables import FINAL, FineTuningEventRow, FineTuningJobRow
from engine.jobs import jobs
from engine.jobs.jobs import Job
from engine.models.interface import Usage
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.statements import new_id, now, rows_changed
from engine.sql.tables import JobRow
from engine.work import outbox

PURPOSE = "fine-tune"


def create_fine_tuning(
    session: Session,
    caller_id: str,
    new: NewFineTuning,
    *,
    kind: Job[Any],
    most_open: int,
    request_id: str,
    traceparent: str | None,
) -> FineTuningJob:
    """Record a fine-tuning with the job that carries it out: from here on it is not lost.

    Raise `NotFound` or `InvalidRequest` for files that are not there or not for this,
    `RateLimited` beyond `most_open` unfinished ones.
    """
    _hold_files(session, caller_id, new)
    _require_place(session, caller_id, most_open)
    job_id = new_id("ftjob")
    subject, trace = kind.subject(job_id=job_id), {"traceparent": traceparent}
    work = jobs.submit_job(session, caller_id, kind, subject, request_id=request_id, **trace)
    seed = secrets.randbelow(2**31) if new.seed is None else new.seed
    row = FineTuningJobRow(
        id=job_id,
        caller_id=caller_id,
        work_id=work.id,
        model=new.model,
        training_file=new.training_file,
        validation_file=new.validation_file,
        request=new.model_copy(update={"seed": seed}).model_dump_json(exclude_none=True).encode(),
        status="validating_files",
        created_at=time.time(),
    )
    session.add(row)
    session.flush()
    add_own_event(session, row, f"The job was created; its files are checked: {row.training_file}.")
    return as_fine_tuning(row)


def get_fine_tuning(session: Session, caller_id: str, job_id: str) -> FineTuningJob:
    """Return a job; raise `NotFound` where this caller has none of that id."""
    return as_fine_tuning(find_fine_tuning(session, caller_id, job_id))


def find_fine_tuning(session: Session, caller_id: str, job_id: str) -> FineTuningJobRow:
    """Return the row of a job; raise `NotFound` where this caller has none of that id."""
    row = session.get(FineTuningJobRow, job_id)
    if row is None or row.caller_id != caller_id:
        message = f"There is no fine-tuning job {job_id}."
        raise NotFound(message, param="fine_tuning_job_id")
    return row


def page_of_fine_tunings(session: Session, caller_id: str, query: PageQuery) -> Page[FineTuningJob]:
    """Return one page of the caller's jobs."""
    mine = FineTuningJobRow.caller_id == caller_id
    return page_of(session, FineTuningJobRow, query, as_fine_tuning, mine)


def page_of_events(
    session: Session, caller_id: str, job_id: str, query: PageQuery
) -> Page[FineTuningEvent]:
    """Return one page of a job's events; raise `NotFound` where the caller has no such job."""
    find_fine_tuning(session, caller_id, job_id)
    of_job = FineTuningEventRow.job_id == job_id
    return page_of(session, FineTuningEventRow, query, _as_event, of_job)


def cancel_fine_tuning(session: Session, caller_id: str, job_id: str) -> FineTuningJob:
    """End a job that the provider does not know yet; else have the provider asked to end it.

    Cancelling twice changes nothing. Raise `Conflict` for a job that has ended already.
    """
    work_id = find_fine_tuning(session, caller_id, job_id).work_id
    session.get(JobRow, work_id, with_for_update=True)  # first, as the job's own run does
    row = session.get_one(FineTuningJobRow, job_id, with_for_update=True, populate_existing=True)
    if row.status in FINAL and row.status != "cancelled":
        raise Conflict(f"The fine-tuning job {row.id} has {row.status} already.")
    request_cancel(session, row)
    waiting = JobRow.id == row.work_id, JobRow.status == "queued"
    rows_changed(session, update(JobRow).where(*waiting).values(not_before=now()))
    session.flush()
    return as_fine_tuning(row)


def request_cancel(session: Session, row: FineTuningJobRow) -> None:
    """Cancel at once what the provider does not know; leave the rest to the next run."""
    if row.status in FINAL:
        return
    if row.creating_at is None:
        end_fine_tuning(session, row, "cancelled")
    elif not row.cancel_requested:
        row.cancel_requested, row.polls = True, 0
        add_own_event(session, row, "The provider is asked to cancel.")


def end_fine_tuning(
    session: Session, row: FineTuningJobRow, status: str, error: TrainingError | None = None
) -> None:
    """Give a job its final status, with the tokens that it cost, and tell the caller's webhooks."""
    row.status, row.finished_at = status, time.time()
    row.error = error.model_dump_json().encode() if error else None
    answer = msgspec.json.decode(row.answer) if row.answer else {}
    if trained := answer.get("trained_tokens"):
        add_usage(session, row.caller_id, f"fine-tuning:{row.model}"[:200], Usage(trained, 0))
    message = f"The job has {status}." if error is None else f"The job failed: {error.message}"
    level = "error" if error else "info"
    add_own_event(session, row, message, level=level)
    outbox.enqueue_event(session, row.caller_id, f"fine_tuning.job.{status}", row.id)


def add_own_event(
    session: Session, row: FineTuningJobRow, message: str, *, level: str = "info"
) -> None:
    """Add an event that is not the provider's."""
    origin = f"own:{new_id('event')}"
    event = ProviderEvent(id=origin, created_at=int(time.time()), level=level, message=message)
    add_event(session, row, event)


def add_event(session: Session, row: FineTuningJobRow, event: ProviderEvent) -> None:
    """Add an event, later than the ones before it."""
    session.add(
        FineTuningEventRow(
            id=new_id("ftevent"),
            job_id=row.id,
            origin=event.id,
            level=event.level if event.level in ("warn", "error") else "info",
            kind="metrics" if event.type == "metrics" else "message",
            message=event.message,
            data=event.kept_data(),
            created_at=event.created_at,
        )
    )


def keep_open_files(session: Session, caller_id: str, file_id: str) -> None:
    """Raise `Conflict` for a file that an unfinished job still has to send."""
    row = FineTuningJobRow
    reader = session.scalar(
        select(row.id)
        .where(row.caller_id == caller_id, row.finished_at.is_(None), row.sent_files.is_(None))
        .where((row.training_file == file_id) | (row.validation_file == file_id))
        .limit(1)
    )
    if reader is not None:
        raise Conflict(f"The fine-tuning {reader} still reads this file: cancel it first.")


def as_fine_tuning(row: FineTuningJobRow) -> FineTuningJob:
    """Return a job as it is shown: what the provider said of it before what was asked for."""
    asked = msgspec.json.decode(row.request)
    said = msgspec.json.decode(row.answer) if row.answer else {}
    supervised = (asked.get("method") or {}).get("supervised") or {}
    chosen = asked.get("hyperparameters") or supervised.get("hyperparameters") or {}
    hyperparameters = said.get("hyperparameters") or chosen
    return FineTuningJob(
        id=row.id,
        created_at=int(row.created_at),
        finished_at=None if row.finished_at is None else int(row.finished_at),
        model=row.model,
        fine_tuned_model=row.fine_tuned_model,
        organization_id=row.caller_id,
        status=row.status,
        training_file=row.training_file,
        validation_file=row.validation_file,
        error=TrainingError.model_validate_json(row.error) if row.error else None,
        hyperparameters=hyperparameters,
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        seed=said.get("seed") or asked["seed"],
        suffix=asked.get("suffix"),
        trained_tokens=said.get("trained_tokens"),
        estimated_finish=said.get("estimated_finish"),
        metadata=asked.get("metadata"),
    )


def _require_place(session: Session, caller_id: str, most_open: int) -> None:
    mine = FineTuningJobRow.caller_id == caller_id, FineTuningJobRow.finished_at.is_(None)
    if session.scalars(select(func.count()).where(*mine)).one() >= most_open:
        message = f"You have {most_open} unfinished fine-tunings: wait for one, or cancel it."
        raise RateLimited(message, code="too_many_fine_tunings", retry_after=60.0)


def _hold_files(session: Session, caller_id: str, new: NewFineTuning) -> None:
    for param in ("training_file", "validation_file"):
        file_id = getattr(new, param)
        if file_id is None:
            continue
        try:
            file = files.hold_file(session, caller_id, file_id)
        except NotFound as error:
            raise NotFound(error.message, param=param) from error
        if file.purpose != PURPOSE:
            message = f"The file {file_id} was uploaded for `{file.purpose}`, not `{PURPOSE}`."
            raise InvalidRequest(message, param=param)


def _as_event(row: FineTuningEventRow) -> FineTuningEvent:
    return FineTuningEvent.model_validate(
        {
            "id": row.id,
            "created_at": int(row.created_at),
            "level": row.level,
            "type": row.kind,
            "message": row.message,
            "data": msgspec.json.decode(row.data) if row.data else None,
        }
    )
