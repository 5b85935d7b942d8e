"""Jobs as their workers see them: claimed, reported on, ended once."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from engine.errors import Conflict
from engine.operations.bound_model import BoundModel
from engine.resources import Resources, model_for
from engine.sql.statements import instant, now, rows_changed, skip_scan, sql_constant
from engine.sql.tables import JobRow
from engine.work import leases, outbox

RUNNING = ("running", "cancelling")
IS_RUNNING = JobRow.status.in_([sql_constant(status) for status in RUNNING])
IS_QUEUED = JobRow.status == sql_constant("queued")


Ended: TypeAlias = Callable[[Session, JobRow], None]
"""Function that is called in the transaction in which a job comes to its final status."""


def announce_end(session: Session, job: JobRow) -> None:
    """Tell the caller's webhooks that a job has ended."""
    outbox.enqueue_event(session, job.caller_id, f"job.{job.status}", job.id)


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this worker has to run. `seconds` are left until its deadline."""

    id: str
    name: str
    caller_id: str | None
    subject: dict[str, Any]
    progress: dict[str, Any] | None
    request_id: str
    traceparent: str | None
    attempt: int
    errors: int
    seconds: float
    owner: str


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The outcome of one attempt at a job."""

    status: Literal["succeeded", "failed", "cancelled", "expired", "queued"]
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    own: bool = True
    """Whether an error counts among the job's tries: a full provider's does not."""
    delay: float = 0.0
    """Seconds before the next attempt, where `status` is `queued`."""


class Later(Exception):
    """Raised by a job that waits for something: it is given back without an error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The job goes on in {seconds:g} s.")
        self.seconds = seconds


class LostRunError(Conflict):
    """Another worker has taken the job over; this one must write nothing any more."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a job, as the job's own function sees it."""

    resources: Resources
    id: str
    caller_id: str | None
    """Caller of the job; None where a schedule started it."""
    attempt: int
    progress: dict[str, Any] | None
    """Last report of an earlier attempt: a job may go on from there."""
    owner: str

    @property
    def model(self) -> BoundModel:
        """The model bound to the job's caller."""
        return model_for(self.resources, self.caller_id or "")

    async def report(self, **progress: object) -> None:
        """Show the job's progress to its caller, and keep it for another attempt.

        `progress` must be JSON. Raise `LostRunError` where another worker has the job by now.
        """
        await self.resources.database.write(report_progress, self.id, self.owner, progress)


def claim_job(
    session: Session, owner: str, lease_seconds: float, names: Collection[str], *, scheduled: bool
) -> ClaimedJob | None:
    """Claim the next job of these names, or return None.

    The caller with the fewest running jobs comes first, then the job that is due for longest.
    """
    job = _next(session, names, scheduled=scheduled)
    if job is None:
        return None
    job.status, job.owner, job.attempt = "running", owner, job.attempt + 1
    if job.started_at is None:
        job.started_at = now()
    leases.grant_lease(session, owner, lease_seconds)
    session.flush()
    return ClaimedJob(
        id=job.id,
        name=job.name,
        caller_id=job.caller_id,
        subject=job.subject,
        progress=job.progress,
        request_id=job.request_id,
        traceparent=job.traceparent,
        attempt=job.attempt,
        errors=job.errors,
        seconds=job.deadline_at - session.scalars(select(now())).one(),
        owner=owner,
    )


def _next(session: Session, names: Collection[str], *, scheduled: bool) -> JobRow | None:
    """Return the job that is to be claimed, and lock it. A scheduled job belongs to no caller."""
    due = (
        IS_QUEUED,
        JobRow.not_before <= instant(),
        JobRow.deadline_at > now(),
        JobRow.scheduled.is_(scheduled),
        JobRow.name.in_(names),
    )
    in_order = JobRow.caller_id, JobRow.not_before, JobRow.id
    first = (
        select(JobRow).where(*due).order_by(*in_order).limit(1).with_for_update(skip_locked=True)
    )
    for caller_id in [None] if scheduled else _callers(session, *due):
        job = session.scalar(first.where(JobRow.caller_id == caller_id))
        if job is not None:
            return job
    return None


