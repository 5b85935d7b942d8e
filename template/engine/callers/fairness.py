"""Fair queueing between callers: within a priority, the caller that has had least goes first.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996). A caller's virtual time grows by the
cost of its items, divided by its weight; `lanes.claim_lane` serves the lowest one.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from engine.sql.tables import BatchRow, CallerRow, PauseRow
from engine.sql.tables.batches import OPEN_BATCH


def charge_caller(session: Session, caller_id: str, cost: float) -> None:
    """Add the cost of a caller's items to its virtual time.

    The last step of a transaction: all that is recorded for a caller waits for this row.
    """
    session.execute(
        update(CallerRow)
        .where(CallerRow.id == caller_id)
        .values(virtual_time=CallerRow.virtual_time + cost / CallerRow.weight)
        .execution_options(synchronize_session=False)
    )


def catch_up(session: Session, caller_id: str) -> None:
    """Raise a caller's virtual time to the other callers': an idle caller saves up nothing.

    The lowest one counts, of the unpaused callers of its priority with open batches. Without such a
    caller, the highest one of its priority counts.
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
