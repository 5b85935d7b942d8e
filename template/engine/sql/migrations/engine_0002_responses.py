"""Responses, their items, and the events of those that run in the background."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    text,
)

revision: str = "engine_0002"
down_revision: str | Sequence[str] | None = "engine_0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "responses",
        Column("id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("previous_id", String(64)),
        Column("job_id", String(40)),
        Column("model", String(200), nullable=False),
        Column("status", String(20), nullable=False),
        Column("background", Boolean, nullable=False),
        Column("request", LargeBinary),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("finished_at", Double),
        Column("used_at", Double, nullable=False),
        PrimaryKeyConstraint("id", name="pk_responses"),
        ForeignKeyConstraint(["caller_id"], ["callers.id"], name="fk_responses_caller_id"),
    )
    op.create_index("ix_responses_caller", "responses", ["caller_id", "id"])
    op.create_index("ix_responses_used_at", "responses", ["used_at"])
    own = text("job_id IS NOT NULL")
    op.create_index(
        "ix_responses_job",
        "responses",
        ["job_id"],
        unique=True,
        postgresql_where=own,
        sqlite_where=own,
    )
    op.create_table(
        "response_items",
        Column("response_id", String(40), nullable=False),
        Column("position", Integer, nullable=False),
        Column("id", String(64), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("output", Boolean, nullable=False),
        Column("data", LargeBinary, nullable=False),
        PrimaryKeyConstraint("response_id", "position", name="pk_response_items"),
        _part_of_a_response("fk_response_items_response_id"),
    )
    op.create_index("ix_response_items_id", "response_items", ["caller_id", "id", "response_id"])
    op.create_table(
        "response_events",
        Column("response_id", String(40), nullable=False),
        Column("first_seq", Integer, nullable=False),
        Column("last_seq", Integer, nullable=False),
        Column("data", LargeBinary, nullable=False),
        PrimaryKeyConstraint("response_id", "first_seq", name="pk_response_events"),
        _part_of_a_response("fk_response_events_response_id"),
    )


def downgrade() -> None:
    for table in ("response_events", "response_items", "responses"):
        op.drop_table(table)


def _part_of_a_response(name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["response_id"], ["responses.id"], name=name, ondelete="CASCADE")
