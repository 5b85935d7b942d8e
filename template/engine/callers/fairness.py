"""Fair shares between callers: of those with the same priority, who has had least goes first.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996). A caller's virtual time grows by what
it was given, divided by its weight; `lanes.claim` serves the lowest one.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.sql.tables import BatchRow, CallerRow, PauseRow
from engine.sql.tables.batches import OPEN_BATCH


def charge(session: Session, caller_id: str, cost: float) -> None:
    """Add what a caller was given to its virtual time.

    The last step of a transaction: all that is recorded for a caller waits for this row.
    """
    session.execute(
        update(CallerRow)
        .where(CallerRow.id == caller_id)
        .values(virtual_time=CallerRow.virtual_time + cost / CallerRow.weight)
        .execution_options(synchronize_session=False)
    )


def catch_up(session: Session, caller_id: str) -> None:
    """Let a caller begin where the others are: nobody saves up while it wants nothing.

    The others are those of its priority with open batches that are not paused. Where there are
    none, it begins where the one of its priority is who has had most.
    """
    priority = session.scalars(select(CallerRow.priority).where(CallerRow.id == caller_id)).one()
    others = CallerRow.id != caller_id, CallerRow.priority == priority
    at_work = (
        CallerRow.id.in_(select(BatchRow.caller_id).where(BatchRow.status.in_(OPEN_BATCH))),
        CallerRow.id.not_in(select(PauseRow.subject)),
    )
    lowest = select(func.min(CallerRow.virtual_time)).where(*others, *at_work)
    highest = select(func.max(CallerRow.virtual_time)).where(*others)
    floor = session.scalar(lowest)
    if floor is None:
        floor = session.scalar(highest) or 0.0
    session.execute(
        update(CallerRow)
        .where(CallerRow.id == caller_id, CallerRow.virtual_time < floor)
        .values(virtual_time=floor)
        .execution_options(synchronize_session=False)
    )
