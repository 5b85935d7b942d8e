"""The backlog, for operators: waiting and running work, leases, workers."""

from pydantic import BaseModel
from sqlalchemy import ColumnElement, CompoundSelect, case, func, literal, null, select, text
from sqlalchemy.orm import Session

from engine.batches import readiness
from engine.callers.fairness import CallerPause, list_pauses
from engine.jobs.runs import IS_QUEUED, IS_RUNNING
from engine.responses.schema import CONTINUED
from engine.sql.statements import instant, now, sql_constant
from engine.sql.tables import (
    AgentStepRow,
    BatchLaneRow,
    BatchRow,
    ItemRow,
    JobRow,
    LeaseRow,
    ResponseRow,
    WebhookDeliveryRow,
    WorkerRow,
)

SNAPSHOT = text("""
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)
    FROM pg_stat_activity
    WHERE coalesce(backend_xmin, backend_xid) IS NOT NULL AND pid <> pg_backend_pid()
        AND backend_type <> 'autovacuum worker'
        AND coalesce(datname, current_database()) = current_database()  -- a replica's has no name
""")


class Depth(BaseModel):
    """Waiting and running work of one kind, counted; `oldest` is the longest wait in seconds."""

    work: str
    waiting: int
    running: int
    oldest: float | None = None


class Approvals(BaseModel):
    """Calls of an agent that wait for a human; `oldest` is the longest wait in seconds."""

    agent: str
    waiting: int
    oldest: float


class Lanes(BaseModel):
    """Lanes of open batches: the ones that workers hold, and the ones that they could claim."""

    held: int
    free: int


class Lease(BaseModel):
    """A lease: its holder works on `subject` and has `left` seconds to prolong it.

    The subject is None while a lane of a batch has no item in flight: it is read or finalised.
    """

    id: str
    work: str | None
    subject: str | None
    left: float


class WorkerInfo(BaseModel):
    """A worker process, and the seconds since it started and since its last sign of life."""

    id: str
    host: str
    pid: int
    age: float
    silent: float


class Backlog(BaseModel):
    """The whole picture."""

    depths: list[Depth]
    approvals: list[Approvals]
    lanes: Lanes
    pauses: list[CallerPause]
    dead_webhooks: int
    snapshot: float | None
    leases: list[Lease]
    workers: list[WorkerInfo]

    @property
    def oldest(self) -> float:
        """Return the longest wait of any kind of work, in seconds."""
        return max((depth.oldest or 0.0 for depth in self.depths), default=0.0)


def backlog(session: Session, lease_seconds: float) -> Backlog:
    """Return the waiting and running work, the leases and the workers."""
    dead = WebhookDeliveryRow.status == sql_constant("dead")
    return Backlog(
        depths=depths(session, lease_seconds),
        approvals=approvals(session),
        lanes=_lanes(session, lease_seconds),
        pauses=list_pauses(session),
        dead_webhooks=session.scalar(select(func.count()).where(dead)) or 0,
        snapshot=oldest_snapshot(session),
        leases=_leases(session),
        workers=_workers(session),
    )


def depths(session: Session, lease_seconds: float) -> list[Depth]:
    """Return the counts of each kind of work."""
    batches = _batches(session, lease_seconds)
    return [batches, _items(session), *_jobs(session), _webhooks(session)]


def approvals(session: Session) -> list[Approvals]:
    """Return the calls that wait for a human, where a response can still be continued."""
    agent, since = ResponseRow.model, AgentStepRow.started_at
    found = (
        select(agent, func.count(), now() - func.min(since))
        .join(AgentStepRow, AgentStepRow.response_id == ResponseRow.id)
        .where(AgentStepRow.status == sql_constant("approval"), ResponseRow.status.in_(CONTINUED))
        .group_by(agent)
        .order_by(agent)
    )
    return [
        Approvals(agent=name, waiting=waiting, oldest=oldest)
        for name, waiting, oldest in session.execute(found)
    ]


def oldest_snapshot(session: Session) -> float | None:
    """Return the age of PostgreSQL's oldest snapshot in seconds; None on SQLite.

    No vacuum takes a row away that died after it, so claims walk over ever more dead rows. Sessions
    of other roles are seen by members of `pg_read_all_stats` only.
    """
    if session.connection().dialect.name != "postgresql":
        return None
    return float(session.scalar(SNAPSHOT) or 0.0)


