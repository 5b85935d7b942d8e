"""What a batch has used, and which model answered."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Leave them unknown for batches of before."""
    op.add_column("batches", sa.Column("model", sa.String(200)))
    op.add_column("batches", sa.Column("prompt_tokens", sa.BigInteger()))
    op.add_column("batches", sa.Column("completion_tokens", sa.BigInteger()))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("batches") as batches:
        for name in ("model", "prompt_tokens", "completion_tokens"):
            batches.drop_column(name)
