"""Fair shares between callers, and pauses."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = {
    "weight": (sa.Double, "1"),
    "priority": (sa.Integer, "0"),
    "virtual_time": (sa.Double, "0"),
}


def upgrade() -> None:
    """Give all callers the same share, and make the table."""
    with op.batch_alter_table("callers") as callers:
        for name, (kind, value) in COLUMNS.items():
            callers.add_column(sa.Column(name, kind(), nullable=False, server_default=value))
    with op.batch_alter_table("callers") as callers:
        for name in COLUMNS:
            callers.alter_column(name, server_default=None)
    op.create_table(
        "pauses",
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_pauses")),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("pauses")
    with op.batch_alter_table("callers") as callers:
        for name in COLUMNS:
            callers.drop_column(name)
