"""Long jobs of every kind but batches, as their callers see them: submit, follow, cancel, retry."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, insert, true
from sqlalchemy.orm import Session

from engine.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PermissionDenied,
)
from engine.jobs.runs import Ended, Run, announce_end
from engine.process.queue import Kind
from engine.sql.database import to_json
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.statements import new_id, now
from engine.sql.tables import JobRow
from engine.work import outbox

S = TypeVar("S", bound=BaseModel)

DAY = 86_400.0
Status = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired"]
FINAL = ("succeeded", "failed", "cancelled", "expired")


@dataclass(frozen=True, slots=True)
class Job(Generic[S]):
    """A kind of job; it is on once `app.features.JOBS` has it.

    `run(run, subject)` may return a model, which is the job's result. It may be run again after a
    crash or a transient error, so it must bear repetition.
    """

    name: str
    subject: type[S]
    """Input of one job: small data or ids, since SQL keeps it."""
    run: Callable[[Run, S], Coroutine[Any, Any, BaseModel | None]]
    attempts: int = 3
    """Tries of a job that fails with a transient error of its own."""
    seconds: float = DAY
    """Time from its submission to its deadline."""
    flag: str | None = None
    """Feature flag that a caller must have."""
    cron: str | None = None
    """Schedule, as in crontab(5), in UTC. Callers cannot submit such a job."""
    submittable: bool = True
    """Whether `POST /v1/jobs` takes it: a job with an endpoint of its own is started there only."""
    ended: Ended = announce_end
    """Called in the transaction in which such a job ends."""
    pool: Kind = Kind.JOBS
    """The worker's pool that runs it."""


Jobs: TypeAlias = Mapping[str, Job[Any]]
"""Every kind of job by its name."""


class JobError(BaseModel):
    """The reason why a job did not succeed."""

    code: str
    message: str


class JobObject(BaseModel):
    """A job with its status and progress."""

    id: str
    object: Literal["job"] = "job"
    name: str
    status: Status
    subject: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: JobError | None
    attempt: int
    created_at: int
    started_at: int | None
    finished_at: int | None
    deadline_at: int
    request_id: str


class JobQuery(PageQuery):
    """Query of `GET /v1/jobs`."""

    name: str | None = None
    status: Status | None = None


def job_for_callers(jobs: Jobs, name: str, flags: Collection[str]) -> Job[Any]:
    """Return the job that callers may submit under this name.

    Raise `InvalidRequest` where there is none, `PermissionDenied` where its flag is lacking.
    """
    known = {job.name: job for job in jobs.values() if job.cron is None and job.submittable}
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidRequest(f"There is no job {name}. Known jobs: {names}.", param="name")
    job = known[name]
    if job.flag is not None and job.flag not in flags:
        raise PermissionDenied(f"The job {name} is not switched on for you.")
    return job


def ended_by(jobs: Jobs) -> Ended:
    """Return the function that is called at the end of a job of any of these kinds."""

    def ended(session: Session, row: JobRow) -> None:
        kind = jobs.get(row.name)
        (kind.ended if kind else announce_end)(session, row)

    return ended


def storable_subject(subject: dict[str, Any]) -> dict[str, Any]:
    """Return the subject; raise `InvalidRequest` where it is no JSON, but has NaN in it."""
    try:
        to_json(subject)
    except ValueError as error:
        message = f"The subject cannot be kept: {error}."
        raise InvalidRequest(message, param="subject", code="invalid_json") from error
    return subject


def submit_job(
    session: Session,
    caller_id: str | None,
    job: Job[S],
    subject: S,
    *,
    request_id: str,
    traceparent: str | None = None,
) -> JobObject:
    """Record a job for a worker to claim: from here on it is not lost."""
    row = JobRow(**_queued(caller_id, job, subject, request_id), **_times(job))
    row.traceparent = traceparent
    session.add(row)
    session.flush()
    return as_object(row)


