"""Finds what dead workers or a wiped Redis left behind."""

from collections import Counter

from sqlalchemy import and_, case, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from app.domain.clock import now
from app.domain.settlement import OPEN_ITEM
from app.domain.tables import BatchRow, DeliveryRow, ItemRow, LeaseRow

CRASHED = "The workers that ran this item died {crashes} times; it is not tried again."
Delivery = tuple[str, int, int]
"""Batch, lane and generation of a hand-over."""


def recover(session: Session, *, lease_seconds: float, most_crashes: int) -> list[Delivery]:
    """Put lost items back, expire what is late, and return the hand-overs to be made."""
    _put_back(session, most_crashes)
    _expire(session)
    session.execute(delete(LeaseRow).where(LeaseRow.expires_at < now() - 10 * lease_seconds))
    return _hand_over(session, lease_seconds)


def _put_back(session: Session, most_crashes: int) -> None:
    alive = exists().where(LeaseRow.id == ItemRow.owner, LeaseRow.expires_at > now())
    lost = (
        select(ItemRow.id)
        .where(ItemRow.status == "running", ~alive)
        .order_by(ItemRow.id)
        .with_for_update(skip_locked=True)
    )
    poison = ItemRow.crashes + 1 >= most_crashes
    rows = session.execute(
        update(ItemRow)
        .where(ItemRow.id.in_(lost))
        .values(
            status=case((poison, "failed"), else_="pending"),
            owner=None,
            crashes=ItemRow.crashes + 1,
            error_code=case((poison, "worker_crashed"), else_=None),
            error_message=case((poison, CRASHED.format(crashes=most_crashes)), else_=None),
            finished_at=case((poison, now()), else_=None),
        )
        .returning(ItemRow.batch_id, ItemRow.status)
        .execution_options(synchronize_session=False)
    )
    failed = Counter(batch_id for batch_id, status in rows if status == "failed")
    for batch_id in sorted(failed):
        session.execute(
            update(BatchRow)
            .where(BatchRow.id == batch_id)
            .values(failed=BatchRow.failed + failed[batch_id])
        )


def _expire(session: Session) -> None:
    session.execute(
        update(BatchRow)
        .where(BatchRow.status.in_(("validating", "in_progress")), BatchRow.expires_at < now())
        .values(status="finalizing", expired_at=now(), finalizing_at=now())
        .execution_options(synchronize_session=False)
    )


def _hand_over(session: Session, lease_seconds: float) -> list[Delivery]:
    due = exists().where(
        ItemRow.batch_id == BatchRow.id, ItemRow.status == "pending", ItemRow.not_before <= now()
    )
    unfinished = exists().where(ItemRow.batch_id == BatchRow.id, ItemRow.status.in_(OPEN_ITEM))
    needs_work = or_(
        BatchRow.status.in_(("validating", "cancelling", "finalizing")),
        and_(BatchRow.status == "in_progress", or_(due, ~unfinished)),
    )
    stale = (
        select(DeliveryRow.batch_id, DeliveryRow.lane)
        .join(BatchRow, BatchRow.id == DeliveryRow.batch_id)
        .where(needs_work, DeliveryRow.heartbeat_at < now() - lease_seconds)
        .with_for_update(skip_locked=True, of=DeliveryRow)
    )
    handed = []
    for batch_id, lane in session.execute(stale).all():
        delivery = session.get_one(DeliveryRow, (batch_id, lane))
        delivery.generation += 1
        delivery.heartbeat_at = now()
        handed.append((batch_id, lane, delivery.generation))
    return handed
