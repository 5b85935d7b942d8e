"""Items that run alone, since one more dead worker would be their end."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LANES = """
INSERT INTO deliveries (batch_id, lane, generation, heartbeat_at)
SELECT id, -1, 0, 0 FROM batches WHERE status = 'in_progress'
"""


def upgrade() -> None:
    """Add the mark, and the lane to the batches that run."""
    with op.batch_alter_table("batch_items") as items:
        items.add_column(
            sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("batch_items") as items:
        items.alter_column("alone", server_default=None)
    op.execute(LANES)


def downgrade() -> None:
    """Drop both."""
    op.execute("DELETE FROM deliveries WHERE lane = -1")
    with op.batch_alter_table("batch_items") as items:
        items.drop_column("alone")
