"""Conversations, and the responses that are theirs."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import (
    Column,
    Double,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
)

revision: str = "engine_0003"
down_revision: str | Sequence[str] | None = "engine_0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        Column("id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("metadata", LargeBinary, nullable=False),
        Column("head_id", String(40)),
        Column("held_by", String(40)),
        Column("created_at", Double, nullable=False),
        Column("used_at", Double, nullable=False),
        PrimaryKeyConstraint("id", name="pk_conversations"),
        ForeignKeyConstraint(["caller_id"], ["callers.id"], name="fk_conversations_caller_id"),
    )
    op.create_index("ix_conversations_used_at", "conversations", ["used_at"])
    op.add_column("responses", Column("conversation_id", String(40)))


def downgrade() -> None:
    op.drop_column("responses", "conversation_id")
    op.drop_table("conversations")
