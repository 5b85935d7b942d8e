"""Fine-tuning: the tables of the option `fine_tuning`.

They refer to `callers`, which the branch `engine` makes. Alembic runs the branches of a folder in
the order of their names from the last to the first, and this one would be first.
"""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)

revision: str = "fine_tuning_0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = "fine_tuning"
depends_on: str | Sequence[str] | None = "engine_0001"


def upgrade() -> None:
    op.create_table(
        "fine_tuning_jobs",
        Column("id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("work_id", String(40), nullable=False),
        Column("model", String(200), nullable=False),
        Column("training_file", String(40), nullable=False),
        Column("validation_file", String(40)),
        Column("request", LargeBinary, nullable=False),
        Column("status", String(20), nullable=False),
        Column("cancel_requested", Boolean, nullable=False, server_default=false()),
        Column("error", LargeBinary),
        Column("tokens", BigInteger, nullable=False),
        Column("sent_files", LargeBinary),
        Column("creating_at", Double),
        Column("creates", Integer, nullable=False),
        Column("provider_job", String(200)),
        Column("answer", LargeBinary),
        Column("polls", Integer, nullable=False),
        Column("missing", Integer, nullable=False),
        Column("fine_tuned_model", String(200)),
        Column("created_at", Double, nullable=False),
        Column("finished_at", Double),
        PrimaryKeyConstraint("id", name="pk_fine_tuning_jobs"),
        UniqueConstraint("provider_job", name="uq_fine_tuning_jobs_provider_job"),
        of_caller("fine_tuning_jobs"),
    )
    op.create_index("ix_fine_tuning_jobs_caller", "fine_tuning_jobs", ["caller_id", "id"])
    op.create_index(
        "ix_fine_tuning_jobs_open",
        "fine_tuning_jobs",
        ["caller_id", "training_file"],
        postgresql_where=text("finished_at IS NULL"),
        sqlite_where=text("finished_at IS NULL"),
    )
    op.create_table(
        "fine_tuning_events",
        Column("id", String(40), nullable=False),
        Column("job_id", String(40), nullable=False),
        Column("origin", String(200), nullable=False),
        Column("level", String(10), nullable=False),
        Column("kind", String(10), nullable=False),
        Column("message", Text, nullable=False),
        Column("data", LargeBinary),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("id", name="pk_fine_tuning_events"),
        ForeignKeyConstraint(
            ["job_id"],
            ["fine_tuning_jobs.id"],
            name="fk_fine_tuning_events_job_id",
            ondelete="CASCADE",
        ),
        UniqueConstraint("job_id", "origin", name="uq_fine_tuning_events_job_id_origin"),
    )
    op.create_table(
        "caller_models",
        Column("name", String(200), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("job_id", String(40), nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("name", name="pk_caller_models"),
        of_caller("caller_models"),
    )
    op.create_index("ix_caller_models_caller", "caller_models", ["caller_id", "name"])


def of_caller(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["caller_id"], ["callers.id"], name=f"fk_{table}_caller_id")


def downgrade() -> None:
    for table in ("caller_models", "fine_tuning_events", "fine_tuning_jobs"):
        op.drop_table(table)
