"""Who works on which lane of a batch, and for how long without a sign of life."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from app.domain.clock import now
from app.domain.tables import BatchRow, DeliveryRow, LeaseRow
from app.errors import Conflict


@dataclass(frozen=True, slots=True)
class Hold:
    """One drain's hold on a lane: `owner` is its lease, `generation` its hand-over."""

    batch_id: str
    lane: int
    generation: int
    owner: str


class LostHoldError(Conflict):
    """Another drain has taken the lane over; this one must write nothing any more."""


def take(session: Session, hold: Hold, seconds: float) -> bool:
    """Take the lane; return False where a later hand-over has been made already."""
    taken = session.execute(
        update(DeliveryRow)
        .where(*_lane(hold), DeliveryRow.generation == hold.generation)
        .values(heartbeat_at=now())
    )
    if taken.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    session.add(LeaseRow(id=hold.owner, expires_at=now() + seconds))
    return True


def renew(session: Session, hold: Hold, seconds: float) -> str | None:
    """Prolong the lease; return the batch's status, or None where the lease is lost.

    An expired lease is not revived: its items may be somebody else's by now.
    """
    renewed = session.execute(
        update(LeaseRow)
        .where(LeaseRow.id == hold.owner, LeaseRow.expires_at > now())
        .values(expires_at=now() + seconds)
    )
    if renewed.rowcount == 0:  # type: ignore[attr-defined]
        return None
    session.execute(
        update(DeliveryRow)
        .where(*_lane(hold), DeliveryRow.generation == hold.generation)
        .values(heartbeat_at=now())
    )
    return session.scalar(select(BatchRow.status).where(BatchRow.id == hold.batch_id))


def release(session: Session, hold: Hold) -> None:
    """Give lease and lane back, so that the next sweep hands over at once what is left."""
    session.execute(delete(LeaseRow).where(LeaseRow.id == hold.owner))
    session.execute(
        update(DeliveryRow)
        .where(*_lane(hold), DeliveryRow.generation == hold.generation)
        .values(heartbeat_at=0.0)
    )


def require(session: Session, hold: Hold) -> None:
    """Raise `LostHoldError` unless the lane is still held."""
    generation = session.scalar(
        select(DeliveryRow.generation).where(*_lane(hold)).with_for_update()
    )
    if generation != hold.generation:
        raise LostHoldError(f"Lane {hold.lane} of {hold.batch_id} has been taken over.")


def _lane(hold: Hold) -> tuple[ColumnElement[bool], ...]:
    return (DeliveryRow.batch_id == hold.batch_id, DeliveryRow.lane == hold.lane)
