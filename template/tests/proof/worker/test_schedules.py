"""The worker cleans up when the clock says so."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.resources.lifespan import all_jobs
from engine.jobs.jobs import DAY
from engine.sql.tables import JobRow, ScheduleRow
from engine.worker import retention, schedules
from tests.service import Service, eventually


def forget_tick(session: Session) -> None:
    session.merge(ScheduleRow(name="retention", tick=0.0))


def succeeded(session: Session) -> int:
    ended = JobRow.name == "retention", JobRow.status == "succeeded"
    return session.scalar(select(func.count()).where(*ended)) or 0


def test_a_missed_tick_is_made_up_for_once(live: Service) -> None:
    before = live.in_database(succeeded)
    live.in_database(forget_tick)
    eventually(lambda: live.in_database(succeeded) == before + 1)


def test_retention_is_due_once_a_day_while_few_are_awake() -> None:
    assert all_jobs()["retention"] is retention.RETENTION
    assert schedules.last_tick(retention.RETENTION.cron or "", DAY) == 3 * 3600 + 17 * 60