def _batches(session: Session, lease_seconds: float) -> Depth:
    """Count a batch as waiting while no worker holds a lane of it, though one could.

    It waits since the last of its lanes that may be claimed has been free.
    """
    waiting = _free(lease_seconds).subquery()
    held = select(BatchLaneRow.batch_id).where(*_held(lease_seconds))
    since = (
        select(func.max(waiting.c.ready_at).label("moment"))
        .where(waiting.c.batch_id.not_in(held))
        .group_by(waiting.c.batch_id)
        .subquery()
    )
    number, oldest = session.execute(
        select(func.count(), now() - func.min(since.c.moment)).select_from(since)
    ).one()
    running = select(func.count(BatchLaneRow.batch_id.distinct())).where(*_held(lease_seconds))
    return Depth(
        work="batches", waiting=number, running=session.scalar(running) or 0, oldest=oldest
    )


def _lanes(session: Session, lease_seconds: float) -> Lanes:
    held = session.scalar(select(func.count()).where(*_held(lease_seconds)))
    free = session.scalar(select(func.count()).select_from(_free(lease_seconds).subquery()))
    return Lanes(held=held or 0, free=free or 0)


def _held(lease_seconds: float) -> tuple[ColumnElement[bool], ...]:
    return readiness.HELD, BatchLaneRow.heartbeat_at >= now() - lease_seconds


def _free(lease_seconds: float) -> CompoundSelect[str, float | None]:
    """Select the lanes that may be claimed: the ready ones and the due ones."""
    lanes = select(BatchLaneRow.batch_id, BatchLaneRow.ready_at)
    lanes = lanes.where(BatchLaneRow.heartbeat_at < now() - lease_seconds)
    due = ~BatchLaneRow.ready, BatchLaneRow.ready_at <= instant()
    return lanes.where(BatchLaneRow.ready).union_all(lanes.where(*due))


def _items(session: Session) -> Depth:
    """Count by the batches' own counters. Lines that are still being checked do not wait yet."""
    left = func.sum(BatchRow.total - BatchRow.completed - BatchRow.failed)
    is_open = session.scalar(select(left).where(BatchRow.status == "in_progress")) or 0
    running = (
        session.scalar(select(func.count()).where(ItemRow.status == sql_constant("running"))) or 0
    )
    return Depth(work="items", waiting=max(0, is_open - running), running=running)


def _jobs(session: Session) -> list[Depth]:
    since = case((JobRow.not_before <= now(), JobRow.not_before))
    waiting = select(JobRow.name, since.label("since"), literal(1).label("waits"))
    running = select(JobRow.name, null(), literal(0)).where(IS_RUNNING)
    jobs = waiting.where(IS_QUEUED).union_all(running).subquery()
    waits = func.sum(jobs.c.waits), func.count(), now() - func.min(jobs.c.since)
    rows = session.execute(select(jobs.c.name, *waits).group_by(jobs.c.name).order_by(jobs.c.name))
    return [
        Depth(work=f"job {name}", waiting=waiting, running=all_open - waiting, oldest=oldest)
        for name, waiting, all_open, oldest in rows
    ]


def _webhooks(session: Session) -> Depth:
    due = case((WebhookDeliveryRow.next_at <= now(), WebhookDeliveryRow.next_at))
    all_of_them = select(func.count(), now() - func.min(due))
    pending = WebhookDeliveryRow.status == sql_constant("pending")
    waiting, oldest = session.execute(all_of_them.where(pending)).one()
    return Depth(work="webhooks", waiting=waiting, running=0, oldest=oldest)


def _leases(session: Session) -> list[Lease]:
    items = (
        select(ItemRow.owner, func.min(ItemRow.batch_id).label("batch_id"))
        .where(ItemRow.status == sql_constant("running"))
        .group_by(ItemRow.owner)
        .subquery()
    )
    rows = session.execute(
        select(LeaseRow.id, LeaseRow.expires_at - now(), JobRow.name, JobRow.id, items.c.batch_id)
        .select_from(LeaseRow)
        .outerjoin(JobRow, (JobRow.owner == LeaseRow.id) & IS_RUNNING)
        .outerjoin(items, items.c.owner == LeaseRow.id)
        .order_by(LeaseRow.id)
    )
    return [
        Lease(
            id=lease_id,
            left=left,
            work=f"job {name}" if job_id else "batch" if batch else None,
            subject=job_id or batch,
        )
        for lease_id, left, name, job_id, batch in rows
    ]


def _workers(session: Session) -> list[WorkerInfo]:
    ages = now() - WorkerRow.started_at, now() - WorkerRow.seen_at
    rows = session.execute(select(WorkerRow, *ages).order_by(WorkerRow.id))
    return [
        WorkerInfo(id=worker.id, host=worker.host, pid=worker.pid, age=age, silent=silent)
        for worker, age, silent in rows
    ]
