"""Who works on which lane of a batch: a batch has several, so that several workers may share it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app.domain import leases, pauses, workers
from app.domain.clock import now
from app.domain.files import OPEN_BATCH
from app.domain.settlement import OPEN_ITEM
from app.domain.tables import BatchRow, CallerRow, DeliveryRow, ItemRow
from app.errors import Conflict

ALONE = -1
"""The lane for items that are given up when their worker dies once more. They run there one by one,
after all others: a deadly item would take the innocent ones beside it along."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One drain's hold on a lane: `owner` is its lease; a later `generation` has taken it over."""

    batch_id: str
    lane: int
    generation: int
    owner: str


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a worker gets lanes. It `held` so many of each batch when it asked."""

    lease_seconds: float
    lanes_per_batch: int
    lanes_per_caller: int
    held: Mapping[str, int]


class LostHoldError(Conflict):
    """Another drain has taken the lane over; this one must write nothing any more."""


def open_lanes(session: Session, batch_id: str, lanes: Iterable[int]) -> None:
    """Let workers claim these lanes of a batch."""
    for lane in lanes:
        session.add(DeliveryRow(batch_id=batch_id, lane=lane, generation=0, heartbeat_at=0.0))


def claim(session: Session, owner: str, terms: Terms) -> Hold | None:
    """Take the next lane that has work and nobody's sign of life, or return None.

    Callers come by priority, then by virtual time. Of a caller's lanes, first ones come first, then
    older batches: each batch gets one worker before any gets two.
    """
    callers = CallerRow.priority.desc(), CallerRow.virtual_time
    free = (
        _free(session, terms)
        .order_by(*callers, DeliveryRow.lane, DeliveryRow.batch_id)
        .limit(1)
        .with_for_update(skip_locked=True, of=DeliveryRow)
    )
    lane = session.scalar(free)
    if lane is None:
        return None
    lane.generation += 1
    lane.heartbeat_at = now()
    leases.grant(session, owner, terms.lease_seconds)
    session.flush()
    return Hold(lane.batch_id, lane.lane, lane.generation, owner)


def contended(session: Session, hold: Hold, terms: Terms, leaving: int) -> bool:
    """Return whether more than `leaving` lanes wait of callers who come before this lane's."""
    caller = select(CallerRow.priority, CallerRow.virtual_time).join_from(
        BatchRow, CallerRow, CallerRow.id == BatchRow.caller_id
    )
    mine = session.execute(caller.where(BatchRow.id == hold.batch_id)).one()
    sooner = or_(
        CallerRow.priority > mine.priority,
        and_(CallerRow.priority == mine.priority, CallerRow.virtual_time < mine.virtual_time),
    )
    waiting = session.scalars(_free(session, terms).where(sooner).limit(leaving + 1)).all()
    return len(waiting) > leaving


def is_waiting(session: Session, caller_id: str) -> bool:
    """Return whether a lane of the caller has work and nobody on it."""
    lane = select(DeliveryRow.lane).join(BatchRow, BatchRow.id == DeliveryRow.batch_id)
    nobodys = BatchRow.caller_id == caller_id, DeliveryRow.heartbeat_at == 0.0
    return session.scalar(lane.where(*nobodys, _may_run(), has_work()).limit(1)) is not None


def renew(session: Session, hold: Hold, seconds: float) -> str | None:
    """Prolong the lease; return the batch's status, or None where the lease is lost."""
    if not leases.prolong(session, hold.owner, seconds):
        return None
    session.execute(update(DeliveryRow).where(*_held(hold)).values(heartbeat_at=now()))
    return session.scalar(select(BatchRow.status).where(BatchRow.id == hold.batch_id))


def release(session: Session, hold: Hold, *, at_once: bool) -> None:
    """Give lease and lane back. What is left may be claimed at once, or after one lease."""
    leases.end(session, hold.owner)
    if at_once:
        session.execute(update(DeliveryRow).where(*_held(hold)).values(heartbeat_at=0.0))


def require(session: Session, hold: Hold) -> None:
    """Raise `LostHoldError` unless the lane is still held."""
    lane = select(DeliveryRow.lane).where(*_held(hold)).with_for_update()
    if session.scalar(lane) is None:
        raise LostHoldError(f"Lane {hold.lane} of {hold.batch_id} has been taken over.")


def has_work() -> ColumnElement[bool]:
    """Return the condition that a worker could do something for a batch now."""
    of_batch = ItemRow.batch_id == BatchRow.id
    waits = and_(of_batch, ItemRow.status == "pending", ItemRow.not_before <= now())
    unfinished = exists().where(of_batch, ItemRow.status.in_(OPEN_ITEM))
    others = exists().where(of_batch, ItemRow.status.in_(OPEN_ITEM), ~ItemRow.alone)
    due = case(
        (DeliveryRow.lane == ALONE, and_(exists().where(waits, ItemRow.alone), ~others)),
        else_=or_(exists().where(waits, ~ItemRow.alone), ~unfinished),
    )
    running = exists().where(of_batch, ItemRow.status == "running")
    return or_(
        BatchRow.status == "validating",
        and_(BatchRow.status == "in_progress", due),
        and_(BatchRow.status.in_(("cancelling", "finalizing")), ~running),
    )


def _free(session: Session, terms: Terms) -> Select[DeliveryRow]:
    """Select the lanes that a worker may take.

    Of a batch it gets no more than its share among the living workers: with both of two lanes on
    the worker that had checked the lines, the other one idled, at 0.47 of what the model allowed.
    """
    share = math.ceil(terms.lanes_per_batch / max(1, workers.living(session, terms.lease_seconds)))
    full = [batch_id for batch_id, number in terms.held.items() if number >= share]
    alive = DeliveryRow.heartbeat_at >= now() - terms.lease_seconds
    sated = (
        select(BatchRow.caller_id)
        .join(DeliveryRow, DeliveryRow.batch_id == BatchRow.id)
        .where(alive, BatchRow.status.in_(OPEN_BATCH))
        .group_by(BatchRow.caller_id)
        .having(func.count() >= terms.lanes_per_caller)
        .correlate(None)
    )
    return (
        select(DeliveryRow)
        .join(BatchRow, BatchRow.id == DeliveryRow.batch_id)
        .join(CallerRow, CallerRow.id == BatchRow.caller_id)
        .where(
            has_work(),
            _may_run(),
            ~alive,
            DeliveryRow.batch_id.not_in(full),
            BatchRow.caller_id.not_in(sated),
        )
    )


def _may_run() -> ColumnElement[bool]:
    """Return the condition that a batch is open and not paused. What only has to end may always.

    `has_work` says more of open batches; this lets the database pass over all that have ended.
    """
    ends = BatchRow.status.in_(("cancelling", "finalizing"))
    is_open = BatchRow.status.in_(OPEN_BATCH)
    return and_(is_open, or_(ends, ~pauses.paused(BatchRow.caller_id)))


def _held(hold: Hold) -> tuple[ColumnElement[bool], ...]:
    return (
        DeliveryRow.batch_id == hold.batch_id,
        DeliveryRow.lane == hold.lane,
        DeliveryRow.generation == hold.generation,
    )
