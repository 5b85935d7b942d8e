"""Fair queueing between callers, and pauses of their batches.

Within a priority, the caller that has had least goes first. This is start-time fair queueing
(Goyal, Vin and Cheng, 1996). A caller's virtual time grows by the cost of its items, divided by its
weight; `lanes.claim_lane` serves the lowest one. In a pause running items end, no other one begins.
"""

from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.errors import NotFound
from engine.sql.statements import now
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


EVERYBODY = "*"


class CallerPause(BaseModel):
    """A pause of a caller's batches; `caller` is None for a pause of all callers."""

    caller: str | None
    since: float


def pause_caller(session: Session, caller: str | None) -> None:
    """Pause the caller of this name, or all callers. A pause that lasts keeps its begin.

    Raise `NotFound` where there is no such caller.
    """
    subject = _subject(session, caller)
    if session.get(PauseRow, subject) is None:
        session.add(PauseRow(subject=subject, since=now()))


def resume_caller(session: Session, caller: str | None) -> None:
    """End the pause of the caller of this name, or of all callers; without one nothing changes.

    The caller has saved up nothing in its pause. Raise `NotFound` where there is none of that name.
    """
    subject = _subject(session, caller)
    session.execute(delete(PauseRow).where(PauseRow.subject == subject))
    if caller is not None:
        catch_up(session, subject)


def list_pauses(session: Session) -> list[CallerPause]:
    """Return the pauses that last, the one of all callers first."""
    rows = session.execute(
        select(CallerRow.name, PauseRow.since)
        .outerjoin_from(PauseRow, CallerRow, CallerRow.id == PauseRow.subject)
        .order_by(PauseRow.subject != EVERYBODY, CallerRow.name)
    )
    return [CallerPause(caller=name, since=since) for name, since in rows]


def paused(caller_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Return the condition that the batches of the caller in this column are paused."""
    everybody = exists().where(PauseRow.subject == EVERYBODY)
    return or_(everybody, caller_id.in_(select(PauseRow.subject)))  # read once, not for each caller


def _subject(session: Session, caller: str | None) -> str:
    if caller is None:
        return EVERYBODY
    caller_id = session.scalar(select(CallerRow.id).where(CallerRow.name == caller))
    if caller_id is None:
        raise NotFound(f"There is no caller {caller}: `app keys list` shows them.")
    return caller_id
