"""Workers look for jobs by themselves: nobody is told of one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Drop when a worker was last told."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("told_at")


def downgrade() -> None:
    """Add it again."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("told_at", sa.Double(), nullable=False, server_default="0"))
