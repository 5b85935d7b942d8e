"""Pauses of batches, of all callers or of one: running items end, no further item begins."""

from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.callers import fairness
from engine.errors import NotFound
from engine.sql.clock import now
from engine.sql.tables import CallerRow, PauseRow

EVERYBODY = "*"


class Pause(BaseModel):
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
        fairness.catch_up(session, subject)


def list_pauses(session: Session) -> list[Pause]:
    """Return the pauses that last, the one of all callers first."""
    rows = session.execute(
        select(CallerRow.name, PauseRow.since)
        .outerjoin_from(PauseRow, CallerRow, CallerRow.id == PauseRow.subject)
        .order_by(PauseRow.subject != EVERYBODY, CallerRow.name)
    )
    return [Pause(caller=name, since=since) for name, since in rows]


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
