"""Readiness: the time of a lane's next work, kept on the lane, so that a claim looks at no item.

A numbered lane of an open batch is looked at when its next item is due, and within one lease while
items of the batch are in flight elsewhere. So a change is seen without a wake-up call, and
sooner with one. The quarantine lane sleeps until a numbered lane finds that nothing else is left.
"""

from collections.abc import Collection

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    bindparam,
    case,
    literal_column,
    select,
    update,
)
from sqlalchemy.orm import Session

from engine.sql.statements import instant, now, sql_constant
from engine.sql.tables import BatchLaneRow, BatchRow, ItemRow
from engine.sql.tables.batches import OPEN_BATCH

QUARANTINE = -1
"""Quarantine of poison items: items that are given up when their worker dies once more run on this
lane, one at a time and after all other items, so that a crash costs no other item an attempt."""

HELD = BatchLaneRow.heartbeat_at > literal_column("0")
SLEEPING = ~HELD, ~BatchLaneRow.ready

MOST = 100
"""Lanes that one transaction changes, at most."""


def promote_lanes(session: Session) -> None:
    """Make the lanes ready that are due."""
    due = ~BatchLaneRow.ready, BatchLaneRow.ready_at <= instant()
    _set(session, *due, most=MOST, ready=True)


def wake_lanes(session: Session, batch_ids: Collection[str]) -> None:
    """Make the free lanes of these batches ready. Held lanes are looked at by their holders."""
    numbered = BatchLaneRow.batch_id.in_(batch_ids), BatchLaneRow.lane != QUARANTINE
    if batch_ids:
        _set(session, *numbered, *SLEEPING, ready=True, ready_at=now())


def close_lanes(session: Session, batch_id: str) -> None:
    """Close the lanes of an ended batch: no worker looks at them any more."""
    _set(session, BatchLaneRow.batch_id == batch_id, ready=False, ready_at=None)


def adopt_lanes(session: Session) -> None:
    """Complete the lanes that workers of the release before this column have made."""
    caller = select(BatchRow.caller_id).where(BatchRow.id == BatchLaneRow.batch_id)
    _set(
        session,
        BatchLaneRow.caller_id.is_(None),
        most=MOST,
        caller_id=caller.scalar_subquery(),
        ready=BatchLaneRow.lane != QUARANTINE,
        ready_at=case((BatchLaneRow.lane != QUARANTINE, now())),
    )


def plan_next_look(session: Session, lane: BatchLaneRow, seconds: float) -> None:
    """Set the next look at a lane that is given back: in a lease, if only other workers can tell.

    Its row is locked. So is the batch's, since its cancellation wakes no lane that is locked.
    """
    batch = session.get_one(BatchRow, lane.batch_id, with_for_update=True, populate_existing=True)
    moment = session.scalars(select(now())).one()
    due = _next_look(session, batch, lane.lane, moment, moment + seconds)
    lane.ready = due is not None and due <= moment
    lane.ready_at = None if due is None else max(due, moment)


def has_open_items(session: Session, batch_id: str) -> bool:
    """Return whether an item of the batch waits or runs."""
    return _is_running(session, batch_id) or _first_due(session, batch_id) is not None


def _next_look(
    session: Session, batch: BatchRow, lane: int, moment: float, later: float
) -> float | None:
    if batch.status not in OPEN_BATCH:
        return None
    if lane == QUARANTINE:
        return _first_due(session, batch.id, ItemRow.alone)
    runs = _is_running(session, batch.id)
    if batch.status == "in_progress":
        due = _first_due(session, batch.id, ~ItemRow.alone)
        if due is not None:
            return min(due, later) if runs else due
        if not runs and _first_due(session, batch.id, ItemRow.alone) is not None:
            alone = BatchLaneRow.batch_id == batch.id, BatchLaneRow.lane == QUARANTINE
            _set(session, *alone, *SLEEPING, ready=True, ready_at=now())
            return later
    return later if runs else moment


def _first_due(
    session: Session, batch_id: str, *which: ColumnExpressionArgument[bool]
) -> float | None:
    """Return the time at which the first pending item is due: one look into the items' index.

    Ordered as the index is. PostgreSQL assumes that a batch's items lie evenly in the table. So to
    see whether there is one at all it read the table from its begin, which took seconds.
    """
    waiting = ItemRow.batch_id == batch_id, ItemRow.status == sql_constant("pending"), *which
    first = select(ItemRow.not_before).where(*waiting).order_by(ItemRow.not_before, ItemRow.seq)
    return session.scalar(first.limit(1))


def _is_running(session: Session, batch_id: str) -> bool:
    running = ItemRow.batch_id == batch_id, ItemRow.status == sql_constant("running")
    first = select(ItemRow.id).where(*running).order_by(ItemRow.batch_id, ItemRow.owner)
    return session.scalar(first.limit(1)) is not None


def _set(
    session: Session, *which: ColumnElement[bool], most: int | None = None, **values: object
) -> None:
    """Change lanes, but none that another transaction has locked: so nothing waits here."""
    lanes = select(BatchLaneRow.batch_id.label("of"), BatchLaneRow.lane.label("number")).where(
        *which
    )
    some = lanes.order_by(BatchLaneRow.ready_at).limit(most).with_for_update(skip_locked=True)
    keys = [dict(key) for key in session.execute(some).mappings()]
    table = BatchLaneRow.__table__
    key = table.c.batch_id == bindparam("of"), table.c.lane == bindparam("number")
    if keys:
        change = update(table).where(*key).values(**values)  # type: ignore[arg-type]  # see RECORD
        session.connection().execute(change, keys)
