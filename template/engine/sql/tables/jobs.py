"""Long jobs of every kind but batches, and the schedules of regular jobs."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base, index_of

QUEUED = "status = 'queued'"


class JobRow(Base):
    """A job and its result. It has no caller where a schedule started it.

    `attempt` counts claims and is the fencing token against late writers; `errors` counts the job's
    own failures, `crashes` lost workers.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_caller", "caller_id", "id"),
        index_of(QUEUED, "ix_jobs_waiting", "caller_id", "not_before", "id"),
        index_of(QUEUED, "ix_jobs_late", "deadline_at"),
        index_of("status IN ('running', 'cancelling')", "ix_jobs_owner", "owner"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str | None] = mapped_column(ForeignKey("callers.id"))
    name: Mapped[str] = mapped_column(String(100))
    subject: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20), default="queued")
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error_code: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(100))
    traceparent: Mapped[str | None] = mapped_column(String(100))
    scheduled: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float] = mapped_column(default=0.0)
    owner: Mapped[str | None] = mapped_column(String(100))
    deadline_at: Mapped[float]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class ScheduleRow(Base):
    """The last moment for which a regular job was started, so that it is started once."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    tick: Mapped[float]


class WorkerRow(Base):
    """A worker process, only for operators to see: leases, not this row, say which worker works."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started_at: Mapped[float]
    seen_at: Mapped[float]
