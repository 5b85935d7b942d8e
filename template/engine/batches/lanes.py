"""Lanes of batches and the workers that hold them: several workers may share a batch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from engine.batches import readiness
from engine.batches.readiness import QUARANTINE
from engine.callers import fairness
from engine.errors import Conflict
from engine.sql.statements import now, skip_scan
from engine.sql.tables import (
    BatchLaneRow,
    BatchRow,
    CallerRow,
    PauseRow,
)
from engine.work import leases, workers

ENDING = ("cancelling", "finalizing")


@dataclass(frozen=True, slots=True)
class LaneHold:
    """One drain's hold on a lane: `owner` is its lease, `generation` its fencing token."""

    batch_id: str
    lane: int
    generation: int
    owner: str


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms on which a worker gets lanes: `held` counts its lanes of each batch when it asked."""

    lease_seconds: float
    lanes_per_batch: int
    lanes_per_caller: int
    held: Mapping[str, int]


class LostLaneError(Conflict):
    """Another drain has taken the lane over; this one must write nothing any more."""


def open_lanes(session: Session, batch: BatchRow, lanes: Iterable[int]) -> None:
    """Let workers claim these lanes of a batch."""
    for lane in lanes:
        session.add(
            BatchLaneRow(
                batch_id=batch.id,
                lane=lane,
                caller_id=batch.caller_id,
                ready=lane != QUARANTINE,
                ready_at=None if lane == QUARANTINE else now(),
            )
        )


def claim_lane(session: Session, owner: str, terms: Terms) -> LaneHold | None:
    """Claim the next lane that is ready, or return None.

    Callers come by priority, then by virtual time. Of a caller's lanes, first ones come first, then
    older batches: each batch gets one worker before any gets two.
    """
    readiness.promote_lanes(session)
    lane = _next(session, terms)
    if lane is None:
        return None
    lane.generation += 1
    lane.heartbeat_at = now()
    lane.ready, lane.ready_at = False, now() + terms.lease_seconds
    leases.grant_lease(session, owner, terms.lease_seconds)
    session.flush()
    return LaneHold(lane.batch_id, lane.lane, lane.generation, owner)


def is_contended(session: Session, hold: LaneHold, terms: Terms, leaving: int) -> bool:
    """Return whether more than `leaving` lanes wait of callers that come before this lane's."""
    caller = select(CallerRow.priority, CallerRow.virtual_time).join_from(
        BatchRow, CallerRow, CallerRow.id == BatchRow.caller_id
    )
    mine = session.execute(caller.where(BatchRow.id == hold.batch_id)).one()
    sooner = or_(
        CallerRow.priority > mine.priority,
        and_(CallerRow.priority == mine.priority, CallerRow.virtual_time < mine.virtual_time),
    )
    ready, waiting = _ready(session, terms), 0
    for caller_id in session.scalars(_callers(terms).where(sooner)).all():
        lanes = ready.where(BatchLaneRow.caller_id == caller_id).limit(leaving + 1 - waiting)
        waiting += len(session.scalars(lanes).all())
        if waiting > leaving:
            return True
    return False


def is_waiting(session: Session, caller_id: str) -> bool:
    """Return whether a lane of the caller is ready, and the caller not paused."""
    ready = select(BatchLaneRow.lane).where(BatchLaneRow.caller_id == caller_id, BatchLaneRow.ready)
    first = ready.order_by(BatchLaneRow.lane, BatchLaneRow.batch_id).limit(1).scalar_subquery()
    goes_on = select(first).where(CallerRow.id == caller_id, ~fairness.paused(CallerRow.id))
    return session.scalar(goes_on) is not None


def renew_lane(session: Session, hold: LaneHold, seconds: float) -> str | None:
    """Prolong the lease; return the batch's status, or None where the lease is lost."""
    if not leases.prolong_lease(session, hold.owner, seconds):
        return None
    session.execute(
        update(BatchLaneRow)
        .where(*_held(hold))
        .values(heartbeat_at=now(), ready=False, ready_at=now() + seconds)
    )
    return session.scalar(select(BatchRow.status).where(BatchRow.id == hold.batch_id))


def release_lane(session: Session, hold: LaneHold, seconds: float, *, at_once: bool) -> None:
    """Give lease and lane back. The remaining work may be claimed when due, or after one lease.

    The items are given back before: they are locked before lanes, and are part of that work.
    """
    leases.end_lease(session, hold.owner)
    lane = session.scalar(select(BatchLaneRow).where(*_held(hold)).with_for_update())
    if lane is not None and at_once:
        readiness.plan_next_look(session, lane, seconds)
        lane.heartbeat_at = 0.0


def require_lane(session: Session, hold: LaneHold) -> None:
    """Raise `LostLaneError` unless the lane is still held."""
    lane = select(BatchLaneRow.lane).where(*_held(hold)).with_for_update()
    if session.scalar(lane) is None:
        raise LostLaneError(f"Lane {hold.lane} of {hold.batch_id} has been taken over.")


def _next(session: Session, terms: Terms) -> BatchLaneRow | None:
    """Return the lane that is to be claimed, and lock it."""
    first = _ready(session, terms).limit(1).with_for_update(skip_locked=True, of=BatchLaneRow)
    if session.scalar(select(PauseRow.subject).limit(1)):  # a pause holds up no ending batch
        ending = BatchRow.id == BatchLaneRow.batch_id, BatchRow.status.in_(ENDING)
        lane = session.scalar(first.join(BatchRow, and_(*ending)))
        if lane is not None:
            return lane
    for caller_id in session.scalars(_callers(terms)).all():
        lane = session.scalar(first.where(BatchLaneRow.caller_id == caller_id))
        if lane is not None:
            return lane
    return None


def _callers(terms: Terms) -> Select[str]:
    """Select the callers with a lane that is ready, in the order of their claims."""
    ready = skip_scan(BatchLaneRow.caller_id, BatchLaneRow.ready)
    sated = (
        select(BatchLaneRow.caller_id)
        .where(readiness.HELD, _alive(terms), BatchLaneRow.caller_id.is_not(None))
        .group_by(BatchLaneRow.caller_id)
        .having(func.count() >= terms.lanes_per_caller)
    )
    return (
        select(CallerRow.id)
        .join(ready, ready.c.value == CallerRow.id)
        .where(CallerRow.id.not_in(sated), ~fairness.paused(CallerRow.id))
        .order_by(CallerRow.priority.desc(), CallerRow.virtual_time)
    )


def _ready(session: Session, terms: Terms) -> Select[BatchLaneRow]:
    """Select the lanes that a worker may take.

    A worker gets no more of a batch than its share among the living workers. With both of two lanes
    on the worker that had checked the lines, the other worker idled, and the batch ran at 0.47 of
    the rate that the model allowed.
    """
    share = math.ceil(
        terms.lanes_per_batch / max(1, workers.living_workers(session, terms.lease_seconds))
    )
    full = [batch_id for batch_id, number in terms.held.items() if number >= share]
    return (
        select(BatchLaneRow)
        .where(BatchLaneRow.ready, ~_alive(terms), BatchLaneRow.batch_id.not_in(full))
        .order_by(BatchLaneRow.lane, BatchLaneRow.batch_id)
    )


def _alive(terms: Terms) -> ColumnElement[bool]:
    return BatchLaneRow.heartbeat_at >= now() - terms.lease_seconds


def _held(hold: LaneHold) -> tuple[ColumnElement[bool], ...]:
    return (
        BatchLaneRow.batch_id == hold.batch_id,
        BatchLaneRow.lane == hold.lane,
        BatchLaneRow.generation == hold.generation,
    )
