"""Steps of agents' runs."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import (
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    text,
)

revision: str = "engine_0004"
down_revision: str | Sequence[str] | None = "engine_0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "agent_steps",
        Column("id", String(40), nullable=False),
        Column("response_id", String(40), nullable=False),
        Column("position", Integer, nullable=False),
        Column("kind", String(10), nullable=False),
        Column("name", String(200), nullable=False),
        Column("input", LargeBinary, nullable=False),
        Column("status", String(20), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("output", LargeBinary),
        Column("usage", LargeBinary),
        Column("approval_id", String(40)),
        Column("started_at", Double, nullable=False),
        Column("finished_at", Double),
        PrimaryKeyConstraint("id", name="pk_agent_steps"),
        ForeignKeyConstraint(
            ["response_id"],
            ["responses.id"],
            name="fk_agent_steps_response_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_agent_steps_response", "agent_steps", ["response_id", "position"], unique=True
    )
    answered, waiting = text("approval_id IS NOT NULL"), text("status = 'approval'")
    op.create_index(
        "ix_agent_steps_approval",
        "agent_steps",
        ["approval_id"],
        unique=True,
        postgresql_where=answered,
        sqlite_where=answered,
    )
    op.create_index(
        "ix_agent_steps_waiting",
        "agent_steps",
        ["started_at"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )


def downgrade() -> None:
    op.drop_table("agent_steps")
