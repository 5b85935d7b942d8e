"""Leases: a worker keeps its claims while it prolongs its lease; an expired lease loses them."""

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.sql.clock import now
from engine.sql.statements import changed
from engine.sql.tables import LeaseRow


def grant(session: Session, owner: str, seconds: float) -> None:
    """Give `owner` a lease."""
    session.add(LeaseRow(id=owner, expires_at=now() + seconds))


def prolong(session: Session, owner: str, seconds: float) -> bool:
    """Prolong a lease; return False where it is lost.

    An expired lease is not revived: its claims may be another worker's by now.
    """
    statement = (
        update(LeaseRow)
        .where(LeaseRow.id == owner, LeaseRow.expires_at > now())
        .values(expires_at=now() + seconds)
    )
    return changed(session, statement) == 1


def end(session: Session, owner: str) -> None:
    """Give a lease back."""
    session.execute(delete(LeaseRow).where(LeaseRow.id == owner))


def alive(owner: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    """Return the condition that the owner in this column has a lease."""
    return exists(select(LeaseRow.id).where(LeaseRow.id == owner, LeaseRow.expires_at > now()))


def forget_expired(session: Session, seconds: float) -> None:
    """Delete the leases that ran out more than `seconds` ago."""
    session.execute(delete(LeaseRow).where(LeaseRow.expires_at < now() - seconds))