def submit_jobs(
    session: Session, caller_id: str, job: Job[S], subjects: Iterable[S], *, request_id: str
) -> list[str]:
    """Record jobs of one kind in one statement; return their ids, in the order of the subjects.

    One by one, 2,000 jobs held SQLite's lock for 2 seconds.
    """
    rows = [_queued(caller_id, job, subject, request_id) for subject in subjects]
    if rows:
        session.execute(insert(JobRow).values(_times(job)), rows)
    return [row["id"] for row in rows]


def get_job(session: Session, caller_id: str, job_id: str) -> JobObject:
    """Return a job; raise `NotFound` where this caller has none of that id."""
    return as_object(_row(session, caller_id, job_id))


def page_of_jobs(session: Session, caller_id: str, query: JobQuery) -> Page[JobObject]:
    """Return one page of the caller's jobs."""
    return page_of(
        session, JobRow, query, as_object, JobRow.caller_id == caller_id, *jobs_wanted(query)
    )


def jobs_wanted(query: JobQuery) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a query."""
    return (
        true() if query.name is None else JobRow.name == query.name,
        true() if query.status is None else JobRow.status == query.status,
    )


def cancel_job(
    session: Session, caller_id: str, job_id: str, ended: Ended = announce_end
) -> JobObject:
    """End a waiting job at once, and ask the worker of a running one to.

    Cancelling twice changes nothing. Raise `Conflict` for a job that has ended already.
    """
    return cancel_row(session, _row(session, caller_id, job_id, for_update=True), ended)


def cancel_row(session: Session, row: JobRow, ended: Ended = announce_end) -> JobObject:
    """Cancel a job of any caller."""
    if row.status in FINAL and row.status != "cancelled":
        raise Conflict(f"The job {row.id} is {row.status} already.")
    if row.status == "running":
        row.status = "cancelling"
    elif row.status == "queued":
        row.status, row.finished_at = "cancelled", now()
        ended(session, row)
        session.flush()
    return as_object(row)


def retry_job(session: Session, caller_id: str, job_id: str, kinds: Jobs) -> JobObject:
    """Queue a job again that did not succeed, with all its attempts and its time before it.

    Raise `Conflict` for one that has succeeded or not ended.
    """
    return retry_row(session, _row(session, caller_id, job_id, for_update=True), kinds)


def retry_row(session: Session, row: JobRow, kinds: Jobs) -> JobObject:
    """Queue a job of any caller again."""
    if row.status not in FINAL or row.status == "succeeded":
        raise Conflict(f"The job {row.id} is {row.status}: only one that has failed is retried.")
    if row.name not in kinds:
        raise Conflict(f"There is no job {row.name} any more.")
    if not kinds[row.name].submittable:
        raise Conflict(f"A job {row.name} is not retried: send its request again.")
    row.status, row.errors, row.crashes, row.not_before = "queued", 0, 0, now()
    row.error_code = row.error_message = row.finished_at = None
    row.deadline_at = now() + kinds[row.name].seconds
    outbox.forget_events(session, row.id)
    session.flush()
    return as_object(row)


def as_object(row: JobRow) -> JobObject:
    """Return a job as it is shown."""
    shown = {name: getattr(row, name) for name in JobObject.model_fields if hasattr(row, name)}
    times = {name: int(at) for name, at in shown.items() if name.endswith("_at") and at is not None}
    error = None
    if row.error_code is not None:
        error = JobError(code=row.error_code, message=row.error_message or "")
    return JobObject(**{**shown, **times, "error": error})


def _queued(caller_id: str | None, job: Job[S], subject: S, request_id: str) -> dict[str, Any]:
    return {
        "id": new_id("job"),
        "caller_id": caller_id,
        "name": job.name,
        "subject": storable_subject(subject.model_dump(mode="json")),
        "status": "queued",
        "scheduled": job.cron is not None,
        "request_id": request_id,
        "attempt": 0,
    }


def _times(job: Job[Any]) -> dict[str, Any]:
    return {"not_before": now(), "created_at": now(), "deadline_at": now() + job.seconds}


def _row(session: Session, caller_id: str, job_id: str, *, for_update: bool = False) -> JobRow:
    row = session.get(JobRow, job_id, with_for_update=for_update)
    if row is None or row.caller_id != caller_id:
        raise NotFound(f"There is no job {job_id}.", param="job_id")
    return row
