"""Reaper: sweeps for expired leases of dead workers, late work and jobs that are due."""

import asyncio
import logging
from collections import Counter

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from engine.batches import readiness
from engine.jobs import runs
from engine.jobs.jobs import ended_by
from engine.jobs.runs import Ended
from engine.resources import Resources
from engine.sql.statements import instant, now, sql_constant
from engine.sql.tables import BatchRow, ItemRow
from engine.work import leases, workers
from engine.work.workers import Worker
from engine.worker import schedules
from engine.worker.probes import Liveness

log = logging.getLogger(__name__)


async def reap_for_ever(resources: Resources, pulse: Liveness) -> None:
    """Sweep every `sweep_seconds`. Every worker does: a sweep is idempotent and needs no leader."""
    seconds, write = resources.settings.sweep_seconds, resources.database.write
    worker = Worker()
    try:
        while True:
            try:
                await write(workers.sign_in, worker)
                await reap_once(resources)
                pulse.tried(well=True)
            except Exception:
                pulse.tried(well=False)
                log.exception("a sweep failed; the next one is in %s s", seconds)
            await asyncio.sleep(seconds)
    finally:
        await write(workers.sign_off, worker)


async def reap_once(resources: Resources) -> None:
    """Put lost work back, end late work, submit due jobs."""
    settings, write = resources.settings, resources.database.write
    await write(
        recover_work,
        lease_seconds=settings.lease_seconds,
        most_crashes=settings.batch_crashes,
        ended=ended_by(resources.jobs),
    )
    await write(schedules.start_due, resources.jobs.values())


CRASHED = "The workers that ran this died {crashes} times; it is not tried again."


def recover_work(
    session: Session, *, lease_seconds: float, most_crashes: int, ended: Ended = runs.announce_end
) -> None:
    """Put lost items and jobs back, expire late batches and jobs, make due lanes ready."""
    readiness.adopt_lanes(session)
    readiness.promote_lanes(session)
    _put_back(session, most_crashes)
    _expire(session)
    runs.recover_jobs(session, most_crashes, CRASHED.format(crashes=most_crashes), ended)
    leases.forget_expired(session, 10 * lease_seconds)


def _put_back(session: Session, most_crashes: int) -> None:
    lost = ItemRow.status == sql_constant("running"), ~leases.is_alive(ItemRow.owner)
    locking = select(ItemRow.id).where(*lost).order_by(ItemRow.batch_id, ItemRow.owner)
    locked = session.scalars(locking.with_for_update(skip_locked=True)).all()
    if not locked:
        return
    poison = ItemRow.crashes + 1 >= most_crashes
    rows = session.execute(
        update(ItemRow)
        # Asked again: another sweep and a new owner may have come between reading and locking, and
        # PostgreSQL would see that owner, but not its lease.
        .where(ItemRow.id.in_(locked), *lost)
        .values(
            status=case((poison, "failed"), else_="pending"),
            owner=None,
            crashes=ItemRow.crashes + 1,
            alone=ItemRow.crashes + 2 >= most_crashes,
            error_code=case((poison, "worker_crashed"), else_=None),
            error_message=case((poison, CRASHED.format(crashes=most_crashes)), else_=None),
            finished_at=case((poison, now()), else_=None),
        )
        .returning(ItemRow.batch_id, ItemRow.status)
        .execution_options(synchronize_session=False)
    ).all()
    failed = Counter(batch_id for batch_id, status in rows if status == "failed")
    for batch_id in sorted(failed):
        session.execute(
            update(BatchRow)
            .where(BatchRow.id == batch_id)
            .values(failed=BatchRow.failed + failed[batch_id])
        )
    readiness.wake_lanes(session, {batch_id for batch_id, _ in rows})


def _expire(session: Session) -> None:
    is_open = BatchRow.status.in_(("validating", "in_progress"))
    late = select(BatchRow.id).where(is_open, BatchRow.expires_at < instant())
    # A sweep that waited here deadlocked with another one.
    batch_ids = session.scalars(late.with_for_update(skip_locked=True)).all()
    session.execute(
        update(BatchRow)
        .where(BatchRow.id.in_(batch_ids))
        .values(status="finalizing", expired_at=now(), finalizing_at=now())
        .execution_options(synchronize_session=False)
    )
    readiness.wake_lanes(session, batch_ids)