def _callers(session: Session, *due: ColumnElement[bool]) -> list[str]:
    """Return the callers with jobs that are due, in the order of their claims."""
    waiting = skip_scan(JobRow.caller_id, IS_QUEUED)
    first = select(JobRow.not_before).where(*due, JobRow.caller_id == waiting.c.value)
    in_order = first.order_by(JobRow.caller_id, JobRow.not_before, JobRow.id)
    since = in_order.limit(1).scalar_subquery().label("since")
    busy = (
        select(JobRow.caller_id, func.count().label("running"))
        .where(IS_RUNNING)
        .group_by(JobRow.caller_id)
        .subquery()
    )
    callers = select(waiting.c.value, since).outerjoin(busy, busy.c.caller_id == waiting.c.value)
    rows = session.execute(callers.order_by(func.coalesce(busy.c.running, 0), since))
    return [caller_id for caller_id, since in rows if since is not None]


def renew_job(session: Session, job_id: str, owner: str, seconds: float) -> str | None:
    """Prolong the lease; return the job's status, or None where the job is lost."""
    if not leases.prolong_lease(session, owner, seconds):
        return None
    return session.scalar(select(JobRow.status).where(*_held(job_id, owner)))


def report_progress(session: Session, job_id: str, owner: str, progress: dict[str, Any]) -> None:
    """Record the progress of a job. Raise `LostRunError` where its worker has lost it."""
    statement = update(JobRow).where(*_held(job_id, owner)).values(progress=progress)
    if not rows_changed(session, statement):
        raise LostRunError(f"The job {job_id} has been taken over.")


def require_run(session: Session, job_id: str, owner: str) -> None:
    """Lock the job of a run. Raise `LostRunError` where another worker has it, or it has ended."""
    held = select(JobRow.id).where(*_held(job_id, owner), JobRow.status == "running")
    if session.scalar(held.with_for_update()) is None:
        raise LostRunError(f"The job {job_id} has been taken over or cancelled.")


def allow_all_tries(session: Session, job_id: str) -> None:
    """Count the crashes and errors of a job from here again: it has come on, so it is no poison."""
    counted = {"crashes": 0, "errors": 0}
    rows_changed(session, update(JobRow).where(JobRow.id == job_id).values(counted))


def record_job(
    session: Session, job: ClaimedJob, outcome: JobOutcome, ended: Ended = announce_end
) -> bool:
    """Write the outcome of a job; return False where its worker has lost it.

    A cancelled job stays cancelled, unless it has succeeded all the same.
    """
    leases.end_lease(session, job.owner)
    again = outcome.status == "queued"
    cancelled = JobRow.status == "cancelling"
    otherwise = case((cancelled, "cancelled"), else_=outcome.status)
    statement = (
        update(JobRow)
        .where(*_held(job.id, job.owner))
        .values(
            status="succeeded" if outcome.status == "succeeded" else otherwise,
            owner=None,
            result=outcome.result,
            error_code=outcome.error_code,
            error_message=outcome.error_message,
            errors=JobRow.errors + int(outcome.error_code is not None and outcome.own),
            not_before=now() + outcome.delay if again else JobRow.not_before,
            finished_at=case((cancelled, now())) if again else now(),
        )
    )
    if not rows_changed(session, statement):
        return False
    row = session.get_one(JobRow, job.id, populate_existing=True)
    if row.status != "queued":
        ended(session, row)
    return True


def recover_jobs(
    session: Session, most_crashes: int, crashed: str, ended: Ended = announce_end
) -> None:
    """Queue the jobs of dead workers again; end the cancelled, late and poison ones."""
    lost = IS_RUNNING, ~leases.is_alive(JobRow.owner)
    locking = select(JobRow.id).where(*lost).order_by(JobRow.owner)
    locked = session.scalars(locking.with_for_update(skip_locked=True)).all()
    # Asked again for the reason in `reaper.py`.
    for job in session.scalars(select(JobRow).where(JobRow.id.in_(locked), *lost)):
        job.crashes, job.owner = job.crashes + 1, None
        if job.status == "cancelling":
            _end(session, job, "cancelled", ended)
        elif job.crashes >= most_crashes:
            job.error_code, job.error_message = "worker_crashed", crashed
            _end(session, job, "failed", ended)
        else:
            job.status = "queued"
    late = select(JobRow).where(IS_QUEUED, JobRow.deadline_at < instant())
    for job in session.scalars(late.order_by(JobRow.deadline_at).with_for_update(skip_locked=True)):
        _end(session, job, "expired", ended)


def _end(session: Session, job: JobRow, status: str, ended: Ended) -> None:
    job.status, job.finished_at = status, now()
    ended(session, job)


def _held(job_id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return (JobRow.id == job_id, JobRow.owner == owner, IS_RUNNING)
