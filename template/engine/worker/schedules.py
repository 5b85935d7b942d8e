"""Schedules: each tick of a job is started once, whichever worker sees it first."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from engine.jobs.jobs import Job, submit_job
from engine.sql.statements import now, rows_changed
from engine.sql.tables import ScheduleRow

# The same text for SQLite and PostgreSQL: SQLAlchemy's constructs for it differ.
MEET = text("INSERT INTO schedules (name, tick) VALUES (:name, :tick) ON CONFLICT DO NOTHING")


def start_due(session: Session, jobs: Iterable[Job[Any]]) -> int:
    """Submit each job with a last tick that no worker has started yet; return their number.

    A job is started once for all the ticks that were missed while no worker ran, and not at all
    for ticks before it was first seen here.
    """
    moment = session.scalars(select(now())).one()
    return sum(_start(session, job, moment) for job in jobs if job.cron is not None)


def last_tick(cron: str, moment: float) -> float:
    """Return the last time at or before `moment` (since 1970, in UTC) when `cron` was due."""
    after = datetime.fromtimestamp(int(moment) + 1, UTC)
    return next(CronSim(cron, after, reverse=True)).timestamp()


def _start(session: Session, job: Job[Any], moment: float) -> bool:
    tick = last_tick(job.cron or "", moment)
    session.execute(MEET, {"name": job.name, "tick": tick})
    missed = (ScheduleRow.name == job.name, ScheduleRow.tick < tick)
    if not rows_changed(session, update(ScheduleRow).where(*missed).values(tick=tick)):
        return False
    submit_job(session, None, job, job.subject(), request_id=f"tick_{tick:.0f}")
    return True
