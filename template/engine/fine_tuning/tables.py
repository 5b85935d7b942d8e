"""Fine-tuning jobs, their events, and the models that belong to one caller.

JSON lies in bytes, because PostgreSQL's JSON takes no NUL.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base, index_of

FINAL = ("succeeded", "failed", "cancelled")


class FineTuningJobRow(Base):
    """A fine-tuning job of one caller. `work_id` is the job that carries it out.

    `sent_files` are the ids of its files at the provider. From `creating_at` on the provider may
    have a job of it; `provider_job` is the id of that job, and `answer` what it last said.
    `polls` counts looks without a change, `missing` looks at which the provider did not know it.
    """

    __tablename__ = "fine_tuning_jobs"
    __table_args__ = (
        UniqueConstraint("provider_job", name="uq_fine_tuning_jobs_provider_job"),
        Index("ix_fine_tuning_jobs_caller", "caller_id", "id"),
        index_of("finished_at IS NULL", "ix_fine_tuning_jobs_open", "caller_id", "training_file"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    work_id: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(200))
    training_file: Mapped[str] = mapped_column(String(40))
    validation_file: Mapped[str | None] = mapped_column(String(40))
    request: Mapped[bytes]
    status: Mapped[str] = mapped_column(String(20), default="validating_files")
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    error: Mapped[bytes | None]
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    sent_files: Mapped[bytes | None]
    creating_at: Mapped[float | None]
    creates: Mapped[int] = mapped_column(default=0)
    provider_job: Mapped[str | None] = mapped_column(String(200))
    answer: Mapped[bytes | None]
    polls: Mapped[int] = mapped_column(default=0)
    missing: Mapped[int] = mapped_column(default=0)
    fine_tuned_model: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[float]
    finished_at: Mapped[float | None]


class FineTuningEventRow(Base):
    """An event of a job. `origin` is the provider's id of it, or one of ours."""

    __tablename__ = "fine_tuning_events"
    __table_args__ = (
        UniqueConstraint("job_id", "origin", name="uq_fine_tuning_events_job_id_origin"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"))
    origin: Mapped[str] = mapped_column(String(200))
    level: Mapped[str] = mapped_column(String(10))
    kind: Mapped[str] = mapped_column(String(10))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[bytes | None]
    created_at: Mapped[float]


class CallerModelRow(Base):
    """A fine-tuned model, which only this caller may name. It outlives its job's row."""

    __tablename__ = "caller_models"
    __table_args__ = (Index("ix_caller_models_caller", "caller_id", "name"),)

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    job_id: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[float]
