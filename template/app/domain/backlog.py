"""What waits, what runs and who works on it, for operators."""

from pydantic import BaseModel
from sqlalchemy import case, exists, func, select
from sqlalchemy.orm import Session

from app.domain.clock import now
from app.domain.files import OPEN_BATCH
from app.domain.lanes import has_work
from app.domain.pauses import Pause, pauses
from app.domain.runs import RUNNING
from app.domain.tables import (
    BatchRow,
    DeliveryRow,
    ItemRow,
    JobRow,
    LeaseRow,
    WebhookDeliveryRow,
    WorkerRow,
)


class Depth(BaseModel):
    """How much of one kind of work waits and runs; `oldest` has waited for that many seconds."""

    work: str
    waiting: int
    running: int
    oldest: float | None = None


class Lanes(BaseModel):
    """How many lanes of open batches a worker holds, and how many it could take."""

    held: int
    free: int


class Lease(BaseModel):
    """Who holds it works on `subject` and has `left` seconds to prolong it.

    The subject is None while a lane of a batch has no item in flight: it is read or settled.
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
    lanes: Lanes
    pauses: list[Pause]
    dead_webhooks: int
    leases: list[Lease]
    workers: list[WorkerInfo]

    @property
    def oldest(self) -> float:
        """Return for how many seconds the oldest work has waited that nobody does."""
        return max((depth.oldest or 0.0 for depth in self.depths), default=0.0)


def backlog(session: Session, lease_seconds: float) -> Backlog:
    """Return what waits, what runs and who works on it."""
    return Backlog(
        depths=depths(session, lease_seconds),
        lanes=_lanes(session, lease_seconds),
        pauses=pauses(session),
        dead_webhooks=_webhooks_that_are(session, "dead"),
        leases=_leases(session),
        workers=_workers(session),
    )


def depths(session: Session, lease_seconds: float) -> list[Depth]:
    """Return how much of each kind of work there is."""
    batches = _batches(session, lease_seconds)
    return [batches, _items(session), *_jobs(session), _webhooks(session)]


def _batches(session: Session, lease_seconds: float) -> Depth:
    """Count a batch as waiting while no worker holds a lane of it, though one could.

    It waits since the latest of: it was taken in, its next item was due, a worker that died held
    it. A worker that gives it back leaves no mark, so after that it seems to wait for longer.
    """
    of_batch = DeliveryRow.batch_id == BatchRow.id
    held = select(func.max(DeliveryRow.heartbeat_at)).where(of_batch).scalar_subquery()
    to_do = ItemRow.batch_id == BatchRow.id, ItemRow.status == "pending"
    due = select(func.min(ItemRow.not_before)).where(*to_do).scalar_subquery()
    moments = func.coalesce(BatchRow.in_progress_at, BatchRow.created_at), func.coalesce(due, 0.0)
    ages = [now() - moment for moment in (held, *moments)]
    work = exists().where(of_batch, has_work())
    rows = session.execute(select(work, *ages).where(BatchRow.status.in_(OPEN_BATCH))).all()
    running = sum(last < lease_seconds for _, last, *_ in rows)
    waits = [min(ages) for work, *ages in rows if work and ages[0] >= lease_seconds]
    return Depth(
        work="batches", waiting=len(waits), running=running, oldest=max(waits, default=None)
    )


def _lanes(session: Session, lease_seconds: float) -> Lanes:
    held = DeliveryRow.heartbeat_at >= now() - lease_seconds
    of_open = select(held).join(BatchRow).where(BatchRow.status.in_(OPEN_BATCH))
    lanes = [bool(is_held) for is_held in session.scalars(of_open)]
    return Lanes(held=sum(lanes), free=len(lanes) - sum(lanes))


def _items(session: Session) -> Depth:
    counts = {
        status: session.scalar(select(func.count()).where(ItemRow.status == status)) or 0
        for status in ("pending", "running")
    }
    return Depth(work="items", waiting=counts["pending"], running=counts["running"])


def _jobs(session: Session) -> list[Depth]:
    waits = case((JobRow.status == "queued", 1), else_=0)
    due = case(((JobRow.status == "queued") & (JobRow.not_before <= now()), JobRow.not_before))
    rows = session.execute(
        select(JobRow.name, func.sum(waits), func.count(), now() - func.min(due))
        .where(JobRow.status.in_(("queued", *RUNNING)))
        .group_by(JobRow.name)
        .order_by(JobRow.name)
    )
    return [
        Depth(work=f"job {name}", waiting=waiting, running=all_open - waiting, oldest=oldest)
        for name, waiting, all_open, oldest in rows
    ]


def _webhooks(session: Session) -> Depth:
    due = WebhookDeliveryRow.status == "pending", WebhookDeliveryRow.next_at <= now()
    oldest = session.scalar(select(now() - func.min(WebhookDeliveryRow.next_at)).where(*due))
    waiting = _webhooks_that_are(session, "pending")
    return Depth(work="webhooks", waiting=waiting, running=0, oldest=oldest)


def _webhooks_that_are(session: Session, status: str) -> int:
    return session.scalar(select(func.count()).where(WebhookDeliveryRow.status == status)) or 0


def _leases(session: Session) -> list[Lease]:
    of_items = ItemRow.owner == LeaseRow.id, ItemRow.status == "running"
    batch_id = select(func.min(ItemRow.batch_id)).where(*of_items).scalar_subquery()
    rows = session.execute(
        select(LeaseRow.id, LeaseRow.expires_at - now(), JobRow.name, JobRow.id, batch_id)
        .outerjoin(JobRow, (JobRow.owner == LeaseRow.id) & JobRow.status.in_(RUNNING))
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
